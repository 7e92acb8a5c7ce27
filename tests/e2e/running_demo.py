"""A demo started as a newcomer starts it, and what a test asks of it."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from other_process import free_port, wait_until

READY_SECONDS = 120


class RunningDemo:
    """A demo: its address, its cluster through kubectl, and the processes it started."""

    def __init__(self, process: subprocess.Popen[str], port: int, state_dir: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.state_dir = state_dir

    def kubectl(self, *arguments: str) -> Any:
        # With GPU_SPAWNER_KUBECONFIG the demo attaches to that API server and writes none.
        kubeconfig = os.environ.get("GPU_SPAWNER_KUBECONFIG") or self.state_dir / "kubeconfig"
        completed = subprocess.run(
            [
                str(Path(sys.executable).parent / "kubectl"),
                f"--kubeconfig={kubeconfig}",
                *arguments,
                "-o",
                "json",
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return json.loads(completed.stdout)

    def pods(self, username: str) -> list[dict[str, Any]]:
        """List the pods of one user's servers."""
        pods = self.kubectl("get", "pods", "-A", "-l", "component=singleuser-server")["items"]
        key = "hub.jupyter.org/username"
        return [pod for pod in pods if pod["metadata"]["annotations"][key] == username]

    def processes(self) -> dict[int, list[str]]:
        """Map every living process of this demo to its command line.

        All of them, notebook servers and their kernels included, know the state directory from
        an argument or from their environment.
        """
        mark = str(self.state_dir).encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes()
                environment = (entry / "environ").read_bytes()
            except OSError:  # it ended while we looked
                continue
            if mark in command or mark in environment:
                found[int(entry.name)] = command.decode().split("\0")
        return found

    def hub_pid(self) -> int:
        """Find the hub itself, not what supervises it."""
        for pid, command in self.processes().items():
            if command[1:3] == ["-m", "jupyterhub"]:
                return pid
        raise AssertionError("the demo has no hub process")

    def hub_log(self) -> str:
        return (self.state_dir / "logs" / "hub.log").read_text()

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/hub/health", timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def stop(self, signal_number: int = signal.SIGINT) -> tuple[int, str]:
        """End the demo as Ctrl-C does; return its exit status and what it printed."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        output, _ = self.process.communicate(timeout=60)
        return self.process.returncode, output


@contextmanager
def running_demo(
    state_dir: Path, *arguments: str, port: int | None = None
) -> Iterator[RunningDemo]:
    """Start ``gpu-spawner demo``, wait until its page answers, and end it afterwards."""
    port = port or free_port()
    process = subprocess.Popen(
        [
            str(Path(sys.executable).parent / "gpu-spawner"),
            "demo",
            f"--port={port}",
            f"--state={state_dir}",
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    demo = RunningDemo(process, port, state_dir)
    try:
        wait_until(
            lambda: demo.is_up() or process.poll() is not None, "the hub answers", READY_SECONDS
        )
        if process.poll() is not None:
            raise AssertionError(f"the demo ended at once:\n{process.communicate()[0]}")
        yield demo
    finally:
        demo.stop()
