"""What the core costs at Kubernetes' published limits.

Skipped unless asked for (``make bench``). Each measures CPU time and names its target beside the
figure; a time is never asserted, because it tells of the machine as much as of the code.
"""

import gc
import itertools
import time
import tracemalloc

import msgspec
import pytest
from large_cluster import build_nodes, build_pods, build_requests, pod_page
from pytest_benchmark.fixture import BenchmarkFixture

from gpu_spawner.core.cluster.decoding import decode_pod_list
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import ClusterState
from gpu_spawner.core.placement.seats import SeatIndex, count_seats

pytestmark = pytest.mark.benchmark(timer=time.thread_time)


@pytest.fixture(scope="module")
def state() -> ClusterState:
    fed = ClusterState()
    fed.replace_all("nodes", build_nodes())
    fed.replace_all("pods", build_pods())
    return fed


@pytest.mark.benchmark(group="pod event")
def test_one_pod_event(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> None:
    """A pod ends or starts on one node, and a snapshot of the result is taken."""
    state: ClusterState = request.getfixturevalue("state")
    pods = itertools.cycle(
        msgspec.structs.replace(pod, phase=phase)
        for phase in ("Succeeded", "Running")
        for pod in build_pods()[::997]
    )

    def handle_event() -> Snapshot:
        state.apply("pods", "MODIFIED", next(pods))
        return state.snapshot(1.0)

    benchmark.pedantic(handle_event, rounds=2000, warmup_rounds=100)

    benchmark.extra_info["target"] = "100 us"


@pytest.mark.benchmark(group="first list")
def test_decoding_a_page_of_500_pods(benchmark: BenchmarkFixture) -> None:
    page = pod_page(0, 500)
    benchmark.extra_info["bytes a pod on the wire"] = len(page) // 500

    benchmark(decode_pod_list, page)

    benchmark.extra_info["target"] = "15 us a pod, 7.5 ms a page of 500"


@pytest.mark.benchmark(group="first list")
def test_a_pod_keeps_at_most_700_bytes(benchmark: BenchmarkFixture) -> None:
    """All that is kept for a pod: the object, its place on the node and in the index."""
    pages = [pod_page(first, 500) for first in range(0, 30_000, 500)]
    decode_pod_list(pages[0])  # what all pods share is not counted
    kept = []

    def read_all() -> None:
        gc.collect()
        tracemalloc.start()
        state = ClusterState()
        before, _ = tracemalloc.get_traced_memory()
        state.replace_all("pods", [pod for page in pages for pod in decode_pod_list(page).items])
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        kept.append((after - before) / 30_000)

    benchmark.pedantic(read_all, rounds=1)
    benchmark.extra_info["bytes kept a pod"] = round(kept[0])
    benchmark.extra_info["target"] = "700 bytes a pod"

    assert kept[0] <= 700


@pytest.mark.benchmark(group="60 requests")
def test_60_requests_from_scratch(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest
) -> None:
    state: ClusterState = request.getfixturevalue("state")
    requests = build_requests()

    def setup() -> tuple[tuple[Snapshot], dict[str, object]]:
        return (state.snapshot(1.0),), {}

    def count_all(snapshot: Snapshot) -> list[int | None]:
        return [count_seats(snapshot, wanted).free for wanted in requests]

    benchmark.pedantic(count_all, setup=setup, rounds=30)

    benchmark.extra_info["target"] = "20 ms"


@pytest.mark.benchmark(group="60 requests")
def test_60_requests_after_an_event(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest
) -> None:
    state: ClusterState = request.getfixturevalue("state")
    indexes = [SeatIndex(wanted) for wanted in build_requests()]
    for index in indexes:
        index.update(state.snapshot(1.0))
    pods = itertools.cycle(
        msgspec.structs.replace(pod, phase=phase)
        for phase in ("Succeeded", "Running")
        for pod in build_pods()[:30_000:97]
    )

    def setup() -> tuple[tuple[Snapshot], dict[str, object]]:
        state.apply("pods", "MODIFIED", next(pods))
        return (state.snapshot(1.0),), {}

    def follow(snapshot: Snapshot) -> list[int | None]:
        return [index.update(snapshot).free for index in indexes]

    benchmark.pedantic(follow, setup=setup, rounds=300)

    snapshot = state.snapshot(1.0)
    assert follow(snapshot) == [count_seats(snapshot, index.request).free for index in indexes]
    benchmark.extra_info["target"] = "1 ms"


@pytest.mark.benchmark(group="relist")
def test_replacing_all_pods(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> None:
    """No promise: the watcher does it off the hub's loop."""
    state: ClusterState = request.getfixturevalue("state")

    benchmark.pedantic(state.replace_all, args=("pods", build_pods()), rounds=3)
