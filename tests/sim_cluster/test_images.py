"""Image pulls that take their time, and what a node says about its images."""

import asyncio

import pytest
from jumping_time import in_jumping_time

from gpu_spawner.sim.fleet_images import ImageFacts
from gpu_spawner.sim.image_registry import ImageRegistry
from gpu_spawner.sim.node.images import NodeImages
from gpu_spawner.sim.pull_errors import DiskFullError, ImageNotFoundError

MEGABYTE = 1_000_000
SIZES = {"big": 4 * MEGABYTE, "small": MEGABYTE}


def facts(image: str) -> ImageFacts:
    name = image.rpartition("/")[2].partition(":")[0]
    return ImageFacts(size=SIZES.get(name, MEGABYTE), missing=name == "gone")


@pytest.fixture
def images() -> NodeImages:
    return NodeImages(bandwidth=10 * MEGABYTE, registry=ImageRegistry(facts), present=["there:1"])


@in_jumping_time
async def test_a_pull_takes_size_by_bandwidth(images: NodeImages) -> None:
    assert not images.has("big")
    pulled = await images.pull("big")
    assert pulled.size_bytes == 4 * MEGABYTE
    assert pulled.seconds == pytest.approx(0.4)
    assert images.has("docker.io/library/big:latest")


@in_jumping_time
async def test_pulls_at_once_share_the_bandwidth(images: NodeImages) -> None:
    big, small = await asyncio.gather(images.pull("big"), images.pull("small"))
    # Alone: 0.4 s and 0.1 s. Together the small one gets half, and the big one waits for it.
    assert (small.seconds, big.seconds) == pytest.approx((0.2, 0.5))


@in_jumping_time
async def test_two_pods_share_one_pull_of_one_image(images: NodeImages) -> None:
    one, other = await asyncio.gather(images.pull("big"), images.pull("big:latest"))
    assert (one.seconds, other.seconds) == pytest.approx((0.4, 0.4))


@in_jumping_time
async def test_a_pull_goes_on_when_nobody_waits_for_it(images: NodeImages) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await images.pull("big")
    await images.pull("big")
    assert asyncio.get_running_loop().time() == pytest.approx(0.4)


@in_jumping_time
async def test_an_image_no_registry_has(images: NodeImages) -> None:
    with pytest.raises(ImageNotFoundError, match=r"docker.io/me/gone:1: not found"):
        await images.pull("me/gone:1")
    assert not images.has("me/gone:1")


@in_jumping_time
async def test_the_node_reports_digest_and_tag_largest_first(images: NodeImages) -> None:
    await images.pull("quay.io/x/big:2")
    status = images.store.as_status()
    assert [each["sizeBytes"] for each in status] == [4 * MEGABYTE, MEGABYTE]
    digest, tag = status[0]["names"]
    assert digest.startswith("quay.io/x/big@sha256:")
    assert tag == "quay.io/x/big:2"


@in_jumping_time
async def test_images_of_a_former_life_are_taken_up(images: NodeImages) -> None:
    again = NodeImages(bandwidth=1, registry=ImageRegistry(facts))
    again.store.restore(images.store.as_status())
    assert again.has("there:1")
    assert again.store.as_status() == images.store.as_status()


@in_jumping_time
async def test_one_pull_after_the_other_where_the_kubelet_says_so() -> None:
    node = NodeImages(bandwidth=10 * MEGABYTE, registry=ImageRegistry(facts), most_at_once=1)
    big, small = await asyncio.gather(node.pull("big"), node.pull("small"))
    assert (big.seconds, small.seconds) == pytest.approx((0.4, 0.1))
    assert (big.waited_seconds, small.waited_seconds) == pytest.approx((0.4, 0.5))


@in_jumping_time
async def test_layers_that_are_there_are_not_pulled_again() -> None:
    registry = ImageRegistry(facts)
    registry.change("cuda*", layers={"base": "3M", "torch": "1M"})
    node = NodeImages(bandwidth=10 * MEGABYTE, registry=registry)
    first = await node.pull("cuda:12")
    registry.change("cuda:13", layers={"base": "3M", "newer": "1M"})
    second = await node.pull("cuda:13")
    assert first.size_bytes == second.size_bytes == 4 * MEGABYTE
    assert (first.seconds, second.seconds) == pytest.approx((0.4, 0.1))
    unpacked = 2 * registry.facts("cuda:13").unpacked_bytes
    assert node.store.used_bytes == 5 * MEGABYTE + unpacked


@in_jumping_time
async def test_a_slow_registry_slows_its_own_images_only() -> None:
    registry = ImageRegistry(facts)
    registry.change("big*", bandwidth="4M")
    node = NodeImages(bandwidth=100 * MEGABYTE, registry=registry)
    big, small = await asyncio.gather(node.pull("big"), node.pull("small"))
    assert big.seconds == pytest.approx(1.0)
    assert small.seconds == pytest.approx(0.02)


@in_jumping_time
async def test_a_disk_takes_no_more_than_it_holds() -> None:
    node = NodeImages(
        bandwidth=100 * MEGABYTE, registry=ImageRegistry(facts), capacity=5 * MEGABYTE
    )
    await node.pull("small")
    with pytest.raises(DiskFullError, match="no space left on device: unknown"):
        await node.pull("big")
    assert not node.has("big")
    small = node.store.find("small")
    assert small is not None
    node.remove(small.digest)
    assert node.store.used_bytes == 0


@in_jumping_time
async def test_fifty_images_are_reported_the_largest_with_at_most_five_names_each() -> None:
    registry = ImageRegistry(lambda _: ImageFacts())
    registry.change("same:*", digest=f"sha256:{'a' * 64}", size="9G")
    node = NodeImages(
        bandwidth=1,
        registry=registry,
        present=[f"one:{number}" for number in range(60)] + [f"same:{n}" for n in range(8)],
    )
    status = node.store.as_status()
    assert len(status) == 50
    assert status[0]["names"] == [
        f"docker.io/library/same@sha256:{'a' * 64}",
        *(f"docker.io/library/same:{n}" for n in range(4)),
    ]


@in_jumping_time
async def test_what_is_used_pinned_or_new_is_not_removable(images: NodeImages) -> None:
    for name in ("one", "two", "three"):
        await images.pull(name)
    store = images.store
    used = store.find("one")
    assert used is not None
    store.hold(("uid", "main"), used)
    store.pin("two")
    assert [image.names[-1] for image in store.removable(0)] == [
        "docker.io/library/there:1",
        "docker.io/library/three:latest",
    ]
    assert store.removable(3600) == []
    store.release("uid")
    assert "docker.io/library/one:latest" in [each.names[-1] for each in store.removable(0)]
