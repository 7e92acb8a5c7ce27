"""Take one container of a pod from its image to its end, and round again as its policy says.

Words of reasons, messages and events are the kubelet's (kubernetes/pkg/kubelet, 1.36).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.node.container_logs import log_path, rotate_log
from gpu_spawner.sim.node.containers import Mounts, build_command, build_environment
from gpu_spawner.sim.node.image_pulls import obtain_image
from gpu_spawner.sim.node.image_store import StoredImage
from gpu_spawner.sim.node.pod_context import PodContext, VolumeNotReadyError
from gpu_spawner.sim.node.pod_status import (
    ContainerRecord,
    Running,
    Terminated,
    Waiting,
    is_restarted,
)
from gpu_spawner.sim.node.probes import watch_readiness
from gpu_spawner.sim.node.runtime import Container, Program, ProgramNotFoundError
from gpu_spawner.sim.node.volumes import PodFolders
from gpu_spawner.sim.times import go_duration, now_utc

__all__ = ["ContainerWorker"]

_log = logging.getLogger(__name__)

# The kubelet's back-off starts anew after a container has run this long.
_STABLE_SECONDS = 600.0
_START_ERROR = "StartError"
_START_ERROR_STATUS = 128


class _NotStartedError(Exception):
    """The container cannot be started now: reason and message for its status."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _working_folder(spec: Mapping[str, Any], folders: PodFolders) -> Path:
    folder = Path(folders.mounts.translate(spec.get("workingDir") or str(folders.home)))
    return folder if folder.is_dir() else folders.home


class ContainerWorker:
    """One container.

    Args:
        context: the pod.
        spec: the container in the pod's spec.
        record: what is known of it; kept up to date here.
        restart_policy: the pod's, or ``Always`` for a sidecar.
        is_init: whether it is an init container.
    """

    def __init__(
        self,
        context: PodContext,
        spec: Mapping[str, Any],
        record: ContainerRecord,
        *,
        restart_policy: str,
        is_init: bool = False,
    ) -> None:
        self._context = context
        self.spec = spec
        self._restart_policy = restart_policy
        self._is_init = is_init
        self._failed_starts = 0
        self.record = record
        self.started = asyncio.Event()

    @property
    def is_sidecar(self) -> bool:
        """Whether it is an init container that keeps running beside the others."""
        return self._is_init and self._restart_policy == "Always"

    @property
    def has_ended(self) -> bool:
        """Whether it ended and is not to run again."""
        state = self.record.state
        return isinstance(state, Terminated) and not is_restarted(
            self._restart_policy, state.exit_code
        )

    async def run(self) -> None:
        """Run the container until it has ended for good."""
        container = self._adopted()
        if container is not None:
            self._hold_again()
        elif isinstance(self.record.state, Terminated):
            if self.has_ended:
                return
            self._prepare_restart()
        while True:
            if container is None:
                container = await self._start()
            if container is not None:
                await self._follow(container)
                container = None
            if self.has_ended:
                return
            await self._back_off()
            self._prepare_restart()

    async def stop(self, grace_seconds: float) -> None:
        """End the container if it runs, and note how it ended."""
        container = self._adopted()
        if container is None or not isinstance(self.record.state, Running):
            return
        self._event("Normal", "Killing", f"Stopping container {self.record.name}")
        code = await container.stop(grace_seconds)
        self._set(self._ended(container, code))

    def _adopted(self) -> Container | None:
        container = self._context.services.runtime.find(self._context.uid, self.record.name)
        if container is not None and container.id == self.record.container_id:
            return container
        return None

    def _hold_again(self) -> None:
        """Keep the images of a container that was found running."""
        store = self._context.node.images.store
        volumes = {each["name"]: each for each in self._context.pod["spec"].get("volumes") or ()}
        references = [self.record.image_id or self.spec["image"]]
        for mount in self.spec.get("volumeMounts") or ():
            source = volumes.get(mount["name"], {}).get("image") or {}
            references.append(source.get("reference") or "")
        found = [store.find(reference) for reference in references if reference]
        holder = self._context.uid, self.record.name
        store.hold(holder, *(image for image in found if image is not None))

    def _prepare_restart(self) -> None:
        if isinstance(self.record.state, Terminated):
            self.record.last = self.record.state
        self.record.restart_count += 1

    async def _start(self) -> Container | None:
        """Start the container, trying until it can be; None if its program cannot be run."""
        failures = 0
        while True:
            try:
                image = await self._obtain_images()
                container = await self._create()
            except ProgramNotFoundError as error:
                self._event("Warning", "Failed", f"Error: {error}")
                now = now_utc()
                self._set(
                    Terminated(
                        exit_code=_START_ERROR_STATUS,
                        reason=_START_ERROR,
                        message=str(error),
                        started_at=now,
                        finished_at=now,
                    )
                )
                return None
            except _NotStartedError as error:
                failures += 1
                self._set(Waiting(reason=error.reason, message=str(error)))
                self._event("Warning", "Failed", f"Error: {error}")
                await asyncio.sleep(self._context.services.backoff.delay_seconds(failures))
            else:
                self._event("Normal", "Started", "Container started")
                self.record.image_id = image.id
                return container

    async def _obtain_images(self) -> StoredImage:
        """Return the container's image once it and those it mounts are there, and keep them."""
        mounts = [each["name"] for each in self.spec.get("volumeMounts") or ()]
        volumes = self._context.image_volumes
        mounted = [await volumes[name].wait(self._show) for name in mounts if name in volumes]
        image = await obtain_image(
            self._context,
            self.spec["image"],
            self.spec.get("imagePullPolicy") or "IfNotPresent",
            container=self.record.name,
            show=self._show,
        )
        holder = self._context.uid, self.record.name
        self._context.node.images.store.hold(holder, image, *mounted)
        return image

    def _show(self, reason: str, message: str) -> None:
        """Tell why the container waits for an image."""
        self._event("Warning", "Failed", f"Error: {reason}")
        self._set(Waiting(reason=reason, message=message))

    async def _create(self) -> Container:
        context = self._context
        services = context.services
        try:
            await context.read_sources()
            folders = services.folders.mount(context.pod, self.spec, context.volume_files)
            variables = build_environment(self.spec, context.sources(), folders.mounts)
        except KeyError as error:
            raise _NotStartedError("CreateContainerConfigError", str(error.args[0])) from error
        except (ClusterError, VolumeNotReadyError, OSError) as error:
            raise _NotStartedError("CreateContainerError", str(error)) from error
        devices = (
            *context.node.devices.held_by(context.uid, self.record.name),
            *context.node.claims.devices_of(context.pod, self.spec),
        )
        base = services.programs.environment(
            hostname=context.pod["metadata"]["name"], home=folders.home, address=context.pod_ip
        )
        gpus = context.node.devices.environment(devices)
        # What the device plugin sets is not the pod's to change; without a device it may say so
        # itself (the preloader's pods do).
        environment = {**base, **variables, **gpus} if devices else {**base, **gpus, **variables}
        image_command = services.registry.command_of(self.spec["image"])
        argv = build_command(self.spec, image_command, environment, folders.mounts)
        self._require_program(argv, environment)
        argv = list(map(services.programs.locate, argv))
        rotate_log(context.log_folder, self.record.name)
        log_file = log_path(context.log_folder, self.record.name)
        self._event("Normal", "Created", "Container created")
        if not argv or not self._may_run_process():
            return services.runtime.start_simulated(
                context.uid, self.record.name, log_file=log_file
            )
        folder = _working_folder(self.spec, folders)
        program = Program(argv=argv, environment=environment, folder=folder)
        try:
            return await services.runtime.start(
                context.uid, self.record.name, program, log_file=log_file
            )
        except OSError as error:
            raise _NotStartedError("RunContainerError", str(error)) from error

    def _require_program(self, argv: list[str], environment: Mapping[str, str]) -> None:
        """Refuse a program the pod names and the image lacks; one in a mount is none of those."""
        facts = self._context.services.registry.facts(self.spec["image"])
        if self.spec.get("command") and not facts.has_shell:
            in_image = build_command(self.spec, (), environment, Mounts({}))
            if argv[0] == in_image[0]:
                raise ProgramNotFoundError(argv[0])

    def _may_run_process(self) -> bool:
        # A container that needs power over its node (iptables, mounts) must not get it over this
        # machine.
        security = self.spec.get("securityContext") or {}
        wants_power = security.get("privileged") or (security.get("capabilities") or {}).get("add")
        return not wants_power and self._context.services.runs_processes(self._context.pod)

    async def _follow(self, container: Container) -> None:
        self.record.container_id = container.id
        self._set(Running(started_at=container.started_at))
        self.started.set()
        async with self._readiness():
            # An init container without a process has nothing to do, and has done it.
            is_done = self._is_init and container.process is None and not self.is_sidecar
            code = 0 if is_done else await container.wait()
        self.started.clear()
        state = self._ended(container, code)
        if (state.finished_at - container.started_at).total_seconds() > _STABLE_SECONDS:
            self._failed_starts = 0
        self._set(state)

    @contextlib.asynccontextmanager
    async def _readiness(self) -> AsyncIterator[None]:
        def report(is_ready: bool) -> None:  # noqa: FBT001  a callback with one argument
            self.record.is_ready = is_ready
            self._context.changed.set()

        probe = self.spec.get("readinessProbe")
        if not probe:
            report(True)
            yield
        else:
            report(False)
            task = asyncio.create_task(
                watch_readiness(probe, self.spec, self._context.pod_ip, report)
            )
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self.record.is_ready = False

    @staticmethod
    def _ended(container: Container, code: int) -> Terminated:
        return Terminated(
            exit_code=code,
            reason="Completed" if code == 0 else "Error",
            started_at=container.started_at,
            finished_at=now_utc(),
            container_id=container.id,
        )

    async def _back_off(self) -> None:
        """Wait before another start; the first restart is immediate."""
        state = self.record.state
        if isinstance(state, Terminated) and state.reason == _START_ERROR:
            self.record.last = state
            self._set(Waiting(reason="RunContainerError", message=state.message))
        self._failed_starts += 1
        if self._failed_starts == 1:
            return
        delay = self._context.services.backoff.delay_seconds(self._failed_starts - 1)
        name, pod = self.record.name, self._context.label
        if isinstance(self.record.state, Terminated):
            self.record.last = self.record.state
        self._event(
            "Warning", "BackOff", f"Back-off restarting failed container {name} in pod {pod}"
        )
        self._set(
            Waiting(
                reason="CrashLoopBackOff",
                message=f"back-off {go_duration(delay)} restarting failed container={name} "
                f"pod={pod}",
            )
        )
        await asyncio.sleep(delay)

    def _set(self, state: Waiting | Running | Terminated) -> None:
        self.record.state = state
        self._context.changed.set()

    def _event(self, kind: str, reason: str, message: str) -> None:
        self._context.event(kind, reason, message, container=self.record.name)
