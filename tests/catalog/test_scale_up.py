"""Nodes that are not there yet: who may wait for one to be started, and what is said of it."""

from typing import Any

import pytest
from catalog_builders import catalog_of, documents, make_node, make_pod, select, snapshot_of

from gpu_spawner.core.catalog.check import check_against_cluster
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.offers.availability import Availability, ChoiceOffer
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.core.offers.scale_up import ScaleUp

GPU = "nvidia.com/gpu"
ONE, FOUR = "gpus/h100/whole/1", "gpus/h100/whole/4"
KARPENTER = {"karpenter.sh/nodepool": "gpus"}
CPU_ONLY = make_node("cpu")


def catalog_with(autoscale: dict[str, Any] | None, flavor: str = "h100") -> Catalog:
    changes = documents()
    if autoscale is not None:
        changes["flavors"][flavor]["autoscale"] = autoscale
    return catalog_of(changes)


def h100(name: str, gpus: int = 2, **fields: Any) -> dict[str, Any]:
    return make_node(name, product="NVIDIA-H100", resources={GPU: gpus}, **fields)


def full(name: str, **fields: Any) -> list[dict[str, Any]]:
    return [h100(name, **fields), make_pod(f"on-{name}", name, **{GPU: 2})]


def offer(catalog: Catalog, key: str, *items: dict[str, Any]) -> ChoiceOffer:
    offers = OfferBoard(catalog).update(snapshot_of(*items))
    return next(found for each in offers if (found := each.choice(key)) is not None)


@pytest.mark.parametrize(
    ("autoscale", "items", "said"),
    [
        pytest.param(
            {},
            [CPU_ONLY],
            "No node has this GPU; a node is started first, which takes a few minutes",
            id="a pool that is empty",
        ),
        pytest.param(
            {"start_time": "8m"},
            full("a"),
            "Both are in use; a node is started first, which takes about 8 min",
            id="a pool that is full",
        ),
        pytest.param(
            {"max_nodes": 2},
            full("a"),
            "Both are in use; a node is started first, which takes a few minutes",
            id="a pool that may have one node more",
        ),
        pytest.param(
            {},
            [h100("a", is_cordoned=True)],
            "Its only node is cordoned; a node is started first, which takes a few minutes",
            id="the only node is taken out",
        ),
        pytest.param(
            {},
            [h100("a", gpus=0)],
            "No node offers such GPUs; a node is started first, which takes a few minutes",
            id="a node that has just come, without its GPUs",
        ),
        pytest.param(
            None,
            full("a", labels=KARPENTER),
            "Both are in use; a node is started first, which takes a few minutes",
            id="Karpenter has made the nodes",
        ),
    ],
)
def test_a_node_is_started_first(
    autoscale: dict[str, Any] | None, items: list[dict[str, Any]], said: str
) -> None:
    found = offer(catalog_with(autoscale), ONE, *items)
    assert (found.state, found.free, found.starts_now) == (Availability.SCALE_UP, 0, False)
    assert found.because == said
    assert found.images["torch"].state is Availability.SCALE_UP


@pytest.mark.parametrize(
    ("autoscale", "key", "items", "state"),
    [
        pytest.param(None, ONE, [CPU_ONLY], Availability.IMPOSSIBLE, id="nobody says so"),
        pytest.param(None, ONE, full("a"), Availability.BUSY, id="full, and nobody says so"),
        pytest.param({"max_nodes": 1}, ONE, full("a"), Availability.BUSY, id="the pool is full"),
        pytest.param(
            {"max_nodes": 0}, ONE, full("a", labels=KARPENTER), Availability.BUSY, id="declared"
        ),
        pytest.param(
            {"gpus_per_node": 2}, FOUR, [CPU_ONLY], Availability.IMPOSSIBLE, id="too many of them"
        ),
        pytest.param({}, FOUR, [h100("a")], Availability.IMPOSSIBLE, id="nodes are too small"),
        pytest.param({}, ONE, [h100("a")], Availability.READY, id="there is room"),
        pytest.param(
            {},
            ONE,
            [h100("a", labels={"kubernetes.io/arch": "arm64"})],
            Availability.IMPOSSIBLE,
            id="another node would be as wrong for the image",
        ),
    ],
)
def test_no_node_is_started(
    autoscale: dict[str, Any] | None, key: str, items: list[dict[str, Any]], state: Availability
) -> None:
    found = offer(catalog_with(autoscale), key, *items)
    assert (found.state, found.scale_up) == (state, None)


def test_each_image_for_itself() -> None:
    """The nodes that are there are wrong for one of the images, and full for the other."""
    arm = h100("a", labels={"kubernetes.io/arch": "arm64"})
    found = offer(catalog_with({}), ONE, arm, make_pod("on-a", "a", **{GPU: 2}))
    assert found.state is Availability.IMPOSSIBLE
    base = found.with_image("base")
    assert (base.state, base.scale_up) == (Availability.SCALE_UP, ScaleUp(None))


def test_follows_the_cluster() -> None:
    board = OfferBoard(catalog_with({"max_nodes": 1}))
    states = []
    for items in ([CPU_ONLY], full("a"), [h100("a")]):
        choice = board.update(snapshot_of(*items))[1].choice(ONE)
        assert choice is not None
        states.append(choice.state)
    assert states == [Availability.SCALE_UP, Availability.BUSY, Availability.READY]


def test_whichever_is_free_first_takes_the_flavor_that_grows() -> None:
    catalog = catalog_with({}, "a100")
    board = OfferBoard(catalog)
    board.update(snapshot_of(*full("a")))
    resolved = board.resolve(select(catalog, profile="gpus", count=1))
    assert "a100" in resolved.flavors
    assert board.offer_of(resolved).state is Availability.SCALE_UP


def test_unknown_stays_unknown() -> None:
    hidden = Snapshot(unknown={"nodes": "forbidden"})
    choice = OfferBoard(catalog_with({})).update(hidden)[1].choice(ONE)
    assert choice is not None
    assert (choice.state, choice.scale_up) == (None, None)


def test_an_empty_pool_is_no_mistake() -> None:
    def messages(catalog: Catalog) -> list[str]:
        return [
            problem.message
            for problem in check_against_cluster(catalog, snapshot_of(CPU_ONLY))
            if "h100" in problem.message
        ]

    assert messages(catalog_with(None))
    assert not messages(catalog_with({}))
    assert messages(catalog_with({"max_nodes": 0}))
