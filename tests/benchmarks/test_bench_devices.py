"""What counting devices costs: 5,000 nodes, 1,000 of them with 8 GPUs that are claimed.

Skipped unless asked for (``make bench``). Each measures CPU time; a time is never asserted, because
it tells of the machine as much as of the code.
"""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest
from large_cluster import build_nodes
from large_devices import (
    build_claim,
    build_claims,
    build_classes,
    build_device_requests,
    build_slices,
    slice_page,
)
from pytest_benchmark.fixture import BenchmarkFixture

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.cluster.claim_objects import ResourceClaim
from gpu_spawner.core.cluster.decoding import decode_list
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import KINDS, ClusterState
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.core.placement.seats import SeatIndex, count_seats

pytestmark = pytest.mark.benchmark(timer=time.thread_time)
each_kind = pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "cut"])


def fed(*, is_cut: bool) -> ClusterState:
    state = ClusterState()
    for kind in KINDS:
        state.clear(kind)
    state.replace_all("pods", ())
    state.replace_all("nodes", build_nodes())
    state.replace_all("deviceclasses", build_classes())
    state.replace_all("resourceslices", build_slices(is_cut=is_cut))
    state.replace_all("resourceclaims", build_claims())
    return state


def claim_events() -> Iterator[tuple[str, ResourceClaim]]:
    """Let a hundred claims get a GPU, then give it back, again and again."""
    return itertools.cycle(
        (event, build_claim(number, 7))
        for event in ("ADDED", "DELETED")
        for number in range(0, 999, 9)
    )


@each_kind
@pytest.mark.benchmark(group="devices: first list")
def test_decoding_all_slices(benchmark: BenchmarkFixture, *, is_cut: bool) -> None:
    page = slice_page(is_cut=is_cut)

    benchmark.pedantic(decode_list, args=("resourceslices", page), rounds=3)

    benchmark.extra_info["bytes on the wire"] = len(page)


@each_kind
@pytest.mark.benchmark(group="devices: one claim event")
def test_one_claim_event(benchmark: BenchmarkFixture, *, is_cut: bool) -> None:
    """A claim gets or gives back a GPU; the seats of four requests follow."""
    state = fed(is_cut=is_cut)
    indexes = [SeatIndex(request) for request in build_device_requests()]
    for index in indexes:
        index.update(state.snapshot(1.0))
    events = claim_events()

    def handle_event() -> None:
        event, claim = next(events)
        state.apply("resourceclaims", event, claim)
        snapshot = state.snapshot(1.0)
        for index in indexes:
            index.update(snapshot)

    benchmark.pedantic(handle_event, rounds=1000, warmup_rounds=100)

    benchmark.extra_info["requests"] = len(indexes)


@each_kind
@pytest.mark.benchmark(group="devices: from scratch")
def test_counting_four_requests(benchmark: BenchmarkFixture, *, is_cut: bool) -> None:
    """All devices were seen before: what they look like is known, what is free is not."""
    snapshot: Snapshot = fed(is_cut=is_cut).snapshot(1.0)
    requests = build_device_requests()

    def count() -> list[int | None]:
        return [count_seats(snapshot, request).free for request in requests]

    parts = 28_028 if is_cut else 0
    assert count() == [4004, 1780, 668, parts]
    benchmark.pedantic(count, rounds=10)

    benchmark.extra_info["requests"] = len(requests)


def build_catalog() -> Catalog:
    """Build 5 profiles with 3 choices each: so many GPUs by claim, beside other CPU and memory."""
    mapping: dict[str, Any] = {
        "flavors": {
            "h100": {
                "display_name": "NVIDIA H100",
                "mechanisms": ["dra-whole"],
                "dra": {
                    "device_class": "gpu",
                    "attributes": {"productName": ["NVIDIA H100 80GB HBM3"]},
                },
            }
        },
        "images": {
            name: {"image": f"quay.io/site/{name}:1", "display_name": name}
            for name in ("one", "two")
        },
    }
    for number in range(1, 6):
        mapping[f"{number:02}-profile-{number}"] = {
            "display_name": f"Profile {number}",
            "images": ["one", "two"],
            "gpu": {"flavors": ["h100"], "share": "whole", "count": [1, 2, 4]},
            "resources": {"cpu": {"request": number}, "memory": {"request": f"{4 * number}Gi"}},
        }
    return read_mapping(mapping)


@pytest.mark.benchmark(group="devices: offers of 15 choices")
def test_offers_after_a_claim_event(benchmark: BenchmarkFixture) -> None:
    """A claim gets or gives back a GPU; the page follows, images and sentences included."""
    state = fed(is_cut=False)
    board = OfferBoard(build_catalog())
    offers = board.update(state.snapshot(1.0))
    assert [choice.free for choice in offers[0].choices] == [4004, 1780, 668]
    events = claim_events()

    def handle_event() -> None:
        event, claim = next(events)
        state.apply("resourceclaims", event, claim)
        board.update(state.snapshot(1.0))

    benchmark.pedantic(handle_event, rounds=200, warmup_rounds=20)


@pytest.mark.benchmark(group="devices: offers of 15 choices")
def test_offers_from_scratch(benchmark: BenchmarkFixture) -> None:
    """All devices were seen before: what they look like is known, what is free is not."""
    catalog, snapshot = build_catalog(), fed(is_cut=False).snapshot(1.0)

    benchmark.pedantic(lambda: OfferBoard(catalog).update(snapshot), rounds=5, warmup_rounds=1)
