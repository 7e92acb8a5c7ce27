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


CLAIM = {"name": "x", "resourceClaimName": "x"}


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ([CLAIM | {"resourceClaimTemplateName": "t"}], "'x' names a claim and a template"),
        ([{"name": "x"}], "'x' names neither claim nor template"),
        ([CLAIM, CLAIM], "'x' is there twice"),
        ([{"resourceClaimName": "x"}], "an entry has no name"),
        ([], "'x' is not in spec.resourceClaims"),
        ([CLAIM | {"name": "y"}], "'x' is not in spec.resourceClaims"),
    ],
)
@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_claims_that_the_api_server_refuses(
    claims: list[dict[str, str]], told: str, kind: str
) -> None:
    manifest = probe(resourceClaims=claims)
    user = {"name": "user", "resources": {"claims": [{"name": "x"}]}}
    manifest["spec"][kind] = [*manifest["spec"].get(kind, ()), user]

    with pytest.raises(ConfigError, match=told):
        whatif([node()], manifest)


def runtime_class(**fields: Any) -> dict[str, Any]:
    return {"kind": "RuntimeClass", "metadata": {"name": "kata"}, "handler": "kata", **fields}


class TestRuntimeClass:
    """What admission adds to a pod counts: overhead, node selector, tolerations."""

    def seats(self, *items: dict[str, Any], **spec: Any) -> dict[str, Any]:
        taints = [{"key": "sandbox", "effect": "NoSchedule"}]
        nodes = [node("a"), node("b", labels={"kata": "yes"}, taints=taints)]
        return whatif([*nodes, *items], probe(runtimeClassName="kata", **spec))

    def test_a_class_that_is_not_in_the_file_leaves_seats_unknown(self) -> None:
        answer = self.seats()

        assert answer["seats"] is None
        assert answer["reason"] == (
            "the runtime class 'kata', which may add to the pod, is not known"
        )

    def test_a_class_that_adds_nothing(self) -> None:
        assert self.seats(runtime_class())["seats"] == 2

    def test_overhead(self) -> None:
        found = runtime_class(overhead={"podFixed": {"cpu": "1"}})

        assert self.seats(found)["seats"] == 1
        assert self.seats(found, overhead={"cpu": "1"})["seats"] == 1
        with pytest.raises(ConfigError, match="differs from that of runtime class 'kata'"):
            self.seats(found, overhead={"cpu": "2"})

    def test_where_its_pods_go(self) -> None:
        tolerations = [{"key": "sandbox", "operator": "Exists"}]
        scheduling = {"nodeSelector": {"kata": "yes"}, "tolerations": tolerations}
        answer = self.seats(runtime_class(scheduling=scheduling))

        assert [answer["nodes"][name]["seats"] for name in "ab"] == [0, 2]
        with pytest.raises(ConfigError, match="'kata' conflicts with the runtime class"):
            self.seats(runtime_class(scheduling=scheduling), nodeSelector={"kata": "no"})
