"""Why a pull fails, in the words of a container runtime (containerd 2) and of registries."""

from gpu_spawner.sim.image_names import registry_host, repository_of

__all__ = [
    "DiskFullError",
    "ImageNotFoundError",
    "PullDeniedError",
    "PullError",
    "PullThrottledError",
    "RegistryUnreachableError",
]

# Docker Hub's API answers under another name than its images have.
_DOCKER_HUB = "registry-1.docker.io"


class PullError(Exception):
    """A pull failed; the text is the container runtime's."""


class ImageNotFoundError(PullError):
    """No registry has the image."""

    def __init__(self, name: str) -> None:
        super().__init__(_failed("NotFound", name, _resolving(name, f"{name}: not found")))


class PullDeniedError(PullError):
    """The registry wants to know who asks, or knows and refuses."""

    def __init__(self, name: str) -> None:
        why = (
            "pull access denied, repository does not exist or may require authorization: server "
            "message: insufficient_scope: authorization failed"
        )
        super().__init__(_failed("Unknown", name, _resolving(name, why)))


class PullThrottledError(PullError):
    """The registry's limit of pulls is reached."""

    def __init__(self, name: str, digest: str) -> None:
        url = f"https://{_api_host(name)}/v2/{_path(name)}/manifests/{digest}"
        why = (
            f"failed to copy: httpReadSeeker: failed open: unexpected status code {url}: 429 Too "
            "Many Requests - Server message: toomanyrequests: You have reached your "
            "unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit"
        )
        super().__init__(_failed("Unknown", name, why))


class RegistryUnreachableError(PullError):
    """The registry's host does not answer."""

    def __init__(self, name: str) -> None:
        host, tag = _api_host(name), name.removeprefix(repository_of(name)).lstrip(":@")
        why = (
            f'failed to do request: Head "https://{host}/v2/{_path(name)}/manifests/{tag}": dial '
            f"tcp: lookup {host}: no such host"
        )
        super().__init__(_failed("Unknown", name, _resolving(name, why)))


class DiskFullError(PullError):
    """The node has no room for the image."""

    def __init__(self, name: str, digest: str) -> None:
        folder = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"
        why = f"failed to extract layer {digest}: write {folder}: no space left on device: unknown"
        super().__init__(_failed("Unknown", name, why))


def _failed(code: str, name: str, why: str) -> str:
    return f'rpc error: code = {code} desc = failed to pull and unpack image "{name}": {why}'


def _resolving(name: str, why: str) -> str:
    return f'failed to resolve reference "{name}": {why}'


def _api_host(name: str) -> str:
    host = registry_host(name)
    return _DOCKER_HUB if host == "docker.io" else host


def _path(name: str) -> str:
    return repository_of(name).partition("/")[2]
