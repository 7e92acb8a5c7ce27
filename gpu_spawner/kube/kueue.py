"""Where a pod stands in a queue of Kueue, as Kueue itself tells.

Two sources, each of which may be absent or forbidden: the visibility API, an extension that not
every Kueue serves, has the order of a queue; the pod's Workload has the reason why it is not
admitted yet. Positions count from 0 there and from 1 here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import msgspec

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.kube.client import ClusterClient

__all__ = ["Standing", "read_standing"]

_VISIBILITY: Final = "visibility.kueue.x-k8s.io"
_WORKLOADS: Final = "kueue.x-k8s.io"
_VERSIONS: Final = ("v1beta2", "v1beta1")
_MOST: Final = 1000
_MAX_REASON: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A place in a queue.

    Attributes:
        position: from 1; None where Kueue does not tell.
        length: how many wait in the queue; None likewise, or where there are very many.
        reason: why it is not admitted yet, in Kueue's words; bounded, and not safe as HTML.
    """

    position: int | None = None
    length: int | None = None
    reason: str = ""


async def read_standing(
    client: ClusterClient, *, namespace: str, queue: str, pod_uid: str, timeout_seconds: float
) -> Standing:
    """Ask where a pod stands; what is forbidden or not served is left out.

    Args:
        client: the connection.
        namespace: of the pod and of its LocalQueue.
        queue: the LocalQueue's name.
        pod_uid: the pod's.
        timeout_seconds: for each request.

    Raises:
        ClusterError: the API server does not answer, or answers something else.
    """
    place = f"namespaces/{quote(namespace, safe='')}"
    pending = await _items(
        client,
        _VISIBILITY,
        f"{place}/localqueues/{quote(queue, safe='')}/pendingworkloads",
        {"limit": str(_MOST)},
        timeout_seconds,
    )
    own = next((entry for entry in pending if pod_uid in _owners(entry)), {})
    position = own.get("positionInLocalQueue")
    workloads = await _items(
        client,
        _WORKLOADS,
        f"{place}/workloads",
        {"labelSelector": f"kueue.x-k8s.io/job-uid={pod_uid}"},
        timeout_seconds,
    )
    return Standing(
        position=position + 1 if isinstance(position, int) else None,
        length=len(pending) if own and len(pending) < _MOST else None,
        reason=next(filter(None, map(_reason, workloads)), ""),
    )


async def _items(
    client: ClusterClient, group: str, path: str, query: Mapping[str, str], timeout_seconds: float
) -> list[Mapping[str, Any]]:
    """Return the items of a list in the newest version that is served; none where it may not be."""
    for version in _VERSIONS:
        try:
            body = await client.get(
                f"/apis/{group}/{version}/{path}",
                query,
                doing=f"reading a queue ({group})",
                timeout_seconds=timeout_seconds,
            )
        except ClusterError as error:
            if error.status == 404:
                continue
            if error.is_forbidden:
                return []
            raise
        return _mappings(_decoded(body).get("items"))
    return []


def _decoded(body: bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        return []
    return [entry for entry in value if isinstance(entry, Mapping)]


def _owners(entry: Mapping[str, Any]) -> frozenset[str]:
    metadata = entry.get("metadata")
    owners = _mappings(metadata.get("ownerReferences")) if isinstance(metadata, Mapping) else []
    return frozenset(str(owner.get("uid", "")) for owner in owners)


def _reason(workload: Mapping[str, Any]) -> str:
    """Return why a workload has no quota; empty where it has, or where nobody says."""
    status = workload.get("status")
    conditions = _mappings(status.get("conditions")) if isinstance(status, Mapping) else []
    for condition in conditions:
        if condition.get("type") == "QuotaReserved" and condition.get("status") == "False":
            return " ".join(str(condition.get("message", "")).split())[:_MAX_REASON]
    return ""
