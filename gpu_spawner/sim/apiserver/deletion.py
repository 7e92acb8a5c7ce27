"""Taking an object away: at once, after a grace period, or when its finalizers are done.

The order of decisions is that of Kubernetes' registry. What follows from a deletion elsewhere
(dependents, the content of a namespace) is :mod:`garbage` and :mod:`housekeeping`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gpu_spawner.sim.apiserver.api_errors import (
    ApiError,
    bad_request,
    conflict,
    forbidden,
    invalid_options,
)
from gpu_spawner.sim.apiserver.field_errors import FieldError, not_supported
from gpu_spawner.sim.apiserver.registry import Registry, Target, timestamp
from gpu_spawner.sim.apiserver.store import Record

__all__ = ["FOREGROUND", "ORPHAN", "DeleteOptions", "delete", "parse_delete_options"]

Obj = dict[str, Any]

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
_POLICIES: Final = ("Foreground", "Background", "Orphan")
_IMMORTAL_NAMESPACES: Final = frozenset({"default", "kube-public", "kube-system"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """What a client asks of a deletion.

    Attributes:
        grace_seconds: None for the object's own.
        policy: ``Foreground``, ``Background``, ``Orphan`` or empty for the object's own wish.
    """

    grace_seconds: int | None = None
    policy: str = ""
    uid: str | None = None
    version: str | None = None
    is_dry_run: bool = False


def parse_delete_options(body: Mapping[str, Any], query: Mapping[str, str]) -> DeleteOptions:
    """Read the options from the body of a DELETE, or from its query when there is no body."""
    values: dict[str, Any] = dict(body)
    if not body:
        for key in ("propagationPolicy", "dryRun"):
            if key in query:
                values[key] = query[key]
        if "gracePeriodSeconds" in query:
            values["gracePeriodSeconds"] = _integer(query["gracePeriodSeconds"])
        if "orphanDependents" in query:
            values["orphanDependents"] = query["orphanDependents"].lower() not in {"0", "false"}
    policy = values.get("propagationPolicy") or ""
    orphans = values.get("orphanDependents")
    if policy and orphans is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        raise invalid_options("DeleteOptions.meta.k8s.io", [("propagationPolicy", detail)])
    if policy and policy not in _POLICIES:
        raise _bad_policy(policy)
    if orphans is not None:
        policy = "Orphan" if orphans else "Background"
    preconditions = values.get("preconditions") or {}
    dry_run = values.get("dryRun") or ()
    return DeleteOptions(
        grace_seconds=values.get("gracePeriodSeconds"),
        policy=policy,
        uid=preconditions.get("uid"),
        version=preconditions.get("resourceVersion"),
        is_dry_run="All" in dry_run or query.get("dryRun") == "All",
    )


def delete(registry: Registry, target: Target, options: DeleteOptions) -> Obj:
    """Delete an object and return what the client is answered."""
    resource, record = target.resource, registry.get(target)
    if resource.kind == "Namespace" and target.name in _IMMORTAL_NAMESPACES:
        raise forbidden(resource, target.name, "this namespace may not be deleted")
    _check_preconditions(record, options)
    obj = record.decode()
    metadata = obj["metadata"]
    if resource.kind == "Pod":
        is_graceful, is_pending = _begin_grace(registry, obj, options)
    elif resource.kind == "Namespace":
        return _delete_namespace(registry, record, obj, options)
    else:
        is_graceful, is_pending = False, False
    if is_pending:
        return _answer(record, obj)
    _set_finalizers(metadata, options.policy)
    if metadata.get("finalizers") and not is_graceful:
        _mark(registry, metadata)
    waits = bool(metadata.get("finalizers")) or (
        is_graceful and metadata["deletionGracePeriodSeconds"] > 0
    )
    if options.is_dry_run:
        return obj if waits or is_graceful else _answer(record, obj)
    if waits:
        if obj != record.decode():
            registry.store.put(resource, obj)
        return obj
    if is_graceful:
        # Kubernetes writes the end of the grace period first and removes the object then, so
        # watchers see a change and a deletion.
        record = registry.store.put(resource, obj).record
    registry.store.remove(record)
    return _answer(record, obj)


def _check_preconditions(record: Record, options: DeleteOptions) -> None:
    resource = record.resource
    why = ""
    if options.uid is not None and options.uid != record.uid:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record "
            f"({record.uid}). The object might have been deleted and then recreated"
        )
    elif options.version is not None and options.version != str(record.version):
        why = (
            f"the ResourceVersion in the precondition ({options.version}) does not match the "
            f"ResourceVersion in record ({record.version}). The object might have been modified"
        )
    if why:
        # Kubernetes names the kind here where it otherwise names the resource.
        raise conflict(
            resource.group_kind, record.name, why, group=resource.group, kind=resource.kind
        )


def _begin_grace(registry: Registry, pod: Obj, options: DeleteOptions) -> tuple[bool, bool]:
    """Start or shorten a pod's grace period.

    Returns:
        Whether the pod changed, and whether it is already on its way out and nothing is to do.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    now = registry.clock()
    asked = options.grace_seconds
    if asked is not None and asked < 0:
        asked = 1
    if "deletionTimestamp" in metadata:
        present = metadata.get("deletionGracePeriodSeconds", 0)
        if not present:
            return False, False
        if asked is None or asked >= present:
            return False, True
        begun = datetime.fromisoformat(metadata["deletionTimestamp"]).timestamp() - present
        end = begun + asked
        if end < now:
            end, asked = now, min(asked, 1)
        metadata["deletionTimestamp"] = timestamp(end)
        metadata["deletionGracePeriodSeconds"] = asked
        return True, False
    seconds = asked if asked is not None else spec.get("terminationGracePeriodSeconds", 0)
    if not spec.get("nodeName") or pod["status"].get("phase") in {"Failed", "Succeeded"}:
        seconds = 0
    seconds = max(seconds, 1) if seconds < 0 else seconds
    metadata["deletionTimestamp"] = timestamp(now + seconds)
    metadata["deletionGracePeriodSeconds"] = seconds
    metadata["generation"] = metadata.get("generation", 0) + 1
    return True, False


def _delete_namespace(
    registry: Registry, record: Record, namespace: Obj, options: DeleteOptions
) -> Obj:
    """Begin to take a namespace away; it goes when its content is gone."""
    metadata = namespace["metadata"]
    if "deletionTimestamp" not in metadata:
        metadata["deletionTimestamp"] = registry.now()
        namespace["status"]["phase"] = "Terminating"
        if not options.is_dry_run:
            registry.store.put(record.resource, namespace)
    return namespace


def _set_finalizers(metadata: Obj, policy: str) -> None:
    """Note on the object itself what shall happen to its dependents."""
    present = metadata.get("finalizers", [])
    kept = [name for name in present if name not in {FOREGROUND, ORPHAN}]
    if policy == "Foreground" or (not policy and FOREGROUND in present):
        kept.append(FOREGROUND)
    elif policy == "Orphan" or (not policy and ORPHAN in present):
        kept.append(ORPHAN)
    if kept:
        metadata["finalizers"] = kept
    else:
        metadata.pop("finalizers", None)


def _mark(registry: Registry, metadata: Obj) -> None:
    """Mark an object that waits for its finalizers."""
    if "deletionTimestamp" not in metadata:
        if metadata.get("generation"):
            metadata["generation"] += 1
        metadata["deletionTimestamp"] = registry.now()
    metadata["deletionGracePeriodSeconds"] = 0


def _answer(record: Record, obj: Obj) -> Obj:
    """Answer with the object where Kubernetes does, elsewhere with a Status that names it."""
    resource = record.resource
    if resource.returns_deleted:
        return obj
    details = {
        "name": record.name,
        "group": resource.group,
        "kind": resource.plural,
        "uid": record.uid,
    }
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _bad_policy(policy: str) -> ApiError:
    problem: FieldError = not_supported("propagationPolicy", policy, _POLICIES)
    error = invalid_options("DeleteOptions.meta.k8s.io", [("propagationPolicy", "")])
    error.message = f'DeleteOptions.meta.k8s.io "" is invalid: {problem}'
    cause = {"reason": problem.reason, "message": problem.message, "field": problem.field}
    error.details = {"group": "meta.k8s.io", "kind": "DeleteOptions", "causes": [cause]}
    return error
