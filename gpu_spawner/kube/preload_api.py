"""What the preloader asks of the API server: its DaemonSets, their owner, and what is possible.

Every call is one a real API server accepts: create, replace with the version that is replaced, a
merge patch with the version it is about, delete with the identity of what is deleted. Nothing is
decided here.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gpu_spawner.core.cluster.puller_wire import WirePullerSet
from gpu_spawner.core.cluster.pullers import NOTES_ANNOTATION, PullerSet, SetNotes, build_puller_set
from gpu_spawner.core.errors import ClusterError
from gpu_spawner.kube.client import ClusterClient, Request
from gpu_spawner.kube.conditions import WatchedKind
from gpu_spawner.kube.failures import malformed

__all__ = ["OWNER_KINDS", "PreloadApi", "preload_kinds"]

_TIMEOUT_SECONDS: Final = 30.0
_DRY_RUN: Final = {"dryRun": "All"}
_MERGE_PATCH: Final = "application/merge-patch+json"
_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)
_decode_set = msgspec.json.Decoder(WirePullerSet).decode

OWNER_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "configmap": ("v1", "ConfigMap"),
    "deployment": ("apps/v1", "Deployment"),
    "secret": ("v1", "Secret"),
    "service": ("v1", "Service"),
    "serviceaccount": ("v1", "ServiceAccount"),
}
"""What may own our DaemonSets: apiVersion and kind by the word an admin writes."""


class _Meta(msgspec.Struct):
    name: str = ""
    uid: str = ""


class _Object(msgspec.Struct):
    metadata: _Meta


class _Version(msgspec.Struct):
    major: str = ""
    minor: str = ""


def preload_kinds(namespace: str, selector: str) -> tuple[WatchedKind, ...]:
    """Return what the preloader follows: its pods, its DaemonSets, and the pulls of the namespace.

    Args:
        namespace: where our DaemonSets live.
        selector: the label selector of our objects.
    """
    return (
        WatchedKind(
            name="pods of the image preloader",
            path=f"/api/v1/namespaces/{namespace}/pods",
            query={"labelSelector": selector},
            form="puller-pods",
            namespace=namespace,
        ),
        WatchedKind(
            name="daemonsets",
            path=f"/apis/apps/v1/namespaces/{namespace}/daemonsets",
            query={"labelSelector": selector},
            form="puller-sets",
            namespace=namespace,
        ),
        WatchedKind(
            name="events of image pulls",
            path=f"/api/v1/namespaces/{namespace}/events",
            query={"fieldSelector": "reason=Pulled"},
            form="pull-events",
            namespace=namespace,
        ),
    )


class PreloadApi:
    """The DaemonSets of one namespace. Every failure is a ``ClusterError``.

    Args:
        client: the connection; it stays the caller's to close.
    """

    def __init__(self, client: ClusterClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._path = f"/apis/apps/v1/namespaces/{namespace}/daemonsets"

    async def create(self, manifest: Mapping[str, Any]) -> PullerSet:
        """Create a DaemonSet."""
        name = manifest["metadata"]["name"]
        return await self._send(Request("POST", self._path, body=manifest), "creating", name)

    async def replace(self, manifest: Mapping[str, Any]) -> PullerSet:
        """Replace a DaemonSet, unless it has changed since the version the manifest names."""
        name = manifest["metadata"]["name"]
        path = f"{self._path}/{name}"
        return await self._send(Request("PUT", path, body=manifest), "replacing", name)

    async def note(self, before: PullerSet, notes: SetNotes) -> PullerSet:
        """Change only what is remembered on a DaemonSet, unless it has changed."""
        body = {
            "metadata": {
                "resourceVersion": before.resource_version,
                "annotations": {NOTES_ANNOTATION: notes.as_annotation()},
            }
        }
        path = f"{self._path}/{before.name}"
        request = Request("PATCH", path, body=body, content_type=_MERGE_PATCH)
        return await self._send(request, "noting on", before.name)

    async def delete(self, before: PullerSet) -> None:
        """Delete this very DaemonSet and its pods; one that is gone already is no failure."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": before.uid},
        }
        request = Request("DELETE", f"{self._path}/{before.name}", body=body)
        doing = f"deleting the DaemonSet {before.name}"
        try:
            await self._client.send(request, doing=doing, timeout_seconds=_TIMEOUT_SECONDS)
        except ClusterError as error:
            if error.status not in (404, 409):
                raise

    async def find_owner(self, kind: str, name: str) -> dict[str, str] | None:
        """Return an owner reference to an object of the namespace; None where there is none.

        Args:
            kind: a key of ``OWNER_KINDS``.
            name: the object's name.

        Raises:
            ClusterError: it may not be read, or the API server fails.
        """
        version, word = OWNER_KINDS[kind]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        path = f"{root}/namespaces/{self._namespace}/{word.lower()}s/{name}"
        doing = f"reading the {word} {name}"
        try:
            body = await self._client.get(path, {}, doing=doing, timeout_seconds=_TIMEOUT_SECONDS)
            found = msgspec.json.decode(body, type=_Object)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise
        except msgspec.DecodeError as error:
            raise malformed(doing, str(error)) from None
        # No blockOwnerDeletion: some clusters demand further rights for it.
        return {"apiVersion": version, "kind": word, "name": name, "uid": found.metadata.uid}

    async def server_minor(self) -> int:
        """Return the minor version of the API server: 36 for 1.36; 0 where it does not say."""
        doing = "asking for the API server's version"
        body = await self._client.get("/version", {}, doing=doing, timeout_seconds=_TIMEOUT_SECONDS)
        try:
            version = msgspec.json.decode(body, type=_Version)
        except msgspec.DecodeError as error:
            raise malformed(doing, str(error)) from None
        # Some providers write "35+".
        minor = _DIGITS.match(version.minor)
        return int(minor[0]) if minor and version.major == "1" else 0

    async def keeps(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the DaemonSet that creating this manifest would make, without making it.

        A field that a disabled feature gate drops is missing in it.
        """
        doing = "trying out a DaemonSet"
        request = Request("POST", self._path, query=_DRY_RUN, body=manifest)
        body = await self._client.send(request, doing=doing, timeout_seconds=_TIMEOUT_SECONDS)
        try:
            kept: Mapping[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise malformed(doing, str(error)) from None
        return kept

    async def _send(self, request: Request, verb: str, name: str) -> PullerSet:
        doing = f"{verb} the DaemonSet {name}"
        body = await self._client.send(request, doing=doing, timeout_seconds=_TIMEOUT_SECONDS)
        try:
            return build_puller_set(_decode_set(body))
        except ValueError as error:  # msgspec.DecodeError is one
            raise malformed(doing, str(error)) from None
