"""The names of an image: as an admin writes it, as a runtime lists it, and what it stands for."""

from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["digest_in", "is_pinned", "registry_of", "spellings"]

_DOCKER: Final = "docker.io/"
_LIBRARY: Final = "docker.io/library/"


def spellings(reference: str) -> Iterator[str]:
    """Yield the names under which a container runtime may list an image.

    >>> list(spellings("python:3.13"))
    ['docker.io/library/python:3.13', 'library/python:3.13', 'python:3.13']
    >>> list(spellings("quay.io/site/base"))
    ['quay.io/site/base:latest']
    >>> list(spellings("quay.io/site/base:1@sha256:ab"))
    ['quay.io/site/base@sha256:ab']
    """
    first, slash, _ = reference.partition("/")
    if not slash:
        reference = f"{_LIBRARY}{reference}"
    elif "." not in first and ":" not in first and first != "localhost":
        reference = f"{_DOCKER}{reference}"
    repository, at, digest = reference.partition("@")
    if at:
        # A name with a digest is listed without its tag.
        head, colon, tail = repository.rpartition(":")
        reference = f"{head if colon and '/' not in tail else repository}@{digest}"
    elif ":" not in reference.rpartition("/")[2]:
        reference = f"{reference}:latest"
    yield reference
    for prefix in (_DOCKER, _LIBRARY):
        if reference.startswith(prefix):
            yield reference.removeprefix(prefix)


def registry_of(reference: str) -> str:
    """Return the host an image is pulled from.

    >>> registry_of("python:3.13"), registry_of("quay.io/site/base:1")
    ('docker.io', 'quay.io')
    """
    return next(spellings(reference)).partition("/")[0]


def is_pinned(reference: str) -> bool:
    """Tell whether a reference always means the same image."""
    return "@" in reference


def digest_in(names: Iterable[str]) -> str:
    """Return the digest among the names a node lists for one image; empty where there is none.

    >>> digest_in(["quay.io/site/base@sha256:ab", "quay.io/site/base:1"])
    'sha256:ab'
    """
    return next((name.partition("@")[2] for name in names if "@" in name), "")
