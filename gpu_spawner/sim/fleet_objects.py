"""A fleet as Kubernetes objects: nodes, their status, namespaces, and the pods of tenants.

Every object made for the embedded cluster carries the label ``gpu-spawner.jupyter.org/demo``, so
that on an API server that serves others too it can be told apart and removed.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from gpu_spawner.sim.claimable_devices import DRIVER
from gpu_spawner.sim.fleet import NodeGroup, Taint, Tenant, TenantClaim, TenantPod
from gpu_spawner.sim.gfd import extended_resources, gpu_labels
from gpu_spawner.sim.times import time_text

__all__ = [
    "DEMO_LABEL",
    "SIMULATED_ANNOTATION",
    "device_class_manifests",
    "disk_pressure_condition",
    "lost_conditions",
    "namespace_manifest",
    "node_allocatable",
    "node_manifest",
    "node_status",
    "tenant_claim_templates",
    "tenant_pods",
]

DEMO_LABEL = "gpu-spawner.jupyter.org/demo"
"""On everything the demo makes; the value tells one demo from another."""

SIMULATED_ANNOTATION = "gpu-spawner.jupyter.org/simulated"
"""On pods for which the kubelet starts no process."""

# What tenants call their one claim, and its one request.
_CLAIM = "gpu"
# What sandboxes are made of: it does nothing and weighs nothing.
_PAUSE_IMAGE = "registry.k8s.io/pause:3.10.1"


def node_manifest(group: NodeGroup, name: str, demo_id: str) -> dict[str, Any]:
    """Return the node as its kubelet registers it, without a status."""
    labels = {
        "beta.kubernetes.io/arch": group.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": group.architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }
    if group.gpu is not None:
        labels |= gpu_labels(group.gpu)
    labels |= group.labels
    labels[DEMO_LABEL] = demo_id
    spec: dict[str, Any] = {}
    if group.taints:
        spec["taints"] = [_taint(each) for each in group.taints]
    if group.is_cordoned:
        spec["unschedulable"] = True
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }


def node_allocatable(group: NodeGroup) -> dict[str, str]:
    """Return what pods may use of a node of the group, as quantities."""
    resources = dict(extended_resources(group.gpu)) if group.gpu is not None else {}
    resources |= group.resources
    return {
        "cpu": group.cpu,
        "memory": group.memory,
        "ephemeral-storage": group.ephemeral_storage,
        "pods": str(group.pods),
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        **{name: str(count) for name, count in resources.items()},
    }


def node_status(  # noqa: PLR0913  what a kubelet knows of its node
    group: NodeGroup,
    name: str,
    *,
    kubelet_version: str,
    address: str,
    now: datetime,
    has_disk_pressure: bool = False,
) -> dict[str, Any]:
    """Return the status a node reports that lacks nothing but room, without the images it has."""
    allocatable = node_allocatable(group)
    return {
        "capacity": allocatable,
        "allocatable": allocatable,
        "addresses": [
            {"type": "InternalIP", "address": address},
            {"type": "Hostname", "address": name},
        ],
        "conditions": list(_conditions(now, has_disk_pressure=has_disk_pressure)),
        "nodeInfo": {
            "machineID": name,
            "systemUUID": name,
            "bootID": name,
            "kernelVersion": "6.12.0",
            "osImage": "simulated by gpu-spawner",
            "containerRuntimeVersion": "containerd://2.2.0",
            "kubeletVersion": kubelet_version,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": group.architecture,
        },
    }


def namespace_manifest(name: str, demo_id: str) -> dict[str, Any]:
    """Return a namespace of the demo."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {DEMO_LABEL: demo_id}},
    }


def device_class_manifests(demo_id: str) -> Iterator[dict[str, Any]]:
    """Yield the device classes that the chart of NVIDIA's driver brings."""
    for name, kind, extended_resource in (
        (DRIVER, "gpu", "nvidia.com/gpu"),
        ("mig.nvidia.com", "mig", ""),
    ):
        expression = (
            f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == '{kind}'"
        )
        spec: dict[str, Any] = {"selectors": [{"cel": {"expression": expression}}]}
        if extended_resource:
            spec["extendedResourceName"] = extended_resource
        yield {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": name, "labels": {DEMO_LABEL: demo_id}},
            "spec": spec,
        }


def tenant_claim_templates(tenant: Tenant, demo_id: str) -> Iterator[dict[str, Any]]:
    """Yield the templates of the claims that a tenant's pods name; they are called alike."""
    for pod in tenant.pods:
        if pod.claim is None:
            continue
        request = {"name": _CLAIM, "exactly": _claimed(pod.claim)}
        yield {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaimTemplate",
            "metadata": {
                "name": pod.name,
                "namespace": tenant.namespace,
                "labels": {DEMO_LABEL: demo_id},
            },
            "spec": {"spec": {"devices": {"requests": [request]}}},
        }


def _claimed(claim: TenantClaim) -> dict[str, Any]:
    wish: dict[str, Any] = {"deviceClassName": claim.device_class, "count": claim.count}
    if claim.selector:
        wish["selectors"] = [{"cel": {"expression": claim.selector}}]
    if claim.memory is not None:
        wish["capacity"] = {"requests": {"memory": claim.memory}}
    return wish


def tenant_pods(tenant: Tenant, demo_id: str) -> Iterator[dict[str, Any]]:
    """Yield the pods by which a tenant holds its share of the cluster."""
    for pod in tenant.pods:
        for number in range(1, pod.count + 1):
            yield _tenant_pod(tenant, pod, f"{pod.name}-{number}", demo_id)


def _tenant_pod(tenant: Tenant, pod: TenantPod, name: str, demo_id: str) -> dict[str, Any]:
    amounts = {"cpu": pod.cpu, "memory": pod.memory}
    amounts |= {resource: str(count) for resource, count in pod.resources.items()}
    spec: dict[str, Any] = {
        "containers": [
            {
                "name": "main",
                "image": _PAUSE_IMAGE,
                "resources": {"requests": amounts, "limits": amounts},
            }
        ],
        "automountServiceAccountToken": False,
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        # Nothing runs in them, so ending them takes no time.
        "terminationGracePeriodSeconds": 1,
    }
    if pod.claim is not None:
        spec["resourceClaims"] = [{"name": _CLAIM, "resourceClaimTemplateName": pod.name}]
        spec["containers"][0]["resources"]["claims"] = [{"name": _CLAIM}]
    if pod.node:
        # They were there before anybody tainted or cordoned their node.
        spec["tolerations"] = [{"operator": "Exists"}]
        spec["nodeSelector"] = {"kubernetes.io/hostname": pod.node}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": tenant.namespace,
            "labels": {**pod.labels, DEMO_LABEL: demo_id},
            "annotations": {SIMULATED_ANNOTATION: "true"},
        },
        "spec": spec,
    }


def _taint(taint: Taint) -> dict[str, str]:
    manifest = {"key": taint.key, "effect": taint.effect}
    if taint.value:
        manifest["value"] = taint.value
    return manifest


def disk_pressure_condition(now: datetime, *, has_pressure: bool) -> dict[str, str]:
    """Return the condition that tells whether a node's disk is too full."""
    if has_pressure:
        return _condition(now, "DiskPressure", "True", "KubeletHasDiskPressure", "disk pressure")
    return _condition(now, "DiskPressure", "False", "KubeletHasNoDiskPressure", "no disk pressure")


def lost_conditions(now: datetime) -> Iterator[dict[str, str]]:
    """Yield what is said of a node whose kubelet is not heard of any more."""
    for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready"):
        condition = _condition(now, kind, "Unknown", "NodeStatusUnknown", "")
        yield condition | {"message": "Kubelet stopped posting node status."}


def _conditions(now: datetime, *, has_disk_pressure: bool) -> Iterator[dict[str, str]]:
    enough_memory = ("KubeletHasSufficientMemory", "sufficient memory available")
    yield _condition(now, "MemoryPressure", "False", *enough_memory)
    yield disk_pressure_condition(now, has_pressure=has_disk_pressure)
    enough_ids = ("KubeletHasSufficientPID", "sufficient PID available")
    yield _condition(now, "PIDPressure", "False", *enough_ids)
    ready = _condition(now, "Ready", "True", "KubeletReady", "")
    yield ready | {"message": "kubelet is posting ready status"}


def _condition(now: datetime, kind: str, status: str, reason: str, has: str) -> dict[str, str]:
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": time_text(now),
        "lastTransitionTime": time_text(now),
        "reason": reason,
        "message": f"kubelet has {has}",
    }
