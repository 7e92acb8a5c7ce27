"""The scheduler as a client: binding, refusing, and trying again when the cluster changes."""

import asyncio

from lab_pods import NAMESPACE, Pods

from gpu_spawner.sim.cluster import Cluster

FOREVER = ("sleep", "600")


async def test_a_pod_that_fits_nowhere_is_told_why_and_bound_once_there_is_room(
    pods: Pods,
) -> None:
    await pods.create("first", *FOREVER, gpus=2)
    await pods.wait_phase("first", "Running")
    await pods.create("second", *FOREVER, gpus=2)
    message = await pods.wait_event("second", "FailedScheduling")
    assert message.startswith("0/3 nodes are available: ")
    assert "3 Insufficient nvidia.com/gpu" in message
    pod = await pods.get("second")
    assert pod is not None
    (condition,) = [each for each in pod["status"]["conditions"] if each["type"] == "PodScheduled"]
    assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
    assert condition["message"] == message
    await pods.delete("first")
    assert (await pods.wait_phase("second", "Running"))["spec"]["nodeName"] == "gpu-2"
    scheduled = await pods.wait_event("second", "Scheduled")
    assert scheduled == f"Successfully assigned {NAMESPACE}/second to gpu-2"


async def test_many_pods_at_once_never_share_a_gpu(pods: Pods) -> None:
    names = [f"pod-{number}" for number in range(6)]
    await asyncio.gather(*(pods.create(name, image="idle:1", gpus=1) for name in names))
    for name in names:
        await pods.wait(
            name,
            lambda pod: any(
                each["type"] == "PodScheduled" for each in pod["status"].get("conditions", ())
            ),
            "looked at",
        )
    bound = []
    for name in names:
        pod = await pods.get(name)
        assert pod is not None
        bound.append(pod["spec"].get("nodeName"))
    assert sorted(filter(None, bound)) == ["gpu-1", "gpu-2", "gpu-2"]


async def test_a_node_that_is_cordoned_gets_nothing_more(cluster: Cluster, pods: Pods) -> None:
    node = "/api/v1/nodes/gpu-2"
    await cluster.client.patch(node, {"spec": {"unschedulable": True}})
    await pods.create("one", *FOREVER, gpus=2)
    message = await pods.wait_event("one", "FailedScheduling")
    assert "1 node(s) were unschedulable" in message
    await cluster.client.patch(node, {"spec": {"unschedulable": False}})
    await pods.wait_phase("one", "Running")
