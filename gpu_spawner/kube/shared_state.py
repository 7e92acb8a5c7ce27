"""The one ``ClusterState`` that all reflectors feed, without holding up the loop.

Taking in a list of 150,000 pods is half a second of pure computation. It runs in a thread, in which
the interpreter lets the event loop in between every few milliseconds; meanwhile readers see what
was there before, and the other reflectors wait with their batches. Small lists and single events
are taken in at once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import ClusterState

__all__ = ["SharedState"]

# Some 10 ms of work: less than the loop may be held up, more than a thread costs.
_MOST_AT_ONCE = 2_000


class SharedState:
    """A store for reflectors, and snapshots for readers. It belongs to one event loop."""

    def __init__(self) -> None:
        self._state = ClusterState()
        self._idle = asyncio.Event()
        self._idle.set()
        # What readers see while a thread is at work on the state.
        self._before = self._state.snapshot(None)
        self._serial = self._state.serial

    @property
    def serial(self) -> int:
        """A number that grows with every change that readers can see."""
        return self._state.serial if self._idle.is_set() else self._serial

    def snapshot(self, as_of: float | None) -> Snapshot:
        """Return what is held."""
        if self._idle.is_set():
            return self._state.snapshot(as_of)
        return replace(self._before, as_of=as_of)

    async def until_idle(self) -> None:
        """Wait until ``apply`` and its like may be called, up to the next ``await``."""
        while not self._idle.is_set():
            await self._idle.wait()

    async def replace_all(self, kind: str, objects: Sequence[Any]) -> None:
        """Hold exactly these objects of a kind."""
        await self.until_idle()
        if len(objects) <= _MOST_AT_ONCE:
            self._state.replace_all(kind, objects)
            return
        self._before = self._state.snapshot(None)
        self._serial = self._state.serial
        self._idle.clear()
        work = asyncio.create_task(asyncio.to_thread(self._state.replace_all, kind, objects))
        # A thread cannot be cancelled: even then nobody may touch the state before it is through.
        work.add_done_callback(lambda _: self._idle.set())
        await asyncio.shield(work)

    def apply(self, kind: str, event_type: str, obj: Any) -> None:
        """Take one ``ADDED``, ``MODIFIED`` or ``DELETED``."""
        self._state.apply(kind, event_type, obj)

    def forget(self, kind: str, reason: str) -> None:
        """Hold nothing of this kind: it is unknown, for this reason."""
        self._state.forget(kind, reason)

    def clear(self, kind: str) -> None:
        """Hold that there is nothing of this kind."""
        self._state.clear(kind)
