"""The ways of serving a selection, and the seats of all of them together.

A way is one pod. Where one is unknown, and another has seats, the others are what there is at
least; where nothing of a way exists in the cluster, it says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from gpu_spawner.core.catalog.claims import CLAIM_NAME
from gpu_spawner.core.catalog.compile import PodFragment, compile_ways
from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.site_pod import SitePod, request_of
from gpu_spawner.core.cluster.selectors import NodeSelectorTerm, Requirement
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.offers.pools import Fitting, Pool, Pools
from gpu_spawner.core.placement.seats import PodRequest, SeatIndex, Seats
from gpu_spawner.core.resources import PODS, ResourceVector

__all__ = ["Way", "WaySeats", "Ways", "needs_of"]

_NOTHING_READ: Final = Snapshot()
_DEVICE_KINDS: Final = ("slices", "device_classes", "taint_rules", "pools", "claims")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One pod that a selection can be served with, and the nodes it is about.

    Attributes:
        fragment: the profile's part of the pod.
        pool: the nodes with the hardware, as far as labels tell.
        fitting: those with room.
        index: the seats of the pod.
        repels: whether others like it keep it away from more than their own node.
    """

    fragment: PodFragment
    pool: Pool
    fitting: Fitting
    index: SeatIndex
    repels: bool


_repels: Final = attrgetter("repels")


class WaySeats(NamedTuple):
    """The seats of several ways together.

    ``free`` is None where nothing is known; ``is_least`` says that there may be more, for the
    reason in ``unknown``.
    """

    free: int | None
    total: int | None
    unknown: str | None
    is_least: bool = False


class _Counted(NamedTuple):
    """Seats, and what they were counted from."""

    snapshot: Snapshot
    versions: object
    device_version: int
    seats: Seats


class Ways:
    """The ways of a catalog's selections, counted over a cluster that changes."""

    def __init__(self, catalog: Catalog, site: SitePod, pools: Pools) -> None:
        self._catalog: Final = catalog
        self._site: Final = site
        self._pools: Final = pools
        self._snapshot = _NOTHING_READ
        self._device_version = 0
        self._ways: dict[Selection, tuple[Way, ...]] = {}
        self._indexes: dict[tuple[PodRequest, ...], SeatIndex] = {}
        self._fittings: dict[tuple[int, PodRequest], Fitting] = {}
        self._unit_requests: dict[Selection, PodRequest] = {}
        self._reached: dict[int, tuple[int, frozenset[str]]] = {}
        self._seats: dict[int, _Counted] = {}
        self._beyond: dict[int, bool] = {}

    def update(self, snapshot: Snapshot) -> None:
        """Follow the cluster to a snapshot; the pools have followed already."""
        before, self._snapshot = self._snapshot, snapshot
        if not all(getattr(before, kind) is getattr(snapshot, kind) for kind in _DEVICE_KINDS):
            self._device_version += 1
        if before.device_classes is not snapshot.device_classes:
            self._beyond.clear()

    @property
    def snapshot(self) -> Snapshot:
        """The cluster that is counted."""
        return self._snapshot

    def version(self, ways: Sequence[Way]) -> int:
        """Return a number that is the same as long as no device has changed, nor who holds it."""
        for way in ways:
            if self.is_beyond_columns(way):
                return self._device_version
        return 0

    def is_kept(self, ways: Sequence[Way], seats: WaySeats) -> bool:
        """Tell whether seats still are what they were, given that no version has changed."""
        return seats.unknown is None and self._pools.is_local and not any(map(_repels, ways))

    def keep(self, ways: Sequence[Way]) -> None:
        """Take the seats of ways for what they were: else changes elsewhere would add up."""
        for way in ways:
            way.index.skip_to(self._snapshot)

    def of(self, selection: Selection) -> tuple[Way, ...]:
        """Return the ways of a selection, in the order they are to be tried."""
        ways = self._ways.get(selection)
        if ways is None:
            ways = tuple(self._way(fragment) for fragment in compile_ways(self._catalog, selection))
            self._ways[selection] = ways
        return ways

    def _way(self, fragment: PodFragment) -> Way:
        request = request_of(fragment, self._site)
        pool = self._pools.pool(request, _terms(fragment))
        index = self._index((request,))
        fitting = self._fittings.get((id(pool), request))
        if fitting is None:
            fitting = self._fittings[id(pool), request] = Fitting(pool, needs_of(request))
        return Way(
            fragment=fragment,
            pool=pool,
            fitting=fitting,
            index=index,
            repels=bool(request.anti_affinity),
        )

    def _index(self, requests: tuple[PodRequest, ...]) -> SeatIndex:
        index = self._indexes.get(requests)
        if index is None:
            index = self._indexes[requests] = SeatIndex(requests)
        return index

    def count(self, way: Way) -> Seats:
        """Count the seats of one pod; nothing can have changed them while its pool is the same."""
        return self._counted(way.index, (way,))

    def count_units(self, way: Way) -> Seats | None:
        """Count single shares: seats of a pod that asks for one of them and for nothing else.

        None where a column of the pool tells how many there are.
        """
        if not self.is_beyond_columns(way):
            return None
        return self._counted(self._index((self._unit_request(way),)), (way,))

    def is_beyond_columns(self, way: Way) -> bool:
        """Tell whether more than the nodes' amounts decides about the devices of a pod."""
        is_beyond = self._beyond.get(id(way.index))
        if is_beyond is None:
            request = way.index.request
            is_beyond = request.fraction is not None or self._asks_for_devices(request)
            self._beyond[id(way.index)] = is_beyond
        return is_beyond

    def _asks_for_devices(self, request: PodRequest) -> bool:
        return bool(request.claims) or not self._snapshot.claimable.isdisjoint(request.requests)

    def _unit_request(self, way: Way) -> PodRequest:
        request = self._unit_requests.get(way.fragment.selection)
        if request is None:
            request = self._unit_requests[way.fragment.selection] = self._make_unit_request(way)
        return request

    def _make_unit_request(self, way: Way) -> PodRequest:
        selection = way.fragment.selection
        one = replace(selection, count=1)
        found = [
            fragment
            for fragment in compile_ways(self._catalog, one)
            if fragment.selection.flavors == one.flavors
        ]
        # Where one share is no choice, all of them together are counted as one.
        request = request_of(found[0], self._site) if found else way.index.request
        devices = {name: amount for name, amount in request.requests.items() if "/" in name}
        devices |= dict.fromkeys(way.fragment.devices, 1)
        return msgspec.structs.replace(
            request,
            requests=ResourceVector(devices),
            claims=tuple(claim for claim in request.claims if claim.name == CLAIM_NAME),
        )

    def _counted(self, index: SeatIndex, ways: Sequence[Way]) -> Seats:
        known = self._seats.get(id(index))
        if known is not None and known.snapshot is self._snapshot:
            return known.seats
        versions = [way.pool.version for way in ways]
        if known is None or not self._may_keep(index, known, versions):
            seats = index.update(self._snapshot)
            known = _Counted(self._snapshot, versions, self._device_version, seats)
        else:
            index.skip_to(self._snapshot)
        self._seats[id(index)] = known._replace(snapshot=self._snapshot)
        return known.seats

    def _may_keep(self, index: SeatIndex, known: "_Counted", versions: object) -> bool:
        return (
            known.versions == versions
            and known.seats.unknown is None
            and self._pools.is_local
            and not any(request.anti_affinity for request in index.requests)
            and (
                known.device_version == self._device_version
                or not any(map(self._asks_for_devices, index.requests))
            )
        )

    def units_together(self, ways: Sequence[Way]) -> WaySeats | None:
        """Count the single shares of all ways; None where columns of the pools tell."""
        if not any(self.is_beyond_columns(way) for way in ways):
            return None
        if self._may_meet(ways):
            index = self._index(tuple(self._unit_request(way) for way in ways))
            seats = self._counted(index, ways)
            return WaySeats(seats.free, seats.total, seats.unknown)
        found = [self.count_units(way) or self._in_columns(way) for way in ways]
        free = [seats.free for seats in found]
        total = [seats.total for seats in found]
        return WaySeats(
            None if None in free else sum([one or 0 for one in free]),
            None if None in total else sum([one or 0 for one in total]),
            None,
        )

    def _in_columns(self, way: Way) -> WaySeats:
        pairs = [pair for resource in way.fragment.devices for pair in way.pool.column(resource)]
        free = sum([free for free, _ in pairs if free > 0])
        return WaySeats(free, sum([offered for _, offered in pairs]), None)

    def offered(self, ways: Sequence[Way]) -> Sequence[Way]:
        """Leave out the ways that the cluster does not have, unless it has none of them."""
        if len(ways) == 1:
            return ways
        return [way for way in ways if self.count(way).total != 0] or ways[:1]

    def together(self, ways: Sequence[Way]) -> WaySeats:
        """Count the seats of all ways: no device, CPU or byte is counted twice."""
        ways = self.offered(ways)
        if len(ways) == 1:
            seats = self.count(ways[0])
            return WaySeats(seats.free, seats.total, seats.unknown)
        known = [way for way in ways if self.count(way).free is not None]
        unsure = [self.count(way) for way in ways if self.count(way).free is None]
        if not known:
            return WaySeats(None, unsure[0].total, unsure[0].unknown)
        if self._may_meet(known):
            index = self._index(tuple(way.index.request for way in known))
            found = [self._counted(index, known)]
        else:
            found = [self.count(way) for way in known]
        free = sum([seats.free or 0 for seats in found])
        total = sum([seats.total or 0 for seats in found])
        if not unsure:
            return WaySeats(free, total, None)
        if free == 0:
            return WaySeats(None, None, unsure[0].unknown)
        return WaySeats(free, total, unsure[0].unknown, is_least=True)

    def _may_meet(self, ways: Sequence[Way]) -> bool:
        """Tell whether two ways may use one node; where they cannot, their seats add up."""
        seen: set[str] = set()
        for way in ways if len(ways) > 1 else ():
            names = self._reach(way)
            if not seen.isdisjoint(names):
                return True
            seen |= names
        return False

    def _reach(self, way: Way) -> frozenset[str]:
        """Return the nodes that a way may use."""
        known = self._reached.get(id(way.pool))
        epoch = way.pool.version[0]
        if known is None or known[0] != epoch:
            known = self._reached[id(way.pool)] = epoch, frozenset(way.pool.node_names())
        pools = self._snapshot.pools
        if way.index.request.claims and not pools.wide:
            return known[1].intersection(pools.by_node)
        return known[1]

    def first_free(self, selection: Selection) -> Way:
        """Return the way to serve a selection now: the first with a free seat.

        Without one, it is the first whose seats are unknown, and else the first that the cluster
        has at all.
        """
        ways = self.of(selection)
        found = [(way, self.count(way)) for way in ways]
        return next(
            (
                way
                for is_best in (_is_free, _is_unknown, _is_offered)
                for way, seats in found
                if is_best(seats)
            ),
            ways[0],
        )


def _is_free(seats: Seats) -> bool:
    return bool(seats.free)


def _is_unknown(seats: Seats) -> bool:
    return seats.free is None


def _is_offered(seats: Seats) -> bool:
    return seats.total != 0


def needs_of(request: PodRequest) -> dict[str, int]:
    """Return what one pod takes of each column of a pool."""
    return {**request.requests.amounts, PODS: 1}


def _terms(fragment: PodFragment) -> tuple[NodeSelectorTerm, ...] | None:
    if not fragment.hardware:
        return None
    return tuple(
        NodeSelectorTerm(
            match_expressions=tuple(
                Requirement(
                    key=label.key,
                    operator="In" if label.values else "DoesNotExist",
                    values=label.values,
                )
                for label in labels
            )
        )
        for labels in fragment.hardware
    )
