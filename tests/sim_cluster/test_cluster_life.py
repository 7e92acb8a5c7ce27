"""A whole cluster: what is in it, how it restarts, and what it leaves behind."""

import dataclasses
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lab_pods import NAMESPACE, Pods
from waiting import until

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim import cluster as cluster_module
from gpu_spawner.sim.cluster import Cluster, ClusterOptions
from gpu_spawner.sim.fleet import Fleet
from gpu_spawner.sim.fleet_objects import DEMO_LABEL
from gpu_spawner.sim.node.network import LoopbackNetwork
from gpu_spawner.sim.node_lifecycle import lifecycle_taints
from gpu_spawner.sim.provisioning import NotOursError, Provisioning

NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
CORDONED = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
GPU = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


async def test_nodes_are_ready_and_tenants_hold_what_the_fleet_says(cluster: Cluster) -> None:
    nodes = (await cluster.client.get("/api/v1/nodes"))["items"]
    assert [node["metadata"]["name"] for node in nodes] == ["cpu-1", "gpu-1", "gpu-2"]
    for node in nodes:
        assert node["metadata"]["labels"][DEMO_LABEL] == cluster.demo_id
        ready = [each for each in node["status"]["conditions"] if each["type"] == "Ready"]
        assert [each["status"] for each in ready] == ["True"]
    assert nodes[1]["status"]["allocatable"]["nvidia.com/gpu"] == "2"
    assert nodes[1]["spec"]["taints"] == [GPU]

    async def runs() -> bool:
        pod = await cluster.client.get("/api/v1/namespaces/somebody/pods/job-1")
        return pod["spec"].get("nodeName") == "gpu-1" and pod["status"]["phase"] == "Running"

    await until(runs, "the tenant's pod runs on its node")


async def test_leaving_ends_every_process(
    fleet: Fleet, cluster_options: ClusterOptions, tmp_path: Path
) -> None:
    async with Cluster(fleet, state_dir=tmp_path, options=cluster_options) as cluster:
        pods = Pods(cluster)
        await pods.create("one", "sh", "-c", "trap '' TERM; echo $$$$; sleep 600")
        await pods.wait_phase("one", "Running")
        log = cluster.kubelet.log_file(NAMESPACE, "one", "main")
        assert log is not None
        await until(log.read_text, "it has printed its id")
        pid = int(log.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not list((tmp_path / "run").iterdir())


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackNetwork]:
    """Keep one network between two clusters: another process must not have it meanwhile."""
    kept = LoopbackNetwork()

    class Same(LoopbackNetwork):
        def __init__(self, _: str) -> None:
            self.__dict__.update(vars(kept), _used=set())

        def close(self) -> None:
            pass

    monkeypatch.setattr(cluster_module, "LoopbackNetwork", Same)
    yield kept
    kept.close()


@pytest.mark.skipif("GPU_SPAWNER_KUBECONFIG" in os.environ, reason="it keeps what it is told")
@pytest.mark.usefixtures("network")
async def test_a_cluster_that_is_started_again_brings_its_servers_back(
    fleet: Fleet, cluster_options: ClusterOptions, tmp_path: Path
) -> None:
    script = "echo life >> diary; cat diary; exec sleep 600"
    async with Cluster(fleet, state_dir=tmp_path, options=cluster_options) as cluster:
        await Pods(cluster).create("one", "sh", "-c", script, image="small:1")
        before = await Pods(cluster).wait_phase("one", "Running")
        log = cluster.kubelet.log_file(NAMESPACE, "one", "main")
        assert log is not None
        await until(lambda: log.read_text() == "life\n", "it has written")
        node = await cluster.client.get("/api/v1/nodes/cpu-1")
    async with Cluster(fleet, state_dir=tmp_path, options=cluster_options) as cluster:
        after = await Pods(cluster).wait_restarts("one", 1)
        log = cluster.kubelet.log_file(NAMESPACE, "one", "main")
        assert log is not None
        await until(lambda: log.read_text() == "life\nlife\n", "its files are still there")
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["status"]["podIP"] == before["status"]["podIP"]
        again = await cluster.client.get("/api/v1/nodes/cpu-1")
        assert again["metadata"]["uid"] == node["metadata"]["uid"]
        names = [each["names"] for each in again["status"]["images"]]
        assert names == [each["names"] for each in node["status"]["images"]]


async def test_names_that_somebody_else_has_are_left_alone(cluster: Cluster, fleet: Fleet) -> None:
    other = Provisioning(cluster.client, fleet, demo_id="other", namespaces=["another"])
    with pytest.raises(NotOursError, match="node gpu-1"):
        await other.create_nodes()
    assert await cluster.client.get_or_none("/api/v1/namespaces/another") is None
    await other.remove()
    assert len((await cluster.client.get("/api/v1/nodes"))["items"]) == 3


async def test_a_cluster_that_cannot_start_says_why_and_leaves_nothing(
    fleet: Fleet, cluster_options: ClusterOptions, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "current-context: c\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "users: [{name: u, user: {token: t}}]\n"
    )
    options = dataclasses.replace(cluster_options, kubeconfig=kubeconfig)
    with pytest.raises(ClusterError, match="no answer"):
        async with Cluster(fleet, state_dir=tmp_path / "state", options=options):
            pytest.fail("it cannot have started")


@pytest.mark.parametrize(
    ("ready", "cordoned", "present", "expected"),
    [
        pytest.param("True", False, [GPU, NOT_READY], [GPU], id="became ready"),
        pytest.param("", False, [], [NOT_READY], id="has not reported yet"),
        pytest.param("True", True, [GPU], [GPU, CORDONED], id="cordoned"),
        pytest.param("True", False, [CORDONED], [], id="uncordoned"),
        pytest.param(
            "Unknown",
            False,
            [],
            [
                {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"},
                {
                    "key": "node.kubernetes.io/unreachable",
                    "effect": "NoExecute",
                    "timeAdded": "2026-01-02T03:04:05Z",
                },
            ],
            id="lost",
        ),
    ],
)
def test_conditions_become_taints(
    ready: str, cordoned: object, present: list[object], expected: list[object]
) -> None:
    conditions = [{"type": "Ready", "status": ready}] if ready else []
    node = {
        "spec": {"taints": present, "unschedulable": cordoned},
        "status": {"conditions": conditions},
    }
    assert lifecycle_taints(node, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == expected
