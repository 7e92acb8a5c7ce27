"""Follow one kind of object: list it in pages, then watch from there, for as long as the hub lives.

Decides when to list again, when to resume and how long to wait. What the bytes mean is for
``core.cluster.decoding``, what is held for the ``Store``, and what others may conclude from the age
and the condition reported here for ``watcher``.

::

              410, error frame, nonsense, resync due
        ┌───────────────────────────────────────────────┐
        ▼                                               │
    listing ──the whole list──▶ watching ──ends in order┤ resume at the last version
        │                           └────breaks off─────┘ wait, then resume
        └─ 403: forbidden, 404: not served (what was held is dropped; asked again, slowly)
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Never, Protocol

from gpu_spawner.core.cluster.decoding import decode_watch_event
from gpu_spawner.core.errors import ClusterError
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.conditions import (
    WITHDRAWN_BY_STATUS,
    Condition,
    ReflectorStatus,
    WatchedKind,
)
from gpu_spawner.kube.failures import SilenceError, ThrottledError, malformed
from gpu_spawner.kube.lines import LineSplitter, LineTooLongError
from gpu_spawner.kube.listing import list_all
from gpu_spawner.kube.pacing import Backoff, Freshness

__all__ = ["Clocks", "Reflector", "ReflectorSettings", "Store"]

# A node with a thousand images is some 200 KB, and etcd refuses objects beyond 1.5 MB:
# https://etcd.io/docs/latest/dev-guide/limit/. A DELETED frame of that size still fits.
_LONGEST_LINE_BYTES = 16 * 1024 * 1024

# One event costs some 50 microseconds in all: the loop gets its turn every few milliseconds.
_EVENTS_BETWEEN_TURNS = 50

# A watch that lasted this long has worked: what ends it is not held against the server. Anything
# shorter counts as a failure, however orderly, so that no answer can make a hot loop of us.
_STABLE_SECONDS = 5.0

# The place in the stream is still good after these: nothing was said about it. After anything else
# (expired, nonsense, an error frame) an event may be lost, and nobody can say which.
_KEEPS_PLACE = frozenset({0, 429, 502, 503})

# After so many failures in a row the place itself is doubted: the next success starts with a list.
_DOUBTFUL_FAILURES = 5

_CHANGES = frozenset({"ADDED", "MODIFIED", "DELETED"})
_ENDED_EARLY = "EndedEarly"


class Store(Protocol):
    """What is told what to hold; ``shared_state.SharedState`` is one."""

    async def replace_all(self, kind: str, objects: Sequence[Any]) -> None:
        """Hold exactly these objects of a kind."""

    async def until_idle(self) -> None:
        """Wait until ``apply`` and ``forget`` may be called, up to the next ``await``."""

    def apply(self, kind: str, event_type: str, obj: Any) -> None:
        """Take one ``ADDED``, ``MODIFIED`` or ``DELETED``."""

    def forget(self, kind: str, reason: str) -> None:
        """Hold nothing of this kind: it is unknown, for this reason."""

    def clear(self, kind: str) -> None:
        """Hold that there is nothing of this kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectorSettings:
    """How one kind is followed; ``ClusterWatcher`` explains each as a trait."""

    page_size: int = 500
    request_timeout_seconds: float = 60.0
    watch_timeout_seconds: float = 30.0
    silence_margin_seconds: float = 10.0
    forbidden_retry_seconds: float = 60.0
    resync_seconds: float = 1800.0
    first_retry_seconds: float = 0.2
    longest_retry_seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Where time and chance come from."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = field(default=random.random)


class Reflector:
    """Keep a store in step with the API server for one kind.

    Args:
        kind: what is followed, and where it is served.
        client: the connection.
        store: what is kept in step.
        on_change: called after the store or the condition changed, once per batch.
        settings: pace and limits.
        log: where changes of condition are told.
        clocks: time and chance.
    """

    def __init__(  # noqa: PLR0913 - everything it depends on comes in here and nowhere else
        self,
        kind: WatchedKind,
        client: ClusterClient,
        store: Store,
        *,
        on_change: Callable[[], None],
        settings: ReflectorSettings,
        log: logging.Logger | logging.LoggerAdapter[Any],
        clocks: Clocks,
    ) -> None:
        self.kind = kind
        self.freshness = Freshness()
        self._client = client
        self._store = store
        self._on_change = on_change
        self._settings = settings
        self._log = log
        self._clocks = clocks
        self._backoff = Backoff(
            first_seconds=settings.first_retry_seconds,
            cap_seconds=settings.longest_retry_seconds,
            chance=clocks.chance,
        )
        self._condition = Condition.STARTING
        self._reason = ""
        self._version = ""
        self._listed_at = 0.0
        self._lists = 0
        self._watches = 0
        self._events = 0
        self._failures = 0

    def status(self, max_age_seconds: float) -> ReflectorStatus:
        """Report how the following goes; older than ``max_age_seconds`` is stale."""
        age = self.freshness.age_seconds(self._clocks.monotonic())
        return ReflectorStatus(
            kind=self.kind.name,
            condition=self._condition,
            reason=self._reason,
            age_seconds=age,
            is_stale=age is not None and age > max_age_seconds,
            lists=self._lists,
            watches=self._watches,
            events=self._events,
            failures=self._failures,
        )

    async def run(self) -> Never:
        """Follow until cancelled. No failure of the API, the network or the data ends it."""
        while True:
            try:
                await self._follow_once()
            except ClusterError as error:
                await self._store.until_idle()
                await self._clocks.sleep(self._judge(error))

    def crashed(self, error: Exception) -> None:
        """Note that ``run`` ended by a bug. It starts over with a list: nothing held is trusted."""
        self._version = ""
        self._failures += 1
        self._enter(Condition.FAILING, f"{type(error).__name__}: {error}")

    async def _follow_once(self) -> None:
        resync_at = self._listed_at + self._settings.resync_seconds
        if not self._version or self._clocks.monotonic() >= resync_at:
            await self._list()
        await self._watch()

    async def _list(self) -> None:
        asked_at = self._clocks.monotonic()
        self._lists += 1
        self._version = ""
        listing = await list_all(
            self._client,
            self.kind,
            page_size=self._settings.page_size,
            timeout_seconds=self._settings.request_timeout_seconds,
        )
        await self._store.replace_all(self.kind.name, listing.objects)
        self._version = listing.version
        self._listed_at = asked_at
        self.freshness.listed(asked_at)
        self._on_change()

    async def _watch(self) -> None:
        settings = self._settings
        query = {
            **self.kind.query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(1, round(settings.watch_timeout_seconds))),
        }
        doing = self._doing("watching")
        silence_seconds = settings.watch_timeout_seconds + settings.silence_margin_seconds
        opened_at = math.inf
        fell_silent = False
        self._watches += 1
        try:
            async with self._client.stream(
                self.kind.path, query, doing=doing, silence_seconds=silence_seconds
            ) as chunks:
                opened_at = self._clocks.monotonic()
                self.freshness.opened(opened_at)
                self._enter(Condition.FOLLOWING, "")
                await self._take_all(chunks)
        except SilenceError:
            fell_silent = True
            raise
        finally:
            now = self._clocks.monotonic()
            self.freshness.closed(now, fell_silent=fell_silent)
            # Half of the agreed time, lest our clock and the server's quarrel over milliseconds.
            has_worked = now - opened_at >= min(_STABLE_SECONDS, settings.watch_timeout_seconds / 2)
            if has_worked:
                self._backoff.reset()
        if not has_worked:
            raise ClusterError(doing, status=0, reason=_ENDED_EARLY, message="ended at once")

    async def _take_all(self, chunks: AsyncIterator[bytes]) -> None:
        splitter = LineSplitter(_LONGEST_LINE_BYTES)
        async for chunk in chunks:
            self.freshness.heard(self._clocks.monotonic())
            try:
                lines = splitter.feed(chunk)
            except LineTooLongError as error:
                raise malformed(self._doing("watching"), str(error)) from error
            for start in range(0, len(lines), _EVENTS_BETWEEN_TURNS):
                await self._store.until_idle()
                self._take(lines[start : start + _EVENTS_BETWEEN_TURNS])
                # Even between chunks: the next one may be there already, and reading it would
                # not suspend.
                await asyncio.sleep(0)

    def _take(self, lines: list[bytes]) -> None:
        """Apply one batch, without giving the loop a turn in between."""
        changed = False
        try:
            for line in lines:
                event = decode_watch_event(self.kind.reader, line)
                if event.type == "ERROR":
                    self._version = ""
                    raise ClusterError(
                        self._doing("watching"),
                        status=event.status or 500,
                        reason=event.reason or "Unknown",
                        message=event.message,
                    )
                if event.obj is not None and event.type in _CHANGES:
                    self._apply(event.type, event.obj)
                    self._events += 1
                    changed = True
                # After the object: a crash in between must not skip the event.
                self._version = event.resource_version or self._version
        finally:
            if changed:
                self._on_change()

    def _apply(self, event_type: str, obj: Any) -> None:
        try:
            self._store.apply(self.kind.name, event_type, obj)
        except Exception as error:  # a bug: let the log say which object brought it to light
            error.add_note(f"while applying {event_type} of {obj!r:.500}")
            raise

    def _judge(self, error: ClusterError) -> float:
        """Note a failure and return how long to stay away."""
        if error.status != 404 or not self.kind.is_optional:
            self._failures += 1
        if (condition := WITHDRAWN_BY_STATUS.get(error.status)) is not None:
            return self._withdraw(condition, error)
        wait = self._backoff.next_seconds()
        if isinstance(error, ThrottledError) and error.retry_after_seconds:
            wait = max(wait, error.retry_after_seconds + self._backoff.jittered(1.0))
        if error.status not in _KEEPS_PLACE or self._backoff.failures >= _DOUBTFUL_FAILURES:
            self._version = ""
        # An expired version or an early end is part of an ordinary day, unless it repeats.
        is_ordinary = error.status == 410 or error.reason == _ENDED_EARLY
        if not is_ordinary or self._backoff.failures >= _DOUBTFUL_FAILURES:
            self._enter(Condition.FAILING, str(error))
        return wait

    def _withdraw(self, condition: Condition, error: ClusterError) -> float:
        """Drop what is held: the server has said that it is not, or no longer, ours to know."""
        self._version = ""
        self._backoff.reset()
        self.freshness.forget()
        if condition is Condition.NOT_SERVED and self.kind.is_optional:
            self._store.clear(self.kind.name)
        else:
            self._store.forget(self.kind.name, self.kind.why_unknown(condition))
        self._enter(condition, str(error))
        return self._backoff.jittered(self._settings.forbidden_retry_seconds)

    def _enter(self, condition: Condition, reason: str) -> None:
        """Note the condition; say it once when it is another than before."""
        before, self._condition, self._reason = self._condition, condition, reason
        if before is condition:
            return
        if condition is Condition.FOLLOWING:
            self._log.info("%s: following (was %s)", self.kind.name, before)
        elif condition is Condition.NOT_SERVED and self.kind.is_optional:
            self._log.info("%s: %s", self.kind.name, condition)
        else:
            self._log.warning("%s: %s: %s", self.kind.name, condition, reason)
        self._on_change()

    def _doing(self, verb: str) -> str:
        return f"{verb} {self.kind.name}"
