"""Snapshots: what is known, what is used where, and what would be with or without a pod."""

from typing import Any

import pytest
from raw_objects import container, node, pod

from gpu_spawner.core.cluster.objects import Node, Pod, node_from_api, pod_from_api
from gpu_spawner.core.cluster.snapshot import NO_LOAD, Journal, NodeLoad, NodeState, Snapshot
from gpu_spawner.core.errors import ConfigError
from gpu_spawner.core.resources import EMPTY, ResourceVector


def a_pod(name: str = "p", **fields: Any) -> Pod:
    return pod_from_api(pod(name, **fields))


def test_a_list_as_kubectl_prints_it() -> None:
    snapshot = Snapshot.from_objects(
        [
            {"kind": "Namespace", "metadata": {"name": "skipped"}},
            node("a"),
            pod("one", node_name="a", containers=[container(cpu="1")]),
            pod(
                "two",
                node_name="a",
                containers=[container(cpu="2")],
                metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"},
            ),
            pod("done", node_name="a", phase="Succeeded", containers=[container(cpu="4")]),
            pod("waits", containers=[container(cpu="4")]),
            {
                "kind": "DeviceClass",
                "metadata": {"name": "x"},
                "spec": {"extendedResourceName": "example.com/gpu"},
            },
            {"kind": "DeviceClass", "metadata": {"name": "y"}, "spec": {}},
            {"kind": "DeviceClass", "metadata": {"name": "z"}},
        ],
        as_of=5.0,
    )

    assert snapshot.nodes is not None
    assert snapshot.pods is not None
    state = snapshot.nodes["a"]
    assert state.used == ResourceVector({"cpu": 3000})
    assert state.free == state.node.allocatable.minus(state.used)
    assert (state.pod_count, [held.name for held in state.holders]) == (2, ["one", "two"])
    assert len(snapshot.pods) == 4
    assert (snapshot.as_of, dict(snapshot.unknown)) == (5.0, {})
    assert snapshot.claimable == {"example.com/gpu"}


def test_the_last_of_equal_names_counts() -> None:
    snapshot = Snapshot.from_objects([node("a", is_cordoned=True), node("a")])

    assert snapshot.nodes is not None
    assert not snapshot.nodes["a"].node.is_cordoned


def test_all_malformed_objects_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Snapshot.from_objects(
            [
                node("fine"),
                pod("bad", containers=[container(cpu="abc")]),
                "not a mapping",  # type: ignore[list-item]  # what a broken file holds
                {"metadata": {"name": "no kind"}},
                {"kind": "Node", "metadata": "no name"},
            ],
            source="dump.json",
        )

    assert [(problem.file, problem.key) for problem in caught.value.problems] == [
        ("dump.json", "items[1] (Pod bad)"),
        ("dump.json", "items[2]"),
        ("dump.json", "items[3] (None no kind)"),
        ("dump.json", "items[4]"),
    ]
    assert "spec.containers[0].resources: cpu: 'abc' is not a quantity" in str(caught.value)


def test_nothing_read_is_unknown() -> None:
    snapshot = Snapshot(unknown={"nodes": "forbidden", "pods": "forbidden"})

    assert (snapshot.nodes, snapshot.pods) == (None, None)
    assert snapshot.with_pod(a_pod()) is snapshot
    assert snapshot.without_pod(("default", "p")) is snapshot


def small() -> Snapshot:
    return Snapshot.from_objects([node("a"), node("b")])


def test_a_pod_is_added_replaced_and_removed() -> None:
    with_one = small().with_pod(a_pod(node_name="a", containers=[container(cpu="1")]))
    moved = with_one.with_pod(a_pod(node_name="b", containers=[container(cpu="2")]))

    assert with_one.nodes is not None
    assert with_one.nodes["a"].used == ResourceVector({"cpu": 1000})
    assert moved.nodes is not None
    assert (moved.nodes["a"].load, moved.nodes["b"].pod_count) == (NO_LOAD, 1)
    assert moved.without_pod(("default", "p")) == small()
    assert small().without_pod(("default", "absent")) == small()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"node_name": "a", "phase": "Failed"},
        {"node_name": "nowhere"},
        {"status": {"nominatedNodeName": "a"}},
        {"status": {"nominatedNodeName": "nowhere"}},
    ],
)
def test_adding_is_what_reading_would_give(fields: dict[str, Any]) -> None:
    read = Snapshot.from_objects([node("a"), node("b"), pod("p", **fields)])

    assert small().with_pod(a_pod(**fields)) == read
    assert read.without_pod(("default", "p")) == small()


def test_a_snapshot_of_plain_mappings_works_too() -> None:
    state = NodeState(node=Node(name="a", allocatable=EMPTY))
    snapshot = Snapshot(nodes={"a": state}, pods={}).with_pod(a_pod(node_name="a"))

    assert snapshot.nodes is not None
    assert snapshot.nodes["a"].pod_count == 1


def test_pods_without_a_node_list_are_kept_apart() -> None:
    """The load of a node that is not listed waits until the node is."""
    snapshot = Snapshot.from_objects([pod("p", node_name="gone", containers=[container(cpu="1")])])

    assert snapshot.nodes == {}
    assert snapshot.stray["gone"].used == ResourceVector({"cpu": 1000})


def test_pods_that_repel_others_are_remembered() -> None:
    term = {"labelSelector": {}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    lonely = a_pod("lonely", node_name="a", affinity=affinity)
    snapshot = small().with_pod(lonely)

    assert [state.node.name for state in snapshot.repelling] == ["a"]
    assert snapshot.repelling is snapshot.repelling
    assert snapshot.without_pod(lonely.key).repelling == ()
    assert NodeLoad.of([lonely]) == NO_LOAD.with_pod(lonely)


def test_a_journal_answers_only_for_what_it_saw() -> None:
    journal = Journal(10)
    journal.touched += ["a", "", "b", "a"]

    assert journal.between(10, 14) == {"a", "b"}
    assert journal.between(11, 12) == frozenset()
    assert journal.between(14, 14) == frozenset()
    assert journal.between(9, 14) is None
    assert journal.between(14, 13) is None


def test_snapshots_of_nothing_in_common_do_not_compare() -> None:
    assert small().changed_nodes_since(small()) is None


def test_a_node_is_as_free_as_it_is() -> None:
    state = NodeState(node=node_from_api(node()), load=NodeLoad(used=ResourceVector({"cpu": 9000})))

    assert state.free.amount("cpu") == -1000
