"""Pods and nodes as an API server sends them, of a size that is usual for notebook servers."""

import json
from typing import Any


def wire_pod(number: int, nodes: int) -> dict[str, Any]:
    """Return a running notebook server of some 6.4 KB, as KubeSpawner makes them under z2jh."""
    name = f"jupyter-user-{number}"
    owner = {"hub.jupyter.org/username": f"user-{number}", "hub.jupyter.org/servername": ""}
    environment = [
        {"name": f"JUPYTERHUB_SETTING_{index}", "value": f"value-{number}-" + "x" * 40}
        for index in range(28)
    ]
    managed = {f"f:{field}": {".": {}, "f:name": {}, "f:value": {}} for field in range(40)}
    resources = {
        "requests": {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": str(1 + number % 2)},
        "limits": {"cpu": "16", "memory": "128Gi", "nvidia.com/gpu": str(1 + number % 2)},
    }
    condition_types = ("PodReadyToStartContainers", "Initialized", "Ready", "PodScheduled")
    return {
        "metadata": {
            "name": name,
            "namespace": f"hub-{number % 20}",
            "uid": f"{number:08d}-4a4f-4f6b-8a56-0123456789ab",
            "resourceVersion": str(1000 + number),
            "creationTimestamp": "2026-11-01T08:00:00Z",
            "labels": {
                "app": "jupyterhub",
                "app.kubernetes.io/name": "jupyterhub",
                "app.kubernetes.io/component": "singleuser-server",
                "component": "singleuser-server",
                "chart": "jupyterhub-4.4.0",
                "heritage": "jupyterhub",
                "release": "hub",
                "hub.jupyter.org/username": f"user-{number}",
                "gpu-spawner.jupyter.org/profile": f"profile-{number % 20}",
            },
            "annotations": owner,
            "managedFields": [
                {
                    "manager": "python-requests",
                    "operation": "Update",
                    "apiVersion": "v1",
                    "time": "2026-11-01T08:00:00Z",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": managed,
                }
            ],
        },
        "spec": {
            "nodeName": f"node-{number % nodes}",
            "schedulerName": "default-scheduler",
            "priority": 0,
            "containers": [
                {
                    "name": "notebook",
                    "image": "quay.io/jupyter/pytorch-notebook:cuda12-2026-10-01",
                    "args": ["jupyterhub-singleuser"],
                    "ports": [{"name": "notebook-port", "containerPort": 8888, "protocol": "TCP"}],
                    "env": environment,
                    "resources": resources,
                    "volumeMounts": [{"name": "home", "mountPath": "/home/jovyan"}],
                }
            ],
            "tolerations": [
                {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
                {"key": "hub.jupyter.org/dedicated", "operator": "Equal", "value": "user"},
            ],
        },
        "status": {
            "phase": "Running",
            "podIP": "10.1.2.3",
            "conditions": [
                {
                    "type": each,
                    "status": "True",
                    "lastProbeTime": None,
                    "lastTransitionTime": "2026-11-01T08:00:10Z",
                }
                for each in condition_types
            ],
            "containerStatuses": [
                {
                    "name": "notebook",
                    "ready": True,
                    "restartCount": 0,
                    "image": "quay.io/jupyter/pytorch-notebook:cuda12-2026-10-01",
                    "imageID": "quay.io/jupyter/pytorch-notebook@sha256:" + "0" * 64,
                    "state": {"running": {"startedAt": "2026-11-01T08:00:09Z"}},
                }
            ],
        },
    }


def wire_node(number: int) -> dict[str, Any]:
    """Return a node; every fifth has eight GPUs."""
    gpus = {"nvidia.com/gpu": "8"} if number % 5 == 0 else {}
    return {
        "metadata": {
            "name": f"node-{number}",
            "uid": f"node-uid-{number}",
            "labels": {"kubernetes.io/hostname": f"node-{number}", "kubernetes.io/arch": "amd64"},
        },
        "spec": {},
        "status": {
            "allocatable": {"cpu": "128", "memory": "2Ti", "pods": "110", **gpus},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def wire_list(items: list[dict[str, Any]], continue_token: str = "") -> bytes:
    """Return one page of a list."""
    metadata = {"resourceVersion": "1000"} | (
        {"continue": continue_token} if continue_token else {}
    )
    return json.dumps(
        {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items},
        separators=(",", ":"),
    ).encode()


def wire_event(kind: str, obj: dict[str, Any]) -> bytes:
    """Return one line of a watch."""
    return json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode()
