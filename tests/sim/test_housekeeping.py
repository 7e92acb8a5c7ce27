"""What a cluster's own controllers do: quotas, storage, accounts, nodes."""

from typing import Any

import pytest
from api_caller import MERGE, PODS, Api, node, pod, serving

QUOTAS = "/api/v1/namespaces/default/resourcequotas"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"


async def _quota(api: Api, **hard: str) -> None:
    await api.create(QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}})


def _gpu_pod(name: str, gpus: int) -> dict[str, Any]:
    limits = {"nvidia.com/gpu": str(gpus), "cpu": "500m", "memory": "1Gi"}
    container = {"name": "c", "image": "i", "resources": {"limits": limits}}
    return pod(name, containers=[container])


async def _used(api: Api) -> dict[str, str]:
    used: dict[str, str] = (await api.get(f"{QUOTAS}/q"))["status"]["used"]
    return used


async def test_a_quota_counts_and_refuses(api: Api) -> None:
    await api.create(PODS, _gpu_pod("early", 1))
    hard = {"requests.nvidia.com/gpu": "2", "pods": "5", "requests.cpu": "10"}
    await _quota(api, **hard)
    assert await _used(api) == {
        "requests.nvidia.com/gpu": "1",
        "pods": "1",
        "requests.cpu": "500m",
    }
    await api.create(PODS, _gpu_pod("a", 1))
    refused = await api.call("POST", PODS, _gpu_pod("b", 1))
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert refused.message == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.nvidia.com/gpu=1, '
        "used: requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu=2"
    )
    await api.delete(f"{PODS}/early")
    assert (await _used(api))["requests.nvidia.com/gpu"] == "1"
    await api.create(PODS, _gpu_pod("b", 1))


async def test_a_finished_pod_is_not_charged(api: Api) -> None:
    await _quota(api, pods="1", **{"requests.nvidia.com/gpu": "1"})
    await api.create(PODS, _gpu_pod("a", 1))
    await api.merge(f"{PODS}/a/status", {"status": {"phase": "Succeeded"}})
    assert await _used(api) == {"pods": "0", "requests.nvidia.com/gpu": "0"}
    await api.create(PODS, _gpu_pod("b", 1))


async def test_a_quota_wants_requests_to_be_named(api: Api) -> None:
    await _quota(api, **{"limits.memory": "1Gi", "requests.cpu": "1"})
    refused = await api.call("POST", PODS, pod("p"))
    assert "must specify limits.memory for: c; requests.cpu for: c" in refused.message


async def test_a_quota_counts_objects(api: Api) -> None:
    await _quota(api, **{"count/configmaps": "2", "persistentvolumeclaims": "0"})
    path = "/api/v1/namespaces/default/configmaps"
    await api.create(path, {"metadata": {"name": "a"}})
    assert (await api.call("POST", path, {"metadata": {"name": "b"}})).status == 403
    assert (await api.call("POST", CLAIMS, _claim("c"))).status == 403


def _claim(name: str, storage_class: str = "fast") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


@pytest.mark.parametrize("is_class_first", [True, False])
async def test_a_claim_gets_a_volume_of_its_class(api: Api, *, is_class_first: bool) -> None:
    storage_class = {"metadata": {"name": "fast"}, "provisioner": "example.com/disk"}
    if is_class_first:
        await api.create(CLASSES, storage_class)
    await api.create(CLAIMS, _claim("c"))
    if not is_class_first:
        assert (await api.get(f"{CLAIMS}/c"))["status"] == {"phase": "Pending"}
        await api.create(CLASSES, storage_class)
    claim = await api.get(f"{CLAIMS}/c")
    assert claim["status"]["phase"] == "Bound"
    volume = await api.get(f"{VOLUMES}/{claim['spec']['volumeName']}")
    assert volume["spec"]["claimRef"]["name"] == "c"
    assert volume["status"] == {"phase": "Bound"}
    await api.delete(f"{CLAIMS}/c")
    assert await api.names(VOLUMES) == []


async def test_a_claim_in_use_is_protected(api: Api) -> None:
    await api.create(CLAIMS, _claim("c", ""))
    volume = {"name": "home", "persistentVolumeClaim": {"claimName": "c"}}
    await api.create(PODS, pod("p", volumes=[volume]))
    await api.delete(f"{CLAIMS}/c")
    claim = await api.get(f"{CLAIMS}/c")
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert "deletionTimestamp" in claim["metadata"]
    await api.delete(f"{PODS}/p")
    assert not await api.exists(f"{CLAIMS}/c")


async def test_a_new_namespace_has_an_account_and_certificates() -> None:
    async with serving() as api:
        await api.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
        assert await api.names("/api/v1/namespaces/n/serviceaccounts") == ["default"]
        bundle = await api.get("/api/v1/namespaces/n/configmaps/kube-root-ca.crt")
        assert bundle["data"] == {"ca.crt": ""}


async def test_a_priority_class_becomes_a_number(api: Api) -> None:
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    body = {
        "metadata": {"name": "low"},
        "value": -5,
        "preemptionPolicy": "Never",
    }
    await api.create(path, body)
    made = await api.create(PODS, pod("p", priorityClassName="low"))
    assert (made["spec"]["priority"], made["spec"]["preemptionPolicy"]) == (-5, "Never")
    refused = await api.call("POST", PODS, pod("q", priorityClassName="none"))
    assert "no PriorityClass with name none was found" in refused.message


async def test_nodes_get_their_annotation(api: Api) -> None:
    await api.create("/api/v1/nodes", node("n1"))
    found = await api.get("/api/v1/nodes/n1")
    assert found["metadata"]["annotations"] == {"node.alpha.kubernetes.io/ttl": "0"}


async def test_the_spec_of_a_pod_is_settled_but_for_its_images(api: Api) -> None:
    await api.create(PODS, pod("p"))
    refused = await api.call("PATCH", f"{PODS}/p", {"spec": {"hostNetwork": True}}, MERGE)
    assert (refused.status, refused.reason) == (422, "Invalid")
    assert "pod updates may not change fields other than" in refused.message
    images = [{"op": "replace", "path": "/spec/containers/0/image", "value": "i:2"}]
    reply = await api.call("PATCH", f"{PODS}/p", images, "application/json-patch+json")
    assert reply.status == 200


async def test_what_identifies_a_node_is_given_once(api: Api) -> None:
    await api.create("/api/v1/nodes", node("n1"))
    path = "/api/v1/nodes/n1"
    given = await api.merge(path, {"spec": {"podCIDR": "10.0.0.0/24", "providerID": "x"}})
    assert given["spec"]["podCIDRs"] == ["10.0.0.0/24"]
    for other in ({"providerID": "y"}, {"podCIDR": "10.0.1.0/24", "podCIDRs": None}):
        refused = await api.call("PATCH", path, {"spec": other}, MERGE)
        assert refused.status == 422
        assert 'except from "" to valid' in refused.message
    half = {"status": {"capacity": {"nvidia.com/gpu": "500m"}}}
    refused = await api.call("PATCH", f"{path}/status", half, MERGE)
    assert "status.capacity.nvidia.com/gpu" in refused.message
    taint = {"key": "a", "effect": "NoSchedule"}
    twice = await api.call("PATCH", path, {"spec": {"taints": [taint, taint]}}, MERGE)
    assert "taints must be unique by key and effect pair" in twice.message
