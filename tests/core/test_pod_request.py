"""What a manifest asks for, with what the API server would add, and what nobody can judge."""

from typing import Any

import pytest
from raw_objects import container, pod

from gpu_spawner.core.cluster.pod_affinity import AntiAffinityTerm
from gpu_spawner.core.cluster.selectors import (
    LabelSelector,
    NodeSelectorTerm,
    Requirement,
    Toleration,
)
from gpu_spawner.core.errors import ConfigError
from gpu_spawner.core.placement.extended_resources import ContainerAsk
from gpu_spawner.core.placement.pod_request import (
    PodRequest,
    PreferredTerm,
    request_from_pod,
)
from gpu_spawner.core.resources import EMPTY, ResourceVector

ADDED = (
    Toleration(key="node.kubernetes.io/not-ready", operator="Exists", effect="NoExecute"),
    Toleration(key="node.kubernetes.io/unreachable", operator="Exists", effect="NoExecute"),
)


def test_a_bare_pod_asks_for_nothing_in_particular() -> None:
    bare = {"spec": {"containers": [{"name": "main"}]}}

    assert request_from_pod(bare) == PodRequest(requests=EMPTY, tolerations=ADDED)


def test_a_pod_that_asks_for_everything() -> None:
    manifest = pod(
        namespace="hub",
        labels={"b": "2", "a": "1"},
        containers=[container(cpu="1", gpu=2, ports=[{"hostPort": 80}])],
        nodeSelector={"z": "1", "a": "2"},
        affinity={
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}],
                            "matchFields": [
                                {"key": "metadata.name", "operator": "In", "values": ["n"]}
                            ],
                        }
                    ]
                },
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 7,
                        "preference": {"matchExpressions": [{"key": "k", "operator": "Exists"}]},
                    },
                    {"weight": 1},
                ],
            },
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "labelSelector": {"matchLabels": {"a": "1"}},
                        "namespaces": ["x"],
                        "namespaceSelector": {},
                        "topologyKey": "zone",
                    }
                ]
            },
        },
        tolerations=[{"key": "t", "operator": "Exists", "effect": "NoSchedule"}],
        node_name="n",
        priority=5,
        preemptionPolicy="Never",
        schedulingGates=[{"name": "kueue.x-k8s.io/admission"}],
    )

    key_in = Requirement(key="k", operator="In", values=("v",))
    name_in = Requirement(key="metadata.name", operator="In", values=("n",))
    key_exists = Requirement(key="k", operator="Exists")
    assert request_from_pod(manifest) == PodRequest(
        requests=ResourceVector({"cpu": 1000, "nvidia.com/gpu": 2}),
        node_selector=(("a", "2"), ("z", "1")),
        affinity=(NodeSelectorTerm(match_expressions=(key_in,), match_fields=(name_in,)),),
        preferred=(
            PreferredTerm(weight=7, term=NodeSelectorTerm(match_expressions=(key_exists,))),
        ),
        tolerations=(Toleration(key="t", operator="Exists", effect="NoSchedule"), *ADDED),
        node_name="n",
        host_ports=(("0.0.0.0", "TCP", 80),),
        namespace="hub",
        labels=(("a", "1"), ("b", "2")),
        anti_affinity=(
            AntiAffinityTerm(
                selector=LabelSelector(match_labels=(("a", "1"),)),
                namespaces=("x",),
                namespace_selector=LabelSelector(),
                topology_key="zone",
            ),
        ),
        priority=5,
        may_preempt=False,
        gates=("kueue.x-k8s.io/admission",),
        asks=(
            ContainerAsk(
                index=0,
                name="main",
                amounts=(("nvidia.com/gpu", 2),),
                names=("cpu", "nvidia.com/gpu"),
            ),
        ),
    )


def test_equal_requests_are_one_key() -> None:
    assert len({request_from_pod(pod("a")), request_from_pod(pod("b"))}) == 1


@pytest.mark.parametrize(
    ("affinity", "expected"),
    [
        (None, None),
        ({}, None),
        ({"nodeAffinity": None}, None),
        ({"nodeAffinity": {}}, None),
        (
            {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}
                }
            },
            (),
        ),
    ],
)
def test_no_affinity_is_not_the_same_as_no_terms(affinity: Any, expected: Any) -> None:
    assert request_from_pod(pod(affinity=affinity)).affinity == expected


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ([{"operator": "Exists"}], ()),
        ([{"operator": "Exists", "effect": "NoExecute"}], ()),
        ([{"operator": "Exists", "effect": "NoSchedule"}], ADDED),
        ([{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}], ADDED[1:]),
        (
            [
                {
                    "key": "node.kubernetes.io/unreachable",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 5,
                }
            ],
            ADDED[:1],
        ),
    ],
)
def test_not_ready_nodes_are_tolerated_for_a_while_unless_the_pod_says_more(
    given: list[dict[str, Any]], added: tuple[Toleration, ...]
) -> None:
    """DefaultTolerationSeconds adds what is missing against NoExecute, nothing else."""
    assert request_from_pod(pod(tolerations=given)).tolerations[len(given) :] == added


VOLUME = [{"name": "home", "persistentVolumeClaim": {"claimName": "claim-ada"}}]
EPHEMERAL = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}}]
HARD_SPREAD = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]
SOFT_SPREAD = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]
BESIDE = {
    "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}
}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one"}]},
            "the resource claim template one is not known",
        ),
        ({"affinity": BESIDE}, "required pod affinity"),
        ({"topologySpreadConstraints": HARD_SPREAD}, "topology spread"),
        ({"topologySpreadConstraints": [{}]}, "topology spread"),
        ({"volumes": VOLUME}, "persistent volumes"),
        ({"volumes": EPHEMERAL}, "persistent volumes"),
    ],
)
def test_what_nobody_can_judge_is_said(spec: dict[str, Any], expected: str) -> None:
    assert expected in request_from_pod(pod(**spec)).unknown


@pytest.mark.parametrize(
    "spec",
    [
        {"resourceClaims": []},
        {"topologySpreadConstraints": SOFT_SPREAD},
        {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}},
        {"volumes": [{"name": "tmp", "emptyDir": {}}]},
    ],
)
def test_what_refuses_nothing_is_fine(spec: dict[str, Any]) -> None:
    assert request_from_pod(pod(**spec)).unknown == ""


def test_volumes_may_be_declared_harmless() -> None:
    assert request_from_pod(pod(volumes=VOLUME), volumes_bind_anywhere=True).unknown == ""


def test_an_extended_resource_of_a_device_class_is_a_claim() -> None:
    asked = {"deviceclass.resource.kubernetes.io/gpu": "1"}
    manifest = pod(containers=[{"name": "a", "resources": {"limits": asked}}])

    (ask,) = request_from_pod(manifest).asks
    assert (ask.name, ask.amounts) == ("a", (("deviceclass.resource.kubernetes.io/gpu", 1),))


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ([], "Expected `object`"),
        ({}, "spec.containers: missing"),
        ({"spec": {"containers": []}}, "spec.containers: missing"),
        (pod(containers=[container(cpu="lots")]), "cpu: 'lots' is not a quantity"),
        (pod(nodeSelector=["a"]), "nodeSelector"),
        (pod(nodeSelector={"a": 1}), "Expected `str`, got `int`"),
        (pod(tolerations={}), "tolerations"),
        (pod(affinity=[]), "Expected `object`"),
        ({"spec": {object}}, "not a JSON object"),
    ],
)
def test_what_is_no_pod_is_a_mistake_with_its_place(manifest: Any, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        request_from_pod(manifest, source="probe.yaml")
    assert caught.value.problems[0].file == "probe.yaml"
