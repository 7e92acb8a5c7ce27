"""The versioned object store beneath the API server.

It decides what a version means: one counter for the whole cluster, one bounded history per kind,
lists as they were at any version the history still reaches, and the changes after a version. It
knows nothing of HTTP, defaults, permissions or time; those are the layers above.

Objects are kept as the JSON bytes a client will receive, encoded once per version. Every reader
that needs a dict decodes its own, so nobody can change history by accident, and a list of 150,000
pods is a join of bytes.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec

from gpu_spawner.sim.apiserver.kinds import RESOURCES, Resource

__all__ = ["Change", "ChangeKind", "HistoryGoneError", "Record", "Store"]

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_BOOLEAN_FIELDS: Final = frozenset({"spec.hostNetwork", "spec.unschedulable"})


class ChangeKind(StrEnum):
    """What happened to an object, in the words of a watch frame."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class HistoryGoneError(Exception):
    """The history does not reach back to the version asked for."""

    def __init__(self, version: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {version} ({oldest})")
        self.version = version
        self.oldest = oldest


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One version of one object.

    Attributes:
        resource: its kind.
        key: ``namespace/name``, or the name alone for cluster-wide kinds: the order of lists.
        version: the cluster-wide version that wrote it.
        labels: for label selectors.
        fields: values of ``resource.fields``, for field selectors.
        raw: the JSON a client receives; begins with kind and apiVersion, because lists leave
            these out of every item by cutting the text there.
    """

    resource: Resource
    key: str
    namespace: str
    name: str
    uid: str
    version: int
    labels: Mapping[str, str]
    fields: tuple[str, ...]
    raw: bytes

    def decode(self) -> dict[str, Any]:
        """Return a fresh dict that the caller may change."""
        decoded: dict[str, Any] = _decode(self.raw)
        return decoded

    def at_version(self, version: int) -> "Record":
        """Return the same object as a later change shows it."""
        obj = self.decode()
        obj["metadata"]["resourceVersion"] = str(version)
        return Record(
            self.resource,
            self.key,
            self.namespace,
            self.name,
            self.uid,
            version,
            self.labels,
            self.fields,
            _encode(obj),
        )


@dataclass(slots=True, eq=False)
class Change:
    """One step of history: an object before and after.

    Attributes:
        record: after the change; for DELETED the last state, carrying the version of the deletion.
        previous: before it, None for ADDED.
    """

    kind: ChangeKind
    record: Record
    previous: Record | None
    _frames: dict[str, bytes] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """The version this change made."""
        return self.record.version

    def shown(self, kind: ChangeKind) -> Record:
        """Return the object as a watcher sees it.

        A watcher with a selector may see another kind of change than happened: an object that
        stops matching is DELETED for it, and shown as it was when it last matched.
        """
        if kind is ChangeKind.DELETED and self.kind is not kind and self.previous is not None:
            return self.previous.at_version(self.version)
        return self.record

    def frame(self, kind: ChangeKind) -> bytes:
        """Return the watch line for this change, encoded once however many watch."""
        line = self._frames.get(kind)
        if line is None:
            line = b'{"type":"%s","object":%s}\n' % (kind.value.encode(), self.shown(kind).raw)
            self._frames[kind] = line
        return line


class _Shelf:
    """Everything the store keeps about one kind."""

    __slots__ = ("floor", "history", "keys", "records", "watchers")

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.keys: list[str] = []
        self.history: deque[Change] = deque()
        self.floor = 0
        self.watchers: list[Callable[[Change], None]] = []

    def keys_in(self, namespace: str | None) -> list[str]:
        if namespace is None:
            return self.keys
        start = bisect_left(self.keys, f"{namespace}/")
        # "0" is the character after "/", so this is the end of the namespace's range.
        return self.keys[start : bisect_left(self.keys, f"{namespace}0")]


class Store:
    """All objects, their versions and their recent history."""

    def __init__(self, *, history_limit: int = 10_000) -> None:
        """Make an empty store.

        Args:
            history_limit: changes remembered per kind; a watcher further behind gets 410.
        """
        self._history_limit = history_limit
        self._version = 0
        self._shelves = {item.group_resource: _Shelf() for item in RESOURCES if item.is_stored}
        self._listeners: list[Callable[[Change], None]] = []

    @property
    def version(self) -> int:
        """The version of the newest change."""
        return self._version

    def get(self, resource: Resource, namespace: str, name: str) -> Record | None:
        """Return the newest version of one object."""
        return self._shelf(resource).records.get(_key(namespace, name))

    def count(self, resource: Resource) -> int:
        """Return how many objects of a kind there are."""
        return len(self._shelf(resource).records)

    def list_records(
        self, resource: Resource, namespace: str | None = None, *, at: int | None = None
    ) -> list[Record]:
        """Return the objects of a kind in key order, now or as of an earlier version.

        Raises:
            HistoryGoneError: when the history no longer reaches back to ``at``.
        """
        shelf = self._shelf(resource)
        if at is None or at >= self._version:
            records = shelf.records
            return [records[key] for key in shelf.keys_in(namespace)]
        if at < shelf.floor:
            raise HistoryGoneError(at, shelf.floor)
        past: dict[str, Record | None] = {}
        for change in self.changes_since(resource, at):
            past.setdefault(change.record.key, change.previous)
        keys = sorted({*shelf.keys_in(namespace), *_keys_within(past, namespace)})
        found = (past[key] if key in past else shelf.records[key] for key in keys)
        return [record for record in found if record is not None]

    def changes_since(self, resource: Resource, version: int) -> list[Change]:
        """Return what happened to a kind after ``version``, oldest first.

        Raises:
            HistoryGoneError: when some of it is forgotten.
        """
        shelf = self._shelf(resource)
        if version < shelf.floor:
            raise HistoryGoneError(version, shelf.floor)
        newer: list[Change] = []
        for change in reversed(shelf.history):
            if change.version <= version:
                break
            newer.append(change)
        newer.reverse()
        return newer

    def put(self, resource: Resource, obj: dict[str, Any]) -> Change:
        """Write an object under its own namespace and name, as the next version."""
        version = self._version + 1
        obj["metadata"]["resourceVersion"] = str(version)
        record = _record(resource, obj, version)
        previous = self._shelf(resource).records.get(record.key)
        kind = ChangeKind.ADDED if previous is None else ChangeKind.MODIFIED
        return self._commit(Change(kind, record, previous))

    def remove(self, record: Record, *, final: dict[str, Any] | None = None) -> Change:
        """Take an object out, as the next version.

        Args:
            record: its newest version.
            final: the last state to show to watchers, where the removal itself changed it.
        """
        version = self._version + 1
        if final is None:
            last = record.at_version(version)
        else:
            final["metadata"]["resourceVersion"] = str(version)
            last = _record(record.resource, final, version)
        return self._commit(Change(ChangeKind.DELETED, last, record))

    def restore(self, resource: Resource, obj: dict[str, Any]) -> None:
        """Load an object saved earlier, keeping its version and telling nobody."""
        version = int(obj["metadata"]["resourceVersion"])
        record = _record(resource, obj, version)
        shelf = self._shelf(resource)
        if record.key not in shelf.records:
            insort(shelf.keys, record.key)
        shelf.records[record.key] = record

    def restore_removal(self, resource: Resource, key: str) -> None:
        """Take out an object that was saved and later removed, telling nobody."""
        shelf = self._shelf(resource)
        if shelf.records.pop(key, None) is not None:
            del shelf.keys[bisect_left(shelf.keys, key)]

    def restore_version(self, version: int) -> None:
        """Go on counting from a version saved earlier; everything before it is forgotten."""
        self._version = max(version, self._version)
        for shelf in self._shelves.values():
            shelf.floor = self._version

    def forget_history(self) -> None:
        """Forget all changes, so that every watcher that resumes must list again."""
        for shelf in self._shelves.values():
            shelf.history.clear()
            shelf.floor = self._version

    def subscribe(
        self, callback: Callable[[Change], None], resource: Resource | None = None
    ) -> Callable[[], None]:
        """Call back after every change (of one kind, or of all); returns how to stop."""
        listeners = self._listeners if resource is None else self._shelf(resource).watchers
        listeners.append(callback)

        def stop() -> None:
            if callback in listeners:
                listeners.remove(callback)

        return stop

    def records(self) -> list[Record]:
        """Return every object of every kind."""
        return [record for shelf in self._shelves.values() for record in shelf.records.values()]

    def _shelf(self, resource: Resource) -> _Shelf:
        return self._shelves[resource.group_resource]

    def _commit(self, change: Change) -> Change:
        record = change.record
        shelf = self._shelf(record.resource)
        self._version = record.version
        if change.kind is ChangeKind.DELETED:
            del shelf.records[record.key]
            del shelf.keys[bisect_left(shelf.keys, record.key)]
        else:
            if change.kind is ChangeKind.ADDED:
                insort(shelf.keys, record.key)
            shelf.records[record.key] = record
        shelf.history.append(change)
        while len(shelf.history) > self._history_limit:
            shelf.floor = shelf.history.popleft().version
        for listener in (*self._listeners, *shelf.watchers):
            listener(change)
        return change


def _key(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name


def _keys_within(past: Mapping[str, Record | None], namespace: str | None) -> list[str]:
    if namespace is None:
        return list(past)
    return [key for key in past if key.startswith(f"{namespace}/")]


def _record(resource: Resource, obj: dict[str, Any], version: int) -> Record:
    metadata = obj["metadata"]
    namespace = metadata.get("namespace", "") if resource.is_namespaced else ""
    name = metadata["name"]
    return Record(
        resource,
        _key(namespace, name),
        namespace,
        name,
        metadata.get("uid", ""),
        version,
        metadata.get("labels") or {},
        tuple(_field(obj, path) for path in resource.fields),
        _encode({"kind": resource.kind, "apiVersion": resource.api_version} | obj),
    )


def _field(obj: Any, path: str) -> str:
    """Read a field as a selector compares it: absent is empty, booleans are Go's words."""
    if path == "source":
        return str(obj["source"].get("component") or obj.get("reportingComponent", ""))
    for part in path.split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    if isinstance(obj, bool):
        return "true" if obj else "false"
    if obj is None or isinstance(obj, list):
        return "false" if path in _BOOLEAN_FIELDS else ""
    return str(obj)
