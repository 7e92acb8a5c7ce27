"""Builders of raw Kubernetes objects, minimal and valid unless a test says otherwise."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["container", "node", "pod"]


def node(
    name: str = "node-0",
    *,
    allocatable: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Mapping[str, str]] = (),
    is_cordoned: bool = False,
    is_ready: bool = True,
) -> dict[str, Any]:
    """Build a node with 8 cores, 32 GiB and no GPU."""
    spec: dict[str, Any] = {"taints": list(taints)} if taints else {}
    if is_cordoned:
        spec["unschedulable"] = True
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": {"kubernetes.io/hostname": name, **(labels or {})},
        },
        "spec": spec,
        "status": {
            "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110", **(allocatable or {})},
            "conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}],
        },
    }


def container(name: str = "main", **fields: Any) -> dict[str, Any]:
    """Build a container that asks for what its keywords say: cpu, memory, gpu, or raw fields."""
    requests = {
        key: fields.pop(short)
        for short, key in (("cpu", "cpu"), ("memory", "memory"), ("gpu", "nvidia.com/gpu"))
        if short in fields
    }
    return {"name": name, "image": "img", "resources": {"requests": requests}, **fields}


def pod(
    name: str = "pod-0",
    *,
    namespace: str = "default",
    node_name: str = "",
    phase: str = "",
    containers: Sequence[Mapping[str, Any]] | None = None,
    labels: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Build a pod with one container that asks for nothing; it runs if it has a node."""
    if node_name:
        spec["nodeName"] = node_name
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "labels": dict(labels or {}),
            **(metadata or {}),
        },
        "spec": {"containers": list(containers or [container()]), **spec},
        "status": {"phase": phase or ("Running" if node_name else "Pending"), **(status or {})},
    }
