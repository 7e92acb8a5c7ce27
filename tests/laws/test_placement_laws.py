"""Laws of counting seats.

*Agreement*: with a slow reference that places pods one by one. *Seats are real*: placing as many
succeeds, one more does not. *Monotone*: what takes room or refuses never makes seats, what frees
never takes any. *Columns*: counting many nodes at once is the sum of judging each. *Index*:
following events gives what counting anew gives.
"""

import copy
from typing import Any

from cluster_strategies import clusters, histories, nodes, pods, probes
from hypothesis import given
from hypothesis import strategies as st
from reference_scheduler import reference_seats
from seats_by_hand import room_by_hand

from gpu_spawner.core.cluster.objects import node_from_api, pod_from_api
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import ClusterState
from gpu_spawner.core.placement.pod_request import request_from_pod
from gpu_spawner.core.placement.scheduling import Placed, Refused, schedule
from gpu_spawner.core.placement.seats import SeatIndex, Seats, count_seats

Raw = dict[str, Any]


def count(items: list[Raw], probe: Raw) -> Seats:
    return count_seats(Snapshot.from_objects(items), request_from_pod(probe))


def free(items: list[Raw], probe: Raw) -> int:
    found = count(items, probe).free
    assert found is not None
    return found


@given(items=clusters(), probe=probes())
def test_seats_agree_with_the_reference(items: list[Raw], probe: Raw) -> None:
    seats = count(items, probe)
    expected = reference_seats(items, probe)

    assert {name: node.free for name, node in seats.nodes.items() if node.free} == expected
    assert seats.free == sum(expected.values())


@given(items=clusters(), probe=probes())
def test_the_total_is_what_an_empty_cluster_seats(items: list[Raw], probe: Raw) -> None:
    empty = [item for item in items if item["kind"] == "Node"]

    assert count(items, probe).total == sum(reference_seats(empty, probe).values())


@given(items=clusters(), probe=probes())
def test_a_cluster_is_the_sum_of_its_nodes(items: list[Raw], probe: Raw) -> None:
    seats = count(items, probe)

    assert seats.free == sum(node.free for node in seats.nodes.values())
    assert seats.total == sum(node.total for node in seats.nodes.values())


@given(items=clusters(), probe=probes())
def test_a_node_has_seats_or_reasons(items: list[Raw], probe: Raw) -> None:
    for node in count(items, probe).nodes.values():
        assert node.rejections, "something always stops the next one"
        assert 0 <= node.free <= node.total
        assert node.total == 0 or not any(
            rejection.is_permanent and node.free == 0 and rejection.resource == ""
            for rejection in node.rejections
        )


@given(items=clusters(), probe=probes())
def test_seats_are_real(items: list[Raw], probe: Raw) -> None:
    snapshot, request = Snapshot.from_objects(items), request_from_pod(probe)
    seats = count_seats(snapshot, request).free or 0
    for number in range(seats):
        decision = schedule(snapshot, request)
        assert isinstance(decision, Placed)
        bound = copy.deepcopy(probe)
        bound["metadata"]["name"] = f"probe-{number}"
        bound["spec"]["nodeName"] = decision.node
        snapshot = snapshot.with_pod(pod_from_api(bound))

    assert isinstance(schedule(snapshot, request), Refused)
    assert count_seats(snapshot, request).free == 0


@given(items=clusters(), probe=probes(), pod=pods())
def test_a_pod_more_never_makes_seats(items: list[Raw], probe: Raw, pod: Raw) -> None:
    key = pod["metadata"]["namespace"], pod["metadata"]["name"]
    without = [
        item
        for item in items
        if (item["metadata"].get("namespace"), item["metadata"]["name"]) != key
    ]

    assert free([*without, pod], probe) <= free(without, probe)


@given(items=clusters(), probe=probes(), data=st.data())
def test_a_cordon_or_a_taint_never_makes_seats(
    items: list[Raw], probe: Raw, data: st.DataObject
) -> None:
    changed = copy.deepcopy(items)
    listed = [item for item in changed if item["kind"] == "Node"]
    if listed:
        spec = data.draw(st.sampled_from(listed))["spec"]
        if data.draw(st.booleans()):
            spec["unschedulable"] = True
        else:
            spec["taints"] = [*spec["taints"], {"key": "new", "effect": "NoSchedule"}]

    assert free(changed, probe) <= free(items, probe)


@given(items=clusters(), probe=probes(), node=nodes(st.just("one more")))
def test_a_node_more_never_takes_seats(items: list[Raw], probe: Raw, node: Raw) -> None:
    assert free([*items, node], probe) >= free(items, probe)


@given(items=clusters(), probe=probes(), data=st.data())
def test_a_pod_that_finishes_never_takes_seats(
    items: list[Raw], probe: Raw, data: st.DataObject
) -> None:
    changed = copy.deepcopy(items)
    held = [item for item in changed if item["kind"] == "Pod"]
    if held:
        data.draw(st.sampled_from(held))["status"]["phase"] = "Succeeded"

    assert free(changed, probe) >= free(items, probe)


@given(items=clusters(), probe=probes())
def test_asking_for_more_never_makes_seats(items: list[Raw], probe: Raw) -> None:
    greedy = copy.deepcopy(probe)
    greedy["spec"]["containers"].append(
        {"name": "more", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}}
    )

    assert free(items, greedy) <= free(items, probe)


@given(items=clusters(), wanted=st.lists(probes(), min_size=1, max_size=3), history=histories())
def test_following_events_is_counting_anew(
    items: list[Raw], wanted: list[Raw], history: list[tuple[str, str, Raw]]
) -> None:
    state = ClusterState()
    state.replace_all("nodes", [node_from_api(raw) for raw in items if raw["kind"] == "Node"])
    state.replace_all("pods", [pod_from_api(raw) for raw in items if raw["kind"] == "Pod"])
    indexes = [SeatIndex(request_from_pod(probe)) for probe in wanted]
    earlier: list[tuple[Seats, set[str]]] = []
    for step in [None, *history]:
        if step is not None:
            kind, event, raw = step
            read = node_from_api if kind == "nodes" else pod_from_api
            state.apply(kind, event, read(raw))
        snapshot = state.snapshot(1.0)
        for index in indexes:
            found, anew = index.update(snapshot), count_seats(snapshot, index.request)
            assert (found.free, found.total) == (anew.free, anew.total)
            expected = room_by_hand(anew)
            assert found.nodes.with_room == expected
            earlier.append((found, expected))
    # What was found of a snapshot stays as it was.
    assert all(found.nodes.with_room == expected for found, expected in earlier)
