"""What counting parts of cards costs: 1,000 nodes with 8 cards that HAMi divides.

Skipped unless asked for (``make bench``). Each measures CPU time; a time is never asserted, because
it tells of the machine as much as of the code.
"""

import itertools
import time

import pytest
from large_card_shares import (
    PARTS,
    build_divided_nodes,
    build_share_holders,
    build_share_requests,
    share_holder,
)
from pytest_benchmark.fixture import BenchmarkFixture

from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import KINDS, ClusterState
from gpu_spawner.core.devices.fractions import card_seats
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.placement.seats import SeatIndex, count_seats

pytestmark = pytest.mark.benchmark(timer=time.thread_time)
REQUESTS = build_share_requests()


def fed() -> ClusterState:
    state = ClusterState()
    for kind in KINDS:
        state.clear(kind)
    state.replace_all("nodes", build_divided_nodes())
    state.replace_all("pods", build_share_holders())
    return state


@pytest.mark.parametrize("request_", REQUESTS, ids=["tenth", "half", "whole", "two"])
@pytest.mark.benchmark(group="parts of cards: from scratch")
def test_counting_parts_of_cards(benchmark: BenchmarkFixture, request_: PodRequest) -> None:
    """Nothing is known of the cards, nor of any that look like them."""
    snapshot: Snapshot = fed().snapshot(1.0)

    def forget() -> None:
        card_seats._looks.cache_clear()
        card_seats._seats.cache_clear()

    def count() -> int | None:
        return count_seats(snapshot, request_).free

    assert benchmark.pedantic(count, setup=forget, rounds=5)


@pytest.mark.benchmark(group="parts of cards: one pod event")
def test_following_parts_of_cards(benchmark: BenchmarkFixture) -> None:
    """A pod takes a part of a card or gives it back; the seats of four requests follow."""
    state = fed()
    indexes = [SeatIndex(request) for request in REQUESTS]
    for index in indexes:
        index.update(state.snapshot(1.0))
    events = itertools.cycle(
        (event, share_holder(number, 99, number % 8, PARTS[number % 4]))
        for event in ("ADDED", "DELETED")
        for number in range(0, 999, 7)
    )

    def handle_event() -> None:
        event, pod = next(events)
        state.apply("pods", event, pod)
        snapshot = state.snapshot(1.0)
        for index in indexes:
            index.update(snapshot)

    benchmark.pedantic(handle_event, rounds=500, warmup_rounds=50)

    snapshot = state.snapshot(1.0)
    assert [index.update(snapshot).free for index in indexes] == [
        count_seats(snapshot, index.request).free for index in indexes
    ]
