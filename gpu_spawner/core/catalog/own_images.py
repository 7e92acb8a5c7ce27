"""Images that users bring: how a reference must look, and which ones a profile allows.

The pattern language is an admin's, and small: a registry host in full, then a path and perhaps a
tag, in which ``*`` stands for anything but a slash and ``**`` for anything. A pattern is about the
whole reference. What a user types is never used as a pattern.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gpu_spawner.core.messages import gettext
from gpu_spawner.core.wording import listed, quoted

__all__ = ["MAX_LENGTH", "ImageName", "OwnImages", "find_pattern_mistake", "read_reference"]

MAX_LENGTH: Final = 500

_HOST: Final = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[0-9]{1,5})?"
_PART: Final = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
# The grammar of github.com/distribution/reference, with the registry's host always in full.
_REFERENCE: Final = re.compile(
    rf"(?P<host>{_HOST})/(?P<path>{_PART}(/{_PART})*)(:(?P<tag>{_TAG}))?"
    r"(@(?P<digest>sha256:[a-f0-9]{64}))?",
    re.ASCII,
)
_PATTERN: Final = re.compile(
    rf"(?P<host>{_HOST})/(?P<path>[a-z0-9._*/-]+)(:(?P<tag>[A-Za-z0-9_.*-]+))?", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageName:
    """A reference taken apart; ``tag`` and ``digest`` may be empty."""

    host: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def pointer(self) -> str:
        """What a registry is asked for: the digest, which wins over a tag, or the tag."""
        return self.digest or self.tag or "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnImages:
    """Which images users may bring to a profile.

    Attributes:
        allowed: patterns.
        max_bytes: the largest compressed size, where registries are asked; None for any.
    """

    allowed: tuple[str, ...]
    max_bytes: int | None = None

    def refusal(self, reference: str) -> str:
        """Return why a reference is not allowed, in a sentence; empty where it is."""
        name = read_reference(reference)
        if name is None:
            return gettext(
                "{image} is not an image with its registry, such as "
                "quay.io/jupyter/scipy-notebook:latest.",
                image=quoted(reference),
            )
        if not any(_matches(pattern, name) for pattern in self.allowed):
            allowed = listed(self.allowed, word="or")
            return gettext(
                "{image} is not among the allowed images; there is {allowed}.",
                image=quoted(reference),
                allowed=allowed,
            )
        return ""


def read_reference(text: str) -> ImageName | None:
    """Take a reference apart; None where it is none, or leaves its registry to be guessed."""
    found = _REFERENCE.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if found is None or not _names_a_registry(found["host"]):
        return None
    return ImageName(
        host=found["host"],
        path=found["path"],
        tag=found["tag"] or "",
        digest=found["digest"] or "",
    )


def find_pattern_mistake(pattern: str) -> str:
    """Return what is wrong with an admin's pattern; empty where nothing is."""
    found = _PATTERN.fullmatch(pattern) if len(pattern) <= MAX_LENGTH else None
    if found is None or not _names_a_registry(found["host"]) or "***" in pattern:
        return (
            f"got {quoted(pattern)}; a pattern with a registry's host in full is expected, such as "
            "quay.io/jupyter/*"
        )
    return ""


def _names_a_registry(host: str) -> bool:
    """Tell whether the first part of a reference is a host, by the rule of container runtimes."""
    return "." in host or ":" in host or host == "localhost"


def _matches(pattern: str, name: ImageName) -> bool:
    found = _PATTERN.fullmatch(pattern)
    if found is None or found["host"] != name.host or not _fits(found["path"], name.path):
        return False
    if found["tag"] is None:
        return True
    # A digest beside a tag is what is pulled, whatever the tag says.
    return not name.digest and _fits(found["tag"], name.tag or "latest")


def _fits(pattern: str, text: str) -> bool:
    return re.fullmatch("".join(_translated(pattern)), text, re.ASCII) is not None


def _translated(pattern: str) -> Iterable[str]:
    for part in re.split(r"(\*+)", pattern):
        yield {"*": "[^/]*", "**": ".*"}.get(part) or re.escape(part)
