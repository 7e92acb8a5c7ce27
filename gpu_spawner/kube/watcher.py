"""One view of the cluster for the whole hub, kept up to date in the background.

Follows every kind of ``conditions.KINDS`` and hands out snapshots at once, however the API server
fares. It decides what is too old to be relied on: a kind not heard of for ``max_age_seconds`` is
*unknown* in the snapshot, and so is one the hub may not read. What follows from a snapshot is for
``core``.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from traitlets import Float, Integer, Unicode
from traitlets.config import LoggingConfigurable

from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import ClusterState
from gpu_spawner.core.errors import ClusterError
from gpu_spawner.core.messages import figure, gettext
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.conditions import (
    KINDS,
    WITHDRAWN_BY_STATUS,
    Condition,
    ReflectorStatus,
    WatchedKind,
)
from gpu_spawner.kube.listing import list_all
from gpu_spawner.kube.pacing import Backoff
from gpu_spawner.kube.reflector import Clocks, Reflector, ReflectorSettings
from gpu_spawner.kube.shared_state import SharedState

__all__ = ["ClusterWatcher", "read_once"]

# How often staleness is looked at, as a part of max_age_seconds, for those who wait for a change.
# Snapshots look by themselves.
_AGE_CHECKS = 20

# A reflector that ran this long before it crashed is restarted without delay.
_UNEVENTFUL_SECONDS = 60.0

# How long one snapshot object stands for a state that does not change; its age is shown in seconds.
_SAME_SECONDS = 1.0

_SETTLED = frozenset({Condition.FOLLOWING, Condition.FORBIDDEN, Condition.NOT_SERVED})


class ClusterWatcher(LoggingConfigurable):
    """The cluster as the API server shows it, shared by every spawner of a hub.

    Start it inside the hub's event loop. All times are in seconds; every setting takes effect when
    the watcher starts, that is when the hub does.
    """

    kubeconfig = Unicode(
        "",
        help="""
        The kubeconfig file to reach the cluster with.

        Empty (the default) means: as KubeSpawner does, through the service account of the hub's
        pod, else ``$KUBECONFIG``, else ``~/.kube/config``.
        """,
    ).tag(config=True)

    context = Unicode(
        "",
        help="""
        The context of the kubeconfig to use.

        Empty (the default) means its current context. Naming one makes the watcher read the
        kubeconfig even inside a pod.
        """,
    ).tag(config=True)

    page_size = Integer(
        500,
        min=1,
        help="""
        How many objects to ask for at a time when nodes and pods are listed.

        Smaller pages are gentler on the API server and on the hub, which decodes one page at a
        stretch (500 pods: some 8 ms); larger ones need fewer requests.
        """,
    ).tag(config=True)

    request_timeout_seconds = Float(
        60.0,
        min=1.0,
        help="How long one page of a list may take before the list is given up and tried again.",
    ).tag(config=True)

    watch_timeout_seconds = Float(
        30.0,
        min=1.0,
        help="""
        How long the API server keeps a watch open before it ends it and the hub resumes it.

        It bounds how late an API server that hangs without closing its connections is noticed:
        this long and ten seconds more. Resuming costs one small request for each kind.
        """,
    ).tag(config=True)

    max_age_seconds = Float(
        30.0,
        min=1.0,
        help="""
        How long numbers are shown after the connection to the API server was lost.

        After that nodes or pods count as unknown: the page says so instead of showing numbers
        that may be wrong, and starts are neither promised nor refused by them.
        """,
    ).tag(config=True)

    forbidden_retry_seconds = Float(
        60.0,
        min=1.0,
        help="""
        How long to wait before asking again for what the hub may not read or the cluster does not
        serve.

        Rights that are granted take effect after at most this time, without a restart of the hub.
        """,
    ).tag(config=True)

    longest_retry_seconds = Float(
        30.0,
        min=0.1,
        help="""
        The longest pause between two attempts to reach an API server that fails.

        Pauses start at 0.2 seconds, double with each failure and vary by chance. A server that
        names a time itself (``Retry-After``) is obeyed.
        """,
    ).tag(config=True)

    resync_seconds = Float(
        1800.0,
        min=1.0,
        help="""
        How often everything is listed anew although the watches work.

        A safety net for events that were lost on the way; KubeSpawner does the same every few
        seconds.
        """,
    ).tag(config=True)

    def __init__(
        self,
        *,
        kinds: Sequence[WatchedKind] = KINDS,
        clocks: Clocks | None = None,
        wall_clock: Callable[[], float] = time.time,
        **traits: Any,
    ) -> None:
        """Prepare a watcher; nothing is read before ``start``.

        Args:
            kinds: what to follow.
            clocks: where time and chance come from.
            wall_clock: unix seconds, for what people read.
            **traits: the traits, ``parent``, ``config`` and ``log``.
        """
        super().__init__(**traits)
        self._kinds = tuple(kinds)
        self._clocks = clocks or Clocks()
        self._wall_clock = wall_clock
        self._state = SharedState()
        self._reflectors: tuple[Reflector, ...] = ()
        self._client: ClusterClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._announcements = 0
        self._changed = asyncio.Event()
        self._shown: Snapshot | None = None
        self._shown_serial = 0

    @property
    def serial(self) -> int:
        """A number that grows whenever a snapshot may say something new.

        It also grows when data becomes too old, so it is not ``Snapshot.serial``.
        """
        return self._state.serial + self._announcements

    async def start(self, client: ClusterClient | None = None) -> None:
        """Begin to follow the cluster, and return without waiting for an answer.

        Args:
            client: the connection to use; it is closed by ``stop``. By default one is opened.

        Raises:
            ConfigError: there is no way to reach a cluster.
            RuntimeError: it is running already.
        """
        if self._task is not None:
            raise RuntimeError("the cluster watcher is running already")
        self._client = client or await ClusterClient.connect(
            Path(self.kubeconfig) if self.kubeconfig else None, self.context
        )
        settings = ReflectorSettings(
            page_size=self.page_size,
            request_timeout_seconds=self.request_timeout_seconds,
            watch_timeout_seconds=self.watch_timeout_seconds,
            forbidden_retry_seconds=self.forbidden_retry_seconds,
            longest_retry_seconds=self.longest_retry_seconds,
            resync_seconds=self.resync_seconds,
        )
        self._reflectors = tuple(
            Reflector(
                kind,
                self._client,
                self._state,
                on_change=self._announce,
                settings=settings,
                log=self.log,
                clocks=self._clocks,
            )
            for kind in self._kinds
        )
        self._task = asyncio.create_task(self._run(), name="cluster watcher")

    async def stop(self) -> None:
        """End every watch and close the connections. Snapshots can still be had; they grow old."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        if self._client is not None:
            await self._client.close()
            self._client = None

    def snapshot(self) -> Snapshot:
        """Return what is known now. It costs microseconds and never waits.

        It is the same object while nothing changes, for a second: what is worked out from it
        (``Snapshot.derive``) is worked out once.
        """
        status = self.status()
        known = [each.age_seconds or 0.0 for each in status if each.is_known]
        as_of = self._wall_clock() - max(known) if known else None
        stale = {each.kind: each.age_seconds or 0.0 for each in status if each.is_stale}
        if not (
            self._shown is not None
            and self._shown_serial == self.serial
            and _is_about(self._shown.as_of, as_of)
            and not stale
        ):
            self._shown = _without(self._state.snapshot(as_of), stale)
            self._shown_serial = self.serial
        return self._shown

    def status(self) -> tuple[ReflectorStatus, ...]:
        """Report how the following of each kind goes."""
        return tuple(each.status(self.max_age_seconds) for each in self._reflectors)

    async def wait_for_change(self, after_serial: int, timeout_seconds: float) -> int:
        """Wait until ``serial`` differs from ``after_serial``, or the time is over.

        Returns:
            The present serial; the same as ``after_serial`` where nothing changed.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self.serial == after_serial:
                    await self._changed.wait()
        return self.serial

    async def wait_synced(self, timeout_seconds: float) -> bool:
        """Wait until every kind is followed, or known to be out of reach.

        Returns:
            Whether that came true in time.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while not self._is_settled():
                    await self._changed.wait()
        return self._is_settled()

    def _is_settled(self) -> bool:
        status = self.status()
        return bool(status) and all(each.condition in _SETTLED for each in status)

    def _announce(self) -> None:
        """Wake everybody who waits for a change."""
        self._announcements += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors:
                group.create_task(self._keep_running(reflector), name=reflector.kind.name)
            group.create_task(self._announce_ages(), name="ages")

    async def _keep_running(self, reflector: Reflector) -> None:
        """Start a reflector again after a bug in it: the other kinds and the hub go on."""
        backoff = Backoff(
            first_seconds=1.0, cap_seconds=self.longest_retry_seconds, chance=self._clocks.chance
        )
        while True:
            started_at = self._clocks.monotonic()
            try:
                await reflector.run()
            except Exception as error:
                self.log.exception("%s: crashed, starting over", reflector.kind.name)
                reflector.crashed(error)
            if self._clocks.monotonic() - started_at > _UNEVENTFUL_SECONDS:
                backoff.reset()
            await self._clocks.sleep(backoff.next_seconds())

    async def _announce_ages(self) -> None:
        """Tell those who wait when a kind becomes too old, or ceases to be."""
        before: frozenset[str] = frozenset()
        while True:
            await asyncio.sleep(self.max_age_seconds / _AGE_CHECKS)
            stale = frozenset(each.kind for each in self.status() if each.is_stale)
            if stale != before:
                for kind in stale - before:
                    self.log.warning("%s: unknown, the API server is out of reach", kind)
                before = stale
                self._announce()


def _without(snapshot: Snapshot, stale: Mapping[str, float]) -> Snapshot:
    """Return a snapshot in which stale kinds, each with its age in seconds, are unknown."""
    if not stale:
        return snapshot
    reasons = {
        kind: gettext("not heard from the API server for {number} s", number=figure(age, ".0f"))
        for kind, age in stale.items()
    }
    # No journal: whoever counts from changes must start anew, now and when this is over.
    return replace(
        snapshot,
        nodes=None if "nodes" in stale else snapshot.nodes,
        pods=None if "pods" in stale else snapshot.pods,
        slices=None if "resourceslices" in stale else snapshot.slices,
        device_classes=None if "deviceclasses" in stale else snapshot.device_classes,
        claims=None if "resourceclaims" in stale else snapshot.claims,
        claim_templates=None if "resourceclaimtemplates" in stale else snapshot.claim_templates,
        taint_rules=None if "devicetaintrules" in stale else snapshot.taint_rules,
        unknown={**snapshot.unknown, **reasons},
        journal=None,
    )


def _is_about(shown: float | None, now: float | None) -> bool:
    if shown is None or now is None:
        return shown is now
    return abs(now - shown) < _SAME_SECONDS


async def read_once(kubeconfig: Path | None = None, context: str = "") -> Snapshot:
    """Read the cluster once, for a command that answers and ends.

    What may not be read is unknown in the snapshot.

    Args:
        kubeconfig: the file to reach the cluster with; by default as KubeSpawner would.
        context: the context inside it; empty means its current one.

    Raises:
        ConfigError: there is no way to reach a cluster.
        ClusterError: the API server does not answer, or not as one.
    """
    state = ClusterState()
    read_at = time.time()
    async with await ClusterClient.connect(kubeconfig, context) as client:
        for kind in KINDS:
            try:
                listing = await list_all(client, kind, page_size=500, timeout_seconds=60.0)
            except ClusterError as error:
                condition = WITHDRAWN_BY_STATUS.get(error.status)
                if condition is None:
                    raise
                if condition is Condition.NOT_SERVED and kind.is_optional:
                    state.replace_all(kind.name, ())
                else:
                    state.forget(kind.name, kind.why_unknown(condition))
            else:
                state.replace_all(kind.name, listing.objects)
    return state.snapshot(read_at)
