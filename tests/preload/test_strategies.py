"""Every way of making a node pull an image, carried out on the simulated cluster."""

import pytest
from preload_model import catalog_of
from preloading import TORCH, MakePreloader, puller_pods

from gpu_spawner.core.preload.policy import Strategy
from gpu_spawner.sim.cluster import Cluster


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_the_image_arrives_and_is_held(
    cluster: Cluster, make_preloader: MakePreloader, strategy: Strategy
) -> None:
    running = await make_preloader(catalog_of({"20-cpu": None}), strategy=strategy.value)
    await running.until_pulled(TORCH, "gpu-1", "gpu-2")
    pods = [
        pod
        for pod in await puller_pods(cluster)
        if pod["metadata"]["annotations"]["gpu-spawner.jupyter.org/preload-image"] == TORCH
    ]

    assert {pod["spec"]["nodeName"] for pod in pods} == {"gpu-1", "gpu-2"}
    for pod in pods:
        assert pod["status"]["phase"] == "Running"
        runs = [one["image"] for one in pod["spec"]["containers"]]
        assert (TORCH in runs) is (strategy is not Strategy.VOLUME)
        assert bool(pod["spec"].get("initContainers")) is (strategy is Strategy.HELPER)
        for status in pod["status"]["containerStatuses"]:
            assert (status["ready"], status["restartCount"]) == (True, 0)
