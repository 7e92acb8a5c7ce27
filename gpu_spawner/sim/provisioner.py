"""The storage of the demo on an API server that is not ours: a volume for every claim of its class.

A volume is a folder on this machine, which the simulated kubelet finds by the claim's name; the
``PersistentVolume`` object only tells the cluster's own controllers that the claim can be bound.
The embedded API server binds claims by itself and needs no provisioner.
"""

import asyncio
import logging
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.fleet_objects import DEMO_LABEL
from gpu_spawner.sim.informer import Informer

__all__ = ["STORAGE_CLASS", "VolumeProvisioner", "storage_class_manifest"]

_log = logging.getLogger(__name__)

STORAGE_CLASS = "gpu-spawner-demo"
_PROVISIONER = "gpu-spawner.jupyter.org/demo"
_RETRY_SECONDS = 1.0


def storage_class_manifest(demo_id: str) -> dict[str, Any]:
    """Return the class whose claims get a folder."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS, "labels": {DEMO_LABEL: demo_id}},
        "provisioner": _PROVISIONER,
        "volumeBindingMode": "Immediate",
        "reclaimPolicy": "Retain",
    }


class VolumeProvisioner:
    """Makes a volume for every waiting claim of the class; ``run`` until cancelled."""

    def __init__(self, client: KubeClient, demo_id: str) -> None:
        self._client = client
        self._demo_id = demo_id
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def run(self) -> None:
        """Serve claims until cancelled."""
        claims = Informer(self._client, "/api/v1/persistentvolumeclaims", self._on_claim)
        async with asyncio.TaskGroup() as group:
            group.create_task(claims.run())
            while True:
                claim = await self._waiting.get()
                try:
                    await self._client.create("/api/v1/persistentvolumes", self._volume(claim))
                except ClusterError as error:
                    if error.status != 409:
                        _log.debug("volume of %s: %s", claim["metadata"]["name"], error)
                        self._waiting.put_nowait(claim)
                        await asyncio.sleep(_RETRY_SECONDS)

    def _on_claim(self, event: str, claim: dict[str, Any]) -> None:
        spec = claim["spec"]
        is_waiting = spec.get("storageClassName") == STORAGE_CLASS and not spec.get("volumeName")
        if event != "DELETED" and is_waiting:
            self._waiting.put_nowait(claim)

    def _volume(self, claim: dict[str, Any]) -> dict[str, Any]:
        metadata, spec = claim["metadata"], claim["spec"]
        name = f"pvc-{metadata['uid']}"
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": name,
                "labels": {DEMO_LABEL: self._demo_id},
                "annotations": {"pv.kubernetes.io/provisioned-by": _PROVISIONER},
            },
            "spec": {
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                "accessModes": spec["accessModes"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": STORAGE_CLASS,
                "volumeMode": spec.get("volumeMode") or "Filesystem",
                # No kubelet but ours ever mounts it.
                "hostPath": {"path": f"/var/lib/gpu-spawner-demo/{name}"},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                },
            },
        }
