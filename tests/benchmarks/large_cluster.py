"""A cluster at Kubernetes' published limits: 5,000 nodes, 1,000 of them with 8 GPUs, 150,000 pods.

Built from one seed, so that every run measures the same.
"""

import json
import random
from functools import cache
from typing import Any

from gpu_spawner.core.cluster.objects import Node, NodeImage, Pod
from gpu_spawner.core.cluster.selectors import Taint, Toleration
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.resources import ResourceVector

__all__ = ["build_nodes", "build_pods", "build_requests", "pod_page"]

GI = 1 << 30
MI = 1 << 20
MODELS = ("NVIDIA-A100-SXM4-80GB", "NVIDIA-H100-80GB-HBM3", "NVIDIA-L4", "Tesla-T4")
TAINTS = (Taint(key="nvidia.com/gpu", value="present"),)
SHAPES = [
    ResourceVector({"cpu": milli, "memory": memory * MI})
    for milli, memory in [
        (50, 64),
        (100, 128),
        (150, 200),
        (250, 512),
        (300, 700),
        (500, 1024),
        (1000, 2048),
        (2000, 4096),
    ]
]
GPU_SHAPES = [
    ResourceVector({"cpu": 4000, "memory": 16 * GI, "nvidia.com/gpu": count}) for count in (1, 2, 4)
]


def _images(number: int) -> tuple[NodeImage, ...]:
    """Name the 50 images that a kubelet reports; every third node has the first of the catalog."""
    others = [f"registry.example/layer-{image}:1" for image in range(49)]
    first = "quay.io/site/one:1" if number % 3 == 0 else "registry.example/layer-49:1"
    return tuple(NodeImage(names=(name,), size_bytes=10**9) for name in (first, *others))


@cache
def build_nodes() -> tuple[Node, ...]:
    """Build 1,000 GPU nodes of four models and 4,000 nodes without, each with 50 images."""
    plain = {"ephemeral-storage": 500 * GI, "pods": 110}
    with_gpus = ResourceVector({"cpu": 96_000, "memory": 768 * GI, "nvidia.com/gpu": 8, **plain})
    without = ResourceVector({"cpu": 64_000, "memory": 256 * GI, **plain})
    images = [_images(number) for number in range(3)]
    return tuple(
        Node(
            name=f"node-{number}",
            labels={
                "kubernetes.io/hostname": f"node-{number}",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": f"zone-{number % 3}",
                **({"nvidia.com/gpu.product": MODELS[number % 4]} if number < 1000 else {}),
            },
            taints=TAINTS if number < 1000 else (),
            allocatable=with_gpus if number < 1000 else without,
            images=images[number % 3],
        )
        for number in range(5000)
    )


@cache
def build_pods() -> tuple[Pod, ...]:
    """Build 30 pods a node, of which up to four hold GPUs where there are any."""
    random_source = random.Random(1)
    pods = []
    for number, node in enumerate(build_nodes()):
        left = 8 if number < 1000 else 0
        for position in range(30):
            requests = random_source.choice(SHAPES)
            if left and position < 4:
                wanted = random_source.choice(GPU_SHAPES)
                if wanted.amount("nvidia.com/gpu") <= left:
                    requests = wanted
                    left -= wanted.amount("nvidia.com/gpu")
            pods.append(
                Pod(
                    namespace=f"team-{position}",
                    name=f"pod-{number}-{position}",
                    uid=f"{number:08x}-{position:04x}",
                    node_name=node.name,
                    requests=requests,
                    phase="Running",
                )
            )
    return tuple(pods)


def build_requests() -> list[PodRequest]:
    """Build the 60 distinct choices of 20 profiles: 4 without GPUs, 14 with four choices each."""
    tolerations = (Toleration(key="nvidia.com/gpu", operator="Exists"),)
    with_gpus = [
        PodRequest(
            requests=ResourceVector(
                {
                    "cpu": 1000 * (profile + 1),
                    "memory": 4 * GI * (profile + 1),
                    "nvidia.com/gpu": (1, 2, 4, 8)[(profile + choice) % 4],
                }
            ),
            node_selector=(("nvidia.com/gpu.product", MODELS[choice]),),
            tolerations=tolerations,
        )
        for profile in range(14)
        for choice in range(4)
    ]
    without = [
        PodRequest(requests=ResourceVector({"cpu": 1000 * size, "memory": 2 * GI * size}))
        for size in range(1, 5)
    ]
    return with_gpus + without


def pod_page(first: int, count: int) -> bytes:
    """Write a page of a pod list as an API server sends it, about 5 KB a pod."""
    metadata = {"resourceVersion": "1", "continue": "more"}
    items = [_raw_pod(number) for number in range(first, first + count)]
    page = {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}
    return json.dumps(page, separators=(",", ":")).encode()


def _raw_pod(number: int) -> dict[str, Any]:
    main = {"cpu": f"{100 + 50 * (number % 10)}m", "memory": "512Mi"}
    proxy = {"cpu": "10m", "memory": "32Mi"}
    return {
        "metadata": {
            "name": f"app-7d9c5b6f4d-{number:06x}",
            "generateName": "app-7d9c5b6f4d-",
            "namespace": f"team-{number % 200}",
            "uid": f"{number:08x}-b5a9-4a45-9105-7b1e87e0e00e",
            "resourceVersion": str(100_000 + number),
            "creationTimestamp": "2026-11-23T14:57:01Z",
            "labels": {
                "app.kubernetes.io/name": "app",
                "app.kubernetes.io/instance": "app",
                "pod-template-hash": "7d9c5b6f4d",
                "tier": "backend",
            },
            "annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-01T00:00:00Z"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-7d9c5b6f4d"}
            ],
            "managedFields": [
                {
                    "manager": "kubelet",
                    "operation": "Update",
                    "fieldsV1": {"f:spec": {f"f:field-{index}": {} for index in range(60)}},
                }
            ],
        },
        "spec": {
            "volumes": [{"name": "token", "projected": {"sources": [{"configMap": {}}]}}],
            "containers": [
                {
                    "name": "main",
                    "image": "registry.example/team/app:1.2.3",
                    "env": [{"name": f"VAR_{index}", "value": "v" * 20} for index in range(20)],
                    "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                    "resources": {"limits": {"memory": "512Mi"}, "requests": main},
                },
                {"name": "proxy", "image": "proxy:2", "resources": {"requests": proxy}},
            ],
            "nodeName": f"node-{number % 1000}",
            "schedulerName": "default-scheduler",
            "priority": 0,
            "tolerations": [
                {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute"}
                for key in ("not-ready", "unreachable")
            ],
        },
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": "2026-11-23T14:57:01Z"}
                for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "podIP": "10.1.2.3",
            "containerStatuses": [
                {
                    "name": name,
                    "state": {"running": {"startedAt": "2026-11-23T14:57:05Z"}},
                    "ready": True,
                    "imageID": "registry.example/team/app@sha256:" + "a" * 64,
                    "containerID": "containerd://" + "b" * 64,
                    "allocatedResources": requests,
                    "resources": {"requests": requests},
                }
                for name, requests in (("main", main), ("proxy", proxy))
            ],
        },
    }
