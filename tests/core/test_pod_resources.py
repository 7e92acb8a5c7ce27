"""What pods effectively ask for: containers, init containers, sidecars, overhead, resizes."""

from typing import Any

import pytest
from raw_objects import container, node, pod

from gpu_spawner.core.cluster import pod_resources
from gpu_spawner.core.cluster.objects import MalformedObjectError, node_from_api, pod_from_api
from gpu_spawner.core.resources import EMPTY, ResourceVector

GI = 1 << 30


def requests_of(**fields: Any) -> ResourceVector:
    return pod_from_api(pod(**fields)).requests


def sidecar(name: str = "side", **fields: Any) -> dict[str, Any]:
    return container(name, restartPolicy="Always", **fields)


def test_containers_add_up() -> None:
    found = requests_of(
        containers=[container("a", cpu="1", gpu=1), container("b", cpu="500m", memory="1Gi")]
    )

    assert found == ResourceVector({"cpu": 1500, "memory": GI, "nvidia.com/gpu": 1})


def test_an_ordinary_init_container_only_raises_the_peak() -> None:
    """It is gone when the others start, so each resource needs the larger of both."""
    found = requests_of(
        containers=[container("a", cpu="1", memory="4Gi")],
        initContainers=[container("i", cpu="3", memory="1Gi"), container("j", gpu=1)],
    )

    assert found == ResourceVector({"cpu": 3000, "memory": 4 * GI, "nvidia.com/gpu": 1})


def test_a_sidecar_runs_beside_the_containers() -> None:
    found = requests_of(
        containers=[container("a", cpu="1", gpu=1)], initContainers=[sidecar(cpu="1", gpu=1)]
    )

    assert found == ResourceVector({"cpu": 2000, "nvidia.com/gpu": 2})


def test_an_init_container_runs_beside_the_sidecars_before_it() -> None:
    after = requests_of(
        containers=[container(cpu="1")],
        initContainers=[sidecar(cpu="2"), container("i", cpu="4")],
    )
    before = requests_of(
        containers=[container(cpu="1")],
        initContainers=[container("i", cpu="4"), sidecar(cpu="2")],
    )

    assert after == ResourceVector({"cpu": 6000})
    assert before == ResourceVector({"cpu": 4000})


def test_overhead_comes_on_top() -> None:
    found = requests_of(containers=[container(cpu="1")], overhead={"cpu": "250m", "memory": "1Gi"})

    assert found == ResourceVector({"cpu": 1250, "memory": GI})


def test_a_limit_without_a_request_is_one() -> None:
    found = requests_of(
        containers=[
            {
                "name": "a",
                "resources": {
                    "limits": {"nvidia.com/gpu": 2, "cpu": "4"},
                    "requests": {"cpu": "1"},
                },
            }
        ]
    )

    assert found == ResourceVector({"cpu": 1000, "nvidia.com/gpu": 2})


def test_parts_are_added_before_they_are_rounded() -> None:
    """Two halves of a byte are one byte; rounding each first would make two."""
    found = requests_of(containers=[container("a", memory="500m"), container("b", memory="500m")])

    assert found == ResourceVector({"memory": 1})


@pytest.mark.parametrize("resources", [None, {}, {"requests": None}, {"claims": [{"name": "x"}]}])
def test_no_requests_are_nothing(resources: Any) -> None:
    assert requests_of(containers=[{"name": "a", "resources": resources}]) == EMPTY


def test_pod_level_requests_replace_the_sum_where_they_may() -> None:
    found = requests_of(
        containers=[container(cpu="1", memory="1Gi", gpu=1)],
        resources={"requests": {"cpu": "4", "nvidia.com/gpu": "8"}},
        overhead={"cpu": "1"},
    )

    assert found == ResourceVector({"cpu": 5000, "memory": GI, "nvidia.com/gpu": 1})


def test_a_pod_level_limit_is_a_request_where_nobody_asks() -> None:
    found = requests_of(
        containers=[container(cpu="1")], resources={"limits": {"cpu": "8", "memory": "2Gi"}}
    )

    assert found == ResourceVector({"cpu": 1000, "memory": 2 * GI})


def resized(*, spec: str, actuated: str, allocated: str, reason: str = "") -> ResourceVector:
    return requests_of(
        node_name="node-0",
        containers=[container(cpu=spec)],
        status={
            "containerStatuses": [
                {
                    "name": "main",
                    "resources": {"requests": {"cpu": actuated}},
                    "allocatedResources": {"cpu": allocated},
                }
            ],
            "conditions": [
                {"type": "Ready", "status": "True"},
                {"type": "PodResizePending", "reason": reason},
            ]
            if reason
            else [],
        },
    )


def test_during_a_resize_the_largest_counts() -> None:
    """Until the kubelet is done, what is asked, allocated and in effect may all be in use."""
    assert resized(spec="1", actuated="3", allocated="2") == ResourceVector({"cpu": 3000})
    assert resized(spec="4", actuated="3", allocated="2") == ResourceVector({"cpu": 4000})
    assert resized(spec="4", actuated="3", allocated="2", reason="Deferred") == ResourceVector(
        {"cpu": 4000}
    )


def test_an_infeasible_resize_does_not_count() -> None:
    assert resized(spec="9", actuated="3", allocated="4", reason="Infeasible") == ResourceVector(
        {"cpu": 4000}
    )


def test_a_sidecar_is_resized_too() -> None:
    found = requests_of(
        node_name="node-0",
        containers=[container(cpu="1")],
        initContainers=[sidecar(cpu="1")],
        status={
            "initContainerStatuses": [{"name": "side", "resources": {"requests": {"cpu": "2"}}}]
        },
    )

    assert found == ResourceVector({"cpu": 3000})


def pod_level_resize(reason: str) -> ResourceVector:
    return requests_of(
        node_name="node-0",
        resources={"requests": {"cpu": "6", "memory": "1Gi"}},
        status={
            "resources": {"requests": {"cpu": "3"}},
            "allocatedResources": {"cpu": "4"},
            "conditions": [{"type": "PodResizePending", "reason": reason}],
        },
    )


def test_a_pod_level_resize_follows_the_same_rule() -> None:
    assert pod_level_resize("Deferred") == ResourceVector({"cpu": 6000, "memory": GI})
    assert pod_level_resize("Infeasible") == ResourceVector({"cpu": 4000})


def test_nobody_asks_for_pods() -> None:
    assert requests_of(containers=[{"name": "a", "resources": {"requests": {"pods": 5}}}]) == EMPTY


def test_equal_lists_share_one_vector() -> None:
    one = requests_of(name="one", containers=[container(cpu="7")])
    other = requests_of(name="other", containers=[container(cpu="7")])

    assert one is other


def test_the_caches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_resources, "_CACHE_LIMIT", 4)
    found = [
        requests_of(containers=[container(cpu=f"{milli}m")], overhead={"cpu": "1"})
        for milli in range(1, 20)
    ]

    assert found == [ResourceVector({"cpu": 1000 + milli}) for milli in range(1, 20)]
    assert len(pod_resources._pod_vectors) <= 4


def test_node_capacities_are_cached_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_resources, "_CACHE_LIMIT", 2)
    found = [node_from_api(node(allocatable={"cpu": number})) for number in range(1, 9)]

    assert [read.allocatable.amount("cpu") for read in found] == [n * 1000 for n in range(1, 9)]
    assert len(pod_resources._raw_vectors) <= 2


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"containers": [container(cpu="abc")]}, r"spec\.containers\[0\]\.resources: cpu: 'abc'"),
        ({"containers": [container(cpu=[1])]}, r"spec\.containers\[0\]\.resources: .*array"),
        ({"initContainers": [container(cpu="-1")]}, r"spec\.initContainers\[0\]\.resources: cpu"),
        ({"overhead": {"cpu": "x"}}, r"spec\.overhead: cpu"),
        ({"overhead": ["cpu"]}, r"spec\.overhead: Expected `object`"),
        ({"resources": {"requests": {"cpu": "x"}}}, r"spec\.resources\.requests: cpu"),
    ],
)
def test_a_bad_quantity_is_named_with_its_place(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(MalformedObjectError, match=complaint):
        requests_of(**fields)
