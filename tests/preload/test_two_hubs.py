"""Two hubs in one namespace, each with a preloader: each looks after its own DaemonSets."""

from typing import Any

from preload_model import catalog_of
from preloading import BASE, NAMESPACE, TORCH, MakePreloader, Running, daemon_sets, eventually

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.sim.cluster import Cluster

RELEASE = "gpu-spawner.jupyter.org/release"


def catalog_with(image: str) -> Catalog:
    return catalog_of(
        {
            "10-gpus": {
                "display_name": "GPUs",
                "images": [image],
                "gpu": {"flavors": ["h100"], "share": "whole"},
                "preload": "always",
            },
            "20-cpu": None,
        }
    )


async def owners_of_images(cluster: Cluster) -> set[tuple[str, str]]:
    return {
        (
            one["metadata"]["labels"].get(RELEASE, ""),
            one["metadata"]["annotations"]["gpu-spawner.jupyter.org/preload-image"],
        )
        for one in await daemon_sets(cluster)
    }


async def plan_again(running: Running) -> None:
    """Return when it has looked and planned once more, from its beginning to its end."""
    before = running.preloader.rounds

    def has_planned() -> bool:
        running.preloader.poke()
        return running.preloader.rounds > before + 1

    await eventually(has_planned, "it has planned again")


async def test_each_has_its_own_and_removes_nothing_of_the_other(
    cluster: Cluster, make_preloader: MakePreloader
) -> None:
    """Without a grace period, what the other one wants would go at the first look."""
    at_once: dict[str, Any] = {"grace_seconds": 0}
    blue = await make_preloader(catalog_with("torch"), policy=at_once, release="blue")
    only = await make_preloader(catalog_with("base"), policy=at_once)
    green = await make_preloader(catalog_with("torch"), policy=at_once, release="green")
    for running, image in ((blue, TORCH), (only, BASE), (green, TORCH)):
        await running.until_pulled(image, "gpu-1", "gpu-2")
    wanted = {("blue", TORCH), ("", BASE), ("green", TORCH)}

    assert await owners_of_images(cluster) == wanted

    for running in (blue, only, green):
        await plan_again(running)

    assert await owners_of_images(cluster) == wanted
    assert blue.readiness.managed == {TORCH}
    assert only.readiness.managed == {BASE}

    # One that is switched off tidies up, and the others keep theirs.
    await blue.stop()
    gone = await make_preloader(catalog_with("torch"), policy={"is_on": False}, release="blue")
    await eventually(lambda: gone.is_done, "what the first made is removed")

    assert await owners_of_images(cluster) == wanted - {("blue", TORCH)}


async def test_leases_are_their_own(cluster: Cluster, make_preloader: MakePreloader) -> None:
    for release in ("", "blue"):
        running = await make_preloader(catalog_with("torch"), release=release)
        await running.until_pulled(TORCH, "gpu-1", "gpu-2")
    path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
    names = {one["metadata"]["name"] for one in (await cluster.client.get(path))["items"]}

    assert names >= {"gpu-spawner-preloader", "gpu-spawner-preloader-blue"}
