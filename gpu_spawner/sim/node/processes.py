"""Start real local processes that cannot leak: each runs beneath a shim (see ``shim``).

Used for the containers of simulated pods and for the hub and the proxy of the demo. A process'
environment is exactly what is given: nothing of the demo's own environment reaches it.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpu_spawner.sim.node import shim

__all__ = ["ManagedProcess", "kill_leftovers", "start_process"]

_SHIM = str(Path(shim.__file__).resolve())


class ManagedProcess:
    """A process and everything it started.

    Attributes:
        pid: the program's process id (not the shim's).
    """

    def __init__(self, shim_process: asyncio.subprocess.Process, pid: int) -> None:
        self.pid = pid
        self._shim = shim_process

    @property
    def exit_code(self) -> int | None:
        """The exit status as a shell gives it (128 + signal); None while it runs."""
        code = self._shim.returncode
        if code is None:
            return None
        # Somebody killed the shim itself; the program died with it.
        return code if code >= 0 else 128 - code

    async def wait(self) -> int:
        """Return the exit status once the whole tree is gone."""
        code = await self._shim.wait()
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """Ask the program to end; it may take its time or refuse."""
        if self._shim.stdin is not None and self._shim.returncode is None:
            with contextlib.suppress(OSError):
                self._shim.stdin.write(b"T")

    def kill(self) -> None:
        """Kill the whole tree now."""
        if self._shim.stdin is not None:
            self._shim.stdin.close()

    async def stop(self, grace_seconds: float) -> int:
        """Ask the program to end, kill the tree after ``grace_seconds``, return the status."""
        self.terminate()
        try:
            async with asyncio.timeout(grace_seconds):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()


async def start_process(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log_file: Path,
    pid_file: Path,
) -> ManagedProcess:
    """Start ``argv`` with exactly ``env``; its output is appended to ``log_file``.

    Args:
        argv: the program, looked up on the PATH of ``env``, and its arguments.
        env: the whole environment.
        cwd: the working directory.
        log_file: gets standard output and standard error.
        pid_file: exists while the process runs, for ``kill_leftovers``.

    Raises:
        OSError: the shim could not be started (no such ``cwd``, no more processes).
    """
    starting = asyncio.ensure_future(_start(argv, env, cwd, log_file, pid_file))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # A process half started could not be waited for, and so not be ended.
        process = await starting
        process.kill()
        await process.wait()
        raise


async def _start(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, log_file: Path, pid_file: Path
) -> ManagedProcess:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-I", "-S", _SHIM, str(pid_file), str(log_file), *argv],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=env,
        cwd=cwd,
        # Ctrl-C in the terminal is for the demo alone, which then ends the others in order.
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101  for the type checker: it is a pipe
    first_line = await process.stdout.readline()
    if not first_line.strip():
        status = await process.wait()
        raise OSError(f"the shim of {argv[0]} ended with status {status}")
    return ManagedProcess(process, int(first_line))


def kill_leftovers(folder: Path) -> list[int]:
    """Kill what pid files in ``folder`` name, where it still is that very process.

    Returns:
        the ids of the processes killed. A process that merely has the same id by now, started at
        another time or since another boot, is left alone.
    """
    killed = []
    for path in sorted(folder.glob("*.pid")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads(path.read_text())
            pid = int(record["pid"])
            if record["fingerprint"] and shim.fingerprint(pid) == record["fingerprint"]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        path.unlink(missing_ok=True)
    return killed
