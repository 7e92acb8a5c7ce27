"""The container runtime of a simulated cluster: which containers exist, as local processes.

It knows nothing of pods' meaning or of the API. It outlives a kubelet, as containerd does, so that
a kubelet that is started again finds the containers it left.
"""

import asyncio
import contextlib
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from gpu_spawner.sim.node.processes import ManagedProcess, kill_leftovers, start_process
from gpu_spawner.sim.times import now_utc

__all__ = ["Container", "ContainerRuntime", "Program", "ProgramNotFoundError"]

ContainerKey = tuple[str, str]
"""Pod uid and container name."""


class ProgramNotFoundError(Exception):
    """The container's program does not exist; the text is the container runtime's."""

    def __init__(self, program: str) -> None:
        missing = "executable file not found in $PATH"
        if "/" in program:
            missing = f"stat {program}: no such file or directory"
        super().__init__(
            "failed to create containerd task: failed to create shim task: OCI runtime create "
            "failed: runc create failed: unable to start container process: error during container "
            f'init: exec: "{program}": {missing}: unknown'
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run, with which whole environment, and where."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path


@dataclass(slots=True, kw_only=True)
class Container:
    """A container that was started; without a process it merely counts as running."""

    id: str
    started_at: datetime
    log_file: Path
    process: ManagedProcess | None = None
    _simulated_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> int:
        """Return the exit status once it has ended."""
        if self.process is None:
            await self._simulated_end.wait()
            return 0
        return await self.process.wait()

    async def stop(self, grace_seconds: float) -> int:
        """Ask it to end, and make it end after ``grace_seconds``."""
        self._simulated_end.set()
        if self.process is None:
            return 0
        return await self.process.stop(grace_seconds)


class ContainerRuntime:
    """All containers of one cluster.

    Args:
        run_folder: for the pid files; processes a previous run has left are killed.
    """

    def __init__(self, run_folder: Path) -> None:
        run_folder.mkdir(parents=True, exist_ok=True)
        kill_leftovers(run_folder)
        self._run_folder = run_folder
        self._containers: dict[ContainerKey, Container] = {}

    def find(self, pod_uid: str, name: str) -> Container | None:
        """Return the container, running or ended, if it was started and not removed."""
        return self._containers.get((pod_uid, name))

    def pod_uids(self) -> set[str]:
        """Return the pods that have containers."""
        return {pod_uid for pod_uid, _ in self._containers}

    def start_simulated(self, pod_uid: str, name: str, *, log_file: Path) -> Container:
        """Start a container without a process."""
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log_file.touch()
        return self._add(pod_uid, name, None, log_file)

    async def start(
        self,
        pod_uid: str,
        name: str,
        program: Program,
        *,
        log_file: Path,
    ) -> Container:
        """Start a container.

        Raises:
            ProgramNotFoundError: the program is not on its PATH.
            OSError: no process could be started.
        """
        if shutil.which(program.argv[0], path=program.environment["PATH"]) is None:
            raise ProgramNotFoundError(program.argv[0])
        log_file.parent.mkdir(parents=True, exist_ok=True)
        process = await start_process(
            program.argv,
            env=program.environment,
            cwd=program.folder,
            log_file=log_file,
            pid_file=self._run_folder / f"{pod_uid}.{name}.pid",
        )
        return self._add(pod_uid, name, process, log_file)

    async def remove_pod(self, pod_uid: str) -> None:
        """Kill and forget everything of the pod."""
        await self._remove([key for key in self._containers if key[0] == pod_uid], 0)

    async def stop(self, grace_seconds: float) -> None:
        """End everything, gently for ``grace_seconds``."""
        await self._remove(list(self._containers), grace_seconds)

    async def _remove(self, keys: Iterable[ContainerKey], grace_seconds: float) -> None:
        removed = [self._containers.pop(key) for key in keys]
        with contextlib.suppress(OSError):
            await asyncio.gather(*(each.stop(grace_seconds) for each in removed))

    def _add(
        self, pod_uid: str, name: str, process: ManagedProcess | None, log_file: Path
    ) -> Container:
        container = Container(
            id=f"containerd://{uuid.uuid4().hex}{uuid.uuid4().hex}",
            started_at=now_utc(),
            log_file=log_file,
            process=process,
        )
        self._containers[pod_uid, name] = container
        return container
