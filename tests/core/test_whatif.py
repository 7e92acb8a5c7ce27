"""The answer of the what-if command: seats and reasons, or why not, or all mistakes."""

from typing import Any

import pytest
from raw_objects import container, node, pod

from gpu_spawner.core.errors import ConfigError
from gpu_spawner.core.placement.whatif import whatif


def probe(**fields: Any) -> dict[str, Any]:
    return pod("probe", containers=[container(cpu="4")], **fields)


def test_seats_and_reasons_by_node() -> None:
    items = [
        node("b", is_cordoned=True, taints=[{"key": "x", "effect": "NoSchedule"}]),
        node("a"),
        node("c", allocatable={"pods": "0"}),
    ]

    assert whatif(items, probe()) == {
        "seats": 2,
        "nodes": {
            "a": {"seats": 2, "reasons": ["Insufficient cpu: 4 asked, 0 of 8 free"]},
            "b": {
                "seats": 0,
                "reasons": [
                    "node(s) were unschedulable: cordoned",
                    "node(s) had untolerated taint(s): x:NoSchedule",
                ],
            },
            "c": {"seats": 0, "reasons": ["Too many pods: 0 of 0 pods"]},
        },
    }
    assert list(whatif(items, probe())["nodes"]) == ["a", "b", "c"]


def test_a_reason_that_looks_beyond_the_node() -> None:
    term = {"labelSelector": {}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    items = [node("a"), pod("loner", node_name="a", affinity=affinity)]

    (reason,) = whatif(items, probe())["nodes"]["a"]["reasons"]
    assert reason.startswith("node(s) didn't satisfy existing pods anti-affinity rules: ")


@pytest.mark.parametrize(
    ("items", "spec", "reason"),
    [
        ([], {}, "dump.json lists no nodes"),
        ([pod()], {}, "dump.json lists no nodes"),
        (
            [node()],
            {"resourceClaims": [{"name": "x", "resourceClaimTemplateName": "one"}]},
            "the resource claim template one is not known",
        ),
    ],
)
def test_what_cannot_be_known_is_null_with_a_reason(
    items: list[dict[str, Any]], spec: dict[str, Any], reason: str
) -> None:
    assert whatif(items, probe(**spec), cluster_source="dump.json") == {
        "seats": None,
        "nodes": {},
        "reason": reason,
    }


def test_mistakes_in_both_files_are_all_reported() -> None:
    items = [node("a", allocatable={"cpu": "many"}), pod("t", containers=[container(cpu="abc")])]

    with pytest.raises(ConfigError) as caught:
        whatif(items, {"spec": {}}, cluster_source="dump.json", pod_source="probe.yaml")

    assert [(problem.file, problem.key) for problem in caught.value.problems] == [
        ("dump.json", "items[0] (Node a)"),
        ("dump.json", "items[1] (Pod t)"),
        ("probe.yaml", ""),
    ]
