"""The preloader: look, plan, carry out; again whenever something has changed.

It owns no truth. What is wished for comes from the catalog, what is there from the cluster, and
what has to be remembered is written on the DaemonSets themselves. So it may be stopped at any
moment and started again, here or elsewhere, and two of them do no harm; a Lease, where the cluster
allows one, spares them the double work.

Without the right to write DaemonSets it only watches, and says so once; it begins when the right
appears. Nothing ever waits for it: servers start without preloading as they did before.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.site_pod import SitePod
from gpu_spawner.core.cluster.pull_events import PullEvent
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.errors import ClusterError, ConfigError
from gpu_spawner.core.preload.durations import PullTimes, kind_of
from gpu_spawner.core.preload.held import pulled_images
from gpu_spawner.core.preload.plan import Plan, World, make_plan
from gpu_spawner.core.preload.puller_set import selector_of
from gpu_spawner.core.preload.readiness import Readiness
from gpu_spawner.core.preload.report import describe_plan
from gpu_spawner.core.preload.usable import NodeJudge
from gpu_spawner.core.preload.wishes import Wish, unknown_profiles, used_on_demand, wishes_of
from gpu_spawner.core.wording import listed
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.conditions import Condition
from gpu_spawner.kube.lease import Lease
from gpu_spawner.kube.pacing import Backoff
from gpu_spawner.kube.preload_api import PreloadApi, preload_kinds
from gpu_spawner.kube.reflector import Clocks, Reflector, ReflectorSettings
from gpu_spawner.kube.watcher import ClusterWatcher
from gpu_spawner.preload.carrying_out import CarriedOut, carry_out
from gpu_spawner.preload.following import SETS, Following
from gpu_spawner.preload.options import PreloadOptions
from gpu_spawner.preload.refusals import Refusals
from gpu_spawner.preload.surroundings import Surroundings

__all__ = ["LEASE_NAME", "Preloader"]

LEASE_NAME: Final = "gpu-spawner-preloader"
_LEASE_SECONDS: Final = 30
_MOST_TOLD: Final = 300
_MOST_PULLS: Final = 1_000
_LEASE_ROUND_SECONDS: Final = 10.0
_MISSING_RIGHT: Final = (
    "preloading: the right to write DaemonSets is missing, so images are not preloaded; "
    "it begins when a Role in the namespace %s allows list, watch, create, update, patch and "
    "delete of daemonsets in the group apps (%s)"
)

Log = logging.Logger | logging.LoggerAdapter[Any]


class Preloader:
    """One preloader; it belongs to the event loop in which it runs.

    Args:
        options: the admin's decisions.
        catalog: gives the catalog of the moment.
        site: gives what every server of the site gets.
        watcher: the cluster's nodes and pods; None where they are not watched.
        on_change: called when what ``readiness`` says has changed.
        clocks: monotonic time, pauses and chance. ``wall_clock``: unix seconds.
    """

    def __init__(  # noqa: PLR0913 - everything it depends on comes in here
        self,
        options: PreloadOptions,
        *,
        catalog: Callable[[], Catalog],
        site: Callable[[], SitePod],
        watcher: ClusterWatcher | None,
        log: Log,
        on_change: Callable[[], None] = lambda: None,
        clocks: Clocks | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._options: Final = options
        self._catalog: Final = catalog
        self._site: Final = site
        self._watcher: Final = watcher
        self._log: Final = log
        self._on_change: Final = on_change
        self._clocks: Final = clocks or Clocks()
        self._wall_clock: Final = wall_clock
        self._times: Final = PullTimes(options.pull_bytes_per_second)
        self._following: Final = Following(on_pull=self._note_pull)
        self._pulls: Final[deque[PullEvent]] = deque(maxlen=_MOST_PULLS)
        self._judge: Final = NodeJudge()
        self._refusals: Final = Refusals(options.policy)
        self._wake: Final = asyncio.Event()
        self._wanted: tuple[Catalog, frozenset[tuple[str, str]]] | None = None
        self._wished: tuple[Wish, ...] = ()
        self._is_leader = True
        self._is_told = False
        self._told = ""
        self._shown: tuple[Any, ...] = ()
        self.readiness = Readiness(times=self._times)
        self.rounds = 0

    def poke(self) -> None:
        """Plan again soon: the catalog has changed, for example."""
        self._wake.set()

    async def run(self, client: ClusterClient) -> None:
        """Preload until cancelled; where it is switched off, remove what was made, and return."""
        namespace, release = self._options.policy.namespace, self._options.release
        api = PreloadApi(client, namespace)
        lease = Lease(
            client,
            namespace=namespace,
            name=f"{LEASE_NAME}-{release}" if release else LEASE_NAME,
            identity=f"{socket.gethostname()}-{os.getpid()}-{id(self):x}",
            seconds=_LEASE_SECONDS,
            monotonic=self._clocks.monotonic,
        )
        selector = selector_of(release)
        reflectors = [
            Reflector(
                kind,
                client,
                self._following,
                on_change=self._wake.set,
                settings=ReflectorSettings(forbidden_retry_seconds=self._options.forbidden_seconds),
                log=self._log,
                clocks=self._clocks,
            )
            for kind in preload_kinds(namespace, selector)
        ]
        try:
            async with asyncio.TaskGroup() as group:
                beside: list[asyncio.Task[Any]] = [
                    group.create_task(each.run()) for each in reflectors
                ]
                if self._options.is_observer:
                    self._is_leader = False
                elif not self._options.is_dry_run and self._options.policy.is_on:
                    self._is_leader = False
                    beside.append(group.create_task(self._lead(lease)))
                beside.append(group.create_task(self._follow_cluster()))
                await self._loop(api)
                for task in beside:
                    task.cancel()
        finally:
            if self._is_leader and not self._options.is_dry_run:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(lease.release(), 2.0)

    async def _loop(self, api: PreloadApi) -> None:
        surroundings = Surroundings(api, self._options, self._log, monotonic=self._clocks.monotonic)
        backoff = Backoff(first_seconds=1.0, cap_seconds=60.0, chance=self._clocks.chance)
        while True:
            self._wake.clear()
            wait = self._options.resync_seconds
            try:
                plan = await self._round(api, surroundings)
                backoff.reset()
            except ClusterError as error:
                self._tell(f"cannot go on: {error}")
                wait, plan = backoff.next_seconds(), None
            except ConfigError as error:
                self._tell(f"the site's settings make no valid pod:\n{error}")
                plan = None
            self.rounds += 1
            if plan is not None and not self._options.policy.is_on and plan.is_empty:
                return
            now = self._wall_clock()
            moments = [self._refusals.next_at(now), plan.next_at if plan is not None else None]
            if self._is_told:
                wait = self._options.forbidden_seconds
            else:
                wait = min([wait, *(max(0.0, one - now) for one in moments if one is not None)])
            await self._pause(wait)

    async def _pause(self, seconds: float) -> None:
        """Wait until something has changed, or for so long; and never run hot."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, self._options.pace_seconds)):
                await self._wake.wait()
        await self._clocks.sleep(self._options.pace_seconds)

    async def _round(self, api: PreloadApi, surroundings: Surroundings) -> Plan | None:
        """Look, plan and carry out once; None while something that is needed is not known."""
        following, options = self._following, self._options
        snapshot = self._snapshot()
        if snapshot is not None:
            self._learn(snapshot)
        known = following.known
        if known is None:
            if SETS in following.unknown and options.policy.is_on:
                self._tell_missing_right(following.unknown[SETS])
            self._publish(())
            # Without any right there is nothing of ours to remove either.
            return Plan() if following.unknown and not options.policy.is_on else None
        for one in known[0].values():
            self._times.recall(one.image, one.notes.learnt)
        if snapshot is None and options.policy.is_on:
            self._publish(())
            return None
        snapshot = snapshot or Snapshot()
        wishes = await asyncio.to_thread(self._wishes, snapshot)
        now = self._wall_clock()
        for name in following.vanished:
            self._refusals.vanished(name, now)
            surroundings.forget_owners()
        following.vanished.clear()
        policy = await surroundings.policy()
        known = following.known
        if known is None:  # the right to see them went away while this waited
            self._publish(())
            return None
        sets, pods = known
        self._refusals.forget_but({*sets, *(wish.set_name for wish in wishes)})
        world = World(
            snapshot=snapshot,
            sets=tuple(sets.values()),
            pods=tuple(pods.values()),
            refused=self._refusals.at(now),
        )
        plan = await asyncio.to_thread(
            make_plan,
            wishes,
            world,
            policy,
            now=int(now),
            judge=self._judge,
            times=self._times.copy(),
        )
        self._publish(plan.outlooks)
        if plan.is_empty or not self._is_leader:
            return plan
        if options.is_dry_run:
            self._tell(f"dry run:\n{describe_plan(plan)}")
            return plan
        done = await carry_out(plan, policy, api, following, self._log)
        self._take_in(done)
        return plan

    def _take_in(self, done: CarriedOut) -> None:
        """Remember how the writes went, and say what is new of it.

        Raises:
            ClusterError: the API server failed.
        """
        now = self._wall_clock()
        for name in done.written:
            self._refusals.accepted(name)
        for name in done.made:
            self._refusals.made(name, now)
        for name, error in done.refused.items():
            if self._refusals.refuse(name, error, now):
                self._log.warning(
                    "preloading: the cluster refuses a DaemonSet; other images go on: %s", error
                )
        if done.missing_right is not None:
            self._tell_missing_right(str(done.missing_right))
        elif done.failure is not None:
            raise done.failure
        else:
            self._is_told = False
        if done.refused:
            # The slots that these would have taken are free for others now.
            self._wake.set()

    def _wishes(self, snapshot: Snapshot) -> tuple[Wish, ...]:
        if not self._options.policy.is_on:
            return ()
        site = self._site()
        wanted = (self._catalog(), used_on_demand(snapshot, site.namespace))
        if self._wanted is None or self._wanted[0] is not wanted[0] or self._wanted[1] != wanted[1]:
            unknown = unknown_profiles(wanted[0], self._options.extra_images)
            if unknown and (self._wanted is None or self._wanted[0] is not wanted[0]):
                self._log.warning(
                    "preloading: preload_extra_images names profiles that do not exist: %s",
                    listed(unknown)[:_MOST_TOLD],
                )
            self._wanted = wanted
            self._wished = wishes_of(
                wanted[0],
                site,
                used=wanted[1],
                extra=self._options.extra_images,
                namespace=self._options.policy.namespace,
                release=self._options.release,
            )
        return self._wished

    def _snapshot(self) -> Snapshot | None:
        """Return the cluster; None while its nodes are out of reach for now.

        Where the right to read them is missing they are unknown for good, and planned without.
        """
        if self._watcher is None:
            return Snapshot()
        snapshot = self._watcher.snapshot()
        if snapshot.nodes is not None:
            return snapshot
        nodes = next((one for one in self._watcher.status() if one.kind == "nodes"), None)
        is_lasting = nodes is not None and nodes.condition in (
            Condition.FORBIDDEN,
            Condition.NOT_SERVED,
        )
        return snapshot if is_lasting else None

    async def _follow_cluster(self) -> None:
        """Plan again when nodes, or the servers that are used, have changed; not for every pod."""
        serial, before = -1, None
        while self._watcher is not None:
            serial = await self._watcher.wait_for_change(serial, self._options.resync_seconds)
            now = self._watcher.snapshot()
            # Off the loop: it may have to look at every pod of the cluster.
            if await asyncio.to_thread(_differs, before, now):
                before = now
                self._wake.set()
            await self._clocks.sleep(self._options.pace_seconds)

    async def _lead(self, lease: Lease) -> None:
        """Keep the lease; where leases may not be used, everybody leads."""
        while True:
            try:
                is_leader = await lease.hold()
            except ClusterError as error:
                self._log.debug("preloading: %s", error)
                is_leader = True if error.status in (403, 404) else self._is_leader
            if is_leader != self._is_leader:
                self._is_leader = is_leader
                word = "this process carries out the plans" if is_leader else "another one does"
                self._log.info("preloading: %s", word)
                self._wake.set()
            await self._clocks.sleep(_LEASE_ROUND_SECONDS)

    def _note_pull(self, event: PullEvent) -> None:
        """Keep a pull until the nodes are known: what is learnt goes by the kind of node."""
        self._pulls.append(event)
        self._wake.set()

    def _learn(self, snapshot: Snapshot) -> None:
        flavors = self._catalog().flavors
        for event in self._pulls:
            state = (snapshot.nodes or {}).get(event.node)
            self._times.learn(event, kind_of(state.node if state else None, flavors))
        self._pulls.clear()

    def _publish(self, outlooks: tuple[Any, ...]) -> None:
        """Show what is known, and say so where it is something new."""
        following = self._following
        pods = tuple((following.pods or {}).values())
        pulled = pulled_images(pods)
        known = following.known
        managed = frozenset(one.image for one in known[0].values()) if known else frozenset()
        shown = (pulled, managed, self._times.serial, dict(following.unknown))
        self.readiness = replace(
            self.readiness,
            pulled=pulled,
            managed=managed,
            outlooks=outlooks,
            trouble=dict(following.unknown),
        )
        if shown != self._shown:
            self._shown = shown
            self._on_change()

    def _tell_missing_right(self, why: str) -> None:
        if not self._is_told:
            self._is_told = True
            self._log.warning(_MISSING_RIGHT, self._options.policy.namespace, why)

    def _tell(self, what: str) -> None:
        """Say something, unless it was the last thing said."""
        if what != self._told:
            self._told = what
            self._log.warning("preloading: %s", what)


def _differs(before: Snapshot | None, now: Snapshot) -> bool:
    """Tell whether a plan may come out differently: by a node, or by who uses what."""
    if before is None or (before.nodes is None) is not (now.nodes is None):
        return True
    old, new = before.nodes or {}, now.nodes or {}
    changed = now.changed_nodes_since(before)
    if changed is None:
        changed = frozenset(old) | frozenset(new)
    for name in changed:
        one, other = old.get(name), new.get(name)
        if (one.node if one else None) is not (other.node if other else None):
            return True
    return used_on_demand(before) != used_on_demand(now)
