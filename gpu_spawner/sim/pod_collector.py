"""The controller that removes the pods of nodes that are gone, for the embedded API server.

Nobody else would: their kubelet is gone with them. On a real API server the controller manager does
this (kubernetes/pkg/controller/podgc, 1.36).
"""

import asyncio
import logging
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.informer import Informer, ObjectKey, key_of
from gpu_spawner.sim.times import now_utc, time_text

__all__ = ["PodCollector"]

_log = logging.getLogger(__name__)

Obj = dict[str, Any]

_RETRY_SECONDS = 1.0


class PodCollector:
    """Removes pods from nodes that are not there; ``run`` until cancelled.

    Args:
        patience_seconds: how long a node may be missing before; Kubernetes gives it 40 s.
    """

    def __init__(self, client: KubeClient, patience_seconds: float = 40.0) -> None:
        self._client = client
        self._patience_seconds = patience_seconds
        self._nodes = Informer(client, "/api/v1/nodes", self._on_node)
        self._pods = Informer(client, "/api/v1/pods", self._on_pod)
        self._missing: dict[str, asyncio.TimerHandle] = {}
        self._due: asyncio.Queue[str] = asyncio.Queue()

    async def run(self) -> None:
        """Follow nodes and pods until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._nodes.run())
                # A node that is not listed yet is not gone.
                await self._nodes.synced.wait()
                group.create_task(self._pods.run())
                while True:
                    await self._collect(await self._due.get())
        finally:
            for timer in self._missing.values():
                timer.cancel()

    def _on_node(self, event: str, node: Obj) -> None:
        name = node["metadata"]["name"]
        if event == "DELETED":
            self._miss(name)
        elif (timer := self._missing.pop(name, None)) is not None:
            timer.cancel()

    def _on_pod(self, event: str, pod: Obj) -> None:
        node = pod["spec"].get("nodeName")
        if event != "DELETED" and node and ("", node) not in self._nodes.objects:
            self._miss(node)

    def _miss(self, node: str) -> None:
        if node not in self._missing:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._patience_seconds, self._due.put_nowait, node)
            self._missing[node] = timer

    async def _collect(self, node: str) -> None:
        self._missing.pop(node, None)
        if ("", node) in self._nodes.objects:
            return
        for key, pod in list(self._pods.objects.items()):
            if pod["spec"].get("nodeName") == node:
                await self._remove(key, pod)

    async def _remove(self, key: ObjectKey, pod: Obj) -> None:
        path = f"/api/v1/namespaces/{key[0]}/pods/{key[1]}"
        uid = pod["metadata"]["uid"]
        status: Obj = {
            "conditions": [
                {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "lastProbeTime": None,
                    "lastTransitionTime": time_text(now_utc()),
                    "reason": "DeletionByPodGC",
                    "message": "PodGC: node no longer exists",
                }
            ]
        }
        if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            status["phase"] = "Failed"
        try:
            body = {"metadata": {"uid": uid}, "status": status}
            await self._client.patch(f"{path}/status", body, strategic=True)
            await self._client.delete(path, grace_seconds=0, uid=uid)
        except ClusterError as error:
            if error.status not in (404, 409):
                _log.debug("%s not collected: %s", key_of(pod), error)
                await asyncio.sleep(_RETRY_SECONDS)
                self._miss(pod["spec"]["nodeName"])
