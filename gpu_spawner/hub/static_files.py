"""Our style sheet and script, served as files: a page with a strict content policy can use them."""

import gzip
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final

from tornado.web import RequestHandler

__all__ = ["STATIC_DIRECTORY", "StaticFiles", "served", "static_url"]

STATIC_DIRECTORY: Final = Path(__file__).parent / "static"
_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_FOR_GOOD: Final = "max-age=31536000, immutable"
_COMMENT: Final = {
    "css": re.compile(r"^\s*/\*.*?\*/", re.DOTALL | re.MULTILINE),
    "js": re.compile(r"^\s*//.*", re.MULTILINE),
}


class StaticFiles(RequestHandler):
    """Serve the files of ``static/``; a request with ``?v=<hash>`` may be cached for good."""

    def get(self, name: str) -> None:
        """Send a file, compressed where that is understood: no proxy before a hub does it."""
        body = served(name)
        self.set_header("Content-Type", _TYPES[name.rpartition(".")[2]])
        # Keeps browsers from guessing the type.
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Vary", "Accept-Encoding")
        is_versioned = self.get_query_argument("v", "") == _version(name)
        self.set_header("Cache-Control", _FOR_GOOD if is_versioned else "no-cache")
        if "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            body = _compressed(name)
        self.finish(body)


@cache
def served(name: str) -> bytes:
    """Return a file as it is sent: a fifth of it is for those who read it here.

    Comments have lines of their own in these files.
    """
    text = (STATIC_DIRECTORY / name).read_text("utf-8")
    kept = _COMMENT[name.rpartition(".")[2]].sub("", text)
    dense = re.sub(r"\n\s*", "\n", kept).strip()
    if name.endswith(".css"):
        dense = re.sub(r"\s*([{};,])\s*", r"\1", dense).replace(": ", ":")
    return dense.encode()


def static_url(hub_base_url: str, name: str) -> str:
    """Return where a file of ours is served, with its version."""
    return f"{hub_base_url}gpu-spawner/static/{name}?v={_version(name)}"


@cache
def _compressed(name: str) -> bytes:
    return gzip.compress(served(name), mtime=0)


@cache
def _version(name: str) -> str:
    return hashlib.sha256(served(name)).hexdigest()[:16]
