"""Laws of snapshots.

*Conservation*: used and free make up what is allocatable, for any history of events. *Order does
not matter*: the same final objects give the same snapshot. *Replay*: a watch that tells what a list
tells again changes nothing, and watching from nothing ends where a list would. *Undo*: a pod added
and removed leaves no trace.
"""

from collections import Counter
from typing import Any

from cluster_strategies import clusters, histories, pods
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.cluster.objects import (
    IMAGE_LABEL,
    PROFILE_LABEL,
    Node,
    Pod,
    node_from_api,
    pod_from_api,
)
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import KINDS, ClusterState
from gpu_spawner.core.resources import EMPTY

Raw = dict[str, Any]
History = list[tuple[str, str, Raw]]


def read(kind: str, raw: Raw) -> Node | Pod:
    return node_from_api(raw) if kind == "nodes" else pod_from_api(raw)


def fed(items: list[Raw]) -> ClusterState:
    state = ClusterState()
    for kind in KINDS:
        state.replace_all(kind, [])
    state.replace_all("nodes", [node_from_api(raw) for raw in items if raw["kind"] == "Node"])
    state.replace_all("pods", [pod_from_api(raw) for raw in items if raw["kind"] == "Pod"])
    return state


def assert_conserved(snapshot: Snapshot) -> None:
    assert snapshot.nodes is not None
    assert snapshot.pods is not None
    for name, state in snapshot.nodes.items():
        holders = [pod for pod in snapshot.pods.values() if pod.occupies and pod.node_name == name]
        used = EMPTY
        for pod in holders:
            used = used.plus(pod.requests)
        assert state.used == used
        assert state.free.plus(state.used) == state.node.allocatable
        assert sorted(pod.key for pod in holders) == [pod.key for pod in state.holders]
    running = [
        (pod.namespace, pod.labels[PROFILE_LABEL], pod.labels[IMAGE_LABEL])
        for pod in snapshot.pods.values()
        if pod.phase in {"Pending", "Running"}
        and not pod.is_terminating
        and pod.labels.get(IMAGE_LABEL)
        and PROFILE_LABEL in pod.labels
    ]
    assert snapshot.uses == Counter(running)


@given(items=clusters(), history=histories())
def test_nothing_is_lost_or_made(items: list[Raw], history: History) -> None:
    state = fed(items)
    assert_conserved(state.snapshot(1.0))
    for kind, event, raw in history:
        state.apply(kind, event, read(kind, raw))
        assert_conserved(state.snapshot(1.0))


@given(items=clusters(), data=st.data())
def test_order_does_not_matter(items: list[Raw], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(items))

    assert Snapshot.from_objects(shuffled) == Snapshot.from_objects(items)


@given(items=clusters(), history=histories())
def test_a_watch_ends_where_a_list_would(items: list[Raw], history: History) -> None:
    """The state after any events is that of a fresh list of what exists then."""
    state = fed(items)
    known = {(raw["kind"], key_of(raw)): raw for raw in items}
    for kind, event, raw in history:
        state.apply(kind, event, read(kind, raw))
        if event == "DELETED":
            known.pop((raw["kind"], key_of(raw)), None)
        else:
            known[raw["kind"], key_of(raw)] = raw

    assert state.snapshot(1.0) == Snapshot.from_objects(known.values(), as_of=1.0)


@given(items=clusters())
def test_replaying_a_list_as_events_changes_nothing(items: list[Raw]) -> None:
    state = fed(items)
    before = state.snapshot(1.0)
    for raw in items:
        kind = "nodes" if raw["kind"] == "Node" else "pods"
        assert not state.apply(kind, "ADDED", read(kind, raw))

    assert state.snapshot(1.0) == before
    assert state.serial == before.serial


@given(items=clusters(), history=histories())
def test_snapshots_do_not_change_afterwards(items: list[Raw], history: History) -> None:
    state = fed(items)
    before, copy = state.snapshot(1.0), Snapshot.from_objects(items, as_of=1.0)
    for kind, event, raw in history:
        state.apply(kind, event, read(kind, raw))
        state.snapshot(1.0)

    assert before == copy


@given(items=clusters(), history=histories())
def test_what_is_not_named_has_not_changed(items: list[Raw], history: History) -> None:
    state = fed(items)
    before = state.snapshot(1.0)
    for kind, event, raw in history:
        state.apply(kind, event, read(kind, raw))
    after = state.snapshot(1.0)
    changed = after.changed_nodes_since(before)

    assert changed is not None
    assert before.nodes is not None
    assert after.nodes is not None
    for name in (set(before.nodes) | set(after.nodes)) - changed:
        old, new = before.nodes[name], after.nodes[name]
        assert (old.node, old.used, old.pod_count) == (new.node, new.used, new.pod_count)


@given(items=clusters(), pod=pods(st.just("guest")))
def test_adding_and_removing_a_pod_leaves_no_trace(items: list[Raw], pod: Raw) -> None:
    snapshot, guest = Snapshot.from_objects(items), pod_from_api(pod)

    assert snapshot.with_pod(guest) == Snapshot.from_objects([*items, pod])
    assert snapshot.with_pod(guest).without_pod(guest.key) == snapshot


def key_of(raw: Raw) -> tuple[str, str]:
    return raw["metadata"].get("namespace", ""), raw["metadata"]["name"]
