"""The kubelets of all nodes of a cluster, in one process.

An ordinary client: it reports on its nodes (``node_reports``), keeps their disks (``disk``) and
looks after every pod that is bound to one of them (``pod_worker``). It neither creates nor deletes
nodes; which ones it runs on may change at any time.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_spawner.sim.apiserver.pod_logs import LogRequest
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.fleet import NodeGroup
from gpu_spawner.sim.fleet_objects import SIMULATED_ANNOTATION
from gpu_spawner.sim.image_registry import ImageRegistry
from gpu_spawner.sim.informer import Informer, ObjectKey, key_of
from gpu_spawner.sim.node.claimed_devices import ClaimedDevices
from gpu_spawner.sim.node.container_logs import read_container_log
from gpu_spawner.sim.node.disk import DiskKeeper, DiskPolicy
from gpu_spawner.sim.node.dra_driver import DraDriver
from gpu_spawner.sim.node.gpus import NodeDevices
from gpu_spawner.sim.node.image_store import ImageStore
from gpu_spawner.sim.node.images import NodeImages
from gpu_spawner.sim.node.network import LoopbackNetwork
from gpu_spawner.sim.node.node_reports import NodeReports
from gpu_spawner.sim.node.pod_context import Backoff, KubeletServices, PodContext, SimulatedNode
from gpu_spawner.sim.node.pod_programs import PodPrograms
from gpu_spawner.sim.node.pod_worker import PodWorker
from gpu_spawner.sim.node.prepared_claims import PreparedClaims
from gpu_spawner.sim.node.runtime import ContainerRuntime
from gpu_spawner.sim.node.volumes import VolumeFolders
from gpu_spawner.sim.recorder import EventRecorder

__all__ = ["Kubelet", "KubeletOptions"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletOptions:
    """How a kubelet differs from the usual one.

    Attributes:
        kubelet_version: what its nodes report.
        images_lag_seconds: how long after a pull the API hears of the image.
        may_run: which pods may start processes on this machine; by default all of them.
    """

    kubelet_version: str = "v1.36.2"
    backoff: Backoff = field(default_factory=Backoff)
    disk: DiskPolicy = field(default_factory=DiskPolicy)
    images_lag_seconds: float = 0.0
    may_run: Callable[[Mapping[str, Any]], bool] = lambda _: True


class Kubelet:
    """Looks after the pods of its nodes; ``run`` until cancelled.

    When ``run`` is cancelled the containers go on: they are the runtime's, and a kubelet started
    with the same runtime takes them up again.

    Args:
        groups: the nodes it starts with, by name.
        state_dir: for volumes, logs and the programs of pods.
        runtime: the containers.
        network: the pods' addresses.
        registry: where images come from.
    """

    def __init__(  # noqa: PLR0913  everything a kubelet is given by its machine
        self,
        client: KubeClient,
        groups: Mapping[str, NodeGroup],
        *,
        state_dir: Path,
        runtime: ContainerRuntime,
        network: LoopbackNetwork,
        registry: ImageRegistry,
        options: KubeletOptions | None = None,
    ) -> None:
        options = options or KubeletOptions()
        self._client = client
        self._options = options
        self._state_dir = state_dir
        self._recorder = EventRecorder(client, "kubelet")
        self._services = KubeletServices(
            client=client,
            recorder=self._recorder,
            runtime=runtime,
            folders=VolumeFolders(state_dir),
            programs=PodPrograms(state_dir / "image"),
            network=network,
            registry=registry,
            logs=state_dir / "logs" / "pods",
            backoff=options.backoff,
            runs_processes=self._runs_processes,
        )
        self._group: asyncio.TaskGroup
        self._nodes: dict[str, SimulatedNode] = {}
        self._numbers: dict[str, int] = {}
        self._disks: dict[str, asyncio.Task[None]] = {}
        # What is on the disks of nodes without power.
        self._stores: dict[str, ImageStore] = {}
        self._reports = NodeReports(
            client,
            self._nodes,
            kubelet_version=options.kubelet_version,
            images_lag_seconds=options.images_lag_seconds,
        )
        self._pods = Informer(client, "/api/v1/pods", self._on_pod)
        self._workers: dict[str, tuple[PodWorker, asyncio.Task[None]]] = {}
        self._uids: dict[ObjectKey, str] = {}
        self.ready = asyncio.Event()
        self._first_groups = dict(groups)

    @property
    def nodes(self) -> Mapping[str, SimulatedNode]:
        """The nodes that run at present, by name."""
        return self._nodes

    async def run(self) -> None:
        """Serve until cancelled; ``ready`` is set once every node is reported and followed."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for name, node_group in self._first_groups.items():
                    self._add(name, node_group, is_blank=False)
                group.create_task(self._recorder.run())
                for name in list(self._nodes):
                    await self._reports.introduce(name)
                group.create_task(self._reports.run())
                group.create_task(self._pods.run())
                await self._pods.synced.wait()
                await self._remove_orphans()
                self.ready.set()
        finally:
            await _cancel_all(task for _, task in self._workers.values())
            for node in self._nodes.values():
                await node.images.stop()

    async def start_node(self, name: str, group: NodeGroup, *, is_blank: bool) -> None:
        """Begin to serve a node that the API has, and the pods that are bound to it.

        Args:
            name: its name in the API.
            group: what it is like.
            is_blank: whether it starts with a new disk.

        Raises:
            ClusterError: the API server does not have it.
        """
        self._add(name, group, is_blank=is_blank)
        await self._reports.introduce(name)
        for pod in list(self._pods.objects.values()):
            self._on_pod("ADDED", pod)

    async def stop_node(self, name: str) -> None:
        """Let a node's power go: pods and pulls end, and nobody is told."""
        node = self._nodes.pop(name)
        self._stores[name] = node.images.store
        here = {uid: pair for uid, pair in self._workers.items() if pair[0].node is node}
        await _cancel_all(task for _, task in here.values())
        await _cancel_all([self._disks.pop(name)])
        await node.images.stop()
        for uid in here:
            await self._services.runtime.remove_pod(uid)
            node.images.store.release(uid)

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

    def _add(self, name: str, group: NodeGroup, *, is_blank: bool) -> None:
        def note(kind: str, reason: str, message: str) -> None:
            involved = {"kind": "Node", "name": name, "uid": name}
            self._recorder.record(involved, kind, reason, message, host=name)

        images = NodeImages(
            bandwidth=group.pull_bandwidth,
            registry=self._services.registry,
            store=None if is_blank else self._stores.pop(name, None),
            present=group.images_of(name),
            most_at_once=group.max_parallel_pulls,
            capacity=group.image_disk,
            on_change=lambda: self._reports.note_change(name),
        )
        disk = DiskKeeper(
            name,
            images,
            self._options.disk,
            tenants=lambda: [
                each for each, _ in self._workers.values() if each.node is node and each.is_admitted
            ],
            note=note,
            on_pressure=lambda: self._reports.note_change(name),
        )
        number = self._numbers.setdefault(name, len(self._numbers))
        node = self._nodes[name] = SimulatedNode(
            name=name,
            address=self._services.network.node_address(number),
            group=group,
            images=images,
            devices=NodeDevices(group, name),
            claims=ClaimedDevices(
                self._client,
                DraDriver(self._client, group.gpu, name) if group.gpu and group.gpu.dra else None,
                PreparedClaims(self._state_dir / "dra" / f"{name}.json"),
            ),
            disk=disk,
            is_blank=is_blank,
        )
        self._disks[name] = self._group.create_task(disk.run())

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

    async def _remove_orphans(self) -> None:
        """End containers whose pod went away while no kubelet was running, and free devices."""
        for uid in self._services.runtime.pod_uids() - set(self._workers):
            await self._services.runtime.remove_pod(uid)
        for node in self._nodes.values():
            node.claims.unprepare_others(self._workers)


async def _cancel_all(tasks: Iterable[asyncio.Task[None]]) -> None:
    cancelled = list(tasks)
    for task in cancelled:
        task.cancel()
    await asyncio.gather(*cancelled, return_exceptions=True)


def _is_over(pod: Mapping[str, Any]) -> bool:
    """Say whether there is nothing left to do for the pod."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp")
