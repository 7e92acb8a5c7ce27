"""Processes under their shim: exit codes, signals, and that nothing outlives its purpose."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from waiting import until

from gpu_spawner.sim.node import shim
from gpu_spawner.sim.node.processes import ManagedProcess, kill_leftovers, start_process

ENV = {"PATH": os.environ["PATH"]}


async def start(folder: Path, *argv: str) -> ManagedProcess:
    return await start_process(
        argv, env=ENV, cwd=folder, log_file=folder / "log", pid_file=folder / "one.pid"
    )


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the latter where it ends meanwhile
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        pytest.param(["true"], 0, id="success"),
        pytest.param(["sh", "-c", "exit 3"], 3, id="failure"),
        pytest.param(["sh", "-c", "kill -SEGV $$"], 128 + signal.SIGSEGV, id="a signal"),
        pytest.param(["/no/such/program"], 127, id="no such program"),
    ],
)
async def test_exit_status_is_what_a_shell_would_say(
    tmp_path: Path, argv: list[str], status: int
) -> None:
    process = await start(tmp_path, *argv)
    assert await process.wait() == status
    assert process.exit_code == status
    assert not (tmp_path / "one.pid").exists()


async def test_output_goes_to_the_log_and_only_the_given_environment_comes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_SECRET", "hunter2")
    process = await start(tmp_path, "sh", "-c", "env; echo oops >&2; pwd")
    assert await process.wait() == 0
    log = (tmp_path / "log").read_text()
    assert "HOST_SECRET" not in log
    assert "oops\n" in log
    assert str(tmp_path) in log


async def test_terminate_lets_the_program_end_in_its_own_way(tmp_path: Path) -> None:
    process = await start(
        tmp_path, "sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"
    )
    await until(lambda: "up" in (tmp_path / "log").read_text(), "started")
    assert await process.stop(grace_seconds=20) == 5


async def test_what_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    process = await start(
        tmp_path, "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"
    )
    await until(lambda: "up" in (tmp_path / "log").read_text(), "started")
    assert await process.stop(grace_seconds=0.1) == 128 + signal.SIGKILL
    assert not is_running(process.pid)


DAEMON = """
import os, time
reads, writes = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.write(writes, b"printed")
        time.sleep(600)
    os._exit(0)
os.wait()
os.read(reads, 7)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' child subreaper")
async def test_daemonised_grandchildren_end_with_the_program(tmp_path: Path) -> None:
    process = await start(tmp_path, sys.executable, "-c", DAEMON)
    assert await process.wait() == 0
    daemon = int((tmp_path / "log").read_text())
    assert not is_running(daemon)


OWNER = """
import asyncio, os, sys
from pathlib import Path
from gpu_spawner.sim.node.processes import start_process
async def main():
    folder = Path(sys.argv[1])
    process = await start_process(
        ["sh", "-c", "setsid sleep 600 & echo $!; wait"], env=dict(os.environ), cwd=folder,
        log_file=folder / "log", pid_file=folder / "one.pid")
    print(process.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_everything_dies_when_its_owner_is_killed(tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    pids = [int(await owner.stdout.readline())]
    await until(lambda: (tmp_path / "log").read_text().strip(), "the child's child")
    pids.append(int((tmp_path / "log").read_text()))
    assert all(is_running(pid) for pid in pids)
    owner.kill()
    await owner.wait()
    await until(lambda: not any(is_running(pid) for pid in pids), "all gone")
    await until(lambda: not (tmp_path / "one.pid").exists(), "no pid file left")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_leftovers_are_killed_and_strangers_are_not(tmp_path: Path) -> None:
    process = await start(tmp_path, "sleep", "600")
    own = f'{{"pid": {os.getpid()}, "fingerprint": "another boot/1"}}'
    (tmp_path / "stranger.pid").write_text(own)
    (tmp_path / "broken.pid").write_text("{")
    assert shim.fingerprint(process.pid)
    assert kill_leftovers(tmp_path) == [process.pid]
    assert await process.wait() == 128 + signal.SIGKILL
    assert not (tmp_path / "one.pid").exists()
    assert not (tmp_path / "stranger.pid").exists()
