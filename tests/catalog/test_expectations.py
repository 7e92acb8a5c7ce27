"""When a seat of a busy choice is expected, by the rules of the servers that hold it."""

import copy
import json
from typing import Any

from catalog_builders import REPOSITORY, catalog_of, make_node, make_pod, snapshot_of
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.offers.availability import ChoiceOffer
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.core.offers.expectation import Expected, ServerEnd, expect_seat
from gpu_spawner.core.offers.sentences import say_expected
from gpu_spawner.core.placement.seats import count_seats, request_from_pod

GPU = "nvidia.com/gpu"
CATALOG = catalog_of()


def end(name: str, at: float, cause: str = "idle", namespace: str = "others") -> ServerEnd:
    return ServerEnd(at, (namespace, name), cause)


def offer(count: int, items: list[dict[str, Any]], *ends: ServerEnd) -> ChoiceOffer:
    board = OfferBoard(CATALOG)
    board.learn_ends(ends)
    offers = board.update(snapshot_of(*items))
    return next(
        found for each in offers if (found := each.choice(f"gpus/h100/whole/{count}")) is not None
    )


def node(name: str, gpus: int = 2) -> dict[str, Any]:
    return make_node(name, product="NVIDIA-H100", resources={GPU: gpus})


def full() -> list[dict[str, Any]]:
    """Return two nodes with two GPUs each, all of them in use."""
    pods = [make_pod(f"{name}-{number}", name, **{GPU: 1}) for name in "ab" for number in (1, 2)]
    return [node("a"), node("b"), *pods]


class TestExpectations:
    def test_the_first_that_ends_leaves_a_seat(self) -> None:
        found = offer(1, full(), end("a-1", 5000, "lifetime"), end("b-1", 3000))
        assert found.expected == Expected(3000, "idle")

    def test_a_seat_of_two_takes_two_of_one_node(self) -> None:
        ends = (end("a-1", 2000), end("b-1", 3000), end("b-2", 4000), end("a-2", 9000))
        assert offer(2, full(), *ends).expected == Expected(4000, "idle")

    def test_nothing_is_expected_where_too_few_end(self) -> None:
        assert offer(2, full(), end("a-1", 2000), end("b-1", 3000)).expected is None
        assert offer(1, full()).expected is None
        assert offer(1, full(), end("somebody", 2000)).expected is None

    def test_nothing_is_expected_where_there_is_a_seat_or_could_be_none(self) -> None:
        assert offer(1, [node("a")], end("a-1", 2000)).expected is None
        assert offer(4, full(), end("a-1", 2000), end("a-2", 2000)).expected is None

    def test_what_is_learnt_changes_what_was_said(self) -> None:
        board = OfferBoard(CATALOG)
        snapshot = snapshot_of(*full())
        for ends in ((end("a-1", 2000),), (), (end("a-2", 5000),)):
            board.learn_ends(ends)
            board.update(snapshot)
            fresh = OfferBoard(CATALOG)
            fresh.learn_ends(ends)
            assert board.offers(CATALOG) == fresh.update(snapshot)

    def test_claims_go_with_the_server(self) -> None:
        path = REPOSITORY / "tests" / "golden" / "catalog" / "cluster.json"
        items = json.loads(path.read_text("utf-8"))["items"]
        items = [copy.deepcopy(item) for item in items if item["kind"] != "ResourceClaim"]
        results = [
            {"request": "gpu", "driver": "gpu.nvidia.com", "pool": "h200-1", "device": f"gpu-{n}"}
            for n in range(8)
        ]
        claim = {
            "kind": "ResourceClaim",
            "metadata": {"name": "c", "namespace": "others", "uid": "c"},
            "status": {
                "allocation": {"devices": {"results": results}},
                "reservedFor": [{"resource": "pods", "name": "p", "uid": "uid-p"}],
            },
        }
        pod = make_pod("p", "h200-1")
        pod["metadata"]["uid"] = "uid-p"
        catalog = read_mapping(
            {
                "flavors": {
                    "h200": {
                        "display_name": "H200",
                        "dra": {"attributes": {"productName": "NVIDIA H200"}},
                    }
                },
                "images": {"base": {"image": "r/base:1", "display_name": "Base"}},
                "10-it": {
                    "display_name": "It",
                    "images": ["base"],
                    "gpu": {"flavors": ["h200"], "share": "whole"},
                },
            }
        )
        board = OfferBoard(catalog)
        board.learn_ends((end("p", 2000, "lifetime"),))
        (profile,) = board.update(Snapshot.from_objects([*items, claim, pod], as_of=0.0))
        assert profile.choices[0].free == 0
        assert profile.choices[0].expected == Expected(2000, "lifetime")


def test_in_words() -> None:
    assert say_expected(Expected(2500, "idle"), 1000) == (
        "One is expected free in about 25 min (idle)"
    )
    assert say_expected(Expected(900, "lifetime"), 1000) == (
        "One is expected free any moment (its time is over)"
    )


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 2)), max_size=4),
    st.lists(st.integers(1, 9), min_size=4, max_size=4),
    st.integers(1, 2),
)
def test_it_is_the_first_moment_at_which_a_pod_would_fit(
    held: list[tuple[str, int]], moments: list[int], count: int
) -> None:
    """As when servers are taken away from the whole cluster one after another."""
    pods = [make_pod(f"p{n}", name, **{GPU: gpus}) for n, (name, gpus) in enumerate(held)]
    snapshot = snapshot_of(node("a"), node("b"), *pods)
    ends = sorted(end(f"p{n}", moments[n]) for n in range(len(held)))
    request = request_from_pod(
        {
            "metadata": {"name": "x"},
            "spec": {
                "containers": [{"name": "x", "resources": {"limits": {GPU: count}}}],
                "tolerations": [{"operator": "Exists"}],
            },
        }
    )
    if count_seats(snapshot, request).free:
        return
    expected, left = None, snapshot
    for one in ends:
        left = left.without_pod(one.pod)
        if count_seats(left, request).free:
            expected = one.at
            break
    found = expect_seat(snapshot, [request], ends)
    assert (found.at if found is not None else None) == expected
