"""The ways of serving a selection, and the seats of all of them together.

A way is one pod. Where one is unknown, and another has seats, the others are what there is at
least; where nothing of a way exists in the cluster, it says nothing.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import msgspec

from gpu_spawner.core.catalog.claims import CLAIM_NAME
from gpu_spawner.core.catalog.compile import PodFragment, compile_ways
from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.site_pod import SitePod, request_of
from gpu_spawner.core.cluster.selectors import NodeSelectorTerm, Requirement
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.offers.pools import Fitting, Pool, Pools, rows_with
from gpu_spawner.core.placement.fitting import Rejection
from gpu_spawner.core.placement.seats import PodRequest, SeatIndex, Seats
from gpu_spawner.core.resources import PODS, ResourceVector

__all__ = ["Places", "Way", "WaySeats", "Ways"]

_NOTHING_READ: Final = Snapshot()
_DEVICE_KINDS: Final = ("slices", "device_classes", "taint_rules", "pools")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One pod that a selection can be served with, and the nodes it is about.

    Attributes:
        fragment: the profile's part of the pod.
        pool: the nodes with the hardware, as far as labels tell.
        fitting: those with room.
        index: the seats of the pod.
    """

    fragment: PodFragment
    pool: Pool
    fitting: Fitting
    index: SeatIndex


class WaySeats(NamedTuple):
    """The seats of several ways together.

    ``free`` is None where nothing is known; ``is_least`` says that there may be more, for the
    reason in ``unknown``.
    """

    free: int | None
    total: int | None
    unknown: str | None
    is_least: bool = False


class Places(NamedTuple):
    """How many nodes have room, how many of them an image, how many of the others a full list."""

    fitting: int
    holding: int
    unsure: int


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
        self._rows: dict[int, tuple[Seats, tuple[int, int], frozenset[int]]] = {}
        self._seats: dict[int, tuple[Snapshot, object, Seats]] = {}

    def update(self, snapshot: Snapshot) -> None:
        """Follow the cluster to a snapshot; the pools have followed already."""
        before, self._snapshot = self._snapshot, snapshot
        if not all(getattr(before, kind) is getattr(snapshot, kind) for kind in _DEVICE_KINDS):
            self._device_version += 1

    def version(self, ways: Sequence[Way]) -> int:
        """Return a number that is the same as long as no device has changed, nor who holds it."""
        return self._device_version if any(map(self.is_beyond_columns, ways)) else 0

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
            fitting = self._fittings[id(pool), request] = Fitting(pool, _needs_of(request))
        return Way(
            fragment=fragment,
            pool=pool,
            fitting=fitting,
            index=index,
        )

    def _index(self, requests: tuple[PodRequest, ...]) -> SeatIndex:
        index = self._indexes.get(requests)
        if index is None:
            index = self._indexes[requests] = SeatIndex(requests[0])
        return index

    def count(self, way: Way) -> Seats:
        """Count the seats of one pod; nothing can have changed them while its pool is the same."""
        return self._counted(way.index, way.index.request, way.pool)

    def count_units(self, way: Way) -> Seats | None:
        """Count single shares: seats of a pod that asks for one of them and for nothing else.

        None where a column of the pool tells how many there are.
        """
        if not self.is_beyond_columns(way):
            return None
        request = self._unit_requests.get(way.fragment.selection)
        if request is None:
            request = self._unit_requests[way.fragment.selection] = self._unit_request(way)
        return self._counted(self._index((request,)), request, way.pool)

    def is_beyond_columns(self, way: Way) -> bool:
        """Tell whether more than the nodes' amounts decides about the devices of a pod."""
        request = way.index.request
        return bool(
            request.claims
            or request.fraction is not None
            or not self._snapshot.claimable.isdisjoint(request.requests)
        )

    def _unit_request(self, way: Way) -> PodRequest:
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

    def _counted(self, index: SeatIndex, request: PodRequest, pool: Pool) -> Seats:
        seen = pool.version
        known = self._seats.get(id(index))
        if known is not None and (
            known[0] is self._snapshot or self._may_keep(request, known, seen)
        ):
            return known[2]
        seats = index.update(self._snapshot)
        self._seats[id(index)] = (self._snapshot, seen, seats)
        return seats

    def _may_keep(
        self, request: PodRequest, known: tuple[Snapshot, object, Seats], seen: object
    ) -> bool:
        return (
            known[1] == seen
            and known[2].unknown is None
            and self._pools.is_local
            and not request.anti_affinity
            and not request.claims
            and request.fraction is None
            and self._snapshot.claimable.isdisjoint(request.requests)
        )

    def rows_with_room(self, way: Way) -> Collection[int]:
        """Return the rows of the pool where one such pod would start now."""
        way.fitting.refresh()
        if not self.is_beyond_columns(way):
            return way.fitting.rows
        seats = self.count(way)
        known = self._rows.get(id(way.fitting))
        if known is not None and known[0] is seats and known[1] == way.pool.version:
            return known[2]
        names = way.pool.node_names()
        has_devices = self._has_devices(way)
        rows = frozenset(
            row
            for row in range(len(names))
            if has_devices(names[row])
            and names[row] in seats.nodes
            and seats.nodes[names[row]].free
        )
        self._rows[id(way.fitting)] = (seats, way.pool.version, rows)
        return rows

    def _has_devices(self, way: Way) -> Callable[[str], bool]:
        """Return a quick test for nodes that cannot have the devices of a claim."""
        pools = self._snapshot.pools
        if not way.index.request.claims or pools.wide:
            return lambda _name: True
        return pools.by_node.__contains__

    def barred(self, way: Way) -> dict[str, tuple[Rejection, ...]]:
        """Return the nodes with the hardware that cannot be used, with every reason."""
        has_devices = self._has_devices(way)
        return {name: why for name, why in way.pool.barred.items() if has_devices(name)}

    def units_by_node(self, way: Way) -> list[tuple[int, int]]:
        """Return what is free and what is offered of the shares on each usable node with any."""
        seats = self.count_units(way)
        if seats is None:
            return [pair for resource in way.fragment.devices for pair in way.pool.column(resource)]
        pairs = []
        has_devices = self._has_devices(way)
        for name in way.pool.node_names():
            if has_devices(name) and name in seats.nodes:
                found = seats.nodes[name]
                if found.total:
                    pairs.append((found.free, found.total))
        return pairs

    def units_together(self, ways: Sequence[Way]) -> WaySeats | None:
        """Count the single shares of all ways; None where columns of the pools tell."""
        if not any(self.is_beyond_columns(way) for way in ways):
            return None
        found = [self.count_units(way) or self._in_columns(way) for way in ways]
        free = [seats.free for seats in found]
        total = [seats.total for seats in found]
        return WaySeats(
            None if None in free else sum([one or 0 for one in free]),
            None if None in total else sum([one or 0 for one in total]),
            None,
        )

    def _in_columns(self, way: Way) -> WaySeats:
        pairs = self.units_by_node(way)
        free = sum([max(free, 0) for free, _ in pairs])
        return WaySeats(free, sum([offered for _, offered in pairs]), None)

    def places(self, image: str, ways: Sequence[Way]) -> Places:
        """Count the nodes where a pod would start now, and those that have an image."""
        fitting, holding, unsure = set[str](), set[str](), set[str]()
        for way in ways:
            rows = self.rows_with_room(way)
            holders = way.pool.holders_of(image)
            if len(ways) == 1:
                found = holders.intersection(rows)
                full = way.pool.full_rows.intersection(rows)
                return Places(len(rows), len(found), len(full - holders))
            names = way.pool.node_names()  # a node may have room in several ways
            fitting.update([names[row] for row in rows])
            holding.update([names[row] for row in holders.intersection(rows)])
            unsure.update([names[row] for row in way.pool.full_rows.intersection(rows) - holders])
        return Places(len(fitting), len(holding), len(unsure))

    def offered(self, ways: Sequence[Way]) -> Sequence[Way]:
        """Leave out the ways that the cluster does not have, unless it has none of them."""
        if len(ways) == 1:
            return ways
        return [way for way in ways if self.count(way).total != 0] or ways

    def short(self, ways: Sequence[Way], *, is_empty: bool) -> frozenset[str]:
        """Return what is too little beside the GPUs, on the node that comes nearest to fitting."""
        nearest: frozenset[str] | None = None
        for way in ways:
            pool, devices = way.pool, way.fragment.devices
            column_of = pool.offered_of if is_empty else pool.free_of
            others = [
                (name, column_of(name), need)
                for name, need in _needs_of(way.index.request).items()
                if name not in devices
            ]
            if self.is_beyond_columns(way):
                rows = self._rows_with_units(way, is_empty=is_empty)
            else:
                enough = [(column_of(name), need) for name, need in devices.items()]
                rows = rows_with(pool.row_count, enough)
            for row in rows:
                lacking = frozenset([name for name, column, need in others if column[row] < need])
                if lacking and (nearest is None or len(lacking) < len(nearest)):
                    nearest = lacking
        return nearest or frozenset()

    def _rows_with_units(self, way: Way, *, is_empty: bool) -> list[int]:
        """Return the rows with as many shares as one server wants."""
        seats = self.count_units(way)
        if seats is None:
            return []
        found = []
        has_devices = self._has_devices(way)
        for row, name in enumerate(way.pool.node_names()):
            if has_devices(name) and name in seats.nodes:
                node = seats.nodes[name]
                if (node.total if is_empty else node.free) >= way.fragment.selection.count:
                    found.append(row)
        return found

    def together(self, ways: Sequence[Way]) -> WaySeats:
        """Count the seats of all ways: no device, CPU or byte is counted twice."""
        if len(ways) == 1:
            seats = self.count(ways[0])
            return WaySeats(seats.free, seats.total, seats.unknown)
        found = [(way, self.count(way)) for way in ways]
        offered = [(way, seats) for way, seats in found if seats.total != 0] or found[:1]
        known = [(way, seats) for way, seats in offered if seats.free is not None]
        unsure = [seats for _, seats in offered if seats.free is None]
        if not known:
            return WaySeats(None, unsure[0].total, unsure[0].unknown)
        free = sum([seats.free or 0 for _, seats in known])
        total = sum([seats.total or 0 for _, seats in known])
        if not unsure:
            return WaySeats(free, total, None)
        if free == 0:
            return WaySeats(None, None, unsure[0].unknown)
        return WaySeats(free, total, unsure[0].unknown, is_least=True)

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


def _needs_of(request: PodRequest) -> dict[str, int]:
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
