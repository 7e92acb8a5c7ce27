"""What offers cost at Kubernetes' published limits: 20 profiles, 60 choices, in processor time."""

import itertools
import time
from typing import Any

import msgspec
import pytest
from large_cluster import MODELS, build_nodes, build_pods
from pytest_benchmark.fixture import BenchmarkFixture

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import ClusterState
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.core.offers.inventory import take_inventory

pytestmark = pytest.mark.benchmark(timer=time.thread_time)


def build_catalog() -> Catalog:
    """Build 4 profiles without GPUs and 16 with 3 or 4 choices: 60 in all."""
    mapping: dict[str, Any] = {
        "flavors": {
            f"f{number}": {
                "display_name": model,
                "node_labels": {"nvidia.com/gpu.product": model},
            }
            for number, model in enumerate(MODELS)
        },
        "images": {
            name: {"image": f"quay.io/site/{name}:1", "display_name": name, "size": "9.8GB"}
            for name in ("one", "two")
        },
    }
    for number in range(20):
        profile: dict[str, Any] = {
            "display_name": f"Profile {number}",
            "images": ["one", "two"],
            "resources": {
                "cpu": {"request": 1 + number},
                "memory": {"request": f"{4 * (number + 1)}Gi"},
            },
        }
        if number >= 4:
            counts = [1, 2, 4, 8] if number < 12 else [1, 2, 4]
            profile["gpu"] = {"flavors": [f"f{number % 4}"], "share": "whole", "count": counts}
        mapping[f"{number:02}-profile-{number}"] = profile
    return read_mapping(mapping)


CATALOG = build_catalog()


@pytest.fixture(scope="module")
def state() -> ClusterState:
    fed = ClusterState()
    fed.replace_all("nodes", build_nodes())
    fed.replace_all("pods", build_pods())
    return fed


def test_there_are_60_choices() -> None:
    assert sum(len(profile.choices) for profile in CATALOG.profiles) == 60


def test_images_are_part_of_the_offers(state: ClusterState) -> None:
    offers = OfferBoard(CATALOG).update(state.snapshot(1.0))
    places = [choice.images for offer in offers for choice in offer.choices if choice.free]
    ready = sum(images["one"].ready_nodes for images in places)
    assert 0 < ready < sum(images["one"].fitting_nodes for images in places)
    assert not any(images["two"].ready_nodes for images in places)


@pytest.mark.benchmark(group="offers")
def test_offers_from_scratch(benchmark: BenchmarkFixture, state: ClusterState) -> None:
    """A board whose catalog is compiled sees its first snapshot."""

    def setup() -> tuple[tuple[OfferBoard, Snapshot], dict[str, object]]:
        return (OfferBoard(CATALOG), state.snapshot(1.0)), {}

    benchmark.pedantic(OfferBoard.update, setup=setup, rounds=10)
    benchmark.extra_info["target"] = "20 ms"


@pytest.mark.benchmark(group="inventory")
def test_inventory(benchmark: BenchmarkFixture, state: ClusterState) -> None:
    """Every GPU of the cluster, one by one, with who holds it."""
    inventory = benchmark.pedantic(take_inventory, (state.snapshot(1.0), CATALOG), rounds=5)
    assert sum(len(node.gpus) for node in inventory.nodes or ()) == 8000


@pytest.mark.benchmark(group="offers")
def test_offers_after_an_event(benchmark: BenchmarkFixture, state: ClusterState) -> None:
    """A pod starts or ends on a GPU node."""
    board = OfferBoard(CATALOG)
    board.update(state.snapshot(1.0))
    pods = itertools.cycle(
        msgspec.structs.replace(pod, phase=phase)
        for phase in ("Succeeded", "Running")
        for pod in build_pods()[:30_000:97]
    )

    def setup() -> tuple[tuple[Snapshot], dict[str, object]]:
        state.apply("pods", "MODIFIED", next(pods))
        return (state.snapshot(1.0),), {}

    benchmark.pedantic(board.update, setup=setup, rounds=200)
    snapshot = state.snapshot(1.0)
    assert board.update(snapshot) == OfferBoard(CATALOG).update(snapshot)
    benchmark.extra_info["target"] = "1 ms"
