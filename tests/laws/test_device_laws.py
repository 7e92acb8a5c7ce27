"""Laws of counting devices.

*Agreement*: with a slow reference that tries every assignment. *Seats are real*: scheduling pods
one after another binds exactly as many as were counted, and no device goes to two. *Monotone*: what
holds a device never makes seats. *Order does not matter*. *Index*: following slices and claims
gives what counting anew gives. *Conservation*: who gives back what he took leaves no trace. *Ways*:
together they seat what scheduling the first, then the next beside it, binds.
"""

from collections import Counter
from typing import Any

from device_strategies import (
    claim_specs,
    device_clusters,
    held_claim,
    probe_pod,
    slice_of,
    twin_specs,
    without_traces,
)
from hypothesis import given
from hypothesis import strategies as st
from reference_allocator import reference_device_seats, reference_devices
from seats_by_hand import room_by_hand

from gpu_spawner.core.cluster.claim_objects import claim_from_api
from gpu_spawner.core.cluster.decoding import decode_watch_event
from gpu_spawner.core.cluster.listed import KIND_OF, sort_by_kind
from gpu_spawner.core.cluster.objects import pod_from_api, to_json
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import KINDS, ClusterState
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod
from gpu_spawner.core.placement.scheduling import Placed, schedule
from gpu_spawner.core.placement.seats import SeatIndex, Seats, count_seats

Raw = dict[str, Any]


def request_of(spec: Raw) -> PodRequest:
    return request_from_pod(probe_pod(), claim_specs={"probe": spec})


def count(items: list[Raw], spec: Raw) -> Seats:
    return count_seats(Snapshot.from_objects(items), request_of(spec))


def free(items: list[Raw], spec: Raw) -> int:
    found = count(items, spec).free
    assert found is not None
    return found


@given(items=device_clusters(), spec=claim_specs() | twin_specs())
def test_seats_agree_with_the_reference(items: list[Raw], spec: Raw) -> None:
    spec = without_traces(items, spec)
    seats = count(items, spec)
    expected = reference_device_seats(items, spec)

    assert {name: node.free for name, node in seats.nodes.items() if node.free} == expected
    assert seats.free == sum(expected.values())


@given(items=device_clusters(), spec=claim_specs())
def test_the_total_is_what_the_cluster_seats_without_claims(items: list[Raw], spec: Raw) -> None:
    spec = without_traces(items, spec)
    empty = [item for item in items if item["kind"] != "ResourceClaim"]

    assert count(items, spec).total == sum(reference_device_seats(empty, spec).values())


def bind_all(
    snapshot: Snapshot, request: PodRequest, prefix: str
) -> tuple[Snapshot, Counter[str], Counter[tuple[str, str]]]:
    """Schedule pods until one is refused: the cluster then, pods by node, devices held alone."""
    bound: Counter[str] = Counter()
    held: Counter[tuple[str, str]] = Counter()
    while isinstance(decision := schedule(snapshot, request), Placed):
        pod = probe_pod()
        pod["metadata"]["name"] = name = f"{prefix}-{bound.total()}"
        pod["spec"]["nodeName"] = decision.node
        claim = {
            "metadata": {"name": name, "namespace": "default"},
            "status": {"allocation": decision.claims["gpu"]},
        }
        snapshot = snapshot.with_pod(pod_from_api(pod)).with_claim(claim_from_api(claim))
        bound[decision.node] += 1
        held.update(
            (result["pool"], result["device"])
            for result in decision.claims["gpu"]["devices"]["results"]
            if "shareID" not in result
        )
    return snapshot, bound, held


@given(items=device_clusters(), spec=claim_specs())
def test_every_seat_is_real(items: list[Raw], spec: Raw) -> None:
    """What schedule() writes into the claims is held from then on, by nobody else."""
    snapshot, request = Snapshot.from_objects(items), request_of(spec)
    expected = count_seats(snapshot, request)

    _, bound, held = bind_all(snapshot, request, "probe")

    assert bound == {name: node.free for name, node in expected.nodes.items() if node.free}
    assert all(count == 1 for count in held.values())


@given(items=device_clusters(), spec=twin_specs())
def test_the_devices_are_those_of_the_reference(items: list[Raw], spec: Raw) -> None:
    """Requests that ask for the same get the very devices they get when all orders are tried."""
    spec = without_traces(items, spec)
    nodes = [item["metadata"]["name"] for item in items if item["kind"] == "Node"]
    expected = {name: reference_devices(items, spec, name) for name in nodes}

    decision = schedule(Snapshot.from_objects(items), request_of(spec))

    if not isinstance(decision, Placed):
        assert not any(expected.values())
        return
    results = decision.claims["gpu"]["devices"]["results"]
    found = [(result["request"], result["device"]) for result in results]
    assert found == expected[decision.node]


@given(items=device_clusters(), spec=claim_specs(), data=st.data())
def test_order_does_not_matter(items: list[Raw], spec: Raw, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(items))

    assert Snapshot.from_objects(shuffled) == Snapshot.from_objects(items)
    assert free(shuffled, spec) == free(items, spec)


@given(items=device_clusters(), data=st.data())
def test_holding_a_device_never_makes_seats(items: list[Raw], data: st.DataObject) -> None:
    """For one device a pod: with several, who comes first may keep others from being used."""
    spec = {"devices": {"requests": [{"name": "x", "exactly": {"deviceClassName": "gpu"}}]}}
    free_devices = [
        (item["spec"]["nodeName"], device)
        for item in items
        if item["kind"] == "ResourceSlice"
        for device in item["spec"].get("devices", ())
    ]
    before = free(items, spec)
    for number, (node, device) in enumerate(free_devices):
        if data.draw(st.booleans()):
            items.append(held_claim(f"more-{number}", node, device))
            after = free(items, spec)
            assert after <= before
            before = after


@given(
    items=device_clusters(), specs=st.lists(claim_specs(), min_size=1, max_size=3), data=st.data()
)
def test_an_index_follows_slices_and_claims(
    items: list[Raw], specs: list[Raw], data: st.DataObject
) -> None:
    state = ClusterState()
    for kind, found in {**dict.fromkeys(KINDS, ()), **sort_by_kind(items)}.items():
        state.replace_all(kind, found)
    indexes = [SeatIndex(request_of(spec)) for spec in specs]
    indexes.append(SeatIndex([request_of(spec) for spec in specs]))
    now = {(item["kind"], item["metadata"]["name"]): item for item in items}
    changing = [item for item in items if item["kind"] in ("ResourceSlice", "ResourceClaim")]
    for _ in range(data.draw(st.integers(0, 4))):
        if not changing:
            break
        item = data.draw(st.sampled_from(changing))
        key = (item["kind"], item["metadata"]["name"])
        event = data.draw(st.sampled_from(["DELETED", "ADDED"]))
        line = to_json({"type": event, "object": item})
        plural = KIND_OF[item["kind"]]
        state.apply(plural, event, decode_watch_event(plural, line).obj)
        now.pop(key, None)
        if event == "ADDED":
            now[key] = item
        fresh = Snapshot.from_objects(now.values(), as_of=1.0)
        snapshot = state.snapshot(1.0)
        assert snapshot == fresh
        for index in indexes:
            followed, anew = index.update(snapshot), count_seats(fresh, index.requests)
            assert (followed.free, followed.total) == (anew.free, anew.total)
            assert dict(followed.nodes) == dict(anew.nodes)
            assert followed.nodes.with_room == room_by_hand(anew)


@given(items=device_clusters())
def test_giving_back_leaves_no_trace(items: list[Raw]) -> None:
    snapshot = Snapshot.from_objects(items)
    claims = list((snapshot.claims or {}).values())
    state = ClusterState()
    for kind, found in {**dict.fromkeys(KINDS, ()), **sort_by_kind(items)}.items():
        state.replace_all(kind, found)
    for claim in claims:
        state.apply("resourceclaims", "DELETED", claim)
    assert not any(pool.holds for pool in state.snapshot(None).pools.pools.values())
    for claim in reversed(claims):
        state.apply("resourceclaims", "ADDED", claim)

    assert state.snapshot(None) == snapshot


@given(items=device_clusters(), specs=st.lists(claim_specs(), min_size=2, max_size=3))
def test_ways_are_filled_one_after_another(items: list[Raw], specs: list[Raw]) -> None:
    start = snapshot = Snapshot.from_objects(items)
    placed = 0
    for number, spec in enumerate(specs):
        snapshot, bound, _ = bind_all(snapshot, request_of(spec), f"way-{number}")
        placed += bound.total()

    assert count_seats(start, [request_of(spec) for spec in specs]).free == placed


@given(items=device_clusters(), spec=claim_specs())
def test_a_pool_without_all_its_slices_gives_nothing(items: list[Raw], spec: Raw) -> None:
    halves = [item for item in items if not item["metadata"]["name"].endswith("-counters")]

    assert free(halves, spec) == 0
    newer = [
        found
        for item in halves
        if item["kind"] == "ResourceSlice"
        for found in slice_of(
            item["spec"]["nodeName"], item["spec"]["devices"], generation=2, count=2
        )
    ]
    for found in newer:
        found["metadata"]["name"] += "-2"
    assert free([*halves, *newer], spec) == free(items, spec)
