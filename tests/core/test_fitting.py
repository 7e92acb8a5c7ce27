"""One node, one request: free and total seats, and every reason why not."""

from typing import Any

import msgspec
import pytest
from raw_objects import container, node, pod

from gpu_spawner.core.cluster.objects import node_from_api, pod_from_api
from gpu_spawner.core.cluster.snapshot import NodeLoad, NodeState
from gpu_spawner.core.placement.fitting import (
    NodeSeats,
    Reason,
    Rejection,
    check_node,
    looks_at_names,
    static_keys,
)
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod

GPU = {"nvidia.com/gpu": "8"}
GI = 1 << 30


def state(*holders: dict[str, Any], **fields: Any) -> NodeState:
    return NodeState(
        node=node_from_api(node(**fields)), load=NodeLoad.of(map(pod_from_api, holders))
    )


def asks(**fields: Any) -> PodRequest:
    resources = {key: fields.pop(key) for key in ("cpu", "memory", "gpu", "ports") if key in fields}
    return request_from_pod(pod(containers=[container(**resources)], **fields))


def reasons(seats: NodeSeats) -> list[tuple[Reason, str]]:
    return [(found.reason, found.detail) for found in seats.rejections]


def held(name: str = "held", **fields: Any) -> dict[str, Any]:
    spec = {key: fields.pop(key) for key in ("priority", "status") if key in fields}
    where = "" if spec.get("status") else "node-0"
    return pod(name, node_name=where, containers=[container(**fields)], **spec)


@pytest.mark.parametrize(
    ("request_", "free", "total"),
    [
        (asks(), 108, 110),
        (asks(cpu="1"), 5, 8),
        (asks(cpu="1", memory="10Gi"), 2, 3),
        (asks(gpu=1), 5, 8),
        (asks(gpu=2), 2, 4),
        (asks(gpu=8), 0, 1),
        (asks(gpu=9), 0, 0),
    ],
)
def test_the_scarcest_resource_decides(request_: PodRequest, free: int, total: int) -> None:
    busy = state(
        held("a", cpu="2", gpu=2), held("b", cpu="1", memory="4Gi", gpu=1), allocatable=GPU
    )

    seats = check_node(request_, busy)

    assert (seats.free, seats.total) == (free, total)


def test_what_stops_the_next_one_is_said_where_there_is_room_too() -> None:
    seats = check_node(asks(cpu="3", gpu=1), state(held(gpu=6), allocatable=GPU))

    assert seats == NodeSeats(
        free=2,
        total=2,
        rejections=(
            Rejection(
                reason=Reason.INSUFFICIENT,
                resource="cpu",
                detail="3 asked, 2 of 8 free",
                short_by=1000,
                is_permanent=False,
            ),
            Rejection(
                reason=Reason.INSUFFICIENT,
                resource="nvidia.com/gpu",
                detail="1 asked, 0 of 8 free",
                short_by=1,
                is_permanent=False,
            ),
        ),
    )


def test_all_reasons_are_given_not_only_the_first() -> None:
    """A cordoned, tainted, full node of the wrong kind says all four."""
    full = state(
        held(cpu="8"),
        taints=[
            {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
            {"key": "gpu", "value": "yes", "effect": "NoExecute"},
            {"key": "soft", "effect": "PreferNoSchedule"},
        ],
        is_cordoned=True,
        allocatable={"pods": "1"},
    )

    seats = check_node(asks(cpu="1", gpu=1, nodeSelector={"model": "L4"}), full)

    assert (seats.free, seats.total) == (0, 0)
    assert reasons(seats) == [
        (Reason.CORDONED, ""),
        (Reason.TAINT, "gpu=yes:NoExecute"),
        (Reason.SELECTOR, "model is absent, wanted L4"),
        (Reason.INSUFFICIENT, "1 of 1 pods"),
        (Reason.INSUFFICIENT, "1 asked, 0 of 8 free"),
        (Reason.INSUFFICIENT, "1 asked, 0 of 0 free"),
    ]


@pytest.mark.parametrize(
    "toleration",
    [
        {"operator": "Exists"},
        {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"},
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
    ],
)
def test_a_cordon_can_be_tolerated(toleration: dict[str, str]) -> None:
    cordoned = state(is_cordoned=True)

    assert check_node(asks(cpu="1"), cordoned).free == 0
    assert check_node(asks(cpu="1", tolerations=[toleration]), cordoned).free == 8


def test_the_scheduler_does_not_look_at_the_ready_condition() -> None:
    """Only the taint that the node controller sets in turn keeps pods away."""
    silent = state(is_ready=False)
    tainted = state(
        is_ready=False, taints=[{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    )

    assert check_node(asks(cpu="1"), silent).free == 8
    assert reasons(check_node(asks(cpu="1"), tainted))[0] == (
        Reason.NOT_READY,
        "node.kubernetes.io/not-ready:NoSchedule",
    )


def test_a_taint_that_only_looks_like_a_cordon_counts() -> None:
    tainted = state(taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}])

    assert reasons(check_node(asks(cpu="1"), tainted))[0] == (
        Reason.TAINT,
        "node.kubernetes.io/unschedulable:NoSchedule",
    )


def test_a_selector_says_what_it_found() -> None:
    labelled = state(labels={"model": "T4"})
    terms = [{"matchExpressions": [{"key": "model", "operator": "In", "values": ["L4"]}]}]
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
        }
    }

    found = check_node(asks(nodeSelector={"model": "L4", "zone": "a"}, affinity=affinity), labelled)

    assert reasons(found) == [
        (Reason.SELECTOR, "model is T4, wanted L4"),
        (Reason.SELECTOR, "zone is absent, wanted a"),
        (Reason.SELECTOR, "no term of the node affinity matches"),
    ]


def test_a_named_node_is_the_only_one() -> None:
    assert check_node(asks(node_name="node-0"), state()).free == 110
    assert reasons(check_node(asks(node_name="node-1"), state())) == [
        (Reason.WRONG_NODE_NAME, "wants node-1")
    ]


def test_a_gated_pod_has_no_seat_anywhere() -> None:
    found = check_node(asks(schedulingGates=[{"name": "wait"}]), state())

    assert (found.free, found.total, reasons(found)) == (0, 0, [(Reason.GATED, "wait")])


@pytest.mark.parametrize(
    ("labels", "architecture", "free"),
    [
        ({"kubernetes.io/arch": "amd64"}, "", 110),
        ({"kubernetes.io/arch": "arm64"}, "amd64", 0),
        ({}, "arm64", 0),
        ({}, "", 110),
    ],
)
def test_an_image_for_another_architecture(
    labels: dict[str, str], architecture: str, free: int
) -> None:
    """A node that does not say what it is, is not refused."""
    raw = node(labels=labels)
    raw["status"]["nodeInfo"] = {"architecture": architecture}
    found = NodeState(node=node_from_api(raw))
    wants = msgspec.structs.replace(asks(), architectures=frozenset({"amd64", "s390x"}))

    seats = check_node(wants, found)

    assert seats.free == free
    if not free:
        assert reasons(seats) == [
            (Reason.ARCHITECTURE, "the node is arm64, the image is for amd64 or s390x")
        ]


@pytest.mark.parametrize(
    ("labels", "free"),
    [
        ({"cuda.runtime-version.major": "12", "cuda.runtime-version.minor": "8"}, 110),
        ({"cuda.runtime-version.major": "13"}, 110),
        ({"cuda.runtime-version.major": "12", "cuda.runtime-version.minor": "2"}, 0),
        ({"cuda.runtime.major": "12", "cuda.runtime.minor": "2"}, 0),
        ({"cuda.runtime-version.major": "?", "cuda.runtime-version.minor": "2"}, 110),
        ({}, 110),
    ],
)
def test_a_driver_too_old_for_the_image(labels: dict[str, str], free: int) -> None:
    found = state(labels={f"nvidia.com/{key}": value for key, value in labels.items()})
    wants = msgspec.structs.replace(asks(), min_cuda=(12, 8))

    seats = check_node(wants, found)

    assert seats.free == free
    if not free:
        assert reasons(seats) == [
            (Reason.DRIVER, "the driver offers CUDA 12.2, the image needs 12.8")
        ]


def port(number: int, **fields: str) -> dict[str, Any]:
    return {"hostPort": number, **fields}


@pytest.mark.parametrize(
    ("taken", "wanted", "is_free"),
    [
        (port(80), port(80), False),
        (port(80), port(81), True),
        (port(80), port(80, protocol="UDP"), True),
        (port(80, hostIP="10.0.0.1"), port(80, hostIP="10.0.0.2"), True),
        (port(80, hostIP="10.0.0.1"), port(80, hostIP="10.0.0.1"), False),
        (port(80, hostIP="10.0.0.1"), port(80), False),
        (port(80), port(80, hostIP="10.0.0.1"), False),
    ],
)
def test_host_ports_conflict(
    *, taken: dict[str, Any], wanted: dict[str, Any], is_free: bool
) -> None:
    seats = check_node(asks(ports=[wanted]), state(held(ports=[taken])))

    assert (seats.free, seats.total) == (int(is_free), 1)


def test_a_host_port_lets_only_one_onto_a_node() -> None:
    wants = asks(cpu="1", ports=[port(80)])

    alone, beside = check_node(wants, state()), check_node(wants, state(held(ports=[port(80)])))

    assert reasons(alone) == [(Reason.PORT, "TCP port 80 of the host would be in use")]
    assert reasons(beside) == [(Reason.PORT, "TCP port 80 of the host is in use")]


def test_pods_that_keep_each_other_away_get_one_seat_a_node() -> None:
    seats = check_node(asks(cpu="1"), state(), is_exclusive=True)

    assert (seats.free, seats.total) == (1, 1)
    assert reasons(seats) == [(Reason.ANTI_AFFINITY, "one per node")]


def test_a_barrier_leaves_the_total() -> None:
    barrier = Rejection(reason=Reason.REPELLED, is_permanent=False)

    seats = check_node(asks(cpu="1"), state(), {"node-0": (barrier,)})

    assert seats == NodeSeats(free=0, total=8, rejections=(barrier,))


def test_room_that_is_made_for_another_pod_is_taken() -> None:
    """A nominated pod counts against equal and lower priorities, with its port too."""
    promised = held(cpu="6", priority=5, ports=[port(80)], status={"nominatedNodeName": "node-0"})

    assert check_node(asks(cpu="1", priority=5), state(promised)).free == 2
    assert check_node(asks(cpu="1", priority=6), state(promised)).free == 8
    assert check_node(asks(cpu="1", ports=[port(80)]), state(promised)).free == 0


def test_an_overcommitted_node_takes_only_pods_that_ask_for_nothing() -> None:
    overcommitted = state(held(cpu="9"))

    assert check_node(asks(cpu="1m"), overcommitted).free == 0
    assert check_node(asks(memory="1Gi"), overcommitted).free == 32


def test_amounts_are_written_in_their_units() -> None:
    wants = request_from_pod(
        pod(
            containers=[
                {
                    "name": "a",
                    "resources": {
                        "requests": {
                            "cpu": "500m",
                            "memory": "1Gi",
                            "ephemeral-storage": "2Gi",
                            "hugepages-2Mi": "4Mi",
                        }
                    },
                }
            ]
        )
    )
    small = state(allocatable={"cpu": "100m", "memory": "512Mi"})

    assert reasons(check_node(wants, small)) == [
        (Reason.INSUFFICIENT, "500m asked, 100m of 100m free"),
        (Reason.INSUFFICIENT, "1Gi asked, 512Mi of 512Mi free"),
        (Reason.INSUFFICIENT, "2Gi asked, 0 of 0 free"),
        (Reason.INSUFFICIENT, "4Mi asked, 0 of 0 free"),
    ]


def test_which_labels_and_names_a_request_looks_at() -> None:
    fields = [{"key": "metadata.name", "operator": "In", "values": ["node-0"]}]
    terms = [{"matchExpressions": [{"key": "k", "operator": "Exists"}]}, {"matchFields": fields}]
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
        }
    }
    wants = msgspec.structs.replace(
        asks(nodeSelector={"s": "1"}, affinity=affinity),
        architectures=frozenset({"amd64"}),
        min_cuda=(12, 0),
    )

    assert {"k", "s", "kubernetes.io/arch", "nvidia.com/cuda.runtime.major"} <= static_keys(wants)
    assert static_keys(asks()) == frozenset()
    assert (looks_at_names(wants), looks_at_names(asks())) == (True, False)
    assert looks_at_names(asks(node_name="node-0"))
