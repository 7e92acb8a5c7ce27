"""The scheduler of the embedded cluster: binds waiting pods as ``core.placement`` decides.

An ordinary client. Pods are tried in the order of their priority and age; one that fits nowhere is
told why, in the words of the real scheduler, and tried again whenever the cluster changes. A pod's
claims get their devices before it is bound.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gpu_spawner.core.cluster.decoding import decode_watch_event
from gpu_spawner.core.cluster.objects import node_from_api, pod_from_api, to_json
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import KINDS, ClusterState
from gpu_spawner.core.errors import ClusterError, ConfigError
from gpu_spawner.core.placement.extended_resources import EXTENDED_CLAIM
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod
from gpu_spawner.core.placement.scheduling import Placed, schedule
from gpu_spawner.sim.claim_binding import ClaimBinding
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.extended_claim import extended_claim_of
from gpu_spawner.sim.informer import Informer
from gpu_spawner.sim.pod_claims import CLAIMS
from gpu_spawner.sim.recorder import EventRecorder, pod_reference
from gpu_spawner.sim.times import now_utc, time_text

__all__ = ["Scheduler"]

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_DEVICES = "/apis/resource.k8s.io/v1"


@dataclass(slots=True, kw_only=True)
class _WaitingPod:
    """A pod to bind.

    Attributes:
        request: what it asks for; it changes once its claims are made.
        reported: the reason for waiting that was written last.
    """

    manifest: dict[str, Any]
    request: PodRequest
    arrival: int
    reported: str = ""

    @property
    def rank(self) -> tuple[int, str, int]:
        """The smaller, the earlier its turn."""
        spec, metadata = self.manifest["spec"], self.manifest["metadata"]
        return -(spec.get("priority") or 0), metadata["creationTimestamp"], self.arrival


class Scheduler:
    """Binds the pods that name this scheduler; ``run`` until cancelled."""

    def __init__(self, client: KubeClient, *, name: str = "default-scheduler") -> None:
        self._client = client
        self._name = name
        self._recorder = EventRecorder(client, name, instance=f"{name}-sim")
        self._state = ClusterState()
        for kind in KINDS:
            # Of taint rules there are none here, and templates are the claim controller's.
            self._state.replace_all(kind, ())
        self._claims = ClaimBinding(client, self._follow("resourceclaims"))
        self._waiting: dict[str, _WaitingPod] = {}
        # Bound by us, but not yet seen bound in the watch: uid -> node.
        self._assumed: dict[str, str] = {}
        self._arrivals = 0
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Schedule until cancelled."""
        informers = [
            Informer(self._client, "/api/v1/nodes", self._on_node),
            Informer(self._client, "/api/v1/pods", self._on_pod),
            Informer(self._client, CLAIMS, self._claims.on_event),
            *(
                Informer(self._client, f"{_DEVICES}/{kind}", self._follow(kind))
                for kind in ("deviceclasses", "resourceslices")
            ),
        ]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run())
            for informer in informers:
                group.create_task(informer.run())
            for informer in informers:
                # Half a picture would place pods on top of others.
                await informer.synced.wait()
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._try_all()

    def _on_node(self, event: str, node: dict[str, Any]) -> None:
        if self._state.apply("nodes", event, node_from_api(node)):
            self._wake.set()

    def _follow(self, kind: str) -> Callable[[str, dict[str, Any]], None]:
        """Return what takes the changes of one kind into the picture."""

        def on_change(event: str, obj: dict[str, Any]) -> None:
            seen = decode_watch_event(kind, to_json({"type": event, "object": obj}))
            if self._state.apply(kind, event, seen.obj):
                self._wake.set()

        return on_change

    def _on_pod(self, event: str, manifest: dict[str, Any]) -> None:
        uid = manifest["metadata"]["uid"]
        pod = pod_from_api(manifest)
        if pod.node_name or event == "DELETED":
            self._assumed.pop(uid, None)
        elif node := self._assumed.get(uid):
            pod = msgspec.structs.replace(pod, node_name=node)
        if self._state.apply("pods", event, pod):
            self._wake.set()
        if event == "DELETED" or pod.node_name or not self._is_ours(manifest):
            self._waiting.pop(uid, None)
        elif known := self._waiting.get(uid):
            known.manifest = manifest
            if (request := _request_of(manifest)) is not None and request != known.request:
                known.request = request
                self._wake.set()
        else:
            self._add(manifest)

    def _is_ours(self, pod: Mapping[str, Any]) -> bool:
        return (
            pod["spec"].get("schedulerName", "default-scheduler") == self._name
            and not pod["spec"].get("schedulingGates")
            and not pod["metadata"].get("deletionTimestamp")
            and (pod.get("status") or {}).get("phase", "Pending") == "Pending"
        )

    def _add(self, manifest: dict[str, Any]) -> None:
        request = _request_of(manifest)
        if request is None:
            return
        self._arrivals += 1
        waiting = _WaitingPod(manifest=manifest, request=request, arrival=self._arrivals)
        self._waiting[manifest["metadata"]["uid"]] = waiting
        self._wake.set()

    async def _try_all(self) -> None:
        for uid in sorted(self._waiting, key=lambda each: self._waiting[each].rank):
            # It may be gone since the round began.
            waiting = self._waiting.get(uid)
            if waiting is None or self._claims.obstacle(waiting.manifest):
                continue
            snapshot = self._state.snapshot(None)
            outcome = schedule(snapshot, waiting.request)
            try:
                if isinstance(outcome, Placed):
                    await self._bind(waiting, outcome, snapshot)
                elif outcome.message != waiting.reported:
                    await self._refuse(waiting, outcome.message)
            except ClusterError as error:
                await self._cope(waiting, error)

    async def _bind(self, waiting: _WaitingPod, placed: Placed, snapshot: Snapshot) -> None:
        node, extended = placed.node, None
        if EXTENDED_CLAIM in placed.claims:
            extended = extended_claim_of(waiting.request, snapshot, node)
        given = await self._claims.bind(waiting.manifest, placed.claims, extended)
        metadata = waiting.manifest["metadata"]
        namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        self._assumed[uid] = node
        try:
            await self._client.create(f"{_path(waiting.manifest)}/binding", binding)
        except ClusterError:
            self._assumed.pop(uid, None)
            await self._claims.take_back(waiting.manifest, given)
            raise
        # From here on the pod counts on its node, whenever the watch gets round to saying so.
        if self._waiting.pop(uid, None) is not None:
            bound = msgspec.structs.replace(pod_from_api(waiting.manifest), node_name=node)
            self._state.apply("pods", "MODIFIED", bound)
        self._recorder.record_action(
            pod_reference(waiting.manifest),
            "Normal",
            "Scheduled",
            f"Successfully assigned {namespace}/{name} to {node}",
            action="Binding",
        )

    async def _refuse(self, waiting: _WaitingPod, message: str) -> None:
        waiting.reported = message
        metadata = waiting.manifest["metadata"]
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "observedGeneration": metadata.get("generation", 1),
            "lastProbeTime": None,
            "lastTransitionTime": time_text(now_utc()),
            "reason": "Unschedulable",
            "message": message,
        }
        body = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [condition]}}
        await self._client.patch(f"{_path(waiting.manifest)}/status", body, strategic=True)
        self._recorder.record_action(
            pod_reference(waiting.manifest),
            "Warning",
            "FailedScheduling",
            message,
            action="Scheduling",
        )

    async def _cope(self, waiting: _WaitingPod, error: ClusterError) -> None:
        """Deal with a pod that changed under our hands, or with a server that did not answer."""
        if error.status in (404, 409):
            # Gone, replaced or bound by somebody else; the watch tells.
            return
        _log.debug("scheduling %s: %s", waiting.manifest["metadata"]["name"], error)
        waiting.reported = ""
        self._wake.set()
        await asyncio.sleep(_RETRY_SECONDS)


def _request_of(manifest: Mapping[str, Any]) -> PodRequest | None:
    try:
        # The cluster's volumes are folders of this machine: any node can mount them.
        return request_from_pod(manifest, volumes_bind_anywhere=True)
    except ConfigError as error:
        _log.warning("pod %s cannot be scheduled: %s", manifest["metadata"]["name"], error)
        return None


def _path(pod: Mapping[str, Any]) -> str:
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
