"""What the hub process knows, once for all of its spawners: the catalog and the cluster.

It lives on the hub's event loop from the hub's start to its end. Whoever shows or starts something
asks it for a view, which is computed from what is known at that moment and never waits.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from gpu_spawner.core.catalog.access import standing_in, visible_to
from gpu_spawner.core.catalog.access_rules import Person
from gpu_spawner.core.catalog.limits import read_limits
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.site_pod import SitePod
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.errors import ConfigError, Problem
from gpu_spawner.core.messages import gettext
from gpu_spawner.core.offers.availability import ProfileOffer
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.core.offers.choosing import Choosing
from gpu_spawner.core.offers.expectation import ServerEnd
from gpu_spawner.core.placement.reservations import ReservationBook
from gpu_spawner.hub.catalog_source import CatalogSource
from gpu_spawner.hub.catalog_watch import CatalogWatch
from gpu_spawner.hub.claims import Claims
from gpu_spawner.hub.cluster_check import ClusterCheck
from gpu_spawner.hub.connection import load_as_kubespawner
from gpu_spawner.hub.holders import Holders
from gpu_spawner.hub.last_failures import LastFailures
from gpu_spawner.hub.leftovers import Leftovers
from gpu_spawner.hub.lifetimes import Lifetimes, RunningServer
from gpu_spawner.hub.preloading import Preloading
from gpu_spawner.hub.queues import Queues
from gpu_spawner.hub.settings import HubSettings
from gpu_spawner.hub.site import placement_site
from gpu_spawner.hub.view import View
from gpu_spawner.kube.conditions import ReflectorStatus
from gpu_spawner.kube.watcher import ClusterWatcher

__all__ = ["Live"]

_MOST_BOARDS: Final = 16
"""Sites have one set of KubeSpawner settings, or a few by group; a board for each is kept."""
_MOST_EARLIER: Final = 256
"""Groups of users of whom is kept what was last made for them."""
_LONGEST_WAIT_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 30.0


def _unknown(reason: str) -> Snapshot:
    return Snapshot(unknown={"nodes": reason, "pods": reason})


_UNREAD: Final = _unknown(gettext("the hub does not watch the cluster"))
_UNCOUNTABLE: Final = _unknown(gettext("the settings of this hub have a mistake; see its log"))
_FRESH_SECONDS: Final = 1.0
"""How long a reading is used again while nothing was announced: only its age would differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """A snapshot and when it was taken, on the monotonic clock."""

    serial: int
    at: float
    snapshot: Snapshot

    def is_of(self, serial: int, now: float) -> bool:
        return self.serial == serial and now - self.at < _FRESH_SECONDS


class Live:
    """The catalog, kept fresh, and the cluster, watched.

    Attributes:
        settings: of the whole hub.
        serial: grows whenever a view may say something new.
        queues: where servers stand in the queues of Kueue.
        failures: why the last start of a server failed.
        limits: how much users may hold at once.
        holders: which servers hold something.
        lifetimes: stops servers in time; None where there is no hub.
        claims: the templates that claims are made from.
        leftovers: removes pods that may have outlived their servers.
        preloading: which images are where, and whoever puts them there.
    """

    def __init__(self, settings: HubSettings, db: Any = None) -> None:
        """Read the catalog and the limits; nothing else is done before ``start``.

        Args:
            settings: of the whole hub.
            db: the hub's database session; None where there is no hub.

        Raises:
            ConfigError: the catalog or the limits have mistakes.
        """
        self.settings = settings
        self.log = settings.log
        self.serial = 0
        self.book = ReservationBook()
        self.queues = Queues(settings)
        self.failures = LastFailures()
        self.limits = read_limits(settings.limits, source="c.GPUSpawner.limits")
        self.holders = Holders(db)
        self.lifetimes: Lifetimes | None = None
        self.claims = Claims(settings)
        self.leftovers = Leftovers(settings)
        self.preloading = Preloading(settings)
        self._cluster_check = ClusterCheck()
        self._watch = CatalogWatch(
            CatalogSource(settings), on_change=self._on_catalog, log=self.log
        )
        self._watcher: ClusterWatcher | None = None
        self._changed = asyncio.Event()
        self._first_reading = asyncio.Event()
        self._reading: _Reading | None = None
        self._boards: list[tuple[Catalog, SitePod, tuple[OfferBoard, bool]]] = []
        self._views: dict[tuple[int, Person], View] = {}
        # The last of each, of which the next one has its catalog and its shelf.
        self._earlier: dict[tuple[int, Person], tuple[OfferBoard, View]] = {}
        self._ends: tuple[ServerEnd, ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def catalog(self) -> Catalog:
        """The last good catalog."""
        return self._watch.catalog

    @property
    def catalog_problems(self) -> tuple[Problem, ...]:
        """What is wrong with the profiles as they are on disk now; empty while all is well."""
        return self._watch.problems

    @property
    def cluster_problems(self) -> tuple[Problem, ...]:
        """What no node could ever satisfy of the catalog in use; empty while nothing is known."""
        return self._cluster_check.problems

    def watch_status(self) -> tuple[ReflectorStatus, ...]:
        """Report how the following of each kind of object goes; empty where nothing is watched."""
        return self._watcher.status() if self._watcher is not None else ()

    def latest_offers(self) -> tuple[ProfileOffer, ...]:
        """Return the whole catalog's offers, with the settings of the spawner that asked last.

        Empty until a first spawner has asked: what a server needs beside its GPUs is known only
        from one.
        """
        for catalog, _, (board, is_countable) in reversed(self._boards):
            if catalog is self.catalog:
                return board.update(self.snapshot() if is_countable else _UNCOUNTABLE)
        return ()

    def start(self) -> None:
        """Begin to follow the cluster and the files, in the running event loop.

        JupyterHub ends what this begins by cancelling every task at its end. (No task group: it
        would cancel a second time, in the middle of the first one's tidying up.)
        """
        self.begin(self._follow_cluster(), "gpu_spawner cluster")
        self.begin(self.claims.run(), "gpu_spawner claims")
        self.begin(self.leftovers.run(), "gpu_spawner leftovers")
        self.begin(self.preloading.run(self), "gpu_spawner preloading")
        self.begin(self._cluster_check.run(self), "gpu_spawner cluster check")
        period_seconds = self.settings.profiles_reload_seconds
        if period_seconds:
            self.begin(self._watch.run(period_seconds), "gpu_spawner catalog")

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something until the hub ends; its failure is logged."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.error("%s failed; restart the hub", task.get_name(), exc_info=error)

    @property
    def watcher(self) -> ClusterWatcher | None:
        """The cluster as it is followed; None where it is not."""
        return self._watcher

    def _on_catalog(self) -> None:
        self._earlier.clear()
        self.preloading.catalog_changed()
        self.announce()

    def learn_ends(self, ends: tuple[ServerEnd, ...]) -> None:
        """Take over when servers of this hub are expected to be stopped."""
        was_known = bool(self._ends)
        self._ends = ends
        if ends or was_known:  # also where only the minutes that are left have changed
            self.announce()

    def running_of(self, user: Any) -> tuple[RunningServer, ...]:
        """Return the running servers of a user that are to be stopped, the soonest first."""
        return self.lifetimes.of_user(user) if self.lifetimes is not None else ()

    def announce(self) -> None:
        """Wake everybody who waits for a change."""
        self.serial += 1
        self._reading = None
        self._views.clear()
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self, after_serial: int, *, timeout_seconds: float) -> None:
        """Wait until ``serial`` differs from ``after_serial``, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self.serial == after_serial:
                    await self._changed.wait()

    async def wait_first_reading(self, timeout_seconds: float) -> None:
        """Wait until the cluster has been read once (or cannot be), or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._first_reading.wait()

    @property
    def as_of(self) -> float | None:
        """Unix time of the last proof that the numbers are right; None when nothing is known."""
        return self.snapshot().as_of

    def cluster(self) -> Snapshot:
        """Return the cluster as it is, promises or not."""
        return self._watcher.snapshot() if self._watcher is not None else _UNREAD

    def snapshot(self) -> Snapshot:
        """Return the cluster as it will be once everybody who was promised a seat has it."""
        if self._watcher is None:
            return _UNREAD
        now = time.monotonic()
        if self._reading is None or not self._reading.is_of(self._watcher.serial, now):
            snapshot = self.book.apply(self._watcher.snapshot(), now)
            self._reading = _Reading(serial=self._watcher.serial, at=now, snapshot=snapshot)
        return self._reading.snapshot

    def view_for(self, spawner: Any) -> View:
        """Return what the owner of a spawner may pick, and what is known about it."""
        board = self.board_for(spawner)
        person = standing_in(self.catalog, Person.of(spawner.user.name, spawner.group_names))
        key = (id(board), person)
        if key not in self._views:
            self._views[key] = self._make_view(board, key, person)
        return self._views[key]

    def _make_view(self, board: OfferBoard, key: tuple[int, Person], person: Person) -> View:
        earlier = self._earlier.pop(key, None)
        if earlier is not None and earlier[0] is board:
            catalog, shelf = earlier[1].catalog, earlier[1].shelf
        else:
            catalog, shelf = visible_to(self.catalog, person.groups, person.username), {}
        view = View(
            catalog=catalog,
            offers=board.offers(catalog),
            as_of=board.as_of,
            offer_with=board.offer_with,
            shelf=shelf,
        )
        self._earlier[key] = (board, view)
        if len(self._earlier) > _MOST_EARLIER:
            del self._earlier[next(iter(self._earlier))]
        return view

    def board_for(self, spawner: Any) -> OfferBoard:
        """Return the offers with a spawner's settings, up to date; the oldest board gives way."""
        catalog = self.catalog
        site = placement_site(spawner, spawner.site_setting)
        kept = [known for known in self._boards if known[0] is catalog]
        found = next((known for known in kept if known[1] == site), None)
        if found is None:
            found = (catalog, site, self._new_board(catalog, site))
        else:
            kept.remove(found)
        self._boards = [*kept[1 - _MOST_BOARDS :], found]
        board, is_countable = found[2]
        board.learn_images(self.preloading.readiness)
        board.learn_ends(self._ends)
        board.follow(self.snapshot() if is_countable else _UNCOUNTABLE)
        return board

    def _new_board(self, catalog: Catalog, site: SitePod) -> tuple[OfferBoard, bool]:
        """Make a board; where the site's settings make no pod, one on which all is unknown."""
        speed, choosing = self.settings.pull_bytes_per_second, Choosing(self.settings.choose)
        try:
            board = OfferBoard(catalog, site, pull_bytes_per_second=speed, choosing=choosing)
        except ConfigError as error:
            self.log.error("KubeSpawner's settings make no valid pod:\n%s", error)  # noqa: TRY400 - the list is the message
            return OfferBoard(catalog), False
        return board, True

    async def _follow_cluster(self) -> None:
        if not self.settings.watch_cluster:
            self._first_reading.set()
            return
        watcher = await self._connect()
        try:
            settled = asyncio.create_task(watcher.wait_synced(_LONGEST_WAIT_SECONDS))
            settled.add_done_callback(self._on_first_reading)
            serial = watcher.serial
            while True:
                self.announce()
                serial = await watcher.wait_for_change(serial, _LONGEST_WAIT_SECONDS)
        finally:
            self._watcher = None
            await watcher.stop()

    def _on_first_reading(self, _settled: object) -> None:
        # What was read stays, mostly. Python's collector would look through all of it again and
        # again to find that out, for half a second each time with 150,000 pods.
        gc.collect()
        gc.freeze()
        self._first_reading.set()

    async def _connect(self) -> ClusterWatcher:
        """Find the API server as KubeSpawner does, and begin to watch it."""
        settings = self.settings
        while True:
            watcher = ClusterWatcher(config=settings.hub_config, log=self.log)
            try:
                load_as_kubespawner(settings)
                await watcher.start()
            except Exception:
                # Whatever a client library raises for its files; KubeSpawner will say the same.
                self.log.exception("Cannot watch the cluster")
                self._first_reading.set()
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._watcher = watcher
                return watcher
