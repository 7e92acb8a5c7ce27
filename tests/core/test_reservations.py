"""A seat that was promised is not promised again, until its pod is seen or the promise is over."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.cluster.objects import node_from_api, pod_from_api
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import ClusterState
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod
from gpu_spawner.core.placement.reservations import Reservation, ReservationBook, apply_pending
from gpu_spawner.core.placement.seats import count_seats

GPU = "nvidia.com/gpu"


def make_node(name: str, gpus: int, **labels: str) -> dict[str, Any]:
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {
            "allocatable": {"cpu": "64", "memory": "512Gi", "pods": "110", GPU: str(gpus)},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def make_pod(
    name: str, gpus: int, *, node: str = "", uid: str = "u1", phase: str = "", **metadata: Any
) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"namespace": "hub", "name": name, "uid": uid, **metadata},
        "spec": {
            **({"nodeName": node} if node else {}),
            "containers": [{"name": "c", "resources": {"limits": {GPU: str(gpus), "cpu": "1"}}}],
        },
        "status": {"phase": phase or ("Running" if node else "Pending")},
    }


def ask(gpus: int, **spec: Any) -> PodRequest:
    pod = make_pod("any", gpus)
    pod["spec"] |= spec
    return request_from_pod(pod)


def see(*items: dict[str, Any]) -> Snapshot:
    return Snapshot.from_objects(items, as_of=0.0)


def free(snapshot: Snapshot, gpus: int) -> int | None:
    return count_seats(snapshot, ask(gpus)).free


ALICE, BOB = ("hub", "alice"), ("hub", "bob")


def test_two_users_cannot_both_be_promised_the_last_seat():
    cluster, book = see(make_node("n", 2)), ReservationBook()
    assert free(book.apply(cluster, 0), 2) == 1
    book.reserve(ALICE, ask(2), cluster, 0)
    assert free(book.apply(cluster, 0), 2) == 0
    assert free(cluster, 2) == 1


def test_a_promise_taken_back_is_free_again():
    cluster, book = see(make_node("n", 2)), ReservationBook()
    book.reserve(ALICE, ask(2), cluster, 0)
    book.apply(cluster, 0)
    book.release(ALICE)
    book.release(BOB)
    assert free(book.apply(cluster, 0), 2) == 1
    assert len(book) == 0


def test_a_promise_ends_when_the_pod_is_seen_on_its_node():
    cluster, book = see(make_node("n", 4)), ReservationBook()
    book.reserve(ALICE, ask(2), cluster, 0)
    bound = see(make_node("n", 4), make_pod("alice", 2, node="n"))
    assert free(book.apply(bound, 1), 2) == 1
    assert ALICE not in book


def test_a_pod_that_waits_keeps_its_promise_beyond_the_deadline():
    cluster, book = see(make_node("n", 2)), ReservationBook(lasting_seconds=10)
    book.reserve(ALICE, ask(2), cluster, 0)
    waiting = see(make_node("n", 2), make_pod("alice", 2))
    assert free(book.apply(waiting, 1), 2) == 0
    assert free(book.apply(waiting, 1000), 2) == 0
    assert free(book.apply(cluster, 1001), 2) == 1, "the pod was deleted while it waited"
    assert len(book) == 0


def test_a_pod_that_grew_on_the_way_takes_what_it_asks_for():
    """An admission webhook added a container."""
    cluster, book = see(make_node("a", 2), make_node("b", 4)), ReservationBook()
    book.reserve(ALICE, ask(2), cluster, 0)
    shown = book.apply(cluster, 0)
    assert shown.nodes["a"].used.amount(GPU) == 2
    shown = book.apply(see(make_node("a", 2), make_node("b", 4), make_pod("alice", 3)), 1)
    assert [shown.nodes[each].used.amount(GPU) for each in "ab"] == [0, 3]


def test_a_promise_whose_pod_never_comes_lapses():
    cluster, book = see(make_node("n", 2)), ReservationBook(lasting_seconds=10)
    book.reserve(ALICE, ask(2), cluster, 0)
    assert free(book.apply(cluster, 9.9), 2) == 0
    assert free(book.apply(cluster, 10), 2) == 1


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_ended_before_it_was_bound_takes_no_seat(phase):
    cluster, book = see(make_node("n", 2)), ReservationBook()
    book.reserve(ALICE, ask(2), cluster, 0)
    assert free(book.apply(see(make_node("n", 2), make_pod("alice", 2, phase=phase)), 1), 2) == 1


def test_the_old_pod_of_the_same_name_is_another_one():
    """A restart: the old server still takes its GPUs while the new one is promised others."""
    old = make_pod("alice", 2, node="n", uid="old", deletionTimestamp="2026-01-01T00:00:00Z")
    cluster, book = see(make_node("n", 4), old), ReservationBook()
    book.reserve(ALICE, ask(2), cluster, 0)
    assert free(book.apply(cluster, 1), 2) == 0
    gone = see(make_node("n", 4))
    assert free(book.apply(gone, 2), 2) == 1
    new = see(make_node("n", 4), make_pod("alice", 2, node="n", uid="new"))
    assert free(book.apply(new, 3), 2) == 1
    assert len(book) == 0


def test_a_promise_that_fits_nowhere_takes_nothing_until_it_fits():
    cluster, book = see(make_node("a", 1), make_node("b", 1)), ReservationBook()
    book.reserve(ALICE, ask(2), cluster, 0)
    assert free(book.apply(cluster, 0), 1) == 2
    grown = see(make_node("a", 1), make_node("b", 1), make_node("c", 2))
    assert free(book.apply(grown, 1), 1) == 2


def test_where_the_pod_may_not_run_nothing_is_taken():
    cluster = see(make_node("a", 2, kind="h100"), make_node("b", 2, kind="a100"))
    book = ReservationBook()
    book.reserve(ALICE, ask(1, nodeSelector={"kind": "a100"}), cluster, 0)
    shown = book.apply(cluster, 0)
    assert shown.nodes["a"].used.amount(GPU) == 0
    assert shown.nodes["b"].used.amount(GPU) == 1


def test_small_requests_are_packed_so_that_large_seats_stay_whole():
    cluster, book = see(make_node("a", 8), make_node("b", 8)), ReservationBook()
    for number in range(4):
        book.reserve(("hub", f"p{number}"), ask(1), cluster, 0)
    assert free(book.apply(cluster, 0), 8) == 1


def test_a_promise_moves_when_its_place_is_taken_by_others():
    cluster, book = see(make_node("a", 2), make_node("b", 2)), ReservationBook()
    book.reserve(ALICE, ask(2), cluster, 0)
    book.apply(cluster, 0)
    for taken in ("a", "b"):
        shown = book.apply(
            see(make_node("a", 2), make_node("b", 2), make_pod("other", 2, node=taken)), 1
        )
        assert free(shown, 2) == 0


def test_promises_keep_those_apart_who_require_it():
    anti = {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"component": "solo"}},
                }
            ]
        }
    }
    pod = make_pod("solo", 1, labels={"component": "solo"})
    pod["spec"]["affinity"] = anti
    request = request_from_pod(pod)
    hosts = [make_node(each, 8, **{"kubernetes.io/hostname": each}) for each in "ab"]
    cluster, book = see(*hosts), ReservationBook()
    for name in ("one", "two", "three"):
        book.reserve(("hub", name), request, cluster, 0)
    shown = book.apply(cluster, 0)
    assert [shown.nodes[each].used.amount(GPU) for each in "ab"] == [1, 1]


def test_what_is_unknown_stays_unknown():
    state, book = ClusterState(), ReservationBook()
    state.replace_all("nodes", [node_from_api(make_node("n", 2))])
    state.forget("pods", "forbidden")
    cluster = state.snapshot(0.0)
    book.reserve(ALICE, ask(2), cluster, 0)
    assert book.apply(cluster, 0) is cluster
    assert apply_pending(cluster, [Reservation(key=ALICE, request=ask(2))]) is cluster


def test_a_request_nobody_can_judge_takes_no_seat():
    cluster, book = see(make_node("n", 2)), ReservationBook()
    book.reserve(
        ALICE,
        ask(1, resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "one"}]),
        cluster,
        0,
    )
    assert free(book.apply(cluster, 0), 2) == 1


def test_the_same_cluster_is_shown_as_the_same_object():
    cluster, book = see(make_node("n", 2)), ReservationBook()
    book.reserve(ALICE, ask(1), cluster, 0)
    assert book.apply(cluster, 0) is book.apply(cluster, 1)


SIZES = st.sampled_from([0, 1, 2, 4, 8])


@given(
    nodes=st.lists(SIZES, max_size=5),
    requests=st.lists(st.integers(1, 4), max_size=8),
)
def test_equal_requests_reduce_the_seats_one_by_one(nodes, requests):
    cluster = see(*(make_node(f"n{i}", gpus) for i, gpus in enumerate(nodes)))
    book = ReservationBook()
    size = requests[0] if requests else 1
    seats = free(cluster, size)
    for number, _ in enumerate(requests):
        book.reserve(("hub", f"p{number}"), ask(size), cluster, 0)
        assert free(book.apply(cluster, 0), size) == max(seats - number - 1, 0)


@given(data=st.data())
def test_whatever_happens_the_changes_between_two_views_are_all_told(data):
    """And whoever is promised a seat has one, on a node with room, if there is any."""
    state, book = ClusterState(), ReservationBook(lasting_seconds=5)
    state.replace_all("nodes", [node_from_api(make_node(f"n{i}", 4)) for i in range(3)])
    state.replace_all("pods", [])
    names = st.sampled_from(["a", "b", "c", "d"])
    before = book.apply(state.snapshot(0.0), 0)
    for now in range(data.draw(st.integers(1, 12))):
        match data.draw(st.sampled_from(["reserve", "release", "pod", "gone", "node"])):
            case "reserve":
                name = data.draw(names)
                book.reserve(("hub", name), ask(2), state.snapshot(0.0), now)
            case "release":
                book.release(("hub", data.draw(names)))
            case "pod":
                place = data.draw(st.sampled_from(["", "n0", "n1"]))
                pod = make_pod(data.draw(names), data.draw(st.integers(1, 3)), node=place)
                state.apply("pods", "ADDED", pod_from_api(pod))
            case "gone":
                state.apply("pods", "DELETED", pod_from_api(make_pod(data.draw(names), 1)))
            case "node":
                changed = make_node(data.draw(st.sampled_from(["n0", "n9"])), data.draw(SIZES))
                state.apply("nodes", "MODIFIED", node_from_api(changed))
        after = book.apply(state.snapshot(0.0), now)
        told = after.changed_nodes_since(before)
        if told is not None:
            same = set(after.nodes) - told
            assert {name: after.nodes[name] for name in same} == {
                name: before.nodes.get(name) for name in same
            }
            assert set(before.nodes) - set(after.nodes) <= told
        for held in book._held.values():
            assert held.node or not count_seats(after, held.request).free, "it had a place"
        for name, shown in after.nodes.items():
            was = state.snapshot(0.0).nodes[name]
            assert shown.free.amount(GPU) >= min(was.free.amount(GPU), 0), "no node is overfilled"
        before = after
