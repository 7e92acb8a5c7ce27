"""One pod at the API server: whether it is there, and its removal; no decisions."""

from datetime import datetime

import msgspec

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.kube.client import ClusterClient, Request
from gpu_spawner.kube.failures import malformed

__all__ = ["StoredPod", "delete_pod", "read_pod"]


class _Meta(msgspec.Struct, rename="camel"):
    namespace: str
    name: str
    uid: str
    deletion_timestamp: datetime | None = None


class StoredPod(msgspec.Struct):
    """Which pod it is."""

    metadata: _Meta

    @property
    def is_going(self) -> bool:
        """Whether somebody has asked for its removal."""
        return self.metadata.deletion_timestamp is not None


async def read_pod(
    client: ClusterClient, namespace: str, name: str, *, timeout_seconds: float
) -> StoredPod | None:
    """Return a pod as it is stored; None where there is none.

    Raises:
        ClusterError: it is not known.
    """
    doing = f"reading pod {namespace}/{name}"
    try:
        body = await client.get(
            _path(namespace, name), {}, doing=doing, timeout_seconds=timeout_seconds
        )
    except ClusterError as error:
        if error.status == 404:
            return None
        raise
    try:
        return msgspec.json.decode(body, type=StoredPod)
    except msgspec.MsgspecError as error:
        raise malformed(doing, str(error)) from error


async def delete_pod(client: ClusterClient, pod: StoredPod, *, timeout_seconds: float) -> None:
    """Ask for the removal of exactly this pod, with the time that it gives itself to end.

    Raises:
        ClusterError: it was not asked for; another pod of that name, or none, is no error.
    """
    meta = pod.metadata
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": meta.uid},
    }
    try:
        await client.send(
            Request("DELETE", _path(meta.namespace, meta.name), body=options),
            doing=f"deleting pod {meta.namespace}/{meta.name}",
            timeout_seconds=timeout_seconds,
        )
    except ClusterError as error:
        if error.status not in (404, 409):
            raise


def _path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}"
