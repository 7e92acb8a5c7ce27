"""No seats are counted for a pod that an API server would refuse, and for every other they are."""

from typing import Any

import pytest
from api_caller import PODS, Api
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_spawner.core.errors import ConfigError
from gpu_spawner.core.placement.whatif import whatif

NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "node"},
    "status": {"allocatable": {"cpu": "64", "memory": "64Gi", "pods": "110", "a.org/gpu": "8"}},
}
AMOUNTS = st.dictionaries(
    st.sampled_from(["cpu", "memory", "a.org/gpu", "hugepages-2Mi", "kubernetes.io/odd"]),
    st.sampled_from(["0", "1", "2", "4", "0.5", "2000m", "1500m", "4Mi"]),
)
RESOURCES = st.fixed_dictionaries({}, optional={"requests": AMOUNTS, "limits": AMOUNTS})


def pod_with(name: str, *resources: Any, init: Any = None) -> dict[str, Any]:
    containers = [
        {"name": f"c{position}", "image": "a/b:1", "resources": one}
        for position, one in enumerate(resources)
    ]
    spec: dict[str, Any] = {"containers": containers}
    if init is not None:
        spec["initContainers"] = [{"name": "init", "image": "a/b:1", "resources": init}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def told(pod: dict[str, Any]) -> list[str]:
    try:
        whatif([NODE], pod, pod_source="pod.yaml")
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        (
            {"limits": {"a.org/gpu": "0.5"}},
            (
                "containers[0].resources.limits[a.org/gpu]: got 0.5; a whole number is expected. "
                "Kubernetes hands out whole devices: a part of one has a resource of its own."
            ),
        ),
        (
            {"requests": {"a.org/gpu": 1}},
            (
                "containers[0].resources.requests[a.org/gpu]: has no limit. "
                "Set the limit to 1 as well."
            ),
        ),
        (
            {"requests": {"a.org/gpu": 1}, "limits": {"a.org/gpu": 2}},
            (
                "containers[0].resources.requests[a.org/gpu]: got 1, and the limit 2. "
                "Make the two equal."
            ),
        ),
        (
            {"requests": {"cpu": 4}, "limits": {"cpu": "2"}},
            "containers[0].resources.requests[cpu]: got 4, more than the limit 2. Raise the limit.",
        ),
    ],
)
async def test_what_is_refused_is_told(api: Api, resources: dict[str, Any], problem: str) -> None:
    pod = pod_with("refused", resources)
    assert told(pod) == [f"pod.yaml: spec.{problem}"]
    assert (await api.call("POST", PODS, pod)).status == 422


def test_all_of_it_is_told_at_once() -> None:
    half = {"limits": {"a.org/gpu": "500m"}}
    assert [one.split(": ")[1] for one in told(pod_with("p", half, half, init=half))] == [
        "spec.containers[0].resources.limits[a.org/gpu]",
        "spec.containers[1].resources.limits[a.org/gpu]",
        "spec.initContainers[0].resources.limits[a.org/gpu]",
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(first=RESOURCES, second=RESOURCES, init=st.none() | RESOURCES)
async def test_the_api_server_agrees(api: Api, first: Any, second: Any, init: Any) -> None:
    pod = pod_with("probe", first, second, init=init)
    reply = await api.call("POST", f"{PODS}?dryRun=All", pod)
    # Which huge pages need cpu or memory beside them, and that names are as they must be, is not
    # about amounts.
    refusal = "" if reply.status == 201 else reply.message
    if "HugePages require" not in refusal:
        assert bool(told(pod)) == bool(refusal), refusal
