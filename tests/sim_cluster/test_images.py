"""Image pulls that take their time, and what a node says about its images."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gpu_spawner.sim.fleet_images import ImageFacts
from gpu_spawner.sim.image_registry import ImageRegistry
from gpu_spawner.sim.node.images import NodeImages
from gpu_spawner.sim.node.pull_errors import ImageNotFoundError

MEGABYTE = 1_000_000
SIZES = {"big": 4 * MEGABYTE, "small": MEGABYTE}


def facts(image: str) -> ImageFacts:
    name = image.rpartition("/")[2].partition(":")[0]
    return ImageFacts(size=SIZES.get(name, MEGABYTE), missing=name == "gone")


@pytest.fixture
async def images() -> AsyncIterator[NodeImages]:
    node = NodeImages(bandwidth=10 * MEGABYTE, registry=ImageRegistry(facts), present=["there:1"])
    yield node
    await node.stop()


async def test_a_pull_takes_size_by_bandwidth(images: NodeImages) -> None:
    assert not images.has("big")
    pulled = await images.pull("big")
    assert pulled.size_bytes == 4 * MEGABYTE
    assert 0.39 < pulled.seconds < 2
    assert images.has("docker.io/library/big:latest")


async def test_pulls_at_once_share_the_bandwidth(images: NodeImages) -> None:
    big, small = await asyncio.gather(images.pull("big"), images.pull("small"))
    # Alone: 0.4 s and 0.1 s. Together the small one gets half, and the big one waits for it.
    assert 0.19 < small.seconds < big.seconds
    assert big.seconds > 0.49


async def test_two_pods_share_one_pull_of_one_image(images: NodeImages) -> None:
    one, other = await asyncio.gather(images.pull("big"), images.pull("big:latest"))
    assert max(one.seconds, other.seconds) < 0.7


async def test_a_pull_goes_on_when_nobody_waits_for_it(images: NodeImages) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await images.pull("big")
    started = asyncio.get_running_loop().time()
    await images.pull("big")
    assert asyncio.get_running_loop().time() - started < 0.4


async def test_an_image_no_registry_has(images: NodeImages) -> None:
    with pytest.raises(ImageNotFoundError, match=r"docker.io/me/gone:1: not found"):
        await images.pull("me/gone:1")
    assert not images.has("me/gone:1")


async def test_the_node_reports_digest_and_tag_largest_first(images: NodeImages) -> None:
    await images.pull("quay.io/x/big:2")
    status = images.store.as_status()
    assert [each["sizeBytes"] for each in status] == [4 * MEGABYTE, MEGABYTE]
    digest, tag = status[0]["names"]
    assert digest.startswith("quay.io/x/big@sha256:")
    assert tag == "quay.io/x/big:2"


async def test_images_of_a_former_life_are_taken_up(images: NodeImages) -> None:
    again = NodeImages(bandwidth=1, registry=ImageRegistry(facts))
    again.store.restore(images.store.as_status())
    assert again.has("there:1")
    assert again.store.as_status() == images.store.as_status()
