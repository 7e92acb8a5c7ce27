"""Take one pod that is bound to a simulated node from its admission to its removal.

One task per pod: it prepares volumes, runs init containers in order and the others side by side,
writes the pod's status whenever something changes, and ends everything when the pod is deleted.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.node.container_worker import ContainerWorker
from gpu_spawner.sim.node.dra_driver import PrepareError
from gpu_spawner.sim.node.gpus import DevicesUnavailableError, device_requests
from gpu_spawner.sim.node.image_volumes import prepare_image_volumes
from gpu_spawner.sim.node.pod_context import PodContext, SimulatedNode, VolumeNotReadyError
from gpu_spawner.sim.node.pod_status import (
    ContainerRecord,
    PodFacts,
    Terminated,
    Waiting,
    build_status,
    recovered_record,
)
from gpu_spawner.sim.times import now_utc

__all__ = ["PodWorker"]

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5
_DEFAULT_GRACE_SECONDS = 30
_LEAST_GRACE_SECONDS = 1
_EVICTED = "Evicted"
_EVICTION_GRACE_SECONDS = 1
_CRITICAL_PRIORITY = 2_000_000_000


class _RefusedError(Exception):
    """The node takes no pods now; the text is the kubelet's."""


class PodWorker:
    """The life of one pod on its node; ``run`` returns when the pod is gone from the API.

    Attributes:
        is_admitted: whether the node has taken it in; it refuses some at once.
    """

    def __init__(self, context: PodContext) -> None:
        self.is_admitted = False
        self._context = context
        self._deleted = asyncio.Event()
        self._vanished = asyncio.Event()
        # Set once the pod has to end: deleted, gone from the API, or evicted.
        self._ending = asyncio.Event()
        self._is_hurried = asyncio.Event()
        self._rejection: tuple[str, str] | None = None
        self._eviction = ""
        self._start_time = now_utc()
        self._phase = ""
        status = context.pod.get("status") or {}
        self._conditions: list[dict[str, Any]] = status.get("conditions") or []
        spec = context.pod["spec"]
        self._init = [
            self._container(each, status.get("initContainerStatuses"), is_init=True)
            for each in spec.get("initContainers") or ()
        ]
        self._main = [
            self._container(each, status.get("containerStatuses"), is_init=False)
            for each in spec["containers"]
        ]
        self.update(context.pod)

    def update(self, pod: dict[str, Any]) -> None:
        """Take note of the pod's present state in the API."""
        before = self._grace_seconds()
        self._context.pod = pod
        if self._grace_seconds() < before:
            self._is_hurried.set()
        if pod["metadata"].get("deletionTimestamp"):
            self._deleted.set()
            self._ending.set()

    def vanish(self) -> None:
        """Take note that the pod is gone from the API."""
        self._vanished.set()
        self._deleted.set()
        self._ending.set()

    def evict(self, message: str) -> None:
        """Take the pod off its node for good; it stays in the API, failed."""
        if not self.is_over:
            self._eviction = message
            self._context.event("Warning", _EVICTED, message)
            self._ending.set()

    @property
    def node(self) -> SimulatedNode:
        """The node it is on."""
        return self._context.node

    @property
    def pod(self) -> Mapping[str, Any]:
        """The pod as last seen in the API."""
        return self._context.pod

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good, or is about to."""
        return bool(self._rejection or self._eviction) or self._phase in ("Succeeded", "Failed")

    async def run(self) -> None:
        """Look after the pod until it is gone; when cancelled, leave its processes alone."""
        report = asyncio.create_task(self._report_changes())
        life = asyncio.create_task(self._live())
        try:
            await self._ending.wait()
            if not self._deleted.is_set():
                await _cancel(life)
                await self._carry_out_eviction()
                await self._deleted.wait()
        finally:
            await _cancel(life)
            if not self._deleted.is_set():
                await _cancel(report)
                # Whoever looks after the pod next takes it up again, from the pod's status.
                self._context.services.network.release(self._context.pod_ip)
        try:
            await self._stop_containers()
        finally:
            await _cancel(report)
        self._release()
        await self._remove()

    def _container(
        self, spec: Mapping[str, Any], statuses: list[Mapping[str, Any]] | None, *, is_init: bool
    ) -> ContainerWorker:
        name = spec["name"]
        found = next((each for each in statuses or () if each["name"] == name), None)
        if found is None:
            reason = "PodInitializing" if not is_init and self._has_init() else "ContainerCreating"
            state = Waiting(reason=reason)
            record = ContainerRecord(name=name, image=spec["image"], state=state)
        else:
            container = self._context.services.runtime.find(self._context.uid, name)
            is_running = container is not None and container.id == found.get("containerID")
            record = recovered_record(found, now_utc(), is_running=is_running)
        policy = self._context.restart_policy
        if is_init:
            # An init container is tried again until it succeeds; a sidecar always.
            policy = spec.get("restartPolicy") or ("Never" if policy == "Never" else "OnFailure")
        return ContainerWorker(self._context, spec, record, restart_policy=policy, is_init=is_init)

    def _has_started(self) -> bool:
        """Whether a former kubelet has started any of its containers."""
        workers = [*self._init, *self._main]
        return any(not isinstance(worker.record.state, Waiting) for worker in workers)

    def _has_init(self) -> bool:
        return bool(self._context.pod["spec"].get("initContainers"))

    async def _live(self) -> None:
        try:
            self._admit()
        except (DevicesUnavailableError, _RefusedError) as error:
            reason = _EVICTED if isinstance(error, _RefusedError) else "UnexpectedAdmissionError"
            self._rejection = (reason, f"Pod was rejected: {error}")
            self._context.event("Warning", reason, str(error))
            self._context.changed.set()
            return
        self._context.changed.set()
        await self._mount_volumes()
        await self._prepare_claims()
        async with asyncio.TaskGroup() as group:
            await prepare_image_volumes(self._context, group)
            for worker in self._init:
                if worker.is_sidecar:
                    group.create_task(worker.run())
                    await worker.started.wait()
                    continue
                await worker.run()
                state = worker.record.state
                if isinstance(state, Terminated) and state.exit_code != 0:
                    return
            for worker in self._main:
                group.create_task(worker.run())

    async def _carry_out_eviction(self) -> None:
        context = self._context
        await self._stop_all(_EVICTION_GRACE_SECONDS)
        await context.services.runtime.remove_pod(context.uid)
        context.node.images.store.release(context.uid)
        context.services.folders.remove_pod(context.uid)
        context.changed.set()

    def _admit(self) -> None:
        context = self._context
        is_critical = (context.pod["spec"].get("priority") or 0) >= _CRITICAL_PRIORITY
        if context.node.disk.has_pressure and not is_critical and not self._has_started():
            raise _RefusedError("The node had condition: [DiskPressure]. ")
        status = context.pod.get("status") or {}
        context.pod_ip = context.services.network.pod_address(status.get("podIP") or "")
        devices = context.node.devices
        for worker in [*self._init, *self._main]:
            if worker.has_ended:
                continue
            try:
                devices.allocate(
                    context.uid, worker.record.name, device_requests(worker.spec, context.pod)
                )
            except DevicesUnavailableError:
                devices.release(context.uid)
                raise
        self.is_admitted = True

    async def _mount_volumes(self) -> None:
        failures = 0
        while True:
            try:
                await self._context.read_sources()
            except VolumeNotReadyError as error:
                failures += 1
                self._context.event("Warning", "FailedMount", str(error))
                await asyncio.sleep(self._context.services.backoff.delay_seconds(failures))
            except ClusterError as error:
                _log.debug("%s: %s", self._context.label, error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _prepare_claims(self) -> None:
        context = self._context
        failures = 0
        while True:
            try:
                await context.node.claims.prepare(context.pod)
            except PrepareError as error:
                failures += 1
                message = f"Failed to prepare dynamic resources: prepare dynamic resources: {error}"
                context.event("Warning", "FailedPrepareDynamicResources", message)
                await asyncio.sleep(context.services.backoff.delay_seconds(failures))
            except ClusterError as error:
                _log.debug("%s: %s", context.label, error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                break
        for worker in [*self._init, *self._main]:
            worker.record.claimed = context.node.claims.health_of(context.pod, worker.spec)
        context.changed.set()

    async def _report_changes(self) -> None:
        while True:
            await self._context.changed.wait()
            await self._report()

    async def _report(self) -> None:
        self._context.changed.clear()
        status = self._status()
        if status["phase"] in ("Succeeded", "Failed"):
            # Before anybody hears of it, and gives the devices to somebody else.
            self._free_devices()
        try:
            await self._clear_former_addresses(status)
            await self._patch_status(status, strategic=True)
        except ClusterError as error:
            if error.status in (404, 409):
                return
            _log.debug("status of %s not written: %s", self._context.label, error)
            self._context.changed.set()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _clear_former_addresses(self, status: Mapping[str, Any]) -> None:
        # A strategic merge adds to a list of addresses; after a restart they may be others.
        former = self._context.pod.get("status") or {}
        lists = [key for key in ("hostIPs", "podIPs") if former.get(key) and key in status]
        if any(former[key] != status[key] for key in lists):
            await self._patch_status(dict.fromkeys(lists), strategic=False)

    async def _patch_status(self, status: Mapping[str, Any], *, strategic: bool) -> None:
        body = {"metadata": {"uid": self._context.uid}, "status": status}
        path = f"{self._context.path}/status"
        await self._context.services.client.patch(path, body, strategic=strategic)

    def _status(self) -> dict[str, Any]:
        facts = PodFacts(
            spec=self._context.pod["spec"],
            host_ip=self._context.node.address,
            pod_ip=self._context.pod_ip,
            start_time=self._start_time,
            init_containers=[worker.record for worker in self._init],
            containers=[worker.record for worker in self._main],
            rejection=self._rejection,
            eviction=self._eviction,
        )
        status = build_status(facts, self._conditions, now_utc())
        self._conditions = status.get("conditions", self._conditions)
        self._phase = status["phase"]
        return status

    async def _stop_containers(self) -> None:
        """End the containers in the time that the API grants, which may become less meanwhile.

        That the API has forgotten the pod makes no difference, though it offers the pod's devices
        to others: on its node the containers have their time, and the devices until they are over.
        """
        is_over = False
        while not is_over:
            self._is_hurried.clear()
            grace = self._grace_seconds()
            stopping = self._stop_all(grace)
            hurried = asyncio.ensure_future(self._is_hurried.wait())
            try:
                await asyncio.wait([stopping, hurried], return_when=asyncio.FIRST_COMPLETED)
                is_over = stopping.done()
            finally:
                await _cancel(hurried)
                await _cancel(stopping)
        await self._context.services.runtime.remove_pod(self._context.uid)

    def _stop_all(self, grace_seconds: int) -> "asyncio.Future[Any]":
        return asyncio.gather(
            *(worker.stop(grace_seconds) for worker in [*self._init, *self._main])
        )

    def _grace_seconds(self) -> int:
        """Return how long containers have to end: never no time at all, even by force.

        Source: ``calculateEffectiveGracePeriod`` in Kubernetes' pkg/kubelet/pod_workers.go.
        """
        pod = self._context.pod
        grace = pod["metadata"].get("deletionGracePeriodSeconds")
        if grace is None:
            grace = pod["spec"].get("terminationGracePeriodSeconds", _DEFAULT_GRACE_SECONDS)
        return max(int(grace), _LEAST_GRACE_SECONDS)

    def _free_devices(self) -> None:
        self._context.node.devices.release(self._context.uid)
        self._context.node.claims.unprepare(self._context.uid)

    def _release(self) -> None:
        self._free_devices()
        self._context.node.images.store.release(self._context.uid)
        self._context.services.network.release(self._context.pod_ip)
        self._context.services.folders.remove_pod(self._context.uid)

    async def _remove(self) -> None:
        """Write how the containers ended, then take the pod out of the API."""
        if not self._vanished.is_set():
            await self._report()
        while not self._vanished.is_set():
            try:
                await self._context.services.client.delete(
                    self._context.path, grace_seconds=0, uid=self._context.uid
                )
            except ClusterError as error:
                if error.status in (404, 409):
                    return
                _log.debug("%s not removed: %s", self._context.label, error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                # Finalizers may keep it; the watch says when it is gone.
                return


async def _cancel(task: "asyncio.Future[Any]") -> None:
    """Cancel the task and wait for its end; what it failed of is logged, not raised."""
    task.cancel()
    for outcome in await asyncio.gather(task, return_exceptions=True):
        if isinstance(outcome, Exception):
            _log.error("a pod's worker failed", exc_info=outcome)
