"""The controller that turns a node's conditions into taints, for the embedded API server.

A new node carries ``node.kubernetes.io/not-ready`` until its kubelet has reported; a cordoned one
carries ``node.kubernetes.io/unschedulable``. On a real API server the controller manager does this.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.informer import Informer, ObjectKey

__all__ = ["NodeLifecycle", "lifecycle_taints"]

_log = logging.getLogger(__name__)

_NOT_READY = "node.kubernetes.io/not-ready"
_UNREACHABLE = "node.kubernetes.io/unreachable"
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_OURS = frozenset({_NOT_READY, _UNREACHABLE, _UNSCHEDULABLE})
_TAINT_OF_READY = {"True": "", "False": _NOT_READY, "Unknown": _UNREACHABLE}
_RETRY_SECONDS = 1.0


def lifecycle_taints(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all taints the node should have: its own, and those its state calls for."""
    spec = node.get("spec") or {}
    present = spec.get("taints") or []
    kept = [taint for taint in present if taint["key"] not in _OURS]
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = next((each["status"] for each in conditions if each["type"] == "Ready"), "False")
    wanted: list[dict[str, Any]] = []
    if key := _TAINT_OF_READY.get(ready, _UNREACHABLE):
        wanted.append({"key": key, "effect": "NoSchedule"})
    if spec.get("unschedulable"):
        wanted.append({"key": _UNSCHEDULABLE, "effect": "NoSchedule"})
    # As found where they are already there: taints may carry the time they were added.
    known = {(taint["key"], taint["effect"]): taint for taint in present}
    return kept + [known.get((taint["key"], taint["effect"]), taint) for taint in wanted]


class NodeLifecycle:
    """Keeps the taints of all nodes right; ``run`` until cancelled."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._changed: dict[ObjectKey, dict[str, Any]] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Follow the nodes until cancelled."""
        nodes = Informer(self._client, "/api/v1/nodes", self._on_node)
        async with asyncio.TaskGroup() as group:
            group.create_task(nodes.run())
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._changed:
                    _, node = self._changed.popitem()
                    await self._settle(node)

    def _on_node(self, event: str, node: dict[str, Any]) -> None:
        key = ("", node["metadata"]["name"])
        self._changed.pop(key, None)
        if event != "DELETED":
            self._changed[key] = node
            self._wake.set()

    async def _settle(self, node: Mapping[str, Any]) -> None:
        taints = lifecycle_taints(node)
        if taints == (node["spec"].get("taints") or []):
            return
        name, version = node["metadata"]["name"], node["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "spec": {"taints": taints or None}}
        try:
            await self._client.patch(f"/api/v1/nodes/{name}", body)
        except ClusterError as error:
            if error.status in (404, 409):
                # Changed meanwhile: the watch brings the newer state, or that it is gone.
                return
            _log.debug("taints of %s not written: %s", name, error)
            self._changed.setdefault(("", name), dict(node))
            await asyncio.sleep(_RETRY_SECONDS)
