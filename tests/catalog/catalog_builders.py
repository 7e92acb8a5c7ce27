"""Small catalogs and clusters for the tests of what a site offers."""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.cluster.snapshot import Snapshot

__all__ = [
    "GPU_TAINT",
    "REPOSITORY",
    "SHIPPED",
    "catalog_of",
    "documents",
    "make_node",
    "make_pod",
    "select",
    "snapshot_of",
]

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SHIPPED = REPOSITORY / "profiles"

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}

_DOCUMENTS: dict[str, Any] = {
    "flavors": {
        "h100": {
            "display_name": "NVIDIA H100",
            "memory": "80GB",
            "node_labels": {"nvidia.com/gpu.product": ["NVIDIA-H100"]},
        },
        "a100": {
            "display_name": "NVIDIA A100",
            "memory": "80GB",
            "node_labels": {"nvidia.com/gpu.product": "NVIDIA-A100"},
            "mig": {"profiles": ["1g.10gb", "3g.40gb"]},
        },
        "t4": {
            "display_name": "NVIDIA T4",
            "memory": "16GB",
            "node_labels": {"nvidia.com/gpu.product": "Tesla-T4"},
            "sharing": {"strategy": "time-slicing", "replicas": 4},
        },
        "mi300": {
            "display_name": "AMD MI300X",
            "memory": "192Gi",
            "resource": "amd.com/gpu",
            "node_labels": {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"},
        },
    },
    "images": {
        "base": {"image": "quay.io/site/base:1", "display_name": "Base", "size": "1GB"},
        "torch": {
            "image": "quay.io/site/torch:1",
            "display_name": "PyTorch",
            "size": "10GB",
            "cuda": "12.4",
            "architectures": ["amd64"],
        },
    },
    "10-cpu": {"display_name": "CPU", "images": ["base"]},
    "20-gpus": {
        "display_name": "GPUs",
        "images": ["torch", "base"],
        "gpu": {"flavors": ["h100", "a100"], "share": "whole", "count": [1, 2, 4]},
        "resources": {
            "cpu": {"request": 1, "limit": 2},
            "memory": {"request": "1Gi", "limit": "2Gi"},
        },
    },
    "30-slices": {
        "display_name": "Slices",
        "images": ["torch"],
        "gpu": [
            {"flavors": ["a100"], "share": {"mig": ["1g.10gb", "3g.40gb"]}},
            {"flavors": ["t4"], "share": {"replica": 1}},
        ],
    },
}


def documents() -> dict[str, Any]:
    """Return a small catalog as an admin would write it inline, to be changed at will."""
    return copy.deepcopy(_DOCUMENTS)


def catalog_of(changes: Mapping[str, Any] | None = None) -> Catalog:
    """Read the small catalog, with whole entries replaced or added."""
    return read_mapping({**documents(), **(changes or {})})


def select(catalog: Catalog, **options: Any) -> Selection:
    """Select as a user without groups does."""
    return parse_options(catalog, options, groups=())


def make_node(
    name: str,
    *,
    product: str = "",
    resources: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    images: Iterable[str] = (),
    taints: Iterable[Mapping[str, str]] = (),
    is_cordoned: bool = False,
    is_ready: bool = True,
) -> dict[str, Any]:
    """Make a node with 32 CPUs and 128 GiB; with a product it is tainted as GPU nodes are."""
    given = {"kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name}
    tainted = list(taints)
    if product:
        given["nvidia.com/gpu.product"] = product
        tainted.append(GPU_TAINT)
    if not is_ready:
        tainted.append({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**given, **(labels or {})}},
        "spec": {"taints": tainted, "unschedulable": is_cordoned},
        "status": {
            "allocatable": {"cpu": "32", "memory": "128Gi", "pods": "110", **(resources or {})},
            "conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}],
            "images": [{"names": [image], "sizeBytes": 1} for image in images],
        },
    }


def make_pod(name: str, node: str, **resources: Any) -> dict[str, Any]:
    """Make a running pod; resources by name, such as ``**{"nvidia.com/gpu": 1}``."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "others"},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "main", "resources": {"requests": resources}}],
        },
        "status": {"phase": "Running"},
    }


def snapshot_of(*items: Mapping[str, Any], as_of: float = 1000.0) -> Snapshot:
    """Read a cluster."""
    return Snapshot.from_objects(items, as_of=as_of)
