"""What a request asks of devices, held against the devices of a snapshot.

Decides how often the claims of a pod can be met on a node, why not once more, and what the next
pod would get there.
Source: pkg/scheduler/framework/plugins/dynamicresources/dynamicresources.go (1.36).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from gpu_spawner.core.cluster.claim_objects import Allocation
from gpu_spawner.core.cluster.device_classes import DeviceClass, DeviceTaintRule
from gpu_spawner.core.cluster.device_pools import PoolState
from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.snapshot import NodeState, Snapshot
from gpu_spawner.core.devices.allocation import allocate
from gpu_spawner.core.devices.occupancy import Occupancy
from gpu_spawner.core.devices.plan import CannotTellError, DevicePlan, FatalError
from gpu_spawner.core.devices.pools import NodePool, node_pools
from gpu_spawner.core.devices.results import allocation_of, device_results, status_allocation
from gpu_spawner.core.devices.runs import DeviceRun
from gpu_spawner.core.devices.shortage import explain_shortage
from gpu_spawner.core.devices.standing import Standings
from gpu_spawner.core.messages import gettext, joined
from gpu_spawner.core.placement.extended_resources import classes_by_resource
from gpu_spawner.core.placement.pod_claims import PodClaims
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.placement.rejections import Reason, Rejection

__all__ = ["DeviceSide", "Grant", "device_side"]

_CANNOT_ALLOCATE: Final = "cannot allocate all claims"
_INVALID_POOLS: Final = "invalid resource pools were encountered"
_NOT_AVAILABLE: Final = "resourceclaim not available on the node"
_RUN_LIMIT: Final = 2048


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod would get on a node.

    Attributes:
        allocations: by the pod's name for the claim, of the claims that are allocated with it.
        statuses: the same as what to write as ``status.allocation``.
        rank: how early the alternatives are that were taken; the scheduler likes more better.
    """

    allocations: Mapping[str, Allocation] = {}
    statuses: Mapping[str, Mapping[str, Any]] = {}
    rank: int = 0


class DeviceSide:
    """A request's claims in one snapshot.

    Attributes:
        claims: the claims.
        unknown: why nothing can be said; empty where something can.
    """

    def __init__(self, claims: PodClaims, snapshot: Snapshot) -> None:
        self.claims: Final = claims
        self.unknown: Final = _why_unknown(snapshot) or _why_unsettled(claims.unsettled)
        self._snapshot: Final = snapshot
        self._at: dict[str, tuple[Node, _Place]] = {}

    @property
    def refusal(self) -> Rejection | None:
        """Why no node can take the pod; None where one may."""
        return self.claims.refusal

    def request_at(self, node: Node) -> PodRequest:
        """Return what the pod asks of a node besides devices."""
        return self.claims.request_without(self.claims.delegated(node))

    @property
    def wants_nothing(self) -> bool:
        """Whether the claims of the pod want no device at all."""
        return (
            self.refusal is None
            and not any(claim.requests for claim in self.claims.plan_with(frozenset()).claims)
            and not self.claims.pinned
        )

    def places(self, states: Iterable[NodeState]) -> Iterable[NodeState]:
        """Return those of these nodes that could give what the claims want."""
        index = self._snapshot.pools
        if self.refusal is not None:
            return []
        if index.wide or self.claims.pinned or not self.request_has_claims or self.wants_nothing:
            return states
        return [state for state in states if state.node.name in index.by_node]

    @property
    def request_has_claims(self) -> bool:
        """Whether the pod brings claims, and not only extended resources."""
        return bool(self.claims.request.claims)

    def is_tied(self, node: Node) -> bool:
        """Tell whether other nodes could use up what this one may give."""
        if self.claims.is_tied or self.breaks_binding(node):
            return True
        place = self._place(node)
        return any(not pool.is_local and _is_wanted(place.plan, pool) for pool in place.pools)

    def breaks_binding(self, node: Node) -> bool:
        """Tell whether a pod that was given this node could not be bound there.

        With claims of its own, and extended resources that classes stand behind but this node has
        itself, the claim for these stays empty, and the scheduler stumbles over that.
        """
        claims = self.claims
        return self.request_has_claims and bool(claims.by_resource) and not claims.delegated(node)

    def counts(self, node: Node, free: int, total: int) -> tuple[int, int]:
        """Return how many pods find devices on a node, now and were no claim allocated.

        Args:
            node: the node.
            free: how many fit now but for devices: none is counted beyond them.
            total: how many fit on the empty node but for devices.
        """
        if self.refusal is not None:
            return 0, 0
        place = self._place(node)
        if free and not self._reaches(node):
            free = 0
        return place.run.up_to(free), place.run_empty.up_to(total)

    def fatal(self, node: Node) -> str:
        """Return what the scheduler fails with after the pods that were counted; else nothing."""
        return self._place(node).run.fatal

    def standings(self, node: Node) -> Standings | None:
        """Say how the devices of a node stand to the claims; None where that cannot be told."""
        return None if self.refusal is not None else self._place(node).run.standings()

    def doubt(self, node: Node) -> str:
        """Return why it is not known whether more pods fit than were counted; else nothing."""
        place = self._place(node)
        return place.run.unknown or place.run_empty.unknown

    def rejections(self, node: Node, placed: int) -> tuple[Rejection, ...]:
        """Return why one more pod than ``placed`` finds no devices; nothing where it does."""
        if self.refusal is not None:
            return (self.refusal,)
        place = self._place(node)
        run = place.run
        if run.up_to(placed + 1) > placed:
            if self._reaches(node):
                return ()
            detail = "what its claim holds cannot be used from there"
            return (Rejection(reason=Reason.CLAIM, detail=detail, words=_NOT_AVAILABLE),)
        if run.unknown or run.fatal:
            detail = run.unknown or run.fatal
            return (Rejection(reason=Reason.DEVICES, detail=detail, words=detail),)
        invalid = any(pool.trouble and not pool.is_incomplete for pool in place.pools)
        return (
            Rejection(
                reason=Reason.DEVICES,
                detail=explain_shortage(place.plan, run.pools, run.occupancy),
                is_permanent=not place.run_empty.up_to(1),
                words=_INVALID_POOLS if invalid else _CANNOT_ALLOCATE,
            ),
        )

    def grant(self, node: Node) -> Grant | None:
        """Return what the next pod gets on a node; None where it finds no devices.

        Raises:
            FatalError: the scheduler would give up on the pod.
            CannotTellError: that cannot be known here.
        """
        if self.refusal is not None or not self._reaches(node):
            return None
        place = self._place(node)
        occupancy = Occupancy.of(place.states)
        steps_max = self._snapshot.search_steps_max
        granted = allocate(place.plan, place.pools, occupancy, steps_max=steps_max)
        if granted is None:
            return None
        allocations, statuses, rank = {}, {}, 0
        for claim, entries in zip(place.plan.claims, granted, strict=True):
            results = device_results(entries, occupancy)
            occupancy.add(results)
            allocation = allocation_of(entries, results, node.name)
            allocations[claim.claim.name] = allocation
            statuses[claim.claim.name] = status_allocation(claim, entries, allocation)
            chosen = {entry.wish for entry in entries}
            rank += sum(
                8 - position
                for request in claim.requests
                if request.has_alternatives
                for position, wish in enumerate(request.wishes)
                if wish in chosen
            )
        return Grant(allocations=allocations, statuses=statuses, rank=rank)

    def _reaches(self, node: Node) -> bool:
        return all(allocation.reaches(node.name, node.labels) for allocation in self.claims.pinned)

    def _place(self, node: Node) -> "_Place":
        known = self._at.get(node.name)
        if known is None or known[0] is not node:
            known = self._at[node.name] = node, self._make_place(node)
        return known[1]

    def _make_place(self, node: Node) -> "_Place":
        claims = self.claims
        delegated = claims.delegated(node)
        plan = claims.plan_with(delegated)
        seen = _see(self._snapshot, node, claims.rules)
        looks = (delegated, tuple([plan.kind_of(pool) for pool in seen.pools]), seen.pattern)
        runs = []
        for held, occupied in ((seen.held, seen.states), ((), ())):
            key = (looks, held)
            run = claims.runs.get(key)
            if run is None:
                if len(claims.runs) >= _RUN_LIMIT:
                    claims.runs.clear()
                run = claims.runs[key] = DeviceRun(
                    plan,
                    seen.pools,
                    Occupancy.of(occupied),
                    steps_max=self._snapshot.search_steps_max,
                )
            runs.append(run)
        return _Place(plan, seen.pools, seen.states, runs[0], runs[1])


class _Seen(NamedTuple):
    """A node's pools, the same for every request.

    Attributes:
        states: the pools that may concern it.
        pools: those that do, in order.
        pattern: what else makes a difference: which pools are in trouble, which have one name.
        held: what is held of them, told apart by the places of devices and not by their names.
    """

    states: tuple[PoolState, ...]
    pools: tuple[NodePool, ...]
    pattern: tuple[object, ...]
    held: tuple[object, ...]


def _see(snapshot: Snapshot, node: Node, rules: tuple[DeviceTaintRule, ...]) -> _Seen:
    known = snapshot.derive("node pools", _nothing_seen)
    found = known.get(node.name)
    if found is None:
        states = snapshot.pools.at(node.name)
        pools = node_pools(node, states, rules)
        trouble = tuple([pool.key for pool in pools if pool.trouble])
        pattern = (trouble, _same_names(pools)) if len(pools) > 1 or trouble else ()
        found = known[node.name] = _Seen(states, pools, pattern, _holds(pools, states))
    return found


def _nothing_seen(_snapshot: Snapshot) -> dict[str, _Seen]:
    return {}


class _Place:
    """A node as the claims see it."""

    __slots__ = ("plan", "pools", "run", "run_empty", "states")

    def __init__(
        self,
        plan: DevicePlan,
        pools: tuple[NodePool, ...],
        states: tuple[PoolState, ...],
        run: DeviceRun,
        run_empty: DeviceRun,
    ) -> None:
        self.plan: Final = plan
        self.pools: Final = pools
        self.states: Final = states
        self.run: Final = run
        self.run_empty: Final = run_empty


def device_side(
    request: PodRequest, snapshot: Snapshot, known: PodClaims | None = None
) -> DeviceSide | None:
    """Return what a request asks of devices; None where devices have no say in it.

    Args:
        request: the request.
        snapshot: the cluster.
        known: what was found out about the request before, if that may still be right.
    """
    if not request.claims and not (
        request.asks and any(name in _resources_of(snapshot) for name in request.requests)
    ):
        return None
    if known is None or not known.is_current(snapshot):
        known = PodClaims(request, snapshot)
    return DeviceSide(known, snapshot)


def _resources_of(snapshot: Snapshot) -> Mapping[str, DeviceClass]:
    return snapshot.derive("classes by resource", _work_out_resources)


def _work_out_resources(snapshot: Snapshot) -> Mapping[str, DeviceClass]:
    return classes_by_resource((snapshot.device_classes or {}).values())


def _why_unknown(snapshot: Snapshot) -> str:
    known = {
        "deviceclasses": snapshot.device_classes,
        "resourceclaims": snapshot.claims,
        "resourceslices": snapshot.slices,
    }
    for kind, found in known.items():
        if found is None:
            return joined(": ", (kind, snapshot.unknown.get(kind, "unknown")))
    return ""


def _why_unsettled(resource: str) -> str:
    if not resource:
        return ""
    return gettext(
        "whether the scheduler knows {resource} depends on when it was started, as another "
        "device class stands behind the same extended resource",
        resource=resource,
    )


def _is_wanted(plan: DevicePlan, pool: NodePool) -> bool:
    wishes = [
        wish for claim in plan.claims for request in claim.requests for wish in request.wishes
    ]
    try:
        return any(wish.selects(found) for wish in wishes for found in pool.candidates)
    except (FatalError, CannotTellError):
        return True


def _same_names(pools: tuple[NodePool, ...]) -> tuple[int, ...]:
    """Return which pools have one name: their counters are mixed up, as in the original."""
    names = [pool.key[1] for pool in pools]
    return tuple([names.index(name) for name in names])


def _holds(pools: tuple[NodePool, ...], states: Iterable[PoolState]) -> tuple[object, ...]:
    """Return what is held of pools, told apart by the places of devices and not by their names."""
    by_key = {state.source.key: state.holds for state in states if state.holds}
    if not by_key:
        return ()
    held: list[object] = []
    for pool in pools:
        holds = by_key.get(pool.key)
        if holds:
            held.append(
                tuple(
                    sorted(
                        [
                            (
                                pool.places[name],
                                bool(hold.exclusive),
                                bool(hold.share_ids),
                                hold.consumed or (),
                                hold.consumed is None,
                            )
                            for name, hold in holds.items()
                            if name in pool.places
                        ]
                    )
                )
            )
        else:
            held.append(())
    return tuple(held)
