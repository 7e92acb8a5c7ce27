"""Semantic versions: ``semver("1.2.3")`` and attributes of type version.

Decides what is a version and which of two is the greater. Build metadata does not count.
Source: github.com/blang/semver ``Parse`` and ``Compare``; k8s.io/apiserver
``pkg/cel/library/semverlib.go`` for the normalized form.
"""

import re
from functools import lru_cache

from gpu_spawner.core.devices.cel.values import Comparable, EvaluationError

__all__ = ["Version", "parse_version"]

_NUMBER = r"(0|[1-9][0-9]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
_MOST = 2**64 - 1
_PARTS = 3


class Version(Comparable, frozen=True, kw_only=True):
    """A semantic version; ``rank`` orders prereleases before the release."""

    major: int
    minor: int
    patch: int


@lru_cache(maxsize=4096)
def parse_version(text: str, *, normalize: bool = False) -> Version:
    """Read a version; ``normalize`` accepts ``v1.2`` and leading zeros too.

    Raises:
        EvaluationError: the text is not a version.
    """
    written = _normalized(text) if normalize else text
    match = _VERSION.fullmatch(written)
    if match is None:
        raise EvaluationError(f"{text[:64]!r} is not a semantic version")
    major, minor, patch = (int(match[position]) for position in (1, 2, 3))
    if max(major, minor, patch) > _MOST:
        raise EvaluationError(f"{text[:64]!r} has a number out of range")
    pre = tuple(_identifier(part) for part in match["pre"].split(".")) if match["pre"] else ()
    rank = (major, minor, patch, not pre, pre)
    return Version(rank=rank, major=_signed(major), minor=_signed(minor), patch=_signed(patch))


def _signed(number: int) -> int:
    """Kubernetes hands a number of 64 bits over as a signed one."""
    return number - 2**64 if number >= 2**63 else number


def _identifier(part: str) -> tuple[bool, int, str]:
    if not (part.isascii() and part.isdigit()):
        return (True, 0, part)  # words come after numbers
    if (len(part) > 1 and part[0] == "0") or int(part) > _MOST:
        raise EvaluationError(f"{part[:64]!r} is not a number of a prerelease")
    return (False, int(part), "")


def _normalized(text: str) -> str:
    parts = text.removeprefix("v").split(".", _PARTS - 1)
    for position, part in enumerate(parts):
        if len(part) > 1:
            stripped = part.lstrip("0")
            starts_with_digit = stripped[:1].isascii() and stripped[:1].isdigit()
            parts[position] = stripped if starts_with_digit else f"0{stripped}"
    if len(parts) < _PARTS:
        if "+" in parts[-1] or "-" in parts[-1]:
            raise EvaluationError("a short version has no prerelease or build metadata")
        parts += ["0"] * (_PARTS - len(parts))
    return ".".join(parts)
