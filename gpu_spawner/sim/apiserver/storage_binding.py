"""Binding claims for storage to volumes, and protecting both while they are used.

A claim of a storage class gets a volume of its own at once; the volume is only an object, what
stands behind it is the kubelet's business. A claim without a class waits, as it does in a cluster
that has no default class.
"""

from typing import Any, Final

from gpu_spawner.sim.apiserver.kinds import RESOURCES
from gpu_spawner.sim.apiserver.registry import Registry, Target
from gpu_spawner.sim.apiserver.store import Change, ChangeKind, Record

__all__ = ["StorageBinder"]

Obj = dict[str, Any]

_KINDS: Final = {item.kind: item for item in RESOURCES}
_CLAIMS: Final = _KINDS["PersistentVolumeClaim"]
_VOLUMES: Final = _KINDS["PersistentVolume"]
_CLASSES: Final = _KINDS["StorageClass"]
_PODS: Final = _KINDS["Pod"]
_CLAIM_PROTECTION: Final = "kubernetes.io/pvc-protection"
_VOLUME_PROTECTION: Final = "kubernetes.io/pv-protection"
_BOUND_BY: Final = "pv.kubernetes.io/bound-by-controller"


class StorageBinder:
    """Reacts to claims, volumes, storage classes and the pods that use claims."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store

    def attend(self, change: Change) -> None:
        """Do what follows from one change."""
        record = change.record
        is_gone = change.kind is ChangeKind.DELETED
        match record.resource.kind:
            case "PersistentVolumeClaim":
                if is_gone:
                    self._release(record)
                else:
                    self._attend_claim(record.namespace, record.name)
            case "PersistentVolume" if not is_gone:
                self._unprotect_volume(record.name)
            case "StorageClass" if change.kind is ChangeKind.ADDED:
                for claim in self._store.list_records(_CLAIMS):
                    self._attend_claim(claim.namespace, claim.name)
            case "Pod" if b'"persistentVolumeClaim"' in record.raw:
                for name in _claims_of(record.decode()):
                    self._attend_claim(record.namespace, name)

    def _attend_claim(self, namespace: str, name: str) -> None:
        record = self._store.get(_CLAIMS, namespace, name)
        if record is None:
            return
        claim = record.decode()
        metadata = claim["metadata"]
        if "deletionTimestamp" in metadata:
            in_use = self._is_used(namespace, name)
            if not in_use and _CLAIM_PROTECTION in metadata.get("finalizers", ()):
                self._drop_finalizer(record, _CLAIM_PROTECTION)
        elif claim["status"].get("phase") == "Pending" and not claim["spec"].get("volumeName"):
            self._bind(claim)

    def _bind(self, claim: Obj) -> None:
        """Make a volume for a claim, if it names a class that exists."""
        metadata, spec = claim["metadata"], claim["spec"]
        class_record = self._store.get(_CLASSES, "", spec.get("storageClassName", ""))
        if class_record is None:
            return
        storage_class = class_record.decode()
        name = f"pvc-{metadata['uid']}"
        capacity = {"storage": spec["resources"]["requests"]["storage"]}
        volume = {
            "kind": "PersistentVolume",
            "apiVersion": "v1",
            "metadata": {"name": name},
            "spec": {
                "capacity": capacity,
                "accessModes": spec["accessModes"],
                "claimRef": {
                    "kind": "PersistentVolumeClaim",
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "apiVersion": "v1",
                },
                "persistentVolumeReclaimPolicy": storage_class["reclaimPolicy"],
                "storageClassName": storage_class["metadata"]["name"],
                "volumeMode": spec["volumeMode"],
            },
            "status": {},
        }
        self._registry.create(Target(resource=_VOLUMES), volume)
        self._store.put(_VOLUMES, {**volume, "status": {"phase": "Bound"}})
        metadata.setdefault("annotations", {})[_BOUND_BY] = "yes"
        spec["volumeName"] = name
        claim["status"] = {
            "phase": "Bound",
            "accessModes": spec["accessModes"],
            "capacity": capacity,
        }
        self._store.put(_CLAIMS, claim)

    def _release(self, claim: Record) -> None:
        """Take the volume away with its claim, unless it is to be retained."""
        name = claim.decode()["spec"].get("volumeName", "")
        record = self._store.get(_VOLUMES, "", name) if name else None
        if record is None:
            return
        volume = record.decode()
        if volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
            self._store.remove(record)
        else:
            self._store.put(_VOLUMES, {**volume, "status": {"phase": "Released"}})

    def _unprotect_volume(self, name: str) -> None:
        record = self._store.get(_VOLUMES, "", name)
        if record is None:
            return
        volume = record.decode()
        metadata = volume["metadata"]
        is_bound = volume["status"].get("phase") == "Bound"
        if (
            "deletionTimestamp" in metadata
            and not is_bound
            and _VOLUME_PROTECTION in metadata.get("finalizers", ())
        ):
            self._drop_finalizer(record, _VOLUME_PROTECTION)

    def _is_used(self, namespace: str, name: str) -> bool:
        for record in self._store.list_records(_PODS, namespace):
            if b'"persistentVolumeClaim"' not in record.raw:
                continue
            pod = record.decode()
            is_finished = pod["status"].get("phase") in {"Failed", "Succeeded"}
            if not is_finished and name in _claims_of(pod):
                return True
        return False

    def _drop_finalizer(self, record: Record, finalizer: str) -> None:
        obj = record.decode()
        kept = [name for name in obj["metadata"]["finalizers"] if name != finalizer]
        obj["metadata"]["finalizers"] = kept
        if not kept:
            del obj["metadata"]["finalizers"]
        target = Target(resource=record.resource, namespace=record.namespace, name=record.name)
        self._registry.write(target, record, obj, record.decode())


def _claims_of(pod: Obj) -> list[str]:
    volumes = pod["spec"].get("volumes", ())
    return [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in volumes
        if "persistentVolumeClaim" in volume
    ]
