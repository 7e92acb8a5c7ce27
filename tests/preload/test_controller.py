"""The preloader against the embedded API server, its DaemonSet controller and its kubelets."""

import logging

import pytest
from preloading import (
    BASE,
    NAMESPACE,
    TORCH,
    MakePreloader,
    daemon_sets,
    eventually,
    puller_pods,
)

from gpu_spawner.sim.cluster import Cluster

PYTORCH_IS_GONE = {
    "10-gpus": {
        "display_name": "GPUs",
        "images": ["base"],
        "gpu": {"flavors": ["h100"], "share": "whole"},
        "preload": "always",
    }
}


async def test_images_arrive_on_the_nodes_that_can_use_them(
    cluster: Cluster, make_preloader: MakePreloader
) -> None:
    running = await make_preloader()
    await running.until_pulled(TORCH, "gpu-1", "gpu-2")
    await running.until_pulled(BASE, "gpu-1", "gpu-2")

    assert {pod["spec"]["nodeName"] for pod in await puller_pods(cluster)} == {"gpu-1", "gpu-2"}


async def test_a_profile_that_does_not_exist_is_named_in_the_log(
    make_preloader: MakePreloader, caplog: pytest.LogCaptureFixture
) -> None:
    extra = {"quay.io/site/base:9": ("gpus", "no-such-profile")}
    with caplog.at_level(logging.WARNING):
        running = await make_preloader(extra_images=extra)
        await running.until_pulled("quay.io/site/base:9", "gpu-1", "gpu-2")
    told = [record.message for record in caplog.records if "preload_extra_images" in record.message]

    assert told == [
        "preloading: preload_extra_images names profiles that do not exist: no-such-profile"
    ]


async def test_switched_off_nothing_is_made_and_what_was_made_goes(
    cluster: Cluster, make_preloader: MakePreloader
) -> None:
    first = await make_preloader()
    await first.until_pulled(BASE, "gpu-1", "gpu-2")
    await first.stop()
    second = await make_preloader(policy={"is_on": False})
    await eventually(lambda: second.is_done, "it has nothing left to do")

    assert await daemon_sets(cluster) == []


async def test_what_was_made_goes_with_the_release(
    cluster: Cluster, make_preloader: MakePreloader
) -> None:
    secrets = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    await cluster.client.create(secrets, {"metadata": {"name": "hub"}})
    running = await make_preloader()
    await running.until_pulled(BASE, "gpu-1", "gpu-2")
    await running.stop()
    owners = [one["metadata"]["ownerReferences"] for one in await daemon_sets(cluster)]

    assert {owner["name"] for found in owners for owner in found} == {"hub"}

    await cluster.client.delete(f"{secrets}/hub")

    async def is_gone() -> bool:
        return not await daemon_sets(cluster) and not await puller_pods(cluster)

    await eventually(is_gone, "everything went with the Secret")
