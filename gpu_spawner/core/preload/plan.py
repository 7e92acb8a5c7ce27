"""What to do now so that every wish comes true: which DaemonSets to write, and which to remove.

A plan is a function of what is wished for, what is there, and the time. It is level-triggered: it
does not matter what was planned before, nor who carried it out. A DaemonSet is confined to the
nodes that were admitted, one by one, as the bounds on simultaneous pulls allow; carrying out a plan
and planning again leaves nothing to do until something else happens.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gpu_spawner.core.cluster.pullers import (
    LearntPull,
    PullerPod,
    PullerSet,
    PullState,
    SetNotes,
)
from gpu_spawner.core.cluster.snapshot import NodeState, Snapshot
from gpu_spawner.core.preload.admission import Draft, Scene, Slots
from gpu_spawner.core.preload.blind import BlindDraft, plan_blind
from gpu_spawner.core.preload.disk import DiskBudget
from gpu_spawner.core.preload.durations import PullTimes
from gpu_spawner.core.preload.held import Held, pulled_images
from gpu_spawner.core.preload.image_names import registry_of
from gpu_spawner.core.preload.policy import Policy
from gpu_spawner.core.preload.puller_set import SetSpec, template_digest
from gpu_spawner.core.preload.usable import NodeJudge, Use
from gpu_spawner.core.preload.wishes import Wish
from gpu_spawner.core.wording import listed

__all__ = ["Change", "Note", "Outlook", "Plan", "Removal", "World", "make_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is there.

    Attributes:
        snapshot: the cluster; its nodes are None where the right to list them is missing.
        sets: our DaemonSets.
        pods: their pods.
        refused: DaemonSets that cannot be written for now, with the reason: they are left as they
            are, and nothing waits for them.
    """

    snapshot: Snapshot
    sets: tuple[PullerSet, ...] = ()
    pods: tuple[PullerPod, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A DaemonSet to write: ``before`` is what it replaces, None where it is new."""

    spec: SetSpec
    before: PullerSet | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A DaemonSet nobody wants any more, of which only the notes change."""

    before: PullerSet
    notes: SetNotes
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A DaemonSet to delete."""

    before: PullerSet
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """How a wish stands, for people and for the page.

    Attributes:
        ready: nodes that have the image. ``pulling``: nodes admitted that have not yet.
        waiting: nodes whose turn has not come. ``paused``: cordoned, not ready, short of disk.
        blocked: why the image cannot be had on some nodes, and on which.
        pulling_since: when the first of the pulls under way began, in unix seconds; 0 for none.
        next_try: when a node that failed tries again, likewise.
        versions: how many different images the nodes hold under this reference, where more than 1.
    """

    wish: Wish
    ready: tuple[str, ...] = ()
    pulling: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    paused: tuple[str, ...] = ()
    blocked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pulling_since: int = 0
    next_try: int = 0
    versions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do.

    Attributes:
        next_at: unix seconds at which time alone changes the plan; None for never.
    """

    changes: tuple[Change, ...] = ()
    notes: tuple[Note, ...] = ()
    removals: tuple[Removal, ...] = ()
    outlooks: tuple[Outlook, ...] = ()
    next_at: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.changes or self.notes or self.removals)


_OFF: Final = "preloading is switched off"
_UNWANTED: Final = "no profile wants it any more"
_IN_THE_WAY: Final = "no profile wants it any more, and its room is needed"


def make_plan(  # noqa: PLR0913 - what is wished, what is there, and how to judge it
    wishes: Iterable[Wish],
    world: World,
    policy: Policy,
    *,
    now: int,
    judge: NodeJudge | None = None,
    times: PullTimes | None = None,
) -> Plan:
    """Plan.

    Args:
        wishes: in the order in which they matter.
        world: what is there.
        policy: the admin's decisions.
        now: unix seconds.
        judge: one that remembers the nodes, where plans are made again and again.
        times: what was learnt of sizes and durations; it is kept with the DaemonSets.
    """
    if not policy.is_on:
        removals = [
            Removal(before=one, why=_OFF)
            for one in world.sets
            if not one.is_terminating and one.name not in world.refused
        ]
        return Plan(removals=tuple(removals))
    wanted: dict[str, Wish] = {}
    for wish in wishes:
        wanted.setdefault(wish.set_name, wish)
    desk = _Desk(wanted, world, policy, now, times)
    if world.snapshot.nodes is None:
        possible = {
            name: wish
            for name, wish in wanted.items()
            if name in desk.sets or name not in world.refused
        }
        blind = plan_blind(possible, desk.sets, desk.pods, policy, now)
        changes = [desk.blind_change(draft) for draft in blind]
        outlooks = [_blind_outlook(draft) for draft in blind]
        later: list[int] = []
    else:
        drafts = desk.drafts(world.snapshot, judge or NodeJudge())
        desk.admit(drafts, world.snapshot.nodes)
        changes = [desk.change(draft) for draft in drafts]
        outlooks = [_outlook(draft) for draft in drafts]
        later = [moment for draft in drafts for moment in draft.moments]
    notes, removals, ends = desk.unwanted()
    return Plan(
        changes=tuple(change for change in changes if change is not None),
        notes=tuple(notes),
        removals=tuple(removals),
        outlooks=tuple(outlooks),
        next_at=min((moment for moment in (*later, *ends) if moment > now), default=None),
    )


class _Desk:
    """Everything one plan is made from, at hand."""

    def __init__(
        self,
        wanted: Mapping[str, Wish],
        world: World,
        policy: Policy,
        now: int,
        times: PullTimes | None,
    ) -> None:
        self.sets: Final = {one.name: one for one in world.sets if not one.is_terminating}
        self.pods: Final[dict[str, list[PullerPod]]] = {}
        for pod in world.pods:
            self.pods.setdefault(pod.set_name, []).append(pod)
        self._wanted: Final = wanted
        self._world: Final = world
        self._policy: Final = policy
        self._now: Final = now
        self._times: Final = times
        self._refused: Final = world.refused
        self._crowded: set[str] = set()

    def drafts(self, snapshot: Snapshot, judge: NodeJudge) -> list[Draft]:
        """Begin with what is there; a node is asked once for an image, for the first wish."""
        nodes = snapshot.nodes or {}
        held = Held(nodes, pulled_images(self._world.pods))
        scene = Scene(
            nodes=nodes, held=held, policy=self._policy, now=self._now, refused=self._refused
        )
        taken: dict[str, set[str]] = {}
        drafts = []
        for name, wish in self._wanted.items():
            others = taken.setdefault(wish.image, set())
            uses = {
                node: use
                for node, use in judge.judge(wish.pool, snapshot).items()
                if node not in others
            }
            others.update(uses)
            drafts.append(Draft(wish, self.sets.get(name), uses, self.pods.get(name, ()), scene))
        judge.forget_but(wish.pool for wish in self._wanted.values())
        return drafts

    def admit(self, drafts: Iterable[Draft], nodes: Mapping[str, NodeState]) -> None:
        """Admit nodes, the most important wish first."""
        drafts = tuple(drafts)
        slots = Slots(self._policy)
        disk = DiskBudget(nodes, self._policy.disk_share)
        for draft in drafts:
            draft.occupy(slots)
        for pod in self._world.pods:
            if pod.set_name not in self._wanted and pod.state is PullState.PULLING:
                slots.occupy(pod.node)
            elif pod.set_name not in self._wanted and pod.state is PullState.READY:
                disk.occupy(pod.node, self._size_held(pod), is_wanted=False)
        throttled = _throttled(drafts)
        for draft in drafts:
            draft.refresh(slots)
            draft.sort_out(
                disk,
                size_bytes=self._size_of(draft.wish),
                registry_at=throttled.get(registry_of(draft.wish.image), 0),
            )
        for again in (False, True):
            for draft in drafts:
                draft.admit(slots, again=again)
        for draft in drafts:
            draft.close()
        self._crowded = disk.crowded

    def change(self, draft: Draft) -> Change | None:
        """Return what is to be written for a wish, if anything."""
        current = draft.current
        if draft.refused or (current is None and not draft.added):
            return None
        hosts = frozenset(draft.hosts[name] for name in draft.nodes if name in draft.hosts)
        return self._changed(draft.wish, current, hosts, draft.notes)

    def blind_change(self, draft: BlindDraft) -> Change | None:
        """Return what is to be written for a wish where the nodes are not known."""
        if not draft.is_written or draft.wish.set_name in self._refused:
            return None
        # Nodes that were admitted when they could be listed stay so: nobody knows better now.
        hosts = draft.current.nodes if draft.current is not None else None
        return self._changed(draft.wish, draft.current, hosts, draft.notes)

    def unwanted(self) -> tuple[list[Note], list[Removal], list[int]]:
        """Decide about the DaemonSets that no wish is behind: what to note, remove, and when."""
        notes, removals, ends = [], [], []
        for name, current in self.sets.items():
            if name in self._wanted or name in self._refused:
                continue
            since = current.notes.unwanted_since
            has_it = any(pod.state is PullState.READY for pod in self.pods.get(name, ()))
            end = (since or self._now) + self._policy.grace_seconds
            if end <= self._now or not has_it:
                removals.append(Removal(before=current, why=_UNWANTED))
                continue
            if any(pod.node in self._crowded for pod in self.pods.get(name, ())):
                removals.append(Removal(before=current, why=_IN_THE_WAY))
                continue
            ends.append(end)
            if not since:
                noted = msgspec.structs.replace(current.notes, unwanted_since=self._now)
                notes.append(Note(before=current, notes=noted, why=_UNWANTED))
        return notes, removals, ends

    def _changed(
        self, wish: Wish, current: PullerSet | None, hosts: frozenset[str] | None, notes: SetNotes
    ) -> Change | None:
        notes = msgspec.structs.replace(
            notes,
            unwanted_since=0,
            learnt=dict(self._learnt(wish, notes)),
            size_bytes=self._size_of(wish) or 0,
        )
        spec = SetSpec(wish=wish, hosts=hosts, notes=notes, asks_registry=bool(notes.refresh_since))
        if current is None:
            return Change(spec=spec, before=None, why=_arrivals(hosts, frozenset()))
        whys = []
        if current.nodes != hosts:
            whys.append(_arrivals(hosts, current.nodes or frozenset()))
        if current.template != template_digest(spec, self._policy):
            whys.append("its pods are to be made differently")
        if current.notes.as_annotation() != notes.as_annotation():
            whys.append(_why_noted(current.notes, notes))
        if not whys:
            return None
        return Change(spec=spec, before=current, why="; ".join(whys))

    def _learnt(self, wish: Wish, notes: SetNotes) -> Mapping[str, LearntPull]:
        if self._times is None:
            return notes.learnt
        return {**notes.learnt, **self._times.all_of(wish.image)}

    def _size_held(self, pod: PullerPod) -> int | None:
        """Return the size of an image that nobody wants any more, as it was noted."""
        learnt = self._times.size_of(pod.image) if self._times is not None else None
        current = self.sets.get(pod.set_name)
        return learnt or (current.notes.size_bytes if current is not None else 0)

    def _size_of(self, wish: Wish) -> int | None:
        if wish.size_bytes is not None or self._times is None:
            return wish.size_bytes
        return self._times.size_of(wish.image)


def _throttled(drafts: Iterable[Draft]) -> dict[str, int]:
    """Return until when each registry that asked for fewer pulls wants to be left alone."""
    found: dict[str, int] = {}
    for draft in drafts:
        if draft.notes.is_throttled:
            registry = registry_of(draft.wish.image)
            found[registry] = max(found.get(registry, 0), draft.notes.retry_at)
    return found


def _arrivals(hosts: frozenset[str] | None, before: frozenset[str]) -> str:
    if hosts is None:
        return "on every node of the pool, because nodes may not be listed"
    parts = []
    if hosts - before:
        parts.append(f"to {listed(sorted(hosts - before))}")
    if before - hosts:
        parts.append(f"away from {listed(sorted(before - hosts))}")
    return ", ".join(parts) or "nowhere for now"


def _why_noted(before: SetNotes, after: SetNotes) -> str:
    if after.failures > before.failures:
        return f"failed: {after.why}"
    if after.refresh_since and not before.refresh_since:
        return "the tag has moved: nodes hold different images"
    if before.failures and not after.failures:
        return "it works again"
    if after.setbacks != before.setbacks:
        return "some nodes failed, or work again"
    if after.awaited != before.awaited:
        return "its pods were made" if before.awaited else "its pods are waited for"
    return "wanted again" if before.unwanted_since else "what was learnt is kept"


def _outlook(draft: Draft) -> Outlook:
    ready = {name for name in draft.nodes if draft.has(name)}
    paused = {name for name, use in draft.uses.items() if use is Use.PAUSED}
    return Outlook(
        wish=draft.wish,
        ready=tuple(sorted(ready)),
        pulling=tuple(sorted(draft.nodes - ready)),
        waiting=tuple(sorted(draft.waiting)),
        paused=tuple(sorted(paused - draft.nodes)),
        blocked={why: tuple(sorted(nodes)) for why, nodes in sorted(draft.blocked.items())},
        pulling_since=draft.pulling_since,
        next_try=min(draft.retries, default=0),
        versions=draft.versions.count if draft.versions.count > 1 else 0,
    )


def _blind_outlook(draft: BlindDraft) -> Outlook:
    return Outlook(wish=draft.wish, ready=draft.ready, pulling=draft.pulling, blocked=draft.failing)
