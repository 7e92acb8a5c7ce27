"""Streaming a watch: what a watcher sees of each change, and when the stream ends.

A change reaches every watcher through the store's callback, is encoded once, and waits in the
watcher's own buffer until the socket takes it. A watcher that falls too far behind is cut off, as
an API server does; it lists again.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gpu_spawner.sim.apiserver.api_errors import expired
from gpu_spawner.sim.apiserver.kinds import Resource
from gpu_spawner.sim.apiserver.listing import ListOptions, check_version
from gpu_spawner.sim.apiserver.store import Change, ChangeKind, HistoryGoneError, Record, Store

__all__ = ["Look", "Watch"]

_MAX_BUFFERED_FRAMES: Final = 20_000
_BOOKMARK_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """How a watch is written.

    Attributes:
        bookmark: the empty object of this kind that carries the version in a bookmark.
        render: writes an object otherwise than as stored (tables).
    """

    bookmark: dict[str, Any]
    render: Callable[[Record], bytes] | None = None


class Watch:
    """One client's watch on one kind.

    ``frames()`` yields bytes to send; ``close()`` ends it from outside.
    """

    def __init__(
        self,
        store: Store,
        resource: Resource,
        namespace: str | None,
        options: ListOptions,
        look: Look,
    ) -> None:
        """Prepare a watch.

        Args:
            store: where changes come from.
            resource: the kind watched.
            namespace: None for all of them.
            options: selectors, version, bookmarks, timeout.
            look: how objects and bookmarks are written.
        """
        self._store = store
        self._resource = resource
        self._namespace = namespace
        self._options = options
        self._bookmark = look.bookmark
        self._render = look.render
        self._frames: list[bytes] = []
        self._wake = asyncio.Event()
        self._is_open = True

    def close(self) -> None:
        """End the stream after what is already buffered."""
        self._is_open = False
        self._wake.set()

    async def frames(self, timeout_seconds: float) -> AsyncGenerator[bytes, None]:
        """Yield what to send, until the time is over or the watch is closed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_seconds
        next_bookmark = loop.time() + _BOOKMARK_SECONDS
        unsubscribe = self._store.subscribe(self._on_change, self._resource)
        try:
            self._begin()
            while True:
                if self._frames:
                    pending, self._frames = b"".join(self._frames), []
                    yield pending
                    continue
                now = loop.time()
                if not self._is_open or now >= end:
                    break
                if self._options.with_bookmarks and now >= next_bookmark:
                    next_bookmark = now + _BOOKMARK_SECONDS
                    self._frames.append(self._bookmark_frame())
                    continue
                self._wake.clear()
                wait = min(end, next_bookmark) - now
                try:
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            unsubscribe()

    def _begin(self) -> None:
        """Buffer what the watcher has not seen: everything there is, or what changed since."""
        options = self._options
        version = check_version(options.version)
        initial = options.sends_initial_events
        if initial or (initial is None and version == 0):
            for record in self._store.list_records(self._resource, self._namespace):
                if options.selector.accepts(record):
                    self._frames.append(_frame(ChangeKind.ADDED, self._show(record)))
            if initial and options.with_bookmarks:
                self._frames.append(self._bookmark_frame(is_end_of_initial_events=True))
            return
        try:
            changes = self._store.changes_since(self._resource, version)
        except HistoryGoneError as error:
            status = msgspec.json.encode(expired(str(error)).body())
            self._frames.append(b'{"type":"ERROR","object":%s}\n' % status)
            self.close()
            return
        for change in changes:
            self._add(change)

    def _on_change(self, change: Change) -> None:
        if not self._is_open:
            return
        if len(self._frames) >= _MAX_BUFFERED_FRAMES:
            self.close()
            return
        self._add(change)
        self._wake.set()

    def _add(self, change: Change) -> None:
        if self._namespace is not None and change.record.namespace != self._namespace:
            return
        kind = self._seen_as(change)
        if kind is None:
            return
        if self._render is None:
            self._frames.append(change.frame(kind))
        else:
            self._frames.append(_frame(kind, self._render(change.shown(kind))))

    def _seen_as(self, change: Change) -> ChangeKind | None:
        """Decide which kind of change this is to a watcher with this selector."""
        selector = self._options.selector
        if selector.is_empty:
            return change.kind
        matched = change.previous is not None and selector.accepts(change.previous)
        if change.kind is ChangeKind.DELETED:
            return ChangeKind.DELETED if matched else None
        matches = selector.accepts(change.record)
        if matches:
            return ChangeKind.MODIFIED if matched else ChangeKind.ADDED
        return ChangeKind.DELETED if matched else None

    def _show(self, record: Record) -> bytes:
        return record.raw if self._render is None else self._render(record)

    def _bookmark_frame(self, *, is_end_of_initial_events: bool = False) -> bytes:
        metadata: dict[str, Any] = {"resourceVersion": str(self._store.version)}
        if is_end_of_initial_events:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        bookmark = {**self._bookmark, "metadata": metadata}
        return b'{"type":"BOOKMARK","object":%s}\n' % msgspec.json.encode(bookmark)


def _frame(kind: ChangeKind, raw: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.value.encode(), raw)
