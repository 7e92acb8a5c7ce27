"""Seats of a cluster: sums over nodes, and unknown where they cannot be known."""

from typing import Any

import pytest
from raw_objects import container, node, pod

from gpu_spawner.core.cluster.objects import node_from_api, pod_from_api
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import ClusterState
from gpu_spawner.core.placement import changes, node_table
from gpu_spawner.core.placement import request_seats as placement
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod
from gpu_spawner.core.placement.seats import SeatIndex, Seats, count_seats

GPU_TAINT = [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
TOLERATIONS = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
AWAY = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {}, "topologyKey": "kubernetes.io/hostname"}
        ]
    }
}


def gpu_node(name: str, gpus: int = 4, **fields: Any) -> dict[str, Any]:
    fields.setdefault("labels", {"model": "L4"})
    return node(name, allocatable={"nvidia.com/gpu": gpus, "cpu": "64"}, taints=GPU_TAINT, **fields)


def asks(gpu: int = 1, **fields: Any) -> PodRequest:
    return request_from_pod(
        pod("probe", containers=[container(cpu="1", gpu=gpu)], tolerations=TOLERATIONS, **fields)
    )


def numbers(seats: Seats) -> tuple[int | None, int | None, str | None]:
    return seats.free, seats.total, seats.unknown


def cluster() -> list[dict[str, Any]]:
    return [
        gpu_node("a"),
        gpu_node("b"),
        gpu_node("c", is_cordoned=True),
        gpu_node("d", labels={"model": "T4"}),
        node("cpu"),
        pod("x", node_name="a", containers=[container(gpu=3)]),
        pod("y", node_name="b", containers=[container(gpu=1)]),
    ]


def test_free_gpus_on_several_nodes_do_not_add_up_to_one_server() -> None:
    """Four free GPUs on two nodes seat one server with three, not one with four."""
    snapshot = Snapshot.from_objects(cluster())
    on_l4 = {"nodeSelector": {"model": "L4"}}

    assert numbers(count_seats(snapshot, asks(1, **on_l4))) == (4, 8, None)
    assert numbers(count_seats(snapshot, asks(2, **on_l4))) == (1, 4, None)
    assert numbers(count_seats(snapshot, asks(3, **on_l4))) == (1, 2, None)
    assert numbers(count_seats(snapshot, asks(4, **on_l4))) == (0, 2, None)
    assert numbers(count_seats(snapshot, asks(1))) == (8, 12, None)


def test_every_node_says_its_part() -> None:
    seats = count_seats(Snapshot.from_objects(cluster()), asks(2))

    assert {name: (found.free, found.total) for name, found in seats.nodes.items()} == {
        "a": (0, 2),
        "b": (1, 2),
        "c": (0, 0),
        "d": (2, 2),
        "cpu": (0, 0),
    }
    assert len(seats.nodes) == 5
    assert "z" not in seats.nodes


@pytest.mark.parametrize(("limit", "expected"), [(None, 8), (3, 3), (8, 8), (20, 8)])
def test_the_count_can_be_limited(limit: int | None, expected: int) -> None:
    assert count_seats(Snapshot.from_objects(cluster()), asks(), limit=limit).free == expected


def test_nodes_nobody_may_read_are_unknown_not_full() -> None:
    snapshot = Snapshot(unknown={"nodes": "forbidden", "pods": "forbidden"})

    assert numbers(count_seats(snapshot, asks(), limit=3)) == (None, None, "nodes: forbidden")
    assert numbers(count_seats(Snapshot(), asks())) == (None, None, "nodes: unknown")


def test_pods_nobody_may_read_leave_the_total() -> None:
    known = Snapshot.from_objects([gpu_node("a"), gpu_node("b")])
    snapshot = Snapshot(nodes=known.nodes, pods=None, unknown={"pods": "forbidden"})

    seats = count_seats(snapshot, asks())

    assert numbers(seats) == (None, 8, "pods: forbidden")
    assert dict(seats.nodes) == {}


def test_what_a_request_cannot_say_is_unknown() -> None:
    request = request_from_pod(
        pod(resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "one"}])
    )

    assert numbers(count_seats(Snapshot.from_objects(cluster()), request)) == (
        None,
        None,
        "the resource claim template one is not known",
    )


def test_what_a_device_class_stands_behind_is_counted_as_before_where_nodes_have_it() -> None:
    offered = {
        "kind": "DeviceClass",
        "metadata": {"name": "gpu"},
        "spec": {"extendedResourceName": "nvidia.com/gpu"},
    }
    snapshot = Snapshot.from_objects([*cluster(), offered])

    assert numbers(count_seats(snapshot, asks())) == numbers(
        count_seats(Snapshot.from_objects(cluster()), asks())
    )


def test_a_cluster_without_nodes_has_no_seats() -> None:
    assert numbers(count_seats(Snapshot.from_objects([]), asks())) == (0, 0, None)


def test_nodes_with_many_capacities_are_counted_in_columns() -> None:
    """Real machines of one kind differ by a few KiB of memory."""
    many = [
        node(f"n{number}", allocatable={"memory": f"{1 << 20}Ki", "cpu": f"{1000 + number}m"})
        for number in range(node_table._FEW + 5)
    ]
    promised = pod(status={"nominatedNodeName": "n3"}, containers=[container(cpu="1")])
    request = request_from_pod(pod("probe", containers=[container(cpu="500m")]))

    assert numbers(count_seats(Snapshot.from_objects(many), request)) == (74, 74, None)
    assert numbers(count_seats(Snapshot.from_objects([*many, promised]), request)) == (72, 74, None)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"node_name": "b"}, (3, 4)),
        ({"node_name": "nowhere"}, (0, 0)),
        ({"nodeSelector": {"kubernetes.io/hostname": "b"}}, (3, 4)),
    ],
)
def test_requests_for_single_nodes(fields: dict[str, Any], expected: tuple[int, int]) -> None:
    seats = count_seats(Snapshot.from_objects(cluster()), asks(**fields))

    assert (seats.free, seats.total) == expected


def test_a_host_port_seats_one_a_node() -> None:
    probe = pod("probe", containers=[container(ports=[{"hostPort": 80}])])
    taken = pod("taken", node_name="a", containers=[container(ports=[{"hostPort": 80}])])
    snapshot = Snapshot.from_objects([node("a"), node("b"), taken])

    assert numbers(count_seats(snapshot, request_from_pod(probe))) == (1, 2, None)


class Fed:
    """A state and an index over it, compared with counting anew after each event."""

    def __init__(self, request: PodRequest) -> None:
        self.state = ClusterState()
        self.state.replace_all(
            "nodes", [node_from_api(item) for item in cluster() if item["kind"] == "Node"]
        )
        self.state.replace_all(
            "pods", [pod_from_api(item) for item in cluster() if item["kind"] == "Pod"]
        )
        self.index = SeatIndex(request)
        self.check()

    def check(self) -> tuple[int | None, int | None, str | None]:
        snapshot = self.state.snapshot(1.0)
        found = self.index.update(snapshot)
        assert numbers(found) == numbers(count_seats(snapshot, self.index.request))
        assert dict(found.nodes) == dict(count_seats(snapshot, self.index.request).nodes)
        return numbers(found)

    def pod(self, event: str, raw: dict[str, Any]) -> tuple[int | None, int | None, str | None]:
        self.state.apply("pods", event, pod_from_api(raw))
        return self.check()

    def node(self, event: str, raw: dict[str, Any]) -> tuple[int | None, int | None, str | None]:
        self.state.apply("nodes", event, node_from_api(raw))
        return self.check()


def test_an_index_follows_events() -> None:
    fed = Fed(asks())
    two = [container(gpu=2)]

    assert fed.pod("ADDED", pod("z", containers=two)) == (8, 12, None)
    assert fed.pod("MODIFIED", pod("z", node_name="b", containers=two)) == (6, 12, None)
    assert fed.pod("MODIFIED", pod("z", node_name="b", phase="Failed")) == (8, 12, None)
    assert fed.node("MODIFIED", gpu_node("c")) == (12, 16, None)
    assert fed.node("ADDED", gpu_node("e", gpus=1)) == (13, 17, None)
    assert fed.node("DELETED", gpu_node("a")) == (12, 13, None)


def test_an_index_judges_only_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    fed = Fed(asks())
    judged: list[str] = []
    original, difference = placement.count_on_node, placement.RequestSeats._difference

    def count_on_node(request: PodRequest, state: Any, **options: Any) -> tuple[int, int]:
        judged.append(state.node.name)
        return original(request, state, **options)

    def of_loads(self: Any, old: Any, new: Any) -> int:
        judged.append(f"{old.node.name}, its load alone")
        return difference(self, old, new)

    monkeypatch.setattr(placement, "count_on_node", count_on_node)
    monkeypatch.setattr(placement.RequestSeats, "_difference", of_loads)
    fed.state.apply("pods", "ADDED", pod_from_api(pod("z", node_name="b")))
    fed.index.update(fed.state.snapshot(1.0))
    assert judged == ["b, its load alone"]

    judged.clear()
    fed.state.apply("nodes", "MODIFIED", node_from_api(gpu_node("b", gpus=1)))
    fed.index.update(fed.state.snapshot(1.0))
    assert judged == ["b", "b"], "before and after"


def test_an_index_counts_anew_when_too_much_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_MANY", 1)
    fed = Fed(asks())
    for name in ("a", "b"):
        fed.state.apply("pods", "ADDED", pod_from_api(pod(f"z-{name}", node_name=name)))

    assert fed.check() == (8, 12, None)


def test_an_index_follows_pods_that_repel() -> None:
    """Such a pod changes what other nodes offer, so everything is counted again."""
    fed = Fed(asks())
    loner = pod("loner", node_name="b", affinity=AWAY)

    assert fed.pod("ADDED", loner) == (5, 12, None)
    assert fed.pod("ADDED", pod("z", node_name="d", containers=[container(gpu=1)])) == (4, 12, None)
    assert fed.node("MODIFIED", gpu_node("b", labels={"kubernetes.io/hostname": "moved"})) == (
        4,
        12,
        None,
    )
    assert fed.pod("DELETED", loner) == (7, 12, None)


def test_an_index_follows_room_that_is_being_made() -> None:
    """A nominated pod weighs by its priority, which a pod of the same name may have raised."""
    fed = Fed(asks(priority=5))
    promised = {"status": {"nominatedNodeName": "d"}, "containers": [container(gpu=2)]}

    assert fed.pod("ADDED", pod("z", priority=1, **promised)) == (8, 12, None)
    assert fed.pod("MODIFIED", pod("z", priority=9, **promised)) == (6, 12, None)
    assert fed.pod("MODIFIED", pod("z", node_name="d", containers=[container(gpu=2)])) == (
        6,
        12,
        None,
    )


def test_an_index_of_pods_with_anti_affinity_counts_anew() -> None:
    fed = Fed(asks(labels={"component": "x"}, affinity=AWAY))

    assert fed.check() == (1, 3, None)
    assert fed.pod("DELETED", pod("x")) == (2, 3, None)


def test_an_index_survives_the_unknown() -> None:
    fed = Fed(asks())
    known = fed.check()
    fed.state.forget("pods", "forbidden")
    assert fed.check() == (None, 12, "pods: forbidden")
    fed.state.forget("nodes", "forbidden")
    assert fed.check() == (None, None, "nodes: forbidden")

    again = Fed(asks())
    again.index = fed.index
    assert again.check() == known
