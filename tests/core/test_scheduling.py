"""One pod at a time: the node it goes to, or the scheduler's own words."""

from typing import Any

import pytest
from raw_objects import container, node, pod

from gpu_spawner.core.cluster.objects import pod_from_api
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.placement.fitting import Reason, Rejection
from gpu_spawner.core.placement.pod_request import request_from_pod
from gpu_spawner.core.placement.scheduling import (
    Placed,
    Refused,
    Scoring,
    schedule,
    scheduler_message,
    scheduler_words,
)

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


def message(*items: dict[str, Any], **fields: Any) -> str:
    resources = {key: fields.pop(key) for key in ("cpu", "gpu", "ports") if key in fields}
    probe = pod("probe", containers=[container(**resources)], **fields)
    return scheduler_message(Snapshot.from_objects(items), request_from_pod(probe))


def refusal(count: int, reasons: str, preemption: str) -> str:
    return (
        f"0/{count} nodes are available: {reasons}. no new claims to deallocate,"
        f" preemption: 0/{count} nodes are available: {preemption}."
    )


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    selector = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": selector}}


def named(*names: str) -> dict[str, Any]:
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": list(names)}]}


def test_a_pod_that_fits_has_no_message() -> None:
    assert message(node()) == ""


def test_no_nodes() -> None:
    assert message() == "no nodes available to schedule pods"


def test_reasons_are_counted_and_sorted_as_text() -> None:
    items = [
        node("a", is_cordoned=True),
        node("b", taints=[{"key": "x", "effect": "NoSchedule"}]),
        *(node(f"full-{number}", allocatable={"cpu": "1"}) for number in range(10)),
    ]

    assert message(*items, cpu="2") == refusal(
        12,
        "1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 10 Insufficient cpu",
        f"12 {NOT_HELPFUL}",
    )


def test_the_first_filter_speaks_and_only_resources_are_all_named() -> None:
    cordoned = node(
        "a", is_cordoned=True, taints=[{"key": "x", "effect": "NoSchedule"}], allocatable={"cpu": 0}
    )
    full = node("b", allocatable={"cpu": "1", "pods": "0"})

    assert message(cordoned, full, cpu="2", gpu=1) == refusal(
        2,
        "1 Insufficient cpu, 1 Insufficient nvidia.com/gpu, 1 Too many pods,"
        " 1 node(s) were unschedulable",
        f"2 {NOT_HELPFUL}",
    )


def test_the_pod_limit_alone_is_never_hopeless() -> None:
    assert message(node(allocatable={"pods": "0"})) == refusal(
        1, "1 Too many pods", f"1 {NO_VICTIMS}"
    )


def test_a_named_node() -> None:
    assert message(node("a"), node_name="b") == refusal(
        1, "1 node(s) didn't match the requested node name", f"1 {NOT_HELPFUL}"
    )


def test_host_ports() -> None:
    ports = [{"hostPort": 80}]
    taken = pod("taken", node_name="a", containers=[container(ports=ports)])

    assert message(node("a"), taken, ports=ports) == refusal(
        1, "1 node(s) didn't have free ports for the requested pod ports", f"1 {NO_VICTIMS}"
    )


@pytest.mark.parametrize(
    ("affinity", "reasons"),
    [
        (required({}), "2 node(s) didn't match Pod's node affinity/selector"),
        (required(), "2 node(s) didn't match Pod's node affinity/selector"),
        (
            required(named("gone")),
            "2 node(s) didn't satisfy plugin(s) [NodeAffinity]",
        ),
        (
            required(named("a")),
            "1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) [NodeAffinity]",
        ),
        (
            required(named("a"), named("b")),
            "2 Insufficient cpu",
        ),
        (
            required(
                {
                    "matchFields": [
                        {"key": "metadata.name", "operator": "NotIn", "values": ["b"]},
                        *named("a")["matchFields"],
                    ]
                }
            ),
            "1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) [NodeAffinity]",
        ),
        (
            required(named("a"), {"matchExpressions": [{"key": "x", "operator": "Exists"}]}),
            "1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector",
        ),
        (
            required({"matchFields": [*named("a")["matchFields"], *named("b")["matchFields"]]}),
            "pod affinity terms conflict",
        ),
    ],
)
def test_node_affinity_by_name(affinity: dict[str, Any], reasons: str) -> None:
    """Nodes that the affinity does not name are not even looked at."""
    items = [node("a", allocatable={"cpu": "1"}), node("b", allocatable={"cpu": "1"})]

    assert message(*items, cpu="2", affinity=affinity) == refusal(2, reasons, f"2 {NOT_HELPFUL}")


def away() -> dict[str, Any]:
    term = {"labelSelector": {}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def test_anti_affinity() -> None:
    loner = pod("loner", node_name="a", affinity=away())
    plain = pod("plain", node_name="a")

    assert message(node("a"), loner) == refusal(
        1, "1 node(s) didn't satisfy existing pods anti-affinity rules", f"1 {NO_VICTIMS}"
    )
    assert message(node("a"), plain, affinity=away()) == refusal(
        1, "1 node(s) didn't match pod anti-affinity rules", f"1 {NO_VICTIMS}"
    )


def test_preemption_that_would_help_ends_the_message() -> None:
    """The pod is nominated then, and its event has no more to say."""
    victim = pod("victim", node_name="a", containers=[container(cpu="8")], priority=1)

    assert message(node("a"), victim, cpu="1", priority=2) == (
        "0/1 nodes are available: 1 Insufficient cpu."
    )
    assert message(node("a"), victim, cpu="1", priority=1) == refusal(
        1, "1 Insufficient cpu", f"1 {NO_VICTIMS}"
    )


def test_preemption_that_would_not_help_says_what_is_still_short() -> None:
    items = [
        node("a"),
        pod("small", node_name="a", containers=[container(cpu="1")], priority=1),
        pod("big", node_name="a", containers=[container(cpu="7")], priority=9),
    ]

    assert message(*items, cpu="2", priority=5) == refusal(
        1, "1 Insufficient cpu", "1 Insufficient cpu"
    )


def test_a_pod_may_never_preempt() -> None:
    victim = pod("victim", node_name="a", containers=[container(cpu="8")], priority=1)

    assert message(node("a"), victim, cpu="1", priority=2, preemptionPolicy="Never") == (
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate,"
        " preemption: not eligible due to preemptionPolicy=Never."
    )


def test_gates_come_before_everything() -> None:
    request = request_from_pod(pod(schedulingGates=[{"name": "wait"}]))

    assert schedule(Snapshot(), request) == Refused(
        message="Scheduling is blocked due to non-empty scheduling gates", is_gated=True
    )


def test_what_cannot_be_judged_is_not_placed() -> None:
    request = request_from_pod(
        pod(resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "one"}])
    )

    reason = "the resource claim template one is not known"
    assert schedule(Snapshot.from_objects([node()]), request) == Refused(
        message=reason, unknown=reason
    )


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_words(reason: Reason) -> None:
    assert scheduler_words(Rejection(reason=reason, resource="cpu"))


def chosen(*items: dict[str, Any], scoring: Scoring = Scoring.LEAST_ALLOCATED, **spec: Any) -> str:
    probe = pod("probe", containers=[container(cpu="1", memory="4Gi")], **spec)
    decision = schedule(Snapshot.from_objects(items), request_from_pod(probe), scoring=scoring)
    assert isinstance(decision, Placed)
    return decision.node


def busy(node_name: str) -> dict[str, Any]:
    return pod("busy", node_name=node_name, containers=[container(cpu="4", memory="16Gi")])


def test_the_emptiest_node_is_chosen_by_default() -> None:
    assert chosen(node("a"), node("b"), busy("a")) == "b"


def test_packing_chooses_the_fullest() -> None:
    assert chosen(node("a"), node("b"), busy("b"), scoring=Scoring.MOST_ALLOCATED) == "b"


def test_ties_go_to_the_first_name() -> None:
    assert chosen(node("b"), node("a")) == "a"


def test_a_balanced_node_is_preferred() -> None:
    lopsided = node("a", allocatable={"cpu": "64", "memory": "8Gi"})

    assert chosen(lopsided, node("b", allocatable={"cpu": "4", "memory": "16Gi"})) == "b"


def test_nodes_that_offer_neither_cpu_nor_memory_can_be_chosen() -> None:
    bare = {"kind": "Node", "metadata": {"name": "a"}, "status": {"allocatable": {"pods": "1"}}}
    snapshot = Snapshot.from_objects([bare])

    assert schedule(snapshot, request_from_pod(pod())) == Placed(node="a")


def test_preferred_affinity_steers_and_does_not_refuse() -> None:
    preferred = {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "preference": {"matchExpressions": [{"key": "warm", "operator": "Exists"}]},
                }
            ]
        }
    }

    assert chosen(node("a"), node("b", labels={"warm": "yes"}), affinity=preferred) == "b"
    assert chosen(node("a"), affinity=preferred) == "a"


def test_a_discouraging_taint_is_avoided_and_can_be_tolerated() -> None:
    soft = [{"key": "soft", "effect": "PreferNoSchedule"}]
    tolerations = [{"key": "soft", "operator": "Exists"}]

    assert chosen(node("a", taints=soft), node("b")) == "b"
    assert chosen(node("a", taints=soft), node("b"), tolerations=tolerations) == "a"
    assert chosen(node("a", taints=soft)) == "a"


def test_a_decision_takes_room() -> None:
    snapshot = Snapshot.from_objects([node("a", allocatable={"cpu": "1"})])
    request = request_from_pod(pod(containers=[container(cpu="1")]))
    assert schedule(snapshot, request) == Placed(node="a")
    bound = pod_from_api(pod(node_name="a", containers=[container(cpu="1")]))

    assert isinstance(schedule(snapshot.with_pod(bound), request), Refused)
