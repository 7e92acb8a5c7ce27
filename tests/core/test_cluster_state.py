"""The state fed by lists and watches: every event once, unknown kept apart from empty."""

from typing import Any

import pytest
from msgspec.structs import replace
from raw_objects import container, node, pod

from gpu_spawner.core.cluster import state as cluster_state
from gpu_spawner.core.cluster.objects import Node, Pod, node_from_api, pod_from_api
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import KINDS, NOT_READ_YET, ClusterState
from gpu_spawner.core.resources import ResourceVector


def a_node(name: str, **fields: Any) -> Node:
    return node_from_api(node(name, **fields))


def a_pod(name: str = "p", **fields: Any) -> Pod:
    return pod_from_api(pod(name, **fields))


@pytest.fixture
def state() -> ClusterState:
    fed = ClusterState()
    for kind in KINDS:
        fed.replace_all(kind, [])
    fed.replace_all("nodes", [a_node("a"), a_node("b")])
    return fed


def nodes_of(state: ClusterState) -> dict[str, tuple[ResourceVector, int]]:
    nodes = state.snapshot(None).nodes
    assert nodes is not None
    return {name: (found.used, found.pod_count) for name, found in nodes.items()}


def test_at_first_nothing_is_known() -> None:
    snapshot = ClusterState().snapshot(None)

    assert (snapshot.nodes, snapshot.pods) == (None, None)
    assert (snapshot.slices, snapshot.device_classes, snapshot.claims) == (None, None, None)
    assert (snapshot.claim_templates, snapshot.taint_rules) == (None, None)
    assert snapshot.unknown == dict.fromkeys(KINDS, NOT_READ_YET)


def test_lists_may_come_in_any_order(state: ClusterState) -> None:
    """Pods that are read before their node find it later."""
    held = a_pod(node_name="a", containers=[container(cpu="1")])
    pods_first = ClusterState()
    for kind in KINDS[2:]:
        pods_first.replace_all(kind, [])
    pods_first.replace_all("pods", [held])
    assert pods_first.snapshot(None).nodes is None
    pods_first.replace_all("nodes", [a_node("b"), a_node("a")])
    state.replace_all("pods", [held])

    assert pods_first.snapshot(3.0) == state.snapshot(3.0)
    assert nodes_of(state)["a"] == (ResourceVector({"cpu": 1000}), 1)


def test_a_kind_that_is_forgotten_is_unknown_again(state: ClusterState) -> None:
    state.apply("pods", "ADDED", a_pod(node_name="a"))
    state.forget("pods", "forbidden")
    snapshot = state.snapshot(1.0)

    assert snapshot.pods is None
    assert snapshot.unknown == {"pods": "forbidden"}
    assert nodes_of(state)["a"][1] == 0


def test_nodes_may_be_forgotten_and_read_again(state: ClusterState) -> None:
    state.apply("pods", "ADDED", a_pod(node_name="a"))
    before = state.snapshot(1.0)
    state.forget("nodes", "forbidden")
    assert state.snapshot(1.0).nodes is None
    state.replace_all("nodes", [a_node("a"), a_node("b")])

    assert state.snapshot(1.0) == before


def test_a_pods_life(state: ClusterState) -> None:
    one_core = [container(cpu="1")]
    assert state.apply("pods", "ADDED", a_pod(containers=one_core))
    assert nodes_of(state)["a"][1] == 0
    assert state.apply(
        "pods", "MODIFIED", a_pod(node_name="a", phase="Pending", containers=one_core)
    )
    assert nodes_of(state)["a"] == (ResourceVector({"cpu": 1000}), 1)
    assert state.apply("pods", "MODIFIED", a_pod(node_name="a", containers=one_core))
    assert nodes_of(state)["a"] == (ResourceVector({"cpu": 1000}), 1)
    assert state.apply(
        "pods", "MODIFIED", a_pod(node_name="a", phase="Succeeded", containers=one_core)
    )
    assert nodes_of(state)["a"] == (ResourceVector({}), 0)
    assert state.apply("pods", "DELETED", a_pod(node_name="a", phase="Succeeded"))
    assert state.snapshot(None).pods == {}


def test_what_changes_nothing_is_not_a_change(state: ClusterState) -> None:
    state.apply("pods", "ADDED", a_pod(node_name="a"))
    serial = state.serial

    assert not state.apply("pods", "MODIFIED", a_pod(node_name="a"))
    assert not state.apply("pods", "DELETED", a_pod("never seen"))
    assert not state.apply("nodes", "MODIFIED", a_node("a"))
    assert not state.apply("nodes", "DELETED", a_node("never seen"))
    assert state.serial == serial


def test_changes_name_the_nodes_they_touch(state: ClusterState) -> None:
    start = state.serial
    state.apply("pods", "ADDED", a_pod(containers=[container(cpu="1")]))
    assert state.changed_nodes_since(start) == frozenset()
    state.apply("pods", "MODIFIED", a_pod(node_name="a", containers=[container(cpu="1")]))
    assert state.changed_nodes_since(start) == {"a"}
    bound = state.serial
    state.apply(
        "pods", "MODIFIED", a_pod(node_name="a", phase="Pending", containers=[container(cpu="1")])
    )
    assert state.changed_nodes_since(bound) == frozenset(), "only its phase changed"
    state.apply("pods", "MODIFIED", a_pod(node_name="a", containers=[container(cpu="2")]))
    assert state.changed_nodes_since(bound) == {"a"}
    state.apply("pods", "MODIFIED", a_pod(node_name="b", containers=[container(cpu="2")]))
    assert state.changed_nodes_since(bound) == {"a", "b"}
    cordoned = state.serial
    state.apply("nodes", "MODIFIED", a_node("b", is_cordoned=True))
    assert state.changed_nodes_since(cordoned) == {"b"}


def test_snapshots_know_what_changed_between_them(state: ClusterState) -> None:
    first = state.snapshot(1.0)
    state.apply("pods", "ADDED", a_pod(node_name="a"))
    second = state.snapshot(2.0)
    state.apply("pods", "ADDED", a_pod("q", node_name="b"))
    third = state.snapshot(3.0)

    assert third.changed_nodes_since(first) == {"a", "b"}
    assert third.changed_nodes_since(second) == {"b"}
    assert first.changed_nodes_since(third) is None
    assert second.with_pod(a_pod("r")).changed_nodes_since(first) is None


def test_after_a_relist_everything_may_have_changed(state: ClusterState) -> None:
    before = state.snapshot(1.0)
    state.replace_all("pods", [])

    assert state.changed_nodes_since(before.serial) is None
    assert state.snapshot(1.0).changed_nodes_since(before) is None


def test_the_journal_is_bounded(state: ClusterState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_state, "_JOURNAL_LIMIT", 5)
    start = state.serial
    for number in range(20):
        state.apply("pods", "ADDED", a_pod(f"p{number}", node_name="a"))

    assert state.changed_nodes_since(start) is None
    assert state.changed_nodes_since(state.serial - 1) == {"a"}


def test_later_events_leave_a_snapshot_alone(state: ClusterState) -> None:
    before = state.snapshot(1.0)
    state.apply("pods", "ADDED", a_pod(node_name="a"))
    state.apply("nodes", "DELETED", a_node("b"))

    assert before == Snapshot.of([a_node("a"), a_node("b")], [], as_of=1.0)


def test_a_node_that_goes_and_comes_back_finds_its_pods(state: ClusterState) -> None:
    state.apply("pods", "ADDED", a_pod(node_name="a", containers=[container(cpu="1")]))
    before = state.snapshot(1.0)
    state.apply("nodes", "DELETED", a_node("a"))
    gone = state.snapshot(1.0)
    assert gone.nodes is not None
    assert ("a" in gone.nodes, gone.stray["a"].used) == (False, ResourceVector({"cpu": 1000}))
    state.apply("nodes", "ADDED", a_node("a"))

    assert state.snapshot(1.0) == before


def test_pods_of_a_node_that_is_not_listed_come_and_go(state: ClusterState) -> None:
    before = state.snapshot(1.0)
    state.apply("pods", "ADDED", a_pod(node_name="ghost"))
    assert "ghost" in state.snapshot(1.0).stray
    state.apply("pods", "DELETED", a_pod(node_name="ghost"))

    assert state.snapshot(1.0) == before


def test_an_empty_node_may_go(state: ClusterState) -> None:
    state.apply("nodes", "DELETED", a_node("a"))

    assert state.snapshot(1.0) == Snapshot.of([a_node("b")], [], as_of=1.0)


def test_what_servers_use_is_counted(state: ClusterState) -> None:
    """Those who ask who uses what do not look at every pod of the cluster."""
    labels = {"gpu-spawner.jupyter.org/profile": "torch", "gpu-spawner.jupyter.org/image": "cuda13"}
    torch = ("default", "torch", "cuda13")
    plain = replace(pod_from_api(pod("p")), phase="Running")
    server = replace(plain, name="s", labels=labels)
    state.replace_all("pods", [plain, server])
    assert state.snapshot(1.0).uses == {torch: 1}
    state.apply("pods", "ADDED", other := replace(server, name="t"))
    before = state.snapshot(1.0)
    assert before.uses == {torch: 2}
    state.apply("pods", "MODIFIED", replace(other, phase="Succeeded"))
    state.apply("pods", "DELETED", server)
    assert state.snapshot(1.0).uses == {}
    assert before.uses == {torch: 2}
    assert before.without_pod(other.key).uses == {torch: 1}
    assert before.with_pod(replace(server, name="u")).uses == {torch: 3}
    assert before.with_pod(replace(server, is_terminating=True)).uses == {torch: 1}
