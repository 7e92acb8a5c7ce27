"""Defaults and refusals for claims to storage, volumes and storage classes."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gpu_spawner.core.quantity import parse_nano
from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from gpu_spawner.sim.apiserver.rules.volume_rules import check_claim_spec
from gpu_spawner.sim.apiserver.wire.internal_types import internal_diff

__all__ = [
    "check_claim",
    "check_claim_update",
    "check_storage_class",
    "check_storage_class_update",
    "check_volume",
    "default_claim",
    "default_storage_class",
    "default_volume",
    "prepare_claim",
    "prepare_volume",
]

Obj = Mapping[str, Any]

_CLAIM_RULE: Final = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName "
    "for bound claims"
)
_RECLAIM_POLICIES: Final = ("Delete", "Recycle", "Retain")


def default_claim(claim: dict[str, Any]) -> None:
    """Fill in what a PersistentVolumeClaim leaves out."""
    claim["spec"].setdefault("volumeMode", "Filesystem")
    claim["status"].setdefault("phase", "Pending")


def prepare_claim(claim: dict[str, Any]) -> None:
    """Start a new claim, protected while a pod uses it."""
    claim["status"] = {"phase": "Pending"}
    _protect(claim, "kubernetes.io/pvc-protection")


def check_claim(claim: Obj) -> Iterator[FieldError]:
    """Check a PersistentVolumeClaim to be created."""
    yield from check_claim_spec(claim["spec"], "spec")


def check_claim_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """Check a change of a claim: it may be bound once, and grow."""
    yield from check_claim(new)
    after, before = _comparable(new, old)
    if after != before:
        difference = internal_diff("core.v1.PersistentVolumeClaimSpec", before, after)
        yield forbidden_field("spec", f"{_CLAIM_RULE}\n{difference}")
    size = new["spec"]["resources"].get("requests", {}).get("storage", "0")
    old_size = old["spec"]["resources"].get("requests", {}).get("storage", "0")
    capacity = old["status"].get("capacity", {}).get("storage", "0")
    if parse_nano(size) < parse_nano(old_size) and parse_nano(size) <= parse_nano(capacity):
        where = "spec.resources.requests.storage"
        yield forbidden_field(where, "field can not be less than status.capacity")


def default_volume(volume: dict[str, Any]) -> None:
    """Fill in what a PersistentVolume leaves out."""
    volume["spec"].setdefault("persistentVolumeReclaimPolicy", "Retain")
    volume["spec"].setdefault("volumeMode", "Filesystem")
    volume["status"].setdefault("phase", "Pending")


def prepare_volume(volume: dict[str, Any]) -> None:
    """Start a new volume, protected while a claim holds it."""
    volume["status"] = {"phase": "Pending"}
    _protect(volume, "kubernetes.io/pv-protection")


def check_volume(volume: Obj) -> Iterator[FieldError]:
    """Check a PersistentVolume."""
    spec = volume["spec"]
    if not spec.get("accessModes"):
        yield required("spec.accessModes")
    if "storage" not in spec.get("capacity", {}):
        yield required("spec.capacity")
    policy = spec["persistentVolumeReclaimPolicy"]
    if policy not in _RECLAIM_POLICIES:
        yield not_supported("spec.persistentVolumeReclaimPolicy", policy, _RECLAIM_POLICIES)


def default_storage_class(storage_class: dict[str, Any]) -> None:
    """Fill in what a StorageClass leaves out."""
    storage_class.setdefault("reclaimPolicy", "Delete")
    storage_class.setdefault("volumeBindingMode", "Immediate")


def check_storage_class(storage_class: Obj) -> Iterator[FieldError]:
    """Check a StorageClass."""
    if not storage_class["provisioner"]:
        yield required("provisioner")
    if storage_class["reclaimPolicy"] not in {"Delete", "Retain"}:
        yield not_supported("reclaimPolicy", storage_class["reclaimPolicy"], ("Delete", "Retain"))
    modes = ("Immediate", "WaitForFirstConsumer")
    if storage_class["volumeBindingMode"] not in modes:
        yield not_supported("volumeBindingMode", storage_class["volumeBindingMode"], modes)


def check_storage_class_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """Check a change of a StorageClass: how it makes volumes stays."""
    for key in ("parameters", "provisioner", "reclaimPolicy"):
        if new.get(key) != old.get(key):
            yield forbidden_field(key, f"updates to {key} are forbidden.")
    if new["volumeBindingMode"] != old["volumeBindingMode"]:
        yield invalid_value("volumeBindingMode", new["volumeBindingMode"], "field is immutable")
    yield from check_storage_class(new)


def _protect(obj: dict[str, Any], finalizer: str) -> None:
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if finalizer not in finalizers:
        finalizers.append(finalizer)


def _comparable(new: Obj, old: Obj) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return both specs with the changes that are allowed taken out."""
    after, before = dict(new["spec"]), dict(old["spec"])
    if not before.get("volumeName"):
        before.pop("volumeName", None)
        if "volumeName" in after:
            before["volumeName"] = after["volumeName"]
    if "storageClassName" not in before and "storageClassName" in after:
        before["storageClassName"] = after["storageClassName"]
    if old["status"].get("phase") == "Bound":
        after["resources"] = before["resources"]
    return after, before
