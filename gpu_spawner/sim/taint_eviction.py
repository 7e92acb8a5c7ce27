"""The controller that deletes pods their node repels, for the embedded API server.

A ``NoExecute`` taint ends the pods that do not tolerate it at once, and those that tolerate it for
a while after that while. On a real API server the controller manager does this
(kubernetes/pkg/controller/tainteviction, 1.36).
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from gpu_spawner.core.cluster.selectors import NO_EXECUTE, Taint, Toleration
from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.informer import Informer, ObjectKey, key_of
from gpu_spawner.sim.recorder import EventRecorder
from gpu_spawner.sim.times import now_utc, time_text

__all__ = ["TaintEviction", "tolerated_seconds"]

_log = logging.getLogger(__name__)

Obj = dict[str, Any]

_RETRY_SECONDS = 1.0


def tolerated_seconds(pod: Mapping[str, Any], node: Mapping[str, Any]) -> float | None:
    """Return for how long a pod may stay on a node as tainted as it is; None means for ever."""
    tolerations = (pod.get("spec") or {}).get("tolerations") or ()
    shortest: float | None = None
    for entry in (node.get("spec") or {}).get("taints") or ():
        if entry["effect"] != NO_EXECUTE:
            continue
        taint = Taint(key=entry["key"], value=entry.get("value") or "", effect=entry["effect"])
        matching = [each for each in tolerations if _toleration(each).tolerates(taint)]
        if not matching:
            return 0.0
        # The first that matches counts, as in Kubernetes.
        seconds = matching[0].get("tolerationSeconds")
        if seconds is not None:
            shortest = min(max(float(seconds), 0.0), shortest if shortest is not None else seconds)
    return shortest


def _toleration(entry: Mapping[str, Any]) -> Toleration:
    return Toleration(
        key=entry.get("key") or "",
        operator=entry.get("operator") or "",
        value=entry.get("value") or "",
        effect=entry.get("effect") or "",
    )


class TaintEviction:
    """Deletes pods from nodes that repel them; ``run`` until cancelled."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._recorder = EventRecorder(client, "taint-eviction-controller")
        self._nodes = Informer(client, "/api/v1/nodes", self._on_node)
        self._pods = Informer(client, "/api/v1/pods", self._on_pod)
        self._on: dict[str, dict[ObjectKey, Obj]] = {}
        # The pods that are to go, each with the timer it goes by.
        self._doomed: dict[ObjectKey, asyncio.TimerHandle] = {}
        self._due: asyncio.Queue[ObjectKey] = asyncio.Queue()

    async def run(self) -> None:
        """Follow nodes and pods until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._recorder.run())
                group.create_task(self._nodes.run())
                group.create_task(self._pods.run())
                while True:
                    await self._evict(await self._due.get())
        finally:
            for timer in self._doomed.values():
                timer.cancel()

    def _on_node(self, event: str, node: Obj) -> None:
        if event != "DELETED":
            for pod in list(self._on.get(node["metadata"]["name"], {}).values()):
                self._judge(pod)

    def _on_pod(self, event: str, pod: Obj) -> None:
        key, node = key_of(pod), pod["spec"].get("nodeName")
        if not node:
            return
        if event == "DELETED" or pod["metadata"].get("deletionTimestamp"):
            self._on.get(node, {}).pop(key, None)
            self._spare(key, is_noted=False)
        else:
            self._on.setdefault(node, {})[key] = pod
            self._judge(pod)

    def _judge(self, pod: Obj) -> None:
        key = key_of(pod)
        node = self._nodes.objects.get(("", pod["spec"]["nodeName"]))
        seconds = tolerated_seconds(pod, node) if node is not None else None
        if seconds is None:
            self._spare(key, is_noted=True)
            return
        loop = asyncio.get_running_loop()
        doomed = self._doomed.get(key)
        if doomed is not None:
            if doomed.when() <= loop.time() + seconds:
                return
            doomed.cancel()
        self._doomed[key] = loop.call_later(seconds, self._due.put_nowait, key)

    def _spare(self, key: ObjectKey, *, is_noted: bool) -> None:
        doomed = self._doomed.pop(key, None)
        if doomed is None:
            return
        doomed.cancel()
        if is_noted:
            self._note(key, f"Cancelling deletion of Pod {key[0]}/{key[1]}")

    def _note(self, key: ObjectKey, message: str) -> None:
        involved = {"kind": "Pod", "namespace": key[0], "name": key[1], "apiVersion": "v1"}
        self._recorder.record(involved, "Normal", "TaintManagerEviction", message)

    async def _evict(self, key: ObjectKey) -> None:
        pod = self._pods.objects.get(key)
        if pod is None or self._doomed.pop(key, None) is None:
            return
        self._note(key, f"Marking for deletion Pod {key[0]}/{key[1]}")
        uid = pod["metadata"]["uid"]
        path = f"/api/v1/namespaces/{key[0]}/pods/{key[1]}"
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": time_text(now_utc()),
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
        }
        body = {"metadata": {"uid": uid}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch(f"{path}/status", body, strategic=True)
            await self._client.delete(path, uid=uid)
        except ClusterError as error:
            if error.status not in (404, 409):
                _log.debug("%s not evicted: %s", path, error)
                await asyncio.sleep(_RETRY_SECONDS)
                self._judge(pod)
