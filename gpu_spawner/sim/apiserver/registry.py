"""What every kind of object has in common when it is created and changed.

System metadata, generated names, optimistic concurrency, the split between an object and its
status, generations, and the order of steps: preparation, admission, validation, quota, store. What
is particular to a kind comes from :mod:`strategies`; taking objects away is :mod:`deletion`'s
business. Synchronous: one call is one transaction. Objects come in decoded and with their defaults
(:mod:`codec`).
"""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from gpu_spawner.sim.apiserver.admission import Admission
from gpu_spawner.sim.apiserver.api_errors import (
    ApiError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    not_found,
)
from gpu_spawner.sim.apiserver.field_errors import FieldError, invalid_value
from gpu_spawner.sim.apiserver.kinds import Resource
from gpu_spawner.sim.apiserver.rules.feature_gates import drop_disabled_fields
from gpu_spawner.sim.apiserver.rules.metadata_rules import check_metadata, check_metadata_update
from gpu_spawner.sim.apiserver.store import Record, Store
from gpu_spawner.sim.apiserver.strategies import Strategy, strategy_for

__all__ = ["Registry", "Target", "timestamp"]

Obj = dict[str, Any]

# Kubernetes leaves out vowels and look-alikes, so that generated names spell nothing.
_NAME_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED_PREFIX: Final = 58
_GENERATED_TAIL: Final = 5
_NAME_ATTEMPTS: Final = 8
_OPTIMISTIC_LOCK: Final = (
    "the object has been modified; please apply your changes to the latest version and try again"
)
# Versions are compared with these only where the client sends one.
_NEEDS_VERSION: Final = frozenset({"leases.coordination.k8s.io", "resourceslices.resource.k8s.io"})
_SYSTEM_FIELDS: Final = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a write is about.

    Attributes:
        subresource: empty for the object itself.
        is_dry_run: run every check and answer as usual, but keep nothing.
    """

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    is_dry_run: bool = False


def timestamp(seconds: float) -> str:
    """Write a point in time as API objects do, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Registry:
    """Create and change objects the way an API server does.

    Attributes:
        disabled_gates: feature gates that are off.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.store = store
        self.clock = clock
        self.disabled_gates: frozenset[str] = frozenset()
        self._admission = Admission(store)

    def now(self) -> str:
        """The time for timestamps."""
        return timestamp(self.clock())

    def get(self, target: Target) -> Record:
        """Return an object or raise 404."""
        record = self.store.get(target.resource, target.namespace, target.name)
        if record is None:
            raise not_found(target.resource, target.name)
        return record

    def create(self, target: Target, obj: Obj) -> Obj:
        """Create an object and return it as stored."""
        resource, strategy = target.resource, strategy_for(target.resource)
        _claim_namespace(target, obj)
        metadata = obj["metadata"]
        if metadata.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        self._admission.check_namespace(resource, target.namespace, metadata.get("name", ""))
        for system_field in (*_SYSTEM_FIELDS, "resourceVersion", "selfLink"):
            metadata.pop(system_field, None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = self.now()
        prefix = metadata.get("generateName", "")
        is_generated = bool(prefix) and not metadata.get("name")
        if is_generated:
            metadata["name"] = self._generate_name(target, prefix)
        if strategy.counts_generations:
            metadata["generation"] = 1
        if resource.has_status and not strategy.keeps_status:
            obj["status"] = _empty_status(resource)
        self._admission.complete(resource, obj)
        drop_disabled_fields(resource, obj, self.disabled_gates)
        strategy.prepare(obj)
        strategy.stamp(obj, self.now())
        problems = [
            *self._admission.admin_access_problems(resource, obj),
            *_check_metadata(resource, strategy, metadata),
            *strategy.check(obj),
        ]
        name = metadata.get("name", "")
        if problems:
            raise invalid(resource, name, problems)
        present = self.store.get(resource, target.namespace, name)
        if present is not None:
            raise _exists(resource, present, is_generated=is_generated)
        self._admission.check_limits(resource, obj)
        self._admission.check_quota(resource, obj)
        if not target.is_dry_run:
            self.store.put(resource, obj)
        return obj

    def update(self, target: Target, change: Callable[[Obj], Obj]) -> tuple[Obj, bool]:
        """Change an object (or its status) by a function of its present state.

        Returns:
            The object as it now is, and whether it had to be created.
        """
        resource = target.resource
        record = self.store.get(resource, target.namespace, target.name)
        if record is None:
            if not resource.creates_on_update or target.subresource:
                raise not_found(resource, target.name)
            return self.create(target, change({})), True
        old = record.decode()
        new = change(record.decode())
        _claim_namespace(target, new)
        self._check_version(target, new, record)
        return self.replace(target, record, new, old), False

    def replace(self, target: Target, record: Record, new: Obj, old: Obj) -> Obj:
        """Put a new state in the place of the present one, after all checks."""
        resource, strategy = target.resource, strategy_for(target.resource)
        _keep_system_fields(new["metadata"], old["metadata"])
        if target.subresource == "status":
            _keep_all_but_status(resource, new, old)
            strategy.prepare_status(new, old)
            problems = list(self._admission.admin_access_problems(resource, new, old))
            problems += list(strategy.check_status_update(new, old))
        else:
            self._prepare_update(resource, strategy, new, old)
            problems = [
                *_check_metadata(resource, strategy, new["metadata"]),
                *strategy.check_update(new, old),
            ]
        problems = [*check_metadata_update(new["metadata"], old["metadata"]), *problems]
        if problems:
            raise invalid(resource, record.name, problems)
        return self.write(target, record, new, old)

    def write(self, target: Target, record: Record, new: Obj, old: Obj) -> Obj:
        """Store a new state, unless nothing changed; finish a deletion that waited for it."""
        if new == old:
            return old
        if target.is_dry_run:
            return new
        if _is_finished(new, old):
            self.store.remove(record, final=new)
            new["metadata"]["resourceVersion"] = str(record.version)
        else:
            self.store.put(target.resource, new)
        return new

    def _prepare_update(self, resource: Resource, strategy: Strategy, new: Obj, old: Obj) -> None:
        if resource.has_status:
            new["status"] = old["status"]
        if resource.kind == "Namespace":
            new["spec"] = old["spec"]
        strategy.prepare_update(new, old)
        strategy.stamp(new, self.now())
        if strategy.counts_generations and new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1

    def _generate_name(self, target: Target, prefix: str) -> str:
        name = ""
        for _ in range(_NAME_ATTEMPTS):
            tail = random.choices(_NAME_ALPHABET, k=_GENERATED_TAIL)  # noqa: S311 - no secret
            name = prefix[:_MAX_GENERATED_PREFIX] + "".join(tail)
            if self.store.get(target.resource, target.namespace, name) is None:
                break
        return name

    def _check_version(self, target: Target, new: Obj, record: Record) -> None:
        metadata, resource = new["metadata"], target.resource
        uid = metadata.get("uid", record.uid)
        version = metadata.get("resourceVersion", "")
        why = ""
        if uid != record.uid:
            why = (
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {record.uid}"
            )
        elif version and version != str(record.version):
            why = _OPTIMISTIC_LOCK
        elif not version and resource.group_resource in _NEEDS_VERSION:
            problem = invalid_value(
                "metadata.resourceVersion", 0, "must be specified for an update"
            )
            raise invalid(resource, record.name, [problem])
        if why:
            raise conflict(
                resource.group_resource,
                record.name,
                why,
                group=resource.group,
                kind=resource.plural,
            )
        metadata["resourceVersion"] = str(record.version)


def _claim_namespace(target: Target, obj: Obj) -> None:
    """Give an object the name and namespace of the URL, or refuse another one."""
    metadata = obj["metadata"]
    if target.resource.is_namespaced:
        namespace = metadata.get("namespace") or target.namespace
        if namespace != target.namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        metadata["namespace"] = namespace
    name = metadata.get("name") or target.name
    if target.name and name != target.name:
        raise bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        )
    if name:
        metadata["name"] = name


def _check_metadata(resource: Resource, strategy: Strategy, metadata: Obj) -> list[FieldError]:
    found = check_metadata(
        metadata, is_namespaced=resource.is_namespaced, name_problems=strategy.name_problems
    )
    return list(found)


def _exists(resource: Resource, present: Record, *, is_generated: bool) -> ApiError:
    error = already_exists(resource, present.name)
    if is_generated:
        error.message += ", the server was not able to generate a unique name for the object"
    elif "deletionTimestamp" in present.decode()["metadata"]:
        error.message = f"object is being deleted: {error.message}"
    return error


def _empty_status(resource: Resource) -> Obj:
    counters = {
        "DaemonSet": (
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
        ),
        "PodDisruptionBudget": (
            "disruptionsAllowed",
            "currentHealthy",
            "desiredHealthy",
            "expectedPods",
        ),
    }
    if resource.kind in {"Service", "Ingress"}:
        return {"loadBalancer": {}}
    return dict.fromkeys(counters.get(resource.kind, ()), 0)


def _keep_system_fields(new: Obj, old: Obj) -> None:
    for key in _SYSTEM_FIELDS:
        if key in old:
            new[key] = old[key]
        else:
            new.pop(key, None)


def _keep_all_but_status(resource: Resource, new: Obj, old: Obj) -> None:
    """Let a report change the status, and labels and annotations where Kubernetes does."""
    status, metadata = new.get("status", {}), new["metadata"]
    if resource.kind == "ResourceClaim":
        metadata = {**old["metadata"], "resourceVersion": metadata["resourceVersion"]}
    metadata.pop("ownerReferences", None)
    if "ownerReferences" in old["metadata"]:
        metadata["ownerReferences"] = old["metadata"]["ownerReferences"]
    new.clear()
    new.update({**old, "metadata": metadata, "status": status})


def _is_finished(new: Obj, old: Obj) -> bool:
    """Whether an update took the last finalizer off an object that waits to be deleted."""
    metadata = old["metadata"]
    return (
        not new["metadata"].get("finalizers")
        and "deletionTimestamp" in metadata
        and not metadata.get("deletionGracePeriodSeconds")
    )
