"""Whether what pods name is there: asked of the API server, one thing at a time."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from gpu_spawner.core.catalog.named_objects import NamedObject, Presence
from gpu_spawner.core.errors import ClusterError
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.questions import ask

__all__ = ["look_for"]

_KUEUE: Final = "kueue.x-k8s.io"
_PATHS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps/{name}",
        "LocalQueue": "/apis/kueue.x-k8s.io/{kueue}/namespaces/{namespace}/localqueues/{name}",
        "PriorityClass": "/apis/scheduling.k8s.io/v1/priorityclasses/{name}",
        "RuntimeClass": "/apis/node.k8s.io/v1/runtimeclasses/{name}",
        "Secret": "/api/v1/namespaces/{namespace}/secrets/{name}",
        "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts/{name}",
        "WorkloadPriorityClass": "/apis/kueue.x-k8s.io/{kueue}/workloadpriorityclasses/{name}",
    }
)


async def look_for(
    client: ClusterClient, named: Iterable[NamedObject], *, namespace: str
) -> dict[NamedObject, Presence]:
    """Return whether each of these is there.

    What Kueue brings is left out where there is no Kueue.

    Args:
        client: the connection.
        named: what to look for.
        namespace: of the servers.

    Raises:
        ClusterError: the API server does not answer.
    """
    found = {}
    kueue: str | None = None
    for one in named:
        if one.kind not in _PATHS:
            found[one] = await _scheduler(client, one.name)
            continue
        if "{kueue}" in _PATHS[one.kind]:
            if kueue is None:
                kueue = await _version(client, _KUEUE)
            if not kueue:
                continue
        path = _PATHS[one.kind].format(
            namespace=quote(namespace, safe=""), name=quote(one.name, safe=""), kueue=kueue
        )
        found[one] = await _presence(client, path)
    return found


async def _presence(client: ClusterClient, path: str) -> Presence:
    try:
        await ask(client, path, f"reading {path}")
    except ClusterError as error:
        if error.status == 404:
            return Presence.ABSENT
        if error.status == 403:
            return Presence.UNREADABLE
        raise
    return Presence.THERE


async def _scheduler(client: ClusterClient, name: str) -> Presence:
    """Tell from the pods of a scheduler whether it works: it is no object that could be asked for.

    Returns:
        ``ABSENT`` where pods wait for it and none was ever bound.
    """
    query = {"fieldSelector": f"spec.schedulerName={name}", "limit": "500"}
    doing = "looking for the pods of a scheduler"
    try:
        answer = await ask(client, "/api/v1/pods", doing, query)
    except ClusterError as error:
        if error.status == 403:
            return Presence.UNREADABLE
        raise
    pods = answer.get("items") or ()
    if any((pod.get("spec") or {}).get("nodeName") for pod in pods):
        return Presence.THERE
    return Presence.ABSENT if pods else Presence.UNSEEN


async def _version(client: ClusterClient, group: str) -> str:
    """Return the version that an API group prefers; empty where it is not served."""
    doing = f"asking for the versions of {group}"
    try:
        answer = await ask(client, f"/apis/{group}", doing)
    except ClusterError as error:
        if error.status in (403, 404):
            return ""
        raise
    return str((answer.get("preferredVersion") or {}).get("version") or "")
