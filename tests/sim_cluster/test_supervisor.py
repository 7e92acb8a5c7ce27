"""Services that are kept running."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from waiting import until

from gpu_spawner.sim import supervisor
from gpu_spawner.sim.supervisor import ProcessKeepsFailingError, Service, Supervisor


def service(folder: Path, script: str) -> Service:
    return Service(
        name="hub",
        argv=["sh", "-c", script],
        environment={"PATH": os.environ["PATH"]},
        folder=folder,
        log_file=folder / "log",
        pid_file=folder / "hub.pid",
        stop_grace_seconds=10,
    )


async def test_a_service_that_is_killed_is_started_again(tmp_path: Path) -> None:
    kept = Supervisor(service(tmp_path, "echo up; exec sleep 600"))
    task = asyncio.create_task(kept.run())
    await until(lambda: kept.pid and (tmp_path / "log").read_text(), "the service runs")
    first = kept.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: kept.pid not in (None, first), "it runs again")
    second = kept.pid
    await until(lambda: (tmp_path / "log").read_text() == "up\nup\n", "and has begun")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert kept.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(second or 0, 0)


async def test_a_service_that_never_stays_up_is_given_up_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_SECONDS", 0.001)
    kept = Supervisor(service(tmp_path, "echo no database; exit 3"))
    with pytest.raises(ProcessKeepsFailingError, match=r"with status 3\b[^$]*no database"):
        await kept.run()
    assert (tmp_path / "log").read_text().count("no database") == 5


async def test_a_service_without_hope_is_given_up_at_once(tmp_path: Path) -> None:
    hopeless = replace(
        service(tmp_path, "echo no profiles; exit 78"), hopeless_statuses=frozenset({78})
    )
    with pytest.raises(ProcessKeepsFailingError, match=r"ended right after its start[^$]*no prof"):
        await Supervisor(hopeless).run()
    assert (tmp_path / "log").read_text() == "no profiles\n"
