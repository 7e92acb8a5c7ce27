"""Keeping the cluster on disk, so that a restart is a restart.

One JSON line for every change, appended and flushed as it happens; now and then the file is written
anew with only what is there. A line that was cut off by a crash is the last one, and is dropped.
History is not kept: after a restart every watcher lists again, as after etcd was compacted.
"""

import json
import logging
import os
from pathlib import Path
from typing import Any, Final

import msgspec

from gpu_spawner.sim.apiserver.kinds import RESOURCES, Resource
from gpu_spawner.sim.apiserver.store import Change, ChangeKind, Store

__all__ = ["Journal"]

_log = logging.getLogger(__name__)

_FILE: Final = "objects.jsonl"
_COMPACT_AFTER: Final = 5_000
_BY_NAME: Final = {item.group_resource: item for item in RESOURCES if item.is_stored}


class Journal:
    """Loads a store from a directory and writes every change of it there."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE
        self._file: Any = None
        self._stale_lines = 0
        self._store: Store | None = None

    def load(self, store: Store) -> None:
        """Fill an empty store from the directory; an empty directory leaves it empty."""
        if not self._path.exists():
            return
        version = 0
        for line in self._path.read_bytes().splitlines():
            try:
                entry = msgspec.json.decode(line)
            except msgspec.DecodeError:
                _log.warning("%s: dropped a line that was not written to its end", self._path)
                break
            version = max(version, entry["version"])
            resource = _BY_NAME.get(entry["resource"])
            if resource is None:
                continue
            if "object" in entry:
                store.restore(resource, entry["object"])
            else:
                store.restore_removal(resource, entry["key"])
        store.restore_version(version)

    def follow(self, store: Store) -> None:
        """Write the store as it is, and every change from now on."""
        self._store = store
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._compact()
        store.subscribe(self._append)

    def close(self) -> None:
        """Stop writing; what was written stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, change: Change) -> None:
        if self._file is None:
            return
        record = change.record
        if change.kind is ChangeKind.DELETED:
            self._file.write(_removal(record.resource, record.key, record.version))
        else:
            self._file.write(_line(record.resource, record.version, record.raw))
        self._file.flush()
        self._stale_lines += 1
        if self._store is not None and self._stale_lines > max(
            _COMPACT_AFTER, len(self._store.records())
        ):
            self._compact()

    def _compact(self) -> None:
        """Write the file anew, beside the old one, and put it in its place."""
        if self._store is None:
            return
        fresh = self._path.with_suffix(".new")
        # Secrets are in it: nobody else may read it.
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_removal(None, "", self._store.version))
            for record in self._store.records():
                file.write(_line(record.resource, record.version, record.raw))
        fresh.replace(self._path)
        self.close()
        self._file = self._path.open("ab")
        self._stale_lines = 0


def _line(resource: Resource, version: int, raw: bytes) -> bytes:
    head = f'{{"resource":"{resource.group_resource}","version":{version},"object":'
    return head.encode() + raw + b"}\n"


def _removal(resource: Resource | None, key: str, version: int) -> bytes:
    name = resource.group_resource if resource is not None else ""
    entry = {"resource": name, "version": version, "key": key}
    return json.dumps(entry).encode() + b"\n"
