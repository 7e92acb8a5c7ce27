"""The demo as a process: it says what is wrong, it is usable, and it leaves nothing behind."""

import asyncio
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from other_process import free_port
from waiting import until

from gpu_spawner.core.errors import ConfigError, GpuSpawnerError
from gpu_spawner.sim.demo import DemoOptions, run_demo

PROFILES = Path(__file__).parents[2] / "profiles"
HELM_VALUES = PROFILES.parent / "helm-values"
RUN = """
import sys
from pathlib import Path
from gpu_spawner.sim.demo import DemoOptions, run_demo
profiles, state, port = sys.argv[1:]
options = DemoOptions(
    profiles_dir=Path(profiles),
    helm_values_dir=Path(profiles).parent / "helm-values",
    state_dir=Path(state),
    port=int(port),
)
sys.exit(run_demo(options))
"""


def processes_of(state_dir: Path) -> dict[int, str]:
    """Return every process that was started with or for the state directory."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(state_dir).encode() in command + environment:
                found[int(entry.name)] = command.replace(b"\0", b" ").decode()
    return found


def environment_of(pid: int) -> dict[str, str]:
    words = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


def is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/hub/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Demo:
    def __init__(self, process: asyncio.subprocess.Process, state_dir: Path, port: int) -> None:
        self.process = process
        self.state_dir = state_dir
        self.port = port

    async def printed_until(self, text: str) -> str:
        assert self.process.stdout is not None
        lines = []
        async with asyncio.timeout(90):
            while not lines or text not in lines[-1]:
                line = await self.process.stdout.readline()
                assert line, f"the demo ended after printing {lines}"
                lines.append(line.decode())
        return "".join(lines)


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    port, state_dir = free_port(), tmp_path / "state"
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", RUN, str(PROFILES), str(state_dir), str(port)],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    yield Demo(process, state_dir, port)
    if process.returncode is None:
        process.kill()
    await process.communicate()


@pytest.mark.hosts
async def test_a_demo_is_usable_survives_its_hub_and_leaves_nothing(demo: Demo) -> None:
    printed = await demo.printed_until("Ctrl-C")
    assert f"http://127.0.0.1:{demo.port}" in printed
    assert "Simulated:" in printed
    assert "Real:" in printed
    assert "gpu-spawner rbac, no others" in printed
    assert is_healthy(demo.port)
    hubs = [
        pid
        for pid, command in processes_of(demo.state_dir).items()
        if "-m jupyterhub" in command and "shim.py" not in command
    ]
    assert len(hubs) == 1
    assert environment_of(hubs[0])["KUBECONFIG"] == str(demo.state_dir / "hub-kubeconfig")
    os.kill(hubs[0], signal.SIGKILL)
    await until(lambda: not is_healthy(demo.port), "the hub is gone")
    await until(lambda: is_healthy(demo.port), "the hub is back", seconds=60)
    demo.process.send_signal(signal.SIGINT)
    async with asyncio.timeout(90):
        assert await demo.process.wait() == 0
    assert processes_of(demo.state_dir) == {}


@pytest.mark.hosts
async def test_a_killed_demo_takes_everything_with_it(demo: Demo) -> None:
    await demo.printed_until("Ctrl-C")
    assert len(processes_of(demo.state_dir)) >= 5
    demo.process.kill()
    await demo.process.wait()
    await until(lambda: not processes_of(demo.state_dir), "every process is gone")


def test_a_busy_port_is_said_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = DemoOptions(
            profiles_dir=PROFILES,
            helm_values_dir=HELM_VALUES,
            port=port,
            state_dir=tmp_path / "state",
        )
        with pytest.raises(GpuSpawnerError, match=f"port {port} is in use already"):
            run_demo(options)
    assert not (tmp_path / "state").exists()


def test_mistakes_in_fleets_are_told_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("nodes: []")
    state_dir = tmp_path / "state"
    options = DemoOptions(
        profiles_dir=PROFILES,
        helm_values_dir=HELM_VALUES,
        port=free_port(),
        state_dir=state_dir,
        cluster_file=tmp_path / "broken.yaml",
    )
    with pytest.raises(ConfigError):
        run_demo(options)
    assert not state_dir.exists()
