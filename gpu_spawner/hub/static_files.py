"""Our style sheet and script, served as files: a page with a strict content policy can use them."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from tornado.web import StaticFileHandler

__all__ = ["STATIC_DIRECTORY", "StaticFiles", "static_url"]

STATIC_DIRECTORY: Final = Path(__file__).parent / "static"


class StaticFiles(StaticFileHandler):
    """Serve ``static/``; a request with ``?v=<hash>`` may be cached for good."""

    def set_extra_headers(self, path: str) -> None:
        """Keep browsers from guessing the type, and from asking again for a versioned file."""
        del path
        self.set_header("X-Content-Type-Options", "nosniff")
        if "v" not in self.request.arguments:
            self.set_header("Cache-Control", "no-cache")


def static_url(hub_base_url: str, name: str) -> str:
    """Return where a file of ours is served, with its version."""
    return f"{hub_base_url}gpu-spawner/static/{name}?v={_version(name)}"


@cache
def _version(name: str) -> str:
    return hashlib.sha256((STATIC_DIRECTORY / name).read_bytes()).hexdigest()[:16]
