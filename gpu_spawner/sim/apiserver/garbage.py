"""Collecting what belonged to an object that is gone.

Owner references form the graph. Background: dependents go after their owner. Foreground: the owner
waits, with a finalizer, until the dependents that block it are gone. Orphan: dependents lose the
reference and stay. An object whose every owner is gone, or never was, goes too.

Kubernetes does this in a controller, a moment later; here it happens within the request that caused
it, which no client can tell from a fast controller.
"""

from collections import deque
from typing import Any, Final

from gpu_spawner.sim.apiserver.deletion import FOREGROUND, ORPHAN, DeleteOptions, delete
from gpu_spawner.sim.apiserver.kinds import Resource, resource_for_kind
from gpu_spawner.sim.apiserver.registry import Registry, Target
from gpu_spawner.sim.apiserver.store import Change, ChangeKind, Record

__all__ = ["GarbageCollector"]

Obj = dict[str, Any]
_Key = tuple[str, str]

_GOING: Final = "deletionTimestamp"


class GarbageCollector:
    """Follows every change and keeps the graph of owners; ``drain()`` does what is due."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._dependents: dict[str, dict[_Key, Record]] = {}
        self._owners: dict[_Key, tuple[str, ...]] = {}
        self._due: deque[Record] = deque()
        for record in registry.store.records():
            self._learn(record)
        self.close = registry.store.subscribe(self._on_change)

    def drain(self) -> bool:
        """Do everything that is due; returns whether there was anything."""
        did_something = bool(self._due)
        while self._due:
            self._attend(self._due.popleft())
        return did_something

    def _on_change(self, change: Change) -> None:
        record = change.record
        if change.kind is ChangeKind.DELETED:
            self._forget(record)
            # Its dependents may have lost their last owner, its owners may have waited for it.
            self._due.extend(self._dependents.get(record.uid, {}).values())
            self._due.extend(self._blocked_owners(record))
            return
        self._learn(record)
        if b'"ownerReferences"' in record.raw or b'"finalizers"' in record.raw:
            self._due.append(record)

    def _learn(self, record: Record) -> None:
        key = _key_of(record)
        owners: tuple[str, ...] = ()
        if b'"ownerReferences"' in record.raw:
            references = record.decode()["metadata"].get("ownerReferences", ())
            owners = tuple(reference["uid"] for reference in references)
        before = self._owners.get(key, ())
        for uid in before:
            if uid not in owners:
                self._dependents.get(uid, {}).pop(key, None)
        for uid in owners:
            self._dependents.setdefault(uid, {})[key] = record
        if owners:
            self._owners[key] = owners
        else:
            self._owners.pop(key, None)

    def _forget(self, record: Record) -> None:
        key = _key_of(record)
        for uid in self._owners.pop(key, ()):
            siblings = self._dependents.get(uid, {})
            siblings.pop(key, None)
            if not siblings:
                self._dependents.pop(uid, None)

    def _blocked_owners(self, record: Record) -> list[Record]:
        references = record.decode()["metadata"].get("ownerReferences", ())
        found = (self._find_owner(record, reference) for reference in references)
        return [owner for owner in found if owner is not None]

    def _attend(self, seen: Record) -> None:
        record = self._registry.store.get(seen.resource, seen.namespace, seen.name)
        if record is None or record.uid != seen.uid:
            return
        metadata = record.decode()["metadata"]
        finalizers = metadata.get("finalizers", ())
        if _GOING in metadata and ORPHAN in finalizers:
            self._orphan_dependents(record)
        elif _GOING in metadata and FOREGROUND in finalizers:
            self._delete_dependents(record)
        elif _GOING not in metadata and metadata.get("ownerReferences"):
            self._judge(record, metadata["ownerReferences"])

    def _judge(self, record: Record, references: list[Obj]) -> None:
        """Delete an object that has owners to name but none that is there."""
        present = []
        waiting = False
        for reference in references:
            if resource_for_kind(reference["apiVersion"], reference["kind"]) is None:
                # Nobody can know; Kubernetes keeps such an object too.
                return
            owner = self._find_owner(record, reference)
            if owner is None:
                continue
            metadata = owner.decode()["metadata"]
            is_waiting = _GOING in metadata and FOREGROUND in metadata.get("finalizers", ())
            waiting = waiting or is_waiting
            if not is_waiting:
                present.append(reference)
        if present:
            if len(present) < len(references):
                self._keep_references(record, {reference["uid"] for reference in present})
            return
        has_dependents = bool(self._dependents.get(record.uid))
        policy = "Foreground" if waiting and has_dependents else "Background"
        finalizers = record.decode()["metadata"].get("finalizers", ())
        if not waiting and (ORPHAN in finalizers or FOREGROUND in finalizers):
            policy = ""
        options = DeleteOptions(policy=policy, uid=record.uid)
        delete(self._registry, _target(record), options)

    def _delete_dependents(self, owner: Record) -> None:
        blocking = False
        for dependent in list(self._dependents.get(owner.uid, {}).values()):
            obj = dependent.decode()
            references = obj["metadata"]["ownerReferences"]
            blocking = blocking or any(
                reference["uid"] == owner.uid and reference.get("blockOwnerDeletion")
                for reference in references
            )
            if _GOING not in obj["metadata"]:
                self._due.append(dependent)
        if not blocking:
            self._drop_finalizer(owner, FOREGROUND)

    def _orphan_dependents(self, owner: Record) -> None:
        for dependent in list(self._dependents.get(owner.uid, {}).values()):
            others = {uid for uid in self._owners[_key_of(dependent)] if uid != owner.uid}
            self._keep_references(dependent, others)
        self._drop_finalizer(owner, ORPHAN)

    def _keep_references(self, record: Record, uids: set[str]) -> None:
        def keep(obj: Obj) -> Obj:
            references = obj["metadata"].get("ownerReferences", ())
            kept = [reference for reference in references if reference["uid"] in uids]
            obj["metadata"]["ownerReferences"] = kept
            if not kept:
                del obj["metadata"]["ownerReferences"]
            return obj

        self._change(record, keep)

    def _drop_finalizer(self, record: Record, name: str) -> None:
        def drop(obj: Obj) -> Obj:
            finalizers = [item for item in obj["metadata"]["finalizers"] if item != name]
            obj["metadata"]["finalizers"] = finalizers
            if not finalizers:
                del obj["metadata"]["finalizers"]
            return obj

        self._change(record, drop)

    def _change(self, record: Record, change: Any) -> None:
        current = self._registry.store.get(record.resource, record.namespace, record.name)
        if current is not None:
            new = change(current.decode())
            self._registry.write(_target(current), current, new, current.decode())

    def _find_owner(self, record: Record, reference: Obj) -> Record | None:
        resource = resource_for_kind(reference["apiVersion"], reference["kind"])
        if resource is None or not resource.is_stored:
            return None
        namespace = record.namespace if resource.is_namespaced else ""
        owner = self._registry.store.get(resource, namespace, reference["name"])
        return owner if owner is not None and owner.uid == reference["uid"] else None


def _key_of(record: Record) -> _Key:
    return record.resource.group_resource, record.key


def _target(record: Record) -> Target:
    resource: Resource = record.resource
    return Target(resource=resource, namespace=record.namespace, name=record.name)
