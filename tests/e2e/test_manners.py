"""The demo as a program: what it prints, what it refuses, and what it leaves behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from other_process import wait_until
from requests import Session
from running_demo import running_demo

pytestmark = pytest.mark.timeout(300)


def rest(demo, method, path, token, body=None):
    """Ask the hub over REST; return the status and the JSON, if any."""
    request = urllib.request.Request(
        f"{demo.url}/hub/api{path}",
        method=method,
        headers={"Authorization": f"token {token}", "Content-Type": "application/json"},
        data=None if body is None else json.dumps(body).encode(),
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        text = response.read()
        return response.status, json.loads(text) if text else None


def token_of(demo, username):
    """Log in with a name and no password, as the banner says, and ask for a token."""
    session = Session()
    session.trust_env = False
    page = session.get(f"{demo.url}/hub/login", timeout=30)
    assert page.ok
    xsrf = session.cookies.get("_xsrf", path="/hub/")
    session.post(
        f"{demo.url}/hub/login",
        data={"username": username, "password": "", "_xsrf": xsrf},
        timeout=30,
    )
    xsrf = session.cookies.get("_xsrf", path="/hub/")
    answer = session.post(
        f"{demo.url}/hub/api/users/{username}/tokens",
        headers={"X-XSRFToken": xsrf, "Referer": f"{demo.url}/hub/token"},
        json={},
        timeout=30,
    )
    return answer.json()["token"]


def test_a_whole_run(tmp_path):
    """It says where it is and what is real, serves REST, refuses its port to a second, and ends."""
    with running_demo(tmp_path / "state") as demo:
        second = subprocess.run(
            [str(Path(sys.executable).parent / "gpu-spawner"), "demo", f"--port={demo.port}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        token = token_of(demo, "rest")
        status, _ = rest(demo, "POST", "/users/rest/server", token)
        wait_until(lambda: demo.pods("rest"), "the server of a start with no options")
        (pod,) = demo.pods("rest")
        children = demo.processes()
        exit_status, printed = demo.stop(signal.SIGINT)

        assert second.returncode == 1
        assert str(demo.port) in second.stderr
        assert len(second.stderr.strip().splitlines()) == 1
        assert status in (201, 202)
        assert pod["metadata"]["labels"]["gpu-spawner.jupyter.org/profile"] == "data-science-cpu"
        assert exit_status == 0
        assert demo.url in printed
        assert "imulated" in printed
        assert "Traceback" not in printed
        assert len(children) > 3
        wait_until(lambda: not demo.processes(), "every process has ended", 10)
        with socket.socket() as probe:
            # Closed connections may linger; a server that still listens would refuse even this.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", demo.port))


@pytest.mark.skipif(
    "GPU_SPAWNER_KUBECONFIG" in os.environ,
    reason="on a foreign API server a killed demo leaves objects, which its next start names",
)
def test_nothing_survives_a_killed_demo(tmp_path):
    """Even SIGKILL, which the demo cannot see, leaves no process behind."""
    with running_demo(tmp_path / "state") as demo:
        demo.stop(signal.SIGKILL)

        wait_until(lambda: not demo.processes(), "every process has ended", 20)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "http"], "not a port"),
        (["--profiles", "/nowhere"], "not a directory"),
        (["--cluster", "/nowhere.yaml"], "not a file"),
    ],
)
def test_a_wrong_argument_is_explained(arguments, words):
    finished = subprocess.run(
        [str(Path(sys.executable).parent / "gpu-spawner"), "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.returncode == 2
    assert words in finished.stderr
    assert "Traceback" not in finished.stderr


def test_mistakes_in_fleet_and_profiles_are_listed(tmp_path):
    """Both files' mistakes, one a line, with the file; nothing is started."""
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("nodes:\n  - name: Big_Node\n    cpu: many\n")
    finished = subprocess.run(
        [
            str(Path(sys.executable).parent / "gpu-spawner"),
            "demo",
            "--cluster",
            str(fleet),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.returncode == 1
    lines = finished.stderr.strip().splitlines()
    assert len(lines) >= 2
    assert all(str(fleet) in line for line in lines)
