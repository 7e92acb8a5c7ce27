"""What every kind of object has in common when it is created and changed.

System metadata, generated names, optimistic concurrency, the split between an object and its
status, generations, and the order of steps: defaults, preparation, validation, admission, store.
What is particular to a kind comes from :mod:`strategies`; taking objects away is
:mod:`deletion`'s business. Synchronous: one call is one transaction.
"""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from gpu_spawner.sim.api_errors import (
    ApiError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    not_found,
)
from gpu_spawner.sim.kinds import RESOURCES, Resource
from gpu_spawner.sim.store import Record, Store

__all__ = ["Registry", "Target", "timestamp"]

# Kubernetes leaves out vowels and look-alikes, so that generated names spell nothing.
_NAME_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED_PREFIX: Final = 58
_OPTIMISTIC_LOCK: Final = (
    "the object has been modified; please apply your changes to the latest version and try again"
)
_NAMESPACES: Final = next(item for item in RESOURCES if item.kind == "Namespace")


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
    """Create and change objects the way an API server does."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.store = store
        self.clock = clock

    def now(self) -> str:
        """The time for timestamps."""
        return timestamp(self.clock())

    def get(self, target: Target) -> Record:
        """Return an object or raise 404."""
        record = self.store.get(target.resource, target.namespace, target.name)
        if record is None:
            raise not_found(target.resource, target.name)
        return record

    def create(self, target: Target, obj: dict[str, Any]) -> dict[str, Any]:
        """Create an object and return it as stored."""
        resource = target.resource
        metadata = self._own_metadata(target, obj)
        if resource.is_namespaced:
            self._require_namespace(target.namespace)
        metadata.pop("resourceVersion", None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = self.now()
        for system_field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            metadata.pop(system_field, None)
        prefix = metadata.get("generateName", "")
        if not metadata.get("name") and prefix:
            metadata["name"] = self._generate_name(target, prefix)
        name = metadata.get("name", "")
        if self.store.get(resource, target.namespace, name) is not None:
            raise already_exists(resource, name)
        if target.is_dry_run:
            return obj
        self.store.put(resource, obj)
        return obj

    def update(
        self,
        target: Target,
        change: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> tuple[dict[str, Any], bool]:
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
        self._own_metadata(target, new)
        self._check_version(target, new, record)
        self._keep_system_fields(target, new, old)
        if new == old:
            return old, False
        if target.is_dry_run:
            return new, False
        if self._is_finished(new, old):
            self.store.remove(record)
            return new, False
        self.store.put(resource, new)
        return new, False

    def _own_metadata(self, target: Target, obj: dict[str, Any]) -> dict[str, Any]:
        metadata = obj.setdefault("metadata", {})
        if target.resource.is_namespaced:
            namespace = metadata.setdefault("namespace", target.namespace)
            if namespace != target.namespace:
                raise bad_request(
                    f"the namespace of the provided object does not match the namespace sent on "
                    f"the request"
                )
        if target.name and metadata.setdefault("name", target.name) != target.name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL "
                f"({target.name})"
            )
        owned: dict[str, Any] = metadata
        return owned

    def _require_namespace(self, namespace: str) -> None:
        if self.store.get(_NAMESPACES, "", namespace) is None:
            raise not_found(_NAMESPACES, namespace)

    def _generate_name(self, target: Target, prefix: str) -> str:
        for _ in range(8):
            tail = "".join(random.choices(_NAME_ALPHABET, k=5))  # noqa: S311 - not a secret
            name = prefix[:_MAX_GENERATED_PREFIX] + tail
            if self.store.get(target.resource, target.namespace, name) is None:
                return name
        raise already_exists(target.resource, name)

    def _check_version(self, target: Target, new: dict[str, Any], record: Record) -> None:
        metadata = new["metadata"]
        resource = target.resource
        if metadata.get("uid", record.uid) != record.uid:
            why = (
                f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object "
                f"meta: {record.uid}"
            )
            raise conflict(
                resource.group_resource,
                record.name,
                why,
                group=resource.group,
                kind=resource.plural,
            )
        version = metadata.setdefault("resourceVersion", str(record.version))
        if version != str(record.version):
            raise conflict(
                resource.group_resource,
                record.name,
                _OPTIMISTIC_LOCK,
                group=resource.group,
                kind=resource.plural,
            )

    @staticmethod
    def _keep_system_fields(target: Target, new: dict[str, Any], old: dict[str, Any]) -> None:
        kept = new["metadata"]
        for key in (
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
        ):
            if key in old["metadata"]:
                kept[key] = old["metadata"][key]
            else:
                kept.pop(key, None)
        if not target.resource.has_status:
            return
        untouched = "spec" if target.subresource == "status" else "status"
        if untouched in old:
            new[untouched] = old[untouched]
        else:
            new.pop(untouched, None)

    @staticmethod
    def _is_finished(new: dict[str, Any], old: dict[str, Any]) -> bool:
        """Whether an update took the last finalizer off an object that waits to be deleted."""
        metadata = old["metadata"]
        return (
            not new["metadata"].get("finalizers")
            and "deletionTimestamp" in metadata
            and not metadata.get("deletionGracePeriodSeconds")
        )
