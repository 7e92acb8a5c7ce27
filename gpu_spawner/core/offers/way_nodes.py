"""What the nodes of several ways look like: where there is room, where images are, what is short.

The facts behind a sentence; how many seats there are is counted by ``ways``.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from gpu_spawner.core.offers.pools import rows_with
from gpu_spawner.core.offers.ways import Way, Ways, needs_of
from gpu_spawner.core.placement.fitting import Rejection
from gpu_spawner.core.preload.image_names import spellings
from gpu_spawner.core.preload.steering import Room
from gpu_spawner.core.preload.usable import HOSTNAME_LABEL
from gpu_spawner.core.resources import PODS

__all__ = ["Places", "WayNodes"]


class Places(NamedTuple):
    """The nodes with room, counted.

    Attributes:
        fitting: all of them.
        holding: those that have every image.
        unsure: those that may have every image, but list as many as they ever do, and larger ones.
        lacking: the images that are not on all of them.
    """

    fitting: int
    holding: int
    unsure: int
    lacking: tuple[str, ...]


class WayNodes:
    """The nodes of ways that are counted elsewhere."""

    def __init__(self, ways: Ways) -> None:
        self._ways: Final = ways
        self._rows: dict[int, tuple[frozenset[str], int, frozenset[int]]] = {}

    def _rows_with_room(self, way: Way) -> set[int] | frozenset[int]:
        """Return the rows of the pool where one such pod would start now."""
        way.fitting.refresh()
        if not self._ways.is_beyond_columns(way):
            return way.fitting.rows
        names, epoch = self._ways.count(way).nodes.with_room, way.pool.version[0]
        known = self._rows.get(id(way.fitting))
        if known is None or known[0] is not names or known[1] != epoch:
            known = self._rows[id(way.fitting)] = names, epoch, way.pool.rows_of(names)
        return known[2]

    def _has_devices(self, way: Way) -> Callable[[str], bool]:
        """Return a quick test for nodes that cannot have the devices of a claim."""
        pools = self._ways.snapshot.pools
        if not way.index.request.claims or pools.wide:
            return lambda _name: True
        return pools.by_node.__contains__

    def barred(self, way: Way) -> dict[str, tuple[Rejection, ...]]:
        """Return the nodes with the hardware that cannot be used, with every reason."""
        has_devices = self._has_devices(way)
        return {name: why for name, why in way.pool.barred.items() if has_devices(name)}

    def units_by_node(self, way: Way) -> list[tuple[int, int]]:
        """Return what is free and what is offered of the shares on each usable node with any."""
        seats = self._ways.count_units(way)
        if seats is None:
            return [pair for resource in way.fragment.devices for pair in way.pool.column(resource)]
        pairs = []
        has_devices = self._has_devices(way)
        for name in way.pool.node_names():
            if has_devices(name) and name in seats.nodes:
                free, total = seats.nodes.counts(name)
                if total:
                    pairs.append((free, total))
        return pairs

    def least_left(self, way: Way) -> float | None:
        """Return which part of its GPUs is free on the fullest node where such a pod would start.

        None without GPUs, and where no node has room.
        """
        rows = self._rows_with_room(way)
        seats = self._ways.count_units(way)
        if seats is not None:
            names = way.pool.node_names()
            pairs = [seats.nodes.counts(names[row]) for row in rows if names[row] in seats.nodes]
        else:
            resource = next(iter(way.fragment.devices), "")
            if not resource:
                return None
            free, offered = way.pool.free_of(resource), way.pool.offered_of(resource)
            pairs = [(free[row], offered[row]) for row in rows]
        return min([free / total for free, total in pairs if total], default=None)

    def places(self, images: Sequence[str], ways: Sequence[Way]) -> Places:
        """Count the nodes where a pod would start now, and those that have all of its images."""
        fitting = set[str]()
        holding: list[set[str]] = [set() for _ in images]
        possible: list[set[str]] = [set() for _ in images]
        for way in ways:
            rows = self._rows_with_room(way)
            among = rows.intersection if rows is not way.fitting.rows else way.fitting.among
            holders = [among(way.pool.holders_of(image)) for image in images]
            maybe = [among(way.pool.possible_holders_of(image)) for image in images]
            if len(ways) == 1:
                return _places(images, len(rows), holders, maybe)
            names = way.pool.node_names()  # a node may have room in several ways
            fitting.update([names[row] for row in rows])
            for found, one in zip((*holding, *possible), (*holders, *maybe), strict=True):
                found.update([names[row] for row in one])
        return _places(images, len(fitting), holding, possible)

    def rooms(self, way: Way, images: Sequence[str], own_image: str = "") -> list[Room]:
        """List the nodes where such a pod would start now, for who decides which of them to prefer.

        Args:
            way: the pod.
            images: the images of the catalog that it needs.
            own_image: one of its user's that it needs as well.
        """
        pool, rows = way.pool, sorted(self._rows_with_room(way))
        warm = frozenset.intersection(frozenset(rows), *map(pool.holders_of, images))
        if own_image:
            wanted = frozenset(spellings(own_image))
            warm = frozenset(
                [row for row in warm if not wanted.isdisjoint(pool.node(row).image_names)]
            )
        requests = way.index.request.requests
        most_needed = [name for name in requests if "/" in name] or [
            "memory" if "memory" in requests else PODS
        ]
        columns = [pool.free_of(name) for name in most_needed]
        return [
            Room(
                name=(node := pool.node(row)).name,
                host=node.labels.get(HOSTNAME_LABEL, ""),
                is_warm=row in warm,
                left=min([column[row] for column in columns]),
            )
            for row in rows
        ]

    def short(self, ways: Sequence[Way], *, is_empty: bool) -> frozenset[str]:
        """Return what is too little beside the GPUs, on the node that comes nearest to fitting."""
        nearest: frozenset[str] | None = None
        for way in ways:
            pool, devices = way.pool, way.fragment.devices
            column_of = pool.offered_of if is_empty else pool.free_of
            others = [
                (name, column_of(name), need)
                for name, need in needs_of(way.index.request).items()
                if name not in devices
            ]
            if self._ways.is_beyond_columns(way):
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
        seats = self._ways.count_units(way)
        if seats is None:
            return []
        found = []
        has_devices = self._has_devices(way)
        for row, name in enumerate(way.pool.node_names()):
            if has_devices(name) and name in seats.nodes:
                free, total = seats.nodes.counts(name)
                if (total if is_empty else free) >= way.fragment.selection.count:
                    found.append(row)
        return found


def _places(
    images: Sequence[str],
    fitting: int,
    holders: Sequence[AbstractSet[Any]],
    possible: Sequence[AbstractSet[Any]],
) -> Places:
    holding = len(_in_all(holders))
    unsure = len(_in_all(possible)) - holding  # who has an image is among those who may have it
    found = zip(images, map(len, holders), strict=True)
    lacking = tuple([image for image, number in found if number < fitting])
    return Places(fitting, holding, unsure, lacking)


def _in_all(found: Sequence[AbstractSet[Any]]) -> AbstractSet[Any]:
    first, *others = found
    for other in others:
        first = first & other
    return first
