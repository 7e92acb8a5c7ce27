"""Disks that fill up: images go, then pods, and the node says so."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from daemon_sets import DaemonSets
from lab_pods import NAMESPACE, Pods
from waiting import until

from gpu_spawner.sim.cluster import Cluster, ClusterOptions
from gpu_spawner.sim.fleet import parse_fleet
from gpu_spawner.sim.node.disk import DiskPolicy
from gpu_spawner.sim.node.pod_context import Backoff

pytestmark = pytest.mark.skipif(
    "GPU_SPAWNER_KUBECONFIG" in os.environ, reason="disks are the simulated nodes' own matter"
)

Json = dict[str, Any]
MEGABYTE = 1_000_000
PRESSURE = {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}
# Every image takes 10 MB of a disk of 100 MB.
FLEET = """
images: {"*": {size: 4M, unpacked: 6M, command: []}}
nodes: [{name: n, cpu: 8, memory: 32Gi, image_disk: 100M}]
"""

POLICY = DiskPolicy(min_age_seconds=0, collect_seconds=3600, check_seconds=0.05, relief_seconds=0.2)


@pytest.fixture
def disk() -> DiskPolicy:
    return POLICY


@pytest.fixture
async def cluster(disk: DiskPolicy, tmp_path: Path) -> AsyncIterator[Cluster]:
    options = ClusterOptions(
        namespaces=(NAMESPACE,),
        backoff=Backoff(first_seconds=0.2, longest_seconds=0.5),
        stop_grace_seconds=1.0,
        disk=disk,
    )
    fleet = parse_fleet(FLEET, source="disks")
    async with Cluster(fleet, state_dir=tmp_path / "state", options=options) as running:
        yield running


async def images(cluster: Cluster) -> set[str]:
    node = await cluster.client.get("/api/v1/nodes/n-1")
    return {each["names"][-1].rpartition("/")[2] for each in node["status"].get("images") or ()}


async def wait_pressure(cluster: Cluster, expected: str) -> None:
    async def is_so() -> bool:
        node = await cluster.client.get("/api/v1/nodes/n-1")
        conditions = {each["type"]: each["status"] for each in node["status"]["conditions"]}
        is_tainted = PRESSURE in (node["spec"].get("taints") or [])
        return conditions["DiskPressure"] == expected and is_tainted == (expected == "True")

    await until(is_so, f"DiskPressure is {expected}, and the taint with it")


async def node_events(cluster: Cluster) -> dict[str, str]:
    answer = await cluster.client.get(
        "/api/v1/namespaces/default/events", fieldSelector="involvedObject.name=n-1"
    )
    return {each["reason"]: each["message"] for each in answer["items"]}


async def run(pods: Pods, name: str, **spec: Any) -> None:
    await pods.create(name, image=f"{name}:1", pod=spec)
    await pods.wait_phase(name, "Running")


async def test_pressure_takes_unused_images_and_is_over(cluster: Cluster, pods: Pods) -> None:
    await run(pods, "kept", priorityClassName="system-node-critical")
    await run(pods, "left")
    # Pressure lasts as long as the image is in use, though nobody's pod can be taken.
    store = cluster.kubelet.nodes["n-1"].images.store
    image = store.find("left:1")
    assert image is not None
    store.hold(("this test", ""), image)
    await pods.delete("left", grace_seconds=1)
    await pods.wait_gone("left")
    assert await images(cluster) == {"kept:1", "left:1"}
    cluster.fill_disk("n-1", 70 * MEGABYTE)
    await wait_pressure(cluster, "True")
    store.release("this test")
    await wait_pressure(cluster, "False")
    assert await images(cluster) == {"kept:1"}
    assert (await pods.get("kept") or {})["status"]["phase"] == "Running"
    events = await node_events(cluster)
    assert events["EvictionThresholdMet"] == "Attempting to reclaim ephemeral-storage"
    assert events["NodeHasDiskPressure"] == "Node n-1 status is now: NodeHasDiskPressure"
    assert "NodeHasNoDiskPressure" in events


async def test_pressure_that_stays_takes_the_pods_that_matter_least(
    cluster: Cluster, pods: Pods
) -> None:
    await cluster.client.create(
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "low"},
            "value": -5,
        },
    )
    await run(pods, "a-user")
    await run(pods, "puller", priorityClassName="low")
    cluster.fill_disk("n-1", 72 * MEGABYTE)
    evicted = await pods.wait_phase("puller", "Failed")
    message = (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 15000000, "
        "available: 8000000. "
    )
    assert evicted["status"]["reason"] == "Evicted"
    assert evicted["status"]["message"] == message
    condition = next(
        each for each in evicted["status"]["conditions"] if each["type"] == "DisruptionTarget"
    )
    assert condition["reason"] == "TerminationByKubelet"
    assert await pods.wait_event("puller", "Evicted") == message
    # What it held goes with it, and that is enough.
    await wait_pressure(cluster, "False")
    assert (await pods.get("a-user") or {})["status"]["phase"] == "Running"
    assert await images(cluster) == {"a-user:1"}


# Looked at between any two things that happen: what is refused is never there to be evicted.
@pytest.mark.parametrize("disk", [replace(POLICY, check_seconds=0.0)], ids=["always"])
async def test_a_daemonset_on_a_full_node_is_refused_again_and_again(
    cluster: Cluster, pods: Pods
) -> None:
    cluster.fill_disk("n-1", 90 * MEGABYTE)
    await wait_pressure(cluster, "True")
    await pods.create("user", image="user:1")
    assert "untolerated taint" in await pods.wait_event("user", "FailedScheduling")
    sets = DaemonSets(cluster)
    await sets.create()
    refused = await sets.wait_pods(
        lambda found: any(
            pod["status"].get("reason") == "Evicted" for each in found.values() for pod in each
        ),
        "a pod was refused",
    )
    (pod,) = refused["n-1"]
    assert pod["status"]["message"] == (
        "Pod was rejected: The node had condition: [DiskPressure]. "
    )
    await sets.wait_event("FailedDaemonPod")
    cluster.fill_disk("n-1", 0)
    await wait_pressure(cluster, "False")
    await sets.wait_status(numberReady=1)
    await pods.wait_phase("user", "Running")


@pytest.mark.parametrize(
    "disk",
    [
        DiskPolicy(
            min_age_seconds=0,
            collect_seconds=0.05,
            least_free_percent=0,
            high_percent=50,
            low_percent=40,
        )
    ],
)
async def test_a_collection_frees_as_much_as_it_should_or_says_that_it_cannot(
    cluster: Cluster, pods: Pods
) -> None:
    cluster.fill_disk("n-1", 25 * MEGABYTE)
    await run(pods, "kept")
    await run(pods, "left")
    await pods.delete("left", grace_seconds=1)
    await pods.wait_gone("left")
    assert await images(cluster) == {"kept:1", "left:1"}
    cluster.fill_disk("n-1", 35 * MEGABYTE)

    async def is_freed() -> bool:
        return await images(cluster) == {"kept:1"}

    await until(is_freed, "the image that nobody uses is gone")
    cluster.fill_disk("n-1", 85 * MEGABYTE)

    async def is_told() -> bool:
        return "ImageGCFailed" in await node_events(cluster)

    await until(is_told, "the node says that it cannot free enough")
    told = (await node_events(cluster))["FreeDiskSpaceFailed"]
    assert told.startswith(
        "Insufficient free disk space on the node's image filesystem (95% of 95.4 MiB used). "
        "Failed to free sufficient space by deleting unused images (freed 0 bytes)."
    )


async def test_an_image_that_does_not_fit_is_not_pulled(cluster: Cluster, pods: Pods) -> None:
    cluster.registry.change("big:*", size="90M", unpacked="90M")
    await pods.create("one", image="big:1")
    waiting = await pods.wait_waiting("one", "ImagePullBackOff")
    message = waiting["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message.endswith("no space left on device: unknown")
