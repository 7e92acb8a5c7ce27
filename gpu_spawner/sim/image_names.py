"""How container runtimes and registries spell the names of images."""

import hashlib

__all__ = ["made_up_digest", "normalized_reference", "registry_host", "repository_of"]


def normalized_reference(reference: str) -> str:
    """Spell ``reference`` out as a container runtime does.

    >>> normalized_reference("busybox")
    'docker.io/library/busybox:latest'
    >>> normalized_reference("quay.io/jupyter/base-notebook:2026-10-01")
    'quay.io/jupyter/base-notebook:2026-10-01'
    >>> normalized_reference("me/own:1@sha256:00")
    'docker.io/me/own@sha256:00'
    """
    host, slash, path = reference.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = "docker.io", reference
    if host == "docker.io" and "/" not in path:
        path = f"library/{path}"
    name, at, digest = path.partition("@")
    folder, slash, last = name.rpartition("/")
    if at:
        # What a digest names, no tag can name better.
        return f"{host}/{folder}{slash}{last.partition(':')[0]}@{digest}"
    if ":" not in last:
        path = f"{path}:latest"
    return f"{host}/{path}"


def repository_of(name: str) -> str:
    """Return a normalized reference without tag and digest.

    >>> repository_of("quay.io/me/own:1"), repository_of("localhost:5000/own@sha256:00")
    ('quay.io/me/own', 'localhost:5000/own')
    """
    name = name.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def registry_host(name: str) -> str:
    """Return the host of a normalized reference."""
    return name.partition("/")[0]


def made_up_digest(name: str) -> str:
    """Return the digest of an image nobody has given one: the same for the same name."""
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
