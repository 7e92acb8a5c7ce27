"""LimitRanges give containers what they leave out, and refuse what is beyond them.

What is expected here is what kube-apiserver 1.36.2 answered to the same requests.
"""

from typing import Any

import pytest
from api_caller import PODS, Api

Obj = dict[str, Any]

PATH = "/api/v1/namespaces/default/limitranges"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
WIDE = {
    "type": "Container",
    "default": {"cpu": "500m", "memory": "1Gi"},
    "defaultRequest": {"cpu": "100m"},
    "min": {"cpu": "50m"},
}
NARROW = [
    {**WIDE, "max": {"memory": "2Gi"}, "maxLimitRequestRatio": {"cpu": "4"}},
    {"type": "Pod", "max": {"cpu": "1"}},
    {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}, "min": {"storage": "1Mi"}},
]


def limit_range(*limits: Obj) -> Obj:
    metadata = {"name": "lr"}
    spec = {"limits": list(limits)}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": spec}


def pod(*containers: Obj, init: Obj | None = None) -> Obj:
    named = [
        {"name": f"c{number}", "image": "x", "resources": resources}
        for number, resources in enumerate(containers)
    ]
    spec: Obj = {"containers": named}
    if init is not None:
        spec["initContainers"] = [{"name": "i", "image": "x", "resources": init}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


@pytest.mark.parametrize(
    ("sent", "default", "asked"),
    [
        pytest.param({"max": {"cpu": "1"}}, {"cpu": "1"}, {"cpu": "1"}, id="the most"),
        pytest.param({"min": {"cpu": "1"}}, None, {"cpu": "1"}, id="the least"),
        pytest.param(
            {"min": {"nvidia.com/gpu": "1"}, "max": {"nvidia.com/gpu": "2"}},
            {"nvidia.com/gpu": "2"},
            {"nvidia.com/gpu": "2"},
            id="both",
        ),
        pytest.param(
            WIDE, {"cpu": "500m", "memory": "1Gi"}, {"cpu": "100m", "memory": "1Gi"}, id="all"
        ),
    ],
)
async def test_what_a_range_leaves_out_follows_from_the_rest(
    api: Api, sent: Obj, default: Obj | None, asked: Obj
) -> None:
    reply = await api.call("POST", PATH, limit_range({"type": "Container", **sent}))
    assert reply.status == 201, reply.text
    (limit,) = reply.body["spec"]["limits"]
    assert (limit.get("default"), limit["defaultRequest"]) == (default, asked)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        pytest.param(
            [{"type": "Pod", "default": {"cpu": "1"}}],
            "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
            id="default of a pod",
        ),
        pytest.param(
            [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}],
            '[spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1,'
            ' spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than '
            'default request value 1, spec.limits[0].default[cpu]: Invalid value: "2": min value 2 '
            "is greater than default value 1]",
            id="least above most",
        ),
        pytest.param(
            [{"type": "Container"}, {"type": "Container"}],
            'spec.limits[1].type: Duplicate value: "Container"',
            id="twice",
        ),
        pytest.param(
            [{"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}}],
            'spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is '
            "greater than default limit value 1",
            id="asked above allowed",
        ),
        pytest.param(
            [{"type": "PersistentVolumeClaim"}],
            "spec.limits[0].limits: Required value: either minimum or maximum storage value is "
            "required, but neither was provided",
            id="claim without storage",
        ),
        pytest.param(
            [{"type": "x"}],
            'spec.limits[0].type: Invalid value: "x": must be a standard limit type or fully '
            "qualified",
            id="unknown type",
        ),
        pytest.param(
            [{"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}}],
            'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less '
            "than 1",
            id="ratio below one",
        ),
        pytest.param(
            [{"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "2"}}],
            '[spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is '
            'greater than max value 1, spec.limits[0].default[cpu]: Invalid value: "1": default '
            "value 2 is greater than max value 1]",
            id="default above most",
        ),
    ],
)
async def test_ranges_that_contradict_themselves(api: Api, limits: list[Obj], message: str) -> None:
    reply = await api.call("POST", PATH, limit_range(*limits))
    assert reply.status == 422
    assert reply.message == f'LimitRange "lr" is invalid: {message}'


async def test_containers_get_what_they_leave_out(api: Api) -> None:
    await api.call("POST", PATH, limit_range(WIDE))
    reply = await api.call("POST", PODS, pod({"limits": {"cpu": "1"}}, init={}))
    assert reply.status == 201, reply.text
    spec = reply.body["spec"]
    assert spec["containers"][0]["resources"] == {
        "limits": {"cpu": "1", "memory": "1Gi"},
        "requests": {"cpu": "1", "memory": "1Gi"},
    }
    assert spec["initContainers"][0]["resources"] == {
        "limits": {"cpu": "500m", "memory": "1Gi"},
        "requests": {"cpu": "100m", "memory": "1Gi"},
    }
    assert reply.body["status"]["qosClass"] == "Burstable"
    assert reply.body["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: memory request for container c0; "
        "memory limit for container c0; cpu, memory request for init container i; cpu, memory "
        "limit for init container i"
    }


@pytest.mark.parametrize(
    ("sent", "status", "message"),
    [
        pytest.param(
            pod({}),
            403,
            'pods "p" is forbidden: cpu max limit to request ratio per Container is 4, but '
            "provided ratio is 5.000000",
            id="ratio of the defaults",
        ),
        pytest.param(
            pod({"requests": {"cpu": "20m", "memory": "3Gi"}}),
            422,
            'Pod "p" is invalid: spec.containers[0].resources.requests: Invalid value: "3Gi": must '
            "be less than or equal to memory limit of 1Gi",
            id="above the default limit",
        ),
        pytest.param(
            pod({"requests": {"cpu": "100m"}, "limits": {"cpu": "450m", "memory": "3Gi"}}),
            403,
            'pods "p" is forbidden: [maximum memory usage per Container is 2Gi, but limit is 3Gi, '
            "cpu max limit to request ratio per Container is 4, but provided ratio is 4.500000]",
            id="two at once",
        ),
        pytest.param(
            pod({"limits": {"cpu": "800m"}}, {"limits": {"cpu": "800m"}}),
            403,
            'pods "p" is forbidden: maximum cpu usage per Pod is 1, but limit is 1600m',
            id="together too much",
        ),
        pytest.param(pod({"requests": {"cpu": "200m"}}), 201, "", id="within"),
    ],
)
async def test_pods_within_and_beyond(api: Api, sent: Obj, status: int, message: str) -> None:
    await api.call("POST", PATH, limit_range(*NARROW))
    reply = await api.call("POST", PODS, sent)
    assert reply.status == status, reply.text
    assert status == 201 or reply.message == message


async def test_claims_beyond(api: Api) -> None:
    await api.call("POST", PATH, limit_range(*NARROW))
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
    head = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "v"}}
    reply = await api.call("POST", CLAIMS, {**head, "spec": spec})
    assert reply.status == 403
    assert reply.message == (
        'persistentvolumeclaims "v" is forbidden: maximum storage usage per PersistentVolumeClaim '
        "is 1Gi, but request is 2Gi"
    )
