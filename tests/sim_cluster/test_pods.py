"""Pods on simulated nodes: real processes, real HTTP, and every way they can end."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from lab_pods import NAMESPACE, Pods
from waiting import until

from gpu_spawner.sim.cluster import Cluster


async def start_kubectl(cluster: Cluster, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "kubectl",
        f"--kubeconfig={cluster.kubeconfig_path}",
        f"--namespace={NAMESPACE}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )


async def kubectl(cluster: Cluster, *arguments: str) -> str:
    process = await start_kubectl(cluster, *arguments)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


FOREVER = ("sleep", "600")
# Listens where a notebook server would: on the port named by JUPYTERHUB_SERVICE_URL.
LISTEN = """
import os, socket, time, urllib.parse
url = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
server = socket.create_server((url.hostname, url.port))
print("listening", flush=True)
time.sleep(600)
"""


def log_of(cluster: Cluster, name: str) -> str:
    path = cluster.kubelet.log_file(NAMESPACE, name, "main")
    return path.read_text() if path is not None and path.exists() else ""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_pod_is_a_process_with_its_gpus_and_nothing_of_ours(
    cluster: Cluster, pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_SECRET", "hunter2")
    await pods.create("one", "sh", "-c", "env; nvidia-smi -L; echo END; exec sleep 600", gpus=2)
    pod = await pods.wait_phase("one", "Running")
    await until(lambda: "END" in log_of(cluster, "one"), "it has printed")
    log = log_of(cluster, "one")
    assert pod["spec"]["nodeName"] == "gpu-2", "one of the GPUs of gpu-1 is a tenant's"
    assert "HOST_SECRET" not in log
    assert log.count("NVIDIA H100 80GB HBM3 (UUID: GPU-") == 2
    assert log.count("(simulated)") == 2
    status = pod["status"]
    assert status["podIP"].startswith("127.")
    (container,) = status["containerStatuses"]
    assert container["ready"] is True
    conditions = {each["type"]: each["status"] for each in status["conditions"]}
    assert conditions["Ready"] == conditions["PodScheduled"] == "True"


async def test_events_read_as_a_kubelet_writes_them(pods: Pods) -> None:
    await pods.create("one", *FOREVER, image="small:1")
    await pods.wait_phase("one", "Running")
    await pods.wait_event("one", "Started")
    reasons = [event for event in await pods.events("one") if event[0] != "Scheduled"]
    assert [reason for reason, _ in reasons] == ["Pulling", "Pulled", "Created", "Started"]
    messages = dict(reasons)
    assert messages["Pulling"] == 'Pulling image "small:1"'
    assert messages["Pulled"].startswith('Successfully pulled image "small:1" in ')
    assert messages["Pulled"].endswith("including waiting). Image size: 1000000 bytes.")


async def test_a_pulled_image_is_on_the_node_afterwards(cluster: Cluster, pods: Pods) -> None:
    await pods.create("one", *FOREVER, image="small:1")
    await pods.wait_phase("one", "Running")

    async def is_listed() -> bool:
        node = await cluster.client.get("/api/v1/nodes/cpu-1")
        names = [name for image in node["status"]["images"] for name in image["names"]]
        return "docker.io/library/small:1" in names

    await until(is_listed, "the image is in the node's status")
    await pods.create("two", *FOREVER, image="small:1")
    assert await pods.wait_event("two", "Pulled") == (
        'Container image "small:1" already present on machine and can be accessed by the pod'
    )


async def test_two_pods_listen_on_one_port_each_at_its_own_address(
    cluster: Cluster, pods: Pods
) -> None:
    env = [{"name": "JUPYTERHUB_SERVICE_URL", "value": "http://0.0.0.0:8888/user/x/"}]
    for name in ("one", "two"):
        await pods.create(name, sys.executable, "-c", LISTEN, env=env)
    for name in ("one", "two"):
        pod = await pods.wait_phase(name, "Running")
        await until(lambda name=name: "listening" in log_of(cluster, name), f"{name} listens")
        _, writer = await asyncio.open_connection(pod["status"]["podIP"], 8888)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("command", "phase", "reason", "code"),
    [
        pytest.param("exit 0", "Succeeded", "Completed", 0, id="done"),
        pytest.param("exit 7", "Failed", "Error", 7, id="failed"),
        pytest.param("kill -9 $$$$", "Failed", "Error", 137, id="killed"),
    ],
)
async def test_how_a_process_ended_is_told(
    pods: Pods, command: str, phase: str, reason: str, code: int
) -> None:
    await pods.create("one", "sh", "-c", command, pod={"restartPolicy": "Never"})
    pod = await pods.wait_phase("one", phase)
    (container,) = pod["status"]["containerStatuses"]
    ended = container["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == (reason, code)


async def test_a_process_that_dies_is_started_again_and_slower_each_time(pods: Pods) -> None:
    await pods.create("one", "false")
    pod = await pods.wait_waiting("one", "CrashLoopBackOff")
    message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message.endswith(f"container=main pod=one_{NAMESPACE}({pod['metadata']['uid']})")
    assert pod["status"]["phase"] == "Running"
    again = await pods.wait(
        "one",
        lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] >= 3,
        "three restarts",
    )
    assert again["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1


async def test_a_program_that_does_not_exist(pods: Pods) -> None:
    await pods.create("one", "no-such-program", pod={"restartPolicy": "Never"})
    pod = await pods.wait_phase("one", "Failed")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert 'exec: "no-such-program": executable file not found in $PATH' in ended["message"]


async def test_an_image_that_no_registry_has(pods: Pods) -> None:
    await pods.create("one", image="gone:1")
    pod = await pods.wait_waiting("one", "ImagePullBackOff")
    message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message.startswith('Back-off pulling image "gone:1": ErrImagePull: rpc error: code =')
    assert pod["status"]["phase"] == "Pending"
    await pods.wait_event("one", "BackOff")
    failures = [text for reason, text in await pods.events("one") if reason == "Failed"]
    assert failures[0].startswith('Failed to pull image "gone:1": rpc error')
    assert failures[1] == "Error: ErrImagePull"


async def test_a_pod_deleted_while_pulling_is_gone_and_the_gpu_free(pods: Pods) -> None:
    await pods.create("one", image="huge:1", gpus=2)
    await pods.wait_event("one", "Pulling")
    await pods.delete("one")
    await pods.wait_gone("one")
    await pods.create("two", *FOREVER, gpus=2)
    await pods.wait_phase("two", "Running")


async def test_deleting_asks_the_process_first(cluster: Cluster, pods: Pods) -> None:
    script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    await pods.create("one", "sh", "-c", script)
    await until(lambda: "up" in log_of(cluster, "one"), "it runs")
    path = cluster.kubelet.log_file(NAMESPACE, "one", "main")
    assert path is not None
    await pods.delete("one")
    await pods.wait_gone("one")
    assert path.read_text() == "up\nbye\n"
    assert await pods.wait_event("one", "Killing") == "Stopping container main"


@pytest.mark.parametrize("grace_seconds", [0, 1], ids=["by force", "after a short grace"])
async def test_a_stubborn_process_is_killed(
    cluster: Cluster, pods: Pods, grace_seconds: int
) -> None:
    await pods.create("one", "sh", "-c", "trap '' TERM; echo $$$$; while :; do sleep 0.05; done")
    await until(lambda: log_of(cluster, "one"), "it runs")
    pid = int(log_of(cluster, "one"))
    await pods.delete("one", grace_seconds)
    await pods.wait_gone("one")
    await until(lambda: not is_running(pid), "the process is gone too")


async def test_a_users_files_outlive_the_server(cluster: Cluster, pods: Pods) -> None:
    claims = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "home-ada"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "gpu-spawner-demo",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    await cluster.client.create(claims, claim)
    volume = {"name": "home", "persistentVolumeClaim": {"claimName": "home-ada"}}
    for name, script in (("one", "echo thesis > paper; cat paper"), ("two", "cat ~/paper")):
        await pods.create(
            name,
            "sh",
            "-c",
            f"{script}; exec sleep 600",
            volumeMounts=[{"name": "home", "mountPath": "/home/jovyan"}],
            pod={"volumes": [volume]},
        )
        await pods.wait_phase(name, "Running")
        await until(lambda name=name: log_of(cluster, name) == "thesis\n", "the file is there")
        await pods.delete(name)
        await pods.wait_gone(name)


async def test_secrets_arrive_and_a_missing_one_is_waited_for(cluster: Cluster, pods: Pods) -> None:
    env = [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}}]
    await pods.create("one", "sh", "-c", "echo $T; exec sleep 600", env=env)
    pod = await pods.wait_waiting("one", "CreateContainerConfigError")
    assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"] == (
        'secret "s" not found'
    )
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "stringData": {"token": "abc"},
    }
    await cluster.client.create(f"/api/v1/namespaces/{NAMESPACE}/secrets", secret)
    await pods.wait_phase("one", "Running")
    await until(lambda: log_of(cluster, "one") == "abc\n", "the value arrived")


async def test_init_containers_run_first_and_one_after_another(
    cluster: Cluster, pods: Pods
) -> None:
    mount = [{"name": "shared", "mountPath": "/home/jovyan"}]
    init = [
        {
            "name": name,
            "image": "there:1",
            "command": ["sh", "-c", f"echo {name} >> order"],
            "volumeMounts": mount,
        }
        for name in ("first", "second")
    ]
    await pods.create(
        "one",
        "sh",
        "-c",
        "cat order; exec sleep 600",
        volumeMounts=mount,
        pod={"initContainers": init, "volumes": [{"name": "shared", "emptyDir": {}}]},
    )
    pod = await pods.wait_phase("one", "Running")
    await until(lambda: log_of(cluster, "one") == "first\nsecond\n", "in this order")
    states = [each["state"] for each in pod["status"]["initContainerStatuses"]]
    assert [state["terminated"]["reason"] for state in states] == ["Completed", "Completed"]


@pytest.mark.skipif("GPU_SPAWNER_KUBECONFIG" in os.environ, reason="it cannot reach our kubelet")
async def test_logs_of_this_run_and_of_the_one_before(cluster: Cluster, pods: Pods) -> None:
    script = "echo run $(cat n); echo x >> n; [ $(wc -l < n) = 2 ] && exec sleep 600; exit 1"
    await pods.create("one", "sh", "-c", f"touch n; {script}")
    await pods.wait_restarts("one", 1)
    await until(lambda: log_of(cluster, "one") == "run x\n", "it has printed")
    assert await kubectl(cluster, "logs", "one") == "run x\n"
    assert await kubectl(cluster, "logs", "one", "--previous") == "run\n"
    assert await kubectl(cluster, "logs", "one", "--tail=0") == ""
    following = await start_kubectl(cluster, "logs", "one", "--follow")
    assert following.stdout is not None
    assert await following.stdout.readline() == b"run x\n"
    await pods.delete("one", 0)
    assert await following.stdout.read() == b""
    assert await following.wait() == 0


async def test_readiness_waits_for_the_port(cluster: Cluster, pods: Pods) -> None:
    env = [{"name": "JUPYTERHUB_SERVICE_URL", "value": "http://0.0.0.0:8888/"}]
    script = f"import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\n{LISTEN}"
    probe = {"tcpSocket": {"port": 8888}, "periodSeconds": 1}
    await pods.create("one", sys.executable, "-c", script, env=env, readinessProbe=probe)
    pod = await pods.wait_phase("one", "Running")
    assert pod["status"]["containerStatuses"][0]["ready"] is False
    home = cluster.state_dir / "pods" / pod["metadata"]["uid"] / "home"
    (home / "go").touch()
    await pods.wait("one", lambda pod: pod["status"]["containerStatuses"][0]["ready"], "ready")


async def test_a_container_that_wants_power_over_its_node_gets_none_over_this_machine(
    pods: Pods, tmp_path: Path
) -> None:
    async def touch(file: Path, **spec: Any) -> None:
        name = f"pod-for-{file.name}"
        await pods.create(name, "sh", "-c", f"touch {file}; exec sleep 600", **spec)
        await pods.wait_phase(name, "Running")

    await touch(tmp_path / "privileged", securityContext={"privileged": True})
    await touch(tmp_path / "capable", securityContext={"capabilities": {"add": ["NET_ADMIN"]}})
    # One that wants nothing and began later: had the others run, they would have by now.
    await touch(tmp_path / "plain")
    await until((tmp_path / "plain").exists, "the later one's process has run")
    assert not (tmp_path / "privileged").exists()
    assert not (tmp_path / "capable").exists()


async def test_a_restarted_kubelet_takes_up_what_runs_and_notes_what_ended(
    cluster: Cluster, pods: Pods
) -> None:
    for name in ("stays", "dies", "leaves"):
        await pods.create(
            name, "sh", "-c", "echo $$$$; exec sleep 600", pod={"restartPolicy": "Never"}
        )
    pids = {}
    for name in ("stays", "dies", "leaves"):
        await until(lambda name=name: log_of(cluster, name), f"{name} runs")
        pids[name] = int(log_of(cluster, name))
        await pods.wait_phase(name, "Running")
    await cluster.stop_kubelet()
    os.kill(pids["dies"], signal.SIGKILL)
    await pods.delete("leaves", 0)
    assert is_running(pids["leaves"])
    await cluster.start_kubelet()
    failed = await pods.wait_phase("dies", "Failed")
    assert failed["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
    await until(lambda: not is_running(pids["leaves"]), "nobody's process is ended")
    stays = await pods.get("stays")
    assert stays is not None
    assert stays["status"]["containerStatuses"][0]["restartCount"] == 0
    assert is_running(pids["stays"])
    await pods.delete("stays")
    await pods.wait_gone("stays")
    assert not is_running(pids["stays"])


async def test_a_nodes_heartbeat_can_be_looked_up(cluster: Cluster) -> None:
    async def is_shown() -> bool:
        described = await kubectl(cluster, "describe", "node", "gpu-1")
        return bool(re.search(r"HolderIdentity: +gpu-1\s[^$]*RenewTime: +[A-Z]", described))

    await until(is_shown, "the node has a lease that is renewed")
