"""What a namespace may use altogether: counting for ResourceQuota objects.

It decides what an object is charged for and whether it still fits. Charged are pods that have not
finished, claims for storage and for devices, and plain object counts. Amounts are in billionths, so
that sums are exact.
"""

from collections.abc import Mapping
from typing import Any, Final

from gpu_spawner.core.quantity import parse_nano
from gpu_spawner.sim.apiserver.claim_charges import claim_charges
from gpu_spawner.sim.apiserver.kinds import RESOURCES, Resource
from gpu_spawner.sim.apiserver.store import Store
from gpu_spawner.sim.apiserver.wire.quantities import format_nano

__all__ = ["QUOTAS", "quota_complaint", "quota_status", "usage_of"]

Obj = Mapping[str, Any]
Amounts = dict[str, int]

QUOTAS: Final = next(item for item in RESOURCES if item.kind == "ResourceQuota")
_ONE: Final = 10**9
_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
_COUNTED: Final = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
    }
)
_BINARY: Final = ("memory", "storage", "hugepages-")


def usage_of(resource: Resource, obj: Obj, store: Store) -> Amounts:
    """Return what one object is charged for, by the names that quotas use."""
    used: Amounts = {f"count/{resource.group_resource}": _ONE}
    if resource.group_resource in _COUNTED:
        used[resource.plural] = _ONE
    if resource.kind == "PersistentVolumeClaim":
        storage = obj["spec"]["resources"].get("requests", {}).get("storage", "0")
        used["requests.storage"] = parse_nano(storage)
        class_name = obj["spec"].get("storageClassName")
        if class_name:
            prefix = f"{class_name}.storageclass.storage.k8s.io"
            used[f"{prefix}/requests.storage"] = used["requests.storage"]
            used[f"{prefix}/persistentvolumeclaims"] = _ONE
    elif resource.kind == "Pod":
        if obj["status"].get("phase") in {"Failed", "Succeeded"}:
            return {f"count/{resource.group_resource}": _ONE}
        used |= _pod_usage(obj["spec"])
    elif resource.kind == "ResourceClaim":
        charges, pod = claim_charges(obj, store)
        paid = _pod_usage(pod["spec"]) if pod is not None else {}
        used |= {name: amount - paid.get(name, 0) for name, amount in charges.items()}
    return {name: amount for name, amount in used.items() if amount > 0}


def quota_status(store: Store, quota: Obj) -> dict[str, Any]:
    """Return the status of a quota: what is allowed, and what is used now."""
    hard = quota["spec"].get("hard", {})
    used = dict.fromkeys(hard, 0)
    namespace = quota["metadata"]["namespace"]
    for resource in _charged_kinds(hard):
        for record in store.list_records(resource, namespace):
            obj = record.decode()
            if _is_in_scope(quota, resource, obj):
                _add(used, usage_of(resource, obj, store))
    shown = {name: _format(name, used[name]) for name in sorted(hard)}
    return {"hard": {name: hard[name] for name in sorted(hard)}, "used": shown} if hard else {}


def quota_complaint(store: Store, resource: Resource, new: Obj, old: Obj | None = None) -> str:
    """Say which quota an object would exceed, or return an empty text.

    Args:
        store: where the quotas of its namespace are, their status up to date.
        resource: the kind of the object.
        new: the object as it would be.
        old: the object as it is, when it is changed.
    """
    for record in store.list_records(QUOTAS, new["metadata"]["namespace"]):
        quota = record.decode()
        if not _is_in_scope(quota, resource, new):
            continue
        hard = quota["status"].get("hard", {})
        missing = _missing(resource, new, hard)
        if missing:
            return f"failed quota: {record.name}: must specify {missing}"
        asked = usage_of(resource, new, store)
        if old is not None:
            before = usage_of(resource, old, store)
            asked = {name: max(0, n - before.get(name, 0)) for name, n in asked.items()}
        used = quota["status"].get("used", {})
        exceeded = [
            name
            for name in sorted(hard)
            if asked.get(name)
            and parse_nano(used.get(name, "0")) + asked[name] > parse_nano(hard[name])
        ]
        if exceeded:
            requested = ",".join(f"{name}={_format(name, asked[name])}" for name in exceeded)
            taken = ",".join(f"{name}={used.get(name, '0')}" for name in exceeded)
            limit = ",".join(f"{name}={hard[name]}" for name in exceeded)
            return (
                f"exceeded quota: {record.name}, requested: {requested}, used: {taken}, "
                f"limited: {limit}"
            )
    return ""


def _pod_usage(spec: Obj) -> Amounts:
    used: Amounts = {"pods": _ONE}
    requests, limits = (_pod_total(spec, key) for key in ("requests", "limits"))
    for name, amount in requests.items():
        used[f"requests.{name}"] = amount
        if name in _COMPUTE or name.startswith("hugepages-"):
            used[name] = amount
    for name in _COMPUTE:
        if name in limits:
            used[f"limits.{name}"] = limits[name]
    return used


def _pod_total(spec: Obj, key: str) -> Amounts:
    """Add up containers and sidecars; one init container at a time may need more than they."""
    running: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        amounts = _amounts(container, key)
        if container.get("restartPolicy") == "Always":
            _merge(running, amounts)
            amounts = {}
        for name in {*running, *amounts}:
            needed = running.get(name, 0) + amounts.get(name, 0)
            peak[name] = max(peak.get(name, 0), needed)
    for container in spec.get("containers") or ():
        _merge(running, _amounts(container, key))
    total = {name: max(running.get(name, 0), peak.get(name, 0)) for name in {*running, *peak}}
    for name, quantity in spec.get("overhead", {}).items():
        if key == "requests" or name in total:
            total[name] = total.get(name, 0) + parse_nano(quantity)
    return total


def _amounts(container: Obj, key: str) -> Amounts:
    return {name: parse_nano(text) for name, text in container["resources"].get(key, {}).items()}


def _merge(total: Amounts, amounts: Amounts) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0) + amount


def _add(used: Amounts, amounts: Amounts) -> None:
    for name in used:
        used[name] += amounts.get(name, 0)


def _missing(resource: Resource, obj: Obj, hard: Obj) -> str:
    """Name the containers that leave out what a quota insists on."""
    if resource.kind != "Pod":
        return ""
    lacking: dict[str, list[str]] = {}
    containers = (*obj["spec"].get("initContainers", ()), *(obj["spec"]["containers"] or ()))
    for name in sorted(hard):
        kind, _, bare = name.rpartition(".")
        if bare not in _COMPUTE or kind not in {"", "limits", "requests"}:
            continue
        key = "limits" if kind == "limits" else "requests"
        for container in containers:
            if bare not in container["resources"].get(key, {}):
                lacking.setdefault(name, []).append(container["name"])
    return "; ".join(f"{name} for: {','.join(sorted(who))}" for name, who in lacking.items())


def _is_in_scope(quota: Obj, resource: Resource, obj: Obj) -> bool:
    scopes = quota["spec"].get("scopes", [])
    if not scopes:
        return True
    if resource.kind != "Pod":
        return False
    is_best_effort = obj["status"].get("qosClass") == "BestEffort"
    is_terminating = "activeDeadlineSeconds" in obj["spec"]
    facts = {
        "BestEffort": is_best_effort,
        "NotBestEffort": not is_best_effort,
        "Terminating": is_terminating,
        "NotTerminating": not is_terminating,
        "PriorityClass": bool(obj["spec"].get("priorityClassName")),
    }
    return all(facts.get(scope, False) for scope in scopes)


def _charged_kinds(hard: Obj) -> list[Resource]:
    plain = {"persistentvolumeclaims", "pods", "resourceclaims.resource.k8s.io", *_COUNTED}
    counted = {name.removeprefix("count/") for name in hard if name.startswith("count/")}
    return [
        item
        for item in RESOURCES
        if item.is_stored
        and item.is_namespaced
        and (item.group_resource in counted or item.group_resource in plain)
    ]


def _format(name: str, nano: int) -> str:
    is_binary = any(word in name for word in _BINARY)
    return format_nano(nano, is_binary=is_binary)
