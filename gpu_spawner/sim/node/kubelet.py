"""The kubelets of all nodes of a fleet, in one process.

An ordinary client: it reports the nodes' status and images, renews their leases, and looks after
every pod that is bound to one of them (``pod_worker``). It neither creates nor deletes nodes.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.apiserver.pod_logs import LogRequest
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.fleet import Fleet, NodeGroup
from gpu_spawner.sim.fleet_objects import SIMULATED_ANNOTATION, node_status
from gpu_spawner.sim.informer import Informer, ObjectKey, key_of
from gpu_spawner.sim.node.claimed_devices import ClaimedDevices
from gpu_spawner.sim.node.container_logs import read_container_log
from gpu_spawner.sim.node.dra_driver import SLICES, DraDriver
from gpu_spawner.sim.node.gpus import NodeDevices
from gpu_spawner.sim.node.images import NodeImages
from gpu_spawner.sim.node.network import LoopbackNetwork
from gpu_spawner.sim.node.pod_context import Backoff, KubeletServices, PodContext, SimulatedNode
from gpu_spawner.sim.node.pod_programs import PodPrograms
from gpu_spawner.sim.node.pod_worker import PodWorker
from gpu_spawner.sim.node.prepared_claims import PreparedClaims
from gpu_spawner.sim.node.runtime import ContainerRuntime
from gpu_spawner.sim.node.volumes import VolumeFolders
from gpu_spawner.sim.recorder import EventRecorder
from gpu_spawner.sim.times import micro_time, now_utc

__all__ = ["Kubelet", "KubeletOptions"]

_log = logging.getLogger(__name__)

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
# The kubelet's defaults: a lease of 40 s renewed four times in that time, and the status now and
# then even if nothing changed (nodeStatusReportFrequency).
_LEASE_SECONDS = 40
_RENEW_SECONDS = 10.0
_STATUS_EVERY_RENEWALS = 30
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletOptions:
    """How a kubelet differs from the usual one.

    Attributes:
        renews_leases: whether anybody watches over the nodes' heartbeats.
        may_run: which pods may start processes on this machine; by default all of them.
    """

    backoff: Backoff = field(default_factory=Backoff)
    renews_leases: bool = False
    may_run: Callable[[Mapping[str, Any]], bool] = lambda _: True


class Kubelet:
    """Looks after the pods of all nodes of ``fleet``; ``run`` until cancelled.

    When ``run`` is cancelled the containers go on: they are the runtime's, and a kubelet started
    with the same runtime takes them up again.

    Args:
        state_dir: for volumes, logs and the programs of pods.
        runtime: the containers.
        network: the pods' addresses.
    """

    def __init__(  # noqa: PLR0913  everything a kubelet is given by its machine
        self,
        client: KubeClient,
        fleet: Fleet,
        *,
        state_dir: Path,
        runtime: ContainerRuntime,
        network: LoopbackNetwork,
        options: KubeletOptions | None = None,
    ) -> None:
        options = options or KubeletOptions()
        self._client = client
        self._fleet = fleet
        self._options = options
        self._recorder = EventRecorder(client, "kubelet")
        self._services = KubeletServices(
            client=client,
            recorder=self._recorder,
            runtime=runtime,
            folders=VolumeFolders(state_dir),
            programs=PodPrograms(state_dir / "image"),
            network=network,
            fleet=fleet,
            logs=state_dir / "logs" / "pods",
            backoff=options.backoff,
            runs_processes=self._runs_processes,
        )
        self._state_dir = state_dir
        self._groups = {name: group for group in fleet.nodes for name in group.node_names}
        self._nodes = {
            name: self._node(number, name, group)
            for number, (name, group) in enumerate(self._groups.items())
        }
        self._images_changed: set[str] = set()
        self._devices_changed: asyncio.Queue[str] = asyncio.Queue()
        self._wake_publisher = asyncio.Event()
        self._workers: dict[str, tuple[PodWorker, asyncio.Task[None]]] = {}
        self._uids: dict[ObjectKey, str] = {}
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled; ``ready`` is set once every node is reported and followed."""
        pods = Informer(self._client, "/api/v1/pods", self._on_pod)
        slices = Informer(self._client, SLICES, self._on_slice)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._recorder.run())
                for name in self._nodes:
                    await self._introduce(name)
                group.create_task(self._publish_images())
                group.create_task(pods.run())
                if self._fleet.has_claimable_devices:
                    group.create_task(slices.run())
                    group.create_task(self._restore_devices())
                if self._options.renews_leases:
                    group.create_task(self._renew_leases())
                await pods.synced.wait()
                await self._remove_orphans()
                self.ready.set()
        finally:
            await self._cancel_workers()
            for node in self._nodes.values():
                await node.images.stop()

    def log_file(self, namespace: str, pod: str, container: str) -> Path | None:
        """Return the file with a container's output, None if the pod is not here."""
        uid = self._uids.get((namespace, pod))
        if uid is None or uid not in self._workers:
            return None
        return self._services.logs / f"{namespace}_{pod}_{uid}" / f"{container}.log"

    def read_log(self, request: LogRequest) -> AsyncIterator[bytes]:
        """Give a container's output, for the API server's ``pods/NAME/log``."""
        folder = self._services.logs / f"{request.namespace}_{request.name}_{request.uid}"
        return read_container_log(folder, request, lambda: request.uid in self._workers)

    async def break_gpu(self, node: str, number: int, xid: int) -> None:
        """Have a GPU fail whose node offers it through Dynamic Resource Allocation.

        Raises:
            ClusterError: the API server did not take the new slices.
        """
        driver = self._nodes[node].claims.driver
        if driver is not None:
            driver.taint_xid(number, xid)
            await driver.publish()

    def _node(self, number: int, name: str, group: NodeGroup) -> SimulatedNode:
        def note_change() -> None:
            self._images_changed.add(name)
            self._wake_publisher.set()

        return SimulatedNode(
            name=name,
            address=self._services.network.node_address(number),
            images=NodeImages(
                bandwidth=group.pull_bandwidth,
                facts=self._fleet.image_facts,
                present=group.images_of(name),
                on_change=note_change,
            ),
            devices=NodeDevices(group, name),
            claims=ClaimedDevices(
                self._client,
                DraDriver(self._client, group.gpu, name) if group.gpu and group.gpu.dra else None,
                PreparedClaims(self._state_dir / "dra" / f"{name}.json"),
            ),
        )

    def _runs_processes(self, pod: Mapping[str, Any]) -> bool:
        annotations = pod["metadata"].get("annotations") or {}
        return SIMULATED_ANNOTATION not in annotations and self._options.may_run(pod)

    def _on_pod(self, event: str, pod: dict[str, Any]) -> None:
        uid = pod["metadata"]["uid"]
        known = self._workers.get(uid)
        if event == "DELETED":
            if known is not None:
                known[0].vanish()
            return
        node = self._nodes.get(pod["spec"].get("nodeName") or "")
        if known is not None:
            known[0].update(pod)
        elif node is not None and not _is_over(pod):
            context = PodContext(pod=pod, node=node, services=self._services)
            worker = PodWorker(context)
            task = asyncio.create_task(worker.run())
            self._workers[uid] = worker, task
            self._uids[key_of(pod)] = uid
            task.add_done_callback(lambda done: self._on_worker_done(uid, done))

    def _on_worker_done(self, uid: str, task: asyncio.Task[None]) -> None:
        self._workers.pop(uid, None)
        self._uids = {key: known for key, known in self._uids.items() if known != uid}
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the worker of pod %s failed", uid, exc_info=error)

    async def _cancel_workers(self) -> None:
        tasks = [task for _, task in self._workers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _remove_orphans(self) -> None:
        """End containers whose pod went away while no kubelet was running, and free devices."""
        for uid in self._services.runtime.pod_uids() - set(self._workers):
            await self._services.runtime.remove_pod(uid)
        for node in self._nodes.values():
            node.claims.unprepare_others(self._workers)

    async def _introduce(self, name: str) -> None:
        """Report a node for the first time, however long the API server takes to answer."""
        while True:
            try:
                await self._restore_images(name)
                await self._report_node(name)
                await self._publish_devices(name)
            except ClusterError as error:
                if 400 <= error.status < 500 and error.status not in (409, 429):
                    raise
                _log.debug("node %s not reported: %s", name, error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _restore_images(self, name: str) -> None:
        """Take up the images the node has pulled in a former life."""
        known = await self._client.get(f"/api/v1/nodes/{name}")
        self._nodes[name].images.restore((known.get("status") or {}).get("images") or ())

    async def _report_node(self, name: str) -> None:
        node = self._nodes[name]
        status = node_status(
            self._groups[name],
            name,
            kubelet_version=self._fleet.kubelet_version,
            address=node.address,
            now=now_utc(),
        )
        status["images"] = node.images.as_status()
        await self._client.patch(f"/api/v1/nodes/{name}/status", {"status": status}, strategic=True)

    async def _publish_devices(self, name: str) -> None:
        driver = self._nodes[name].claims.driver
        if driver is not None:
            await driver.publish()

    def _on_slice(self, event: str, resource_slice: dict[str, Any]) -> None:
        node = resource_slice["spec"].get("nodeName")
        if event == "DELETED" and node in self._nodes:
            self._devices_changed.put_nowait(node)

    async def _restore_devices(self) -> None:
        """Publish again what somebody else has deleted."""
        while True:
            name = await self._devices_changed.get()
            try:
                await self._publish_devices(name)
            except ClusterError as error:
                _log.debug("devices of %s not published: %s", name, error)
                self._devices_changed.put_nowait(name)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _publish_images(self) -> None:
        while True:
            await self._wake_publisher.wait()
            self._wake_publisher.clear()
            for name in sorted(self._images_changed):
                status = {"images": self._nodes[name].images.as_status()}
                try:
                    await self._client.patch(f"/api/v1/nodes/{name}/status", {"status": status})
                except ClusterError as error:
                    _log.debug("images of %s not written: %s", name, error)
                    self._wake_publisher.set()
                    await asyncio.sleep(_RETRY_SECONDS)
                else:
                    self._images_changed.discard(name)

    async def _renew_leases(self) -> None:
        renewals = 0
        while True:
            for name in self._nodes:
                with contextlib.suppress(ClusterError):
                    await self._renew_lease(name)
                    if renewals % _STATUS_EVERY_RENEWALS == _STATUS_EVERY_RENEWALS - 1:
                        await self._report_node(name)
            renewals += 1
            await asyncio.sleep(_RENEW_SECONDS)

    async def _renew_lease(self, name: str) -> None:
        renewed = {"renewTime": micro_time(now_utc())}
        try:
            await self._client.patch(f"{_LEASES}/{name}", {"spec": renewed})
        except ClusterError as error:
            if error.status != 404:
                raise
            node = await self._client.get(f"/api/v1/nodes/{name}")
            owner = {
                "apiVersion": "v1",
                "kind": "Node",
                "name": name,
                "uid": node["metadata"]["uid"],
            }
            spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_SECONDS, **renewed}
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "ownerReferences": [owner]},
                "spec": spec,
            }
            await self._client.create(_LEASES, lease)


def _is_over(pod: Mapping[str, Any]) -> bool:
    """Say whether there is nothing left to do for the pod."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp")
