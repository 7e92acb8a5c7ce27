"""The controller that acts on nodes' conditions, for the embedded API server.

Conditions become taints: a new node carries ``node.kubernetes.io/not-ready`` until its kubelet has
reported, a cordoned one ``node.kubernetes.io/unschedulable``, one whose disk is full
``node.kubernetes.io/disk-pressure``; one that is not ready, or not heard of, also repels the pods
it has. Its pods are no longer ready then, whatever their kubelet last said. On a real API server
the controller manager does this (kubernetes/pkg/controller/nodelifecycle, 1.36).
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.informer import Informer, ObjectKey
from gpu_spawner.sim.recorder import EventRecorder, pod_reference
from gpu_spawner.sim.times import now_utc, time_text

__all__ = ["NodeLifecycle", "lifecycle_taints"]

_log = logging.getLogger(__name__)

Obj = dict[str, Any]

_PREFIX = "node.kubernetes.io/"
_NOT_READY = f"{_PREFIX}not-ready"
_UNREACHABLE = f"{_PREFIX}unreachable"
_UNSCHEDULABLE = f"{_PREFIX}unschedulable"
_TAINT_OF_READY = {"True": "", "False": _NOT_READY, "Unknown": _UNREACHABLE}
_TAINT_WHILE_TRUE = {
    "MemoryPressure": f"{_PREFIX}memory-pressure",
    "DiskPressure": f"{_PREFIX}disk-pressure",
    "NetworkUnavailable": f"{_PREFIX}network-unavailable",
    "PIDPressure": f"{_PREFIX}pid-pressure",
}
_OURS = frozenset({_NOT_READY, _UNREACHABLE, _UNSCHEDULABLE, *_TAINT_WHILE_TRUE.values()})
_RETRY_SECONDS = 1.0


def lifecycle_taints(node: Mapping[str, Any], now: datetime) -> list[Obj]:
    """Return all taints the node should have: its own, and those its state calls for.

    ``now`` is when those that are not there yet were added.
    """
    present = (node.get("spec") or {}).get("taints") or []
    kept = [taint for taint in present if taint["key"] not in _OURS]
    # As found where they are already there: taints may carry the time they were added.
    known = {(taint["key"], taint["effect"]): taint for taint in present}
    return kept + [known.get((each["key"], each["effect"]), each) for each in _wanted(node, now)]


def _wanted(node: Mapping[str, Any], now: datetime) -> Iterator[Obj]:
    conditions = _conditions(node)
    ready = conditions.get("Ready", "")
    # One that has never reported repels new pods only.
    key = _TAINT_OF_READY.get(ready or "False", _UNREACHABLE)
    if key:
        yield {"key": key, "effect": "NoSchedule"}
    for kind, taint in _TAINT_WHILE_TRUE.items():
        if conditions.get(kind) == "True":
            yield {"key": taint, "effect": "NoSchedule"}
    if (node.get("spec") or {}).get("unschedulable"):
        yield {"key": _UNSCHEDULABLE, "effect": "NoSchedule"}
    if key and ready:
        yield {"key": key, "effect": "NoExecute", "timeAdded": time_text(now)}


def _conditions(node: Mapping[str, Any]) -> dict[str, str]:
    found = (node.get("status") or {}).get("conditions") or ()
    return {each["type"]: each["status"] for each in found}


class NodeLifecycle:
    """Keeps nodes' taints right, and what is said of their pods; ``run`` until cancelled."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._recorder = EventRecorder(client, "node-controller")
        self._changed: dict[ObjectKey, Obj] = {}
        self._was_ready: dict[str, bool] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Follow the nodes until cancelled."""
        nodes = Informer(self._client, "/api/v1/nodes", self._on_node)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run())
            group.create_task(nodes.run())
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._changed:
                    _, node = self._changed.popitem()
                    await self._settle(node)

    def _on_node(self, event: str, node: Obj) -> None:
        name = node["metadata"]["name"]
        key = ("", name)
        self._changed.pop(key, None)
        if event == "DELETED":
            self._was_ready.pop(name, None)
        else:
            self._changed[key] = node
            self._wake.set()

    async def _settle(self, node: Obj) -> None:
        name = node["metadata"]["name"]
        try:
            await self._taint(node)
            is_ready = _conditions(node).get("Ready", "True") == "True"
            if not is_ready and self._was_ready.get(name, True):
                await self._disown_pods(node)
            self._was_ready[name] = is_ready
        except ClusterError as error:
            if error.status in (404, 409):
                # Changed meanwhile: the watch brings the newer state, or that it is gone.
                return
            _log.debug("%s not settled: %s", name, error)
            self._changed.setdefault(("", name), node)
            self._wake.set()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _taint(self, node: Obj) -> None:
        taints = lifecycle_taints(node, now_utc())
        if taints == (node["spec"].get("taints") or []):
            return
        name, version = node["metadata"]["name"], node["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "spec": {"taints": taints or None}}
        await self._client.patch(f"/api/v1/nodes/{name}", body)

    async def _disown_pods(self, node: Obj) -> None:
        """Say of a lost node's pods that they are not ready."""
        name = node["metadata"]["name"]
        involved = {"kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
        text = f"Node {name} status is now: NodeNotReady"
        self._recorder.record({**involved, "apiVersion": "v1"}, "Normal", "NodeNotReady", text)
        answer = await self._client.get("/api/v1/pods", fieldSelector=f"spec.nodeName={name}")
        for pod in answer.get("items") or ():
            conditions = (pod.get("status") or {}).get("conditions") or ()
            ready = next((each for each in conditions if each["type"] == "Ready"), None)
            if ready is not None and ready["status"] == "True":
                await self._unready(pod, ready)

    async def _unready(self, pod: Obj, ready: Obj) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        condition = {**ready, "status": "False", "lastTransitionTime": time_text(now_utc())}
        body = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch(path, body, strategic=True)
        except ClusterError as error:
            if error.status not in (404, 409):
                raise
        self._recorder.record(pod_reference(pod), "Warning", "NodeNotReady", "Node is not ready")
