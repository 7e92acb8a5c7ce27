"""A simulated GPU cluster, whole: the one thing the demo and the tests start and stop.

::

    async with Cluster(default_fleet(), state_dir=folder) as cluster:
        ...  # kubectl --kubeconfig {cluster.kubeconfig_path} get pods -A

By default everything runs in this process: the API server, its controllers, the scheduler, and the
kubelet of every node. Given the kubeconfig of another API server, only the nodes and their kubelet
are simulated, and leaving the context takes out of that server whatever was put in.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.apiserver.faults import FaultHook
from gpu_spawner.sim.apiserver.server import ApiServer
from gpu_spawner.sim.claim_controller import ClaimController
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.daemonset_controller import DaemonSetController
from gpu_spawner.sim.fleet import Fleet, NodeGroup
from gpu_spawner.sim.fleet_objects import lost_conditions, node_manifest
from gpu_spawner.sim.image_registry import ImageRegistry
from gpu_spawner.sim.kubeconfig import Endpoint, endpoint_of, read_kubeconfig
from gpu_spawner.sim.node.disk import DiskPolicy
from gpu_spawner.sim.node.kubelet import Kubelet, KubeletOptions
from gpu_spawner.sim.node.network import LoopbackNetwork
from gpu_spawner.sim.node.pod_context import Backoff
from gpu_spawner.sim.node.runtime import ContainerRuntime
from gpu_spawner.sim.node_lifecycle import NodeLifecycle
from gpu_spawner.sim.pod_collector import PodCollector
from gpu_spawner.sim.provisioner import VolumeProvisioner
from gpu_spawner.sim.provisioning import Provisioning
from gpu_spawner.sim.scheduler import Scheduler
from gpu_spawner.sim.taint_eviction import TaintEviction
from gpu_spawner.sim.times import now_utc

__all__ = ["Cluster", "ClusterOptions"]

_log = logging.getLogger(__name__)

_NODES = "/api/v1/nodes"
_START_SECONDS = 60.0
_REMOVE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """How a cluster is run.

    Attributes:
        kubeconfig: of the API server to use instead of the embedded one.
        port: of the embedded API server; 0 picks a free one.
        namespaces: made beside those of the fleet's tenants. On a foreign API server only pods in
            these start processes: what its own DaemonSets put on our nodes must not.
        backoff: between attempts to pull an image or to restart a container.
        disk: what the kubelets do as disks fill up.
        images_lag_seconds: how long after a pull the API hears of the image.
        missing_node_seconds: how long the pods of a node that is gone are left in the API.
        stop_grace_seconds: how long processes get to end when the cluster is left.
        keeps_objects: whether the embedded cluster is the same again when it is started again with
            the same state directory; otherwise only volumes and logs are kept.
        tls: whether the embedded API server speaks TLS, without which kubectl sends no token.
        faults: asked by the embedded API server before every answer, for tests.
    """

    kubeconfig: Path | None = None
    port: int = 0
    namespaces: Sequence[str] = ("gpu-demo",)
    backoff: Backoff = field(default_factory=Backoff)
    disk: DiskPolicy = field(default_factory=DiskPolicy)
    images_lag_seconds: float = 0.0
    missing_node_seconds: float = 40.0
    stop_grace_seconds: float = 3.0
    keeps_objects: bool = False
    tls: bool = True
    faults: FaultHook | None = None


class Cluster:
    """A cluster that lives as long as its ``async with`` block.

    Attributes:
        client: an administrator's client.
        server: the embedded API server; None on a foreign one.
        url: the API server's base URL.
        kubeconfig_path: for kubectl, the hub and everybody else.
        demo_id: the value of the label on every object made.
        registry: where images come from; may be told to fail.
    """

    client: KubeClient
    url: str
    kubeconfig_path: Path

    def __init__(
        self, fleet: Fleet, *, state_dir: Path, options: ClusterOptions | None = None
    ) -> None:
        self.fleet = fleet
        self.state_dir = state_dir.absolute()
        self.options = options or ClusterOptions()
        self.server: ApiServer | None = None
        self.demo_id = _demo_id(self.state_dir)
        self.registry = ImageRegistry(fleet.image_facts, default_command=fleet.default_command)
        # The nodes that are switched on, and those that were and are to come back.
        self._lost: dict[str, NodeGroup] = {}
        self._machines = {name: group for group in fleet.nodes for name in group.node_names}
        self._stack = contextlib.AsyncExitStack()
        self._failure: asyncio.Future[None]
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def kubelet(self) -> Kubelet:
        """The kubelet that runs at present."""
        return self._kubelet

    async def stop_server(self) -> None:
        """Stop the embedded API server; whoever talks to it finds nobody there.

        Raises:
            RuntimeError: the API server is a foreign one.
        """
        if self.server is None:
            raise RuntimeError("another's API server is not ours to stop")
        await self.server.stop()

    async def start_server(self) -> None:
        """Start the embedded API server again, at its old address, with what it knew.

        Raises:
            RuntimeError: the API server is a foreign one, or the cluster does not keep objects.
        """
        before = self.server
        if before is None or not self.options.keeps_objects:
            raise RuntimeError("only an embedded API server that keeps its objects comes back")
        server = self._new_server()
        server.log_source = before.log_source
        server.faults = before.faults
        self.server = server
        await server.start(port=urlsplit(self.url).port or 0)

    async def stop_kubelet(self) -> None:
        """Stop the kubelet as a crash would: containers go on, nobody looks after them."""
        await _cancel(self._tasks.pop("kubelet"))

    async def start_kubelet(self) -> None:
        """Start a kubelet, which takes up the containers it finds."""
        self._kubelet = Kubelet(
            self.client,
            self._machines,
            state_dir=self.state_dir,
            runtime=self._runtime,
            network=self._network,
            registry=self.registry,
            options=KubeletOptions(
                kubelet_version=self.fleet.kubelet_version,
                backoff=self.options.backoff,
                disk=self.options.disk,
                images_lag_seconds=self.options.images_lag_seconds,
                may_run=self._may_run,
            ),
        )
        if self.server is not None:
            self.server.log_source = self._kubelet.read_log
        self._run("kubelet", self._kubelet.run())
        await self._wait_unless_failed(self._kubelet.ready.wait())

    async def add_node(self, group_name: str) -> str:
        """Let another node of a group of the fleet join; return its name once it is ready.

        Raises:
            KeyError: the fleet has no such group.
            ClusterError: the API server refused or did not answer.
        """
        group = {each.name: each for each in self.fleet.nodes}[group_name]
        taken = self._machines.keys() | self._lost.keys()
        numbers = (f"{group.name}-{number}" for number in itertools.count(group.count + 1))
        name = next(each for each in numbers if each not in taken)
        await self._switch_on(name, group, is_blank=True)
        return name

    async def remove_node(self, name: str) -> None:
        """Take a node out for good, as an autoscaler does: from the API, then its power.

        Raises:
            ClusterError: the API server refused or did not answer.
        """
        await self.client.delete(f"{_NODES}/{name}")
        if self._machines.pop(name, None) is not None:
            await self._kubelet.stop_node(name)
        self._lost.pop(name, None)

    async def lose_node(self, name: str) -> None:
        """Let a node's power go; what would notice after a minute says so at once.

        Raises:
            KeyError: it is not running.
            ClusterError: the API server refused or did not answer.
        """
        self._lost[name] = self._machines.pop(name)
        await self._kubelet.stop_node(name)
        status = {"conditions": list(lost_conditions(now_utc()))}
        await self.client.patch(f"{_NODES}/{name}/status", {"status": status}, strategic=True)

    async def return_node(self, name: str, *, is_blank: bool = False) -> None:
        """Switch a lost node on again, also one that was deleted from the API meanwhile.

        Args:
            name: the node.
            is_blank: whether it comes back with a new disk, without the images it had.

        Raises:
            KeyError: it was not lost.
            ClusterError: the API server refused or did not answer.
        """
        await self._switch_on(name, self._lost.pop(name), is_blank=is_blank)

    async def cordon_node(self, name: str, *, cordoned: bool = True) -> None:
        """Keep new pods from a node, or let them come again.

        Raises:
            ClusterError: the API server refused or did not answer.
        """
        spec = {"unschedulable": cordoned or None}
        await self.client.patch(f"{_NODES}/{name}", {"spec": spec})

    def fill_disk(self, name: str, other_bytes: int) -> None:
        """Let so much be on a node's disk besides images.

        Raises:
            KeyError: it is not running.
        """
        self._kubelet.nodes[name].images.fill(other_bytes)

    async def _switch_on(self, name: str, group: NodeGroup, *, is_blank: bool) -> None:
        if await self.client.get_or_none(f"{_NODES}/{name}") is None:
            await self.client.create(_NODES, node_manifest(group, name, self.demo_id))
        self._machines[name] = group
        await self._kubelet.start_node(name, group, is_blank=is_blank)

    async def wait_failed(self) -> None:
        """Wait until a part of the cluster fails, which none ever should.

        Raises:
            BaseException: what it failed of.
        """
        await asyncio.shield(self._failure)

    async def _wait_unless_failed(self, ready: Coroutine[Any, Any, object]) -> None:
        waiting: asyncio.Future[object] = asyncio.create_task(ready)
        try:
            await asyncio.wait((waiting, self._failure), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._failure.done():
            await self._failure

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        self._failure = asyncio.get_running_loop().create_future()
        stack.callback(self._failure.cancel)
        self._network = LoopbackNetwork(str(self.state_dir))
        stack.callback(self._network.close)
        endpoint = await self._connect(stack)
        self.url = endpoint.server
        self.client = await stack.enter_async_context(KubeClient(endpoint))
        self._runtime = ContainerRuntime(self.state_dir / "run")
        stack.push_async_callback(self._runtime.stop, self.options.stop_grace_seconds)
        stack.push_async_callback(self._cancel_tasks)
        provisioning = Provisioning(
            self.client,
            self.fleet,
            demo_id=self.demo_id,
            namespaces=self.options.namespaces,
        )
        if self.server is None:
            stack.push_async_callback(self._remove, provisioning)
        async with asyncio.timeout(_START_SECONDS):
            await provisioning.create_nodes()
            if self.server is None:
                provisioner = VolumeProvisioner(self.client, self.demo_id)
                self._run("provisioner", provisioner.run())
            else:
                self._run("node lifecycle", NodeLifecycle(self.client).run())
                self._run("claim controller", ClaimController(self.client).run())
                self._run("DaemonSet controller", DaemonSetController(self.client).run())
                self._run("taint eviction", TaintEviction(self.client).run())
                collector = PodCollector(self.client, self.options.missing_node_seconds)
                self._run("pod collector", collector.run())
                self._run("scheduler", Scheduler(self.client).run())
            await self.start_kubelet()
            await provisioning.create_tenants()
            await provisioning.wait_until_ready()

    async def _connect(self, stack: contextlib.AsyncExitStack) -> Endpoint:
        if self.options.kubeconfig is not None:
            self.kubeconfig_path = self.options.kubeconfig.absolute()
            return read_kubeconfig(self.kubeconfig_path)
        self.server = self._new_server()
        await self.server.start(port=self.options.port)
        stack.push_async_callback(self.stop_server)
        config = self.server.kubeconfig()
        self.kubeconfig_path = self.state_dir / "kubeconfig"
        self.kubeconfig_path.touch(mode=0o600)
        self.kubeconfig_path.write_text(json.dumps(config, indent=2), encoding="utf-8")
        return endpoint_of(config)

    def _new_server(self) -> ApiServer:
        return ApiServer(
            state_dir=self.state_dir / "cluster" if self.options.keeps_objects else None,
            tls=self.options.tls,
            faults=self.options.faults,
        )

    def _may_run(self, pod: Mapping[str, Any]) -> bool:
        return self.server is not None or pod["metadata"]["namespace"] in self.options.namespaces

    def _run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        task.add_done_callback(self._on_done)
        self._tasks[name] = task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the simulated cluster's %s failed", task.get_name(), exc_info=error)
            if not self._failure.done():
                self._failure.set_exception(error)
                # It is no secret if nobody waits for it: it has just been logged.
                self._failure.exception()

    async def _cancel_tasks(self) -> None:
        for name in reversed(list(self._tasks)):
            await _cancel(self._tasks.pop(name))

    async def _remove(self, provisioning: Provisioning) -> None:
        try:
            async with asyncio.timeout(_REMOVE_SECONDS):
                await provisioning.remove()
        except (ClusterError, TimeoutError) as error:
            _log.warning("the demo's objects were not all removed from %s: %s", self.url, error)


def _demo_id(state_dir: Path) -> str:
    """Return the id of the demo whose state is in ``state_dir``, a new one for a new folder."""
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / "demo-id"
    if not path.exists():
        path.write_text(uuid.uuid4().hex[:8], encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
