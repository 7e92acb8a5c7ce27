"""Keep a process running, as a Deployment would: start it again whenever it ends by itself."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu_spawner.core.errors import GpuSpawnerError
from gpu_spawner.sim.node.processes import ManagedProcess, start_process

__all__ = ["ProcessKeepsFailingError", "Service", "Supervisor"]

_log = logging.getLogger(__name__)

_QUICK_SECONDS = 10.0
_MOST_QUICK_DEATHS = 5
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
_TAIL_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A process to keep running.

    Attributes:
        hopeless_statuses: with which it ends when starting it again would be of no use.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log_file: Path
    pid_file: Path
    hopeless_statuses: frozenset[int] = frozenset()
    stop_grace_seconds: float = 5.0


class ProcessKeepsFailingError(GpuSpawnerError):
    """A process ends as soon as it is started; the text has the end of its log."""

    def __init__(self, service: Service, exit_code: int, times: int) -> None:
        try:
            with service.log_file.open(encoding="utf-8", errors="replace") as log:
                tail = "".join(deque(log, _TAIL_LINES)).rstrip()
        except OSError:
            tail = ""
        super().__init__(
            f"the {service.name} ended {f'{times} times ' if times > 1 else ''}right after its "
            f"start, with status {exit_code}. The end of {service.log_file}:\n{tail}"
        )


class Supervisor:
    """Runs one service; ``run`` until cancelled, which ends the process."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._process: ManagedProcess | None = None

    @property
    def pid(self) -> int | None:
        """The process that runs at present."""
        process = self._process
        return process.pid if process is not None and process.exit_code is None else None

    async def run(self) -> None:
        """Keep the service running until cancelled.

        Raises:
            ProcessKeepsFailingError: it ended several times in a row right after its start, or
                once with a status that leaves no hope.
        """
        loop = asyncio.get_running_loop()
        service = self._service
        quick_deaths = 0
        while True:
            started = loop.time()
            exit_code = await self._run_once()
            is_hopeless = exit_code in service.hopeless_statuses
            is_quick = is_hopeless or loop.time() - started < _QUICK_SECONDS
            quick_deaths = quick_deaths + 1 if is_quick else 0
            _log.warning("the %s ended with status %s", service.name, exit_code)
            if is_hopeless or quick_deaths >= _MOST_QUICK_DEATHS:
                raise ProcessKeepsFailingError(service, exit_code, quick_deaths)
            pause = _FIRST_PAUSE_SECONDS * 2.0 ** max(quick_deaths - 1, 0)
            await asyncio.sleep(min(pause, _LONGEST_PAUSE_SECONDS))

    async def _run_once(self) -> int:
        service = self._service
        process = await start_process(
            service.argv,
            env=service.environment,
            cwd=service.folder,
            log_file=service.log_file,
            pid_file=service.pid_file,
        )
        self._process = process
        try:
            return await process.wait()
        finally:
            if process.exit_code is None:
                await process.stop(service.stop_grace_seconds)
