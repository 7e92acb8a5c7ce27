"""Nodes that join, leave, fall silent and come back, and what becomes of their pods."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from lab_pods import NAMESPACE, Pods
from waiting import until

from gpu_spawner.sim.cluster import Cluster, ClusterOptions
from gpu_spawner.sim.fleet import Fleet
from gpu_spawner.sim.node.pod_context import Backoff
from gpu_spawner.sim.taint_eviction import tolerated_seconds

pytestmark = pytest.mark.skipif(
    "GPU_SPAWNER_KUBECONFIG" in os.environ, reason="it looks after its nodes itself"
)

Json = dict[str, Any]
LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
STAYS = {"tolerations": [{"key": key, "operator": "Exists"} for key in LOST]}


@pytest.fixture
async def cluster(fleet: Fleet, tmp_path: Path) -> AsyncIterator[Cluster]:
    options = ClusterOptions(
        namespaces=(NAMESPACE,),
        backoff=Backoff(first_seconds=0.2, longest_seconds=0.5),
        stop_grace_seconds=1.0,
        missing_node_seconds=0.0,
    )
    async with Cluster(fleet, state_dir=tmp_path / "state", options=options) as running:
        yield running


async def node(cluster: Cluster, name: str) -> Json:
    return await cluster.client.get(f"/api/v1/nodes/{name}")


def taints_of(found: Json) -> set[tuple[str, str]]:
    return {(each["key"], each["effect"]) for each in found["spec"].get("taints") or ()}


def ready(found: Json) -> str:
    conditions = found["status"].get("conditions") or ()
    return next((each["status"] for each in conditions if each["type"] == "Ready"), "")


async def wait_taints(cluster: Cluster, name: str, expected: set[tuple[str, str]]) -> None:
    async def agrees() -> bool:
        return taints_of(await node(cluster, name)) == expected

    await until(agrees, f"{name} has the taints {expected}")


async def test_a_node_joins_and_pods_run_on_it(cluster: Cluster, pods: Pods) -> None:
    name = await cluster.add_node("cpu")
    assert name == "cpu-2"
    await wait_taints(cluster, name, set())
    await pods.create("one", "sleep", "600", pod={"nodeSelector": {"kubernetes.io/hostname": name}})
    running = await pods.wait_phase("one", "Running")
    assert running["spec"]["nodeName"] == name
    assert await cluster.add_node("cpu") == "cpu-3"


async def test_pods_of_a_node_that_is_gone_are_collected(cluster: Cluster, pods: Pods) -> None:
    await pods.create("one", "sleep", "600")
    await pods.wait_phase("one", "Running")
    await cluster.remove_node("cpu-1")
    await pods.wait_gone("one")
    assert await cluster.client.get_or_none("/api/v1/nodes/cpu-1") is None


async def test_a_lost_node_repels_pods_and_its_own_are_not_ready(
    cluster: Cluster, pods: Pods
) -> None:
    await pods.create("stays", "sleep", "600", pod=STAYS)
    await pods.create("goes", "sleep", "600", pod={"tolerations": [_for_a_second(LOST[1])]})
    await pods.wait_phase("stays", "Running")
    await pods.wait_phase("goes", "Running")
    await cluster.lose_node("cpu-1")
    await wait_taints(cluster, "cpu-1", {(LOST[1], "NoSchedule"), (LOST[1], "NoExecute")})
    assert ready(await node(cluster, "cpu-1")) == "Unknown"
    await pods.wait("stays", lambda pod: ready(pod) == "False", "not ready any more")
    # Nobody is there to say that it has ended.
    await pods.wait("goes", lambda pod: "deletionTimestamp" in pod["metadata"], "to be deleted")
    text = await pods.wait_event("goes", "TaintManagerEviction")
    assert text == f"Marking for deletion Pod {NAMESPACE}/goes"
    assert await pods.wait_event("stays", "NodeNotReady") == "Node is not ready"

    await cluster.return_node("cpu-1")
    await wait_taints(cluster, "cpu-1", set())
    await pods.wait_gone("goes")
    await pods.wait_restarts("stays", 1)


@pytest.mark.parametrize("is_blank", [False, True])
async def test_a_node_that_comes_back_has_its_images_or_a_new_disk(
    cluster: Cluster, pods: Pods, is_blank: object
) -> None:
    await pods.create("one", "sleep", "600", image="small:1", pod=STAYS)
    await pods.wait_phase("one", "Running")
    await cluster.lose_node("cpu-1")
    await cluster.return_node("cpu-1", is_blank=bool(is_blank))
    await pods.wait_restarts("one", 1)

    async def is_told() -> bool:
        texts = await pods.messages("one", "Pulled")
        was_pulled = [text.startswith("Successfully pulled") for text in texts]
        return was_pulled == [True, bool(is_blank)]

    await until(is_told, "whether it was pulled again")


async def test_a_pull_that_lost_its_node_begins_anew(cluster: Cluster, pods: Pods) -> None:
    await pods.create("one", "sleep", "600", image="huge:1", pod=STAYS)
    await pods.wait_event("one", "Pulling")
    await cluster.lose_node("cpu-1")
    assert (await pods.get("one") or {})["status"]["phase"] == "Pending"
    cluster.registry.change("huge:*", size="1M")
    await cluster.return_node("cpu-1")
    await pods.wait_phase("one", "Running")


async def test_a_cordoned_node_takes_no_new_pods(cluster: Cluster, pods: Pods) -> None:
    await cluster.cordon_node("cpu-1")
    await wait_taints(cluster, "cpu-1", {("node.kubernetes.io/unschedulable", "NoSchedule")})
    await pods.create("one", "sleep", "600")
    assert "unschedulable" in await pods.wait_event("one", "FailedScheduling")
    await cluster.cordon_node("cpu-1", cordoned=False)
    await pods.wait_phase("one", "Running")


def _for_a_second(key: str) -> Json:
    return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}


TAINT = {"key": "k", "value": "v", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("tolerations", "taints", "seconds"),
    [
        pytest.param([], [], None, id="not repelled"),
        pytest.param([], [TAINT | {"effect": "NoSchedule"}], None, id="only kept away"),
        pytest.param([], [TAINT], 0.0, id="repelled"),
        pytest.param([{"key": "k", "operator": "Exists"}], [TAINT], None, id="tolerant"),
        pytest.param([_for_a_second("k")], [TAINT], 1.0, id="tolerant for a while"),
        pytest.param(
            [{"operator": "Exists", "tolerationSeconds": 7}, _for_a_second("k")],
            [TAINT],
            7.0,
            id="the first that matches counts",
        ),
        pytest.param(
            [_for_a_second("k"), {"key": "l", "operator": "Exists", "tolerationSeconds": 5}],
            [TAINT, TAINT | {"key": "l"}],
            1.0,
            id="the shortest counts",
        ),
        pytest.param([_for_a_second("k")], [TAINT, TAINT | {"key": "l"}], 0.0, id="one too many"),
    ],
)
def test_how_long_a_pod_may_stay(
    tolerations: list[Json], taints: list[Json], seconds: float | None
) -> None:
    pod = {"spec": {"tolerations": tolerations}}
    assert tolerated_seconds(pod, {"spec": {"taints": taints}}) == seconds
