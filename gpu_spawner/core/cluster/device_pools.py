"""Pools of devices and what claims hold of them, kept up to date slice by slice, claim by claim.

A :class:`PoolState` never changes; a :class:`PoolIndex` never changes either and finds the pools of
a node. A :class:`PoolLedger` takes slices and claims in and out and says which nodes that touches.
What follows for a node (which slices count, what is free) is for :mod:`gpu_spawner.core.devices`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from gpu_spawner.core.cluster.claim_objects import DeviceResult, ResourceClaim
from gpu_spawner.core.cluster.device_objects import PoolKey, ResourceSlice
from gpu_spawner.core.cluster.sharded_map import ShardedMap, ShardedMapBuilder

__all__ = [
    "EVERYWHERE",
    "NO_POOLS",
    "DeviceHold",
    "PoolIndex",
    "PoolLedger",
    "PoolSlices",
    "PoolState",
    "Touched",
    "invalidity",
]

Touched = frozenset[str] | None
"""Names of nodes; None for all of them."""

EVERYWHERE: Final[Touched] = None
_NOWHERE: Final[frozenset[str]] = frozenset()


class DeviceHold(msgspec.Struct, frozen=True, kw_only=True):
    """What claims hold of one device.

    Attributes:
        exclusive: how many claims have it for themselves; more than one is a fault of others.
        share_ids: the shares claims have of it.
        consumed: how much of which capacity they take, in billionths; None where none says.
    """

    exclusive: int = 0
    share_ids: frozenset[str] = frozenset()
    consumed: tuple[tuple[str, int], ...] | None = None

    @property
    def is_vacant(self) -> bool:
        """Whether nobody holds anything of it."""
        return not self.exclusive and not self.share_ids

    def changed_by(self, result: DeviceResult, sign: int) -> "DeviceHold":
        """Return what is held after a claim took (1) or gave back (-1) the device."""
        if not result.share_id:
            return msgspec.structs.replace(self, exclusive=self.exclusive + sign)
        ids = self.share_ids | {result.share_id} if sign > 0 else self.share_ids - {result.share_id}
        consumed = self.consumed
        if result.consumed:
            amounts = dict(consumed or ())
            for name, amount in result.consumed:
                amounts[name] = amounts.get(name, 0) + sign * amount
            left = any(amounts.values()) or sign > 0
            consumed = tuple(sorted(amounts.items())) if left else None
        return msgspec.structs.replace(self, share_ids=ids, consumed=consumed)


_NO_HOLD: Final = DeviceHold()


class PoolSlices:
    """The slices of one pool, of every generation; equal only to itself.

    Attributes:
        slices: ordered by name.
        nodes: the nodes that slices name; None where a slice reaches nodes in another way.
        has_counters: whether a slice has counters.
        is_troubled: whether it has counters and is incomplete or invalid: that concerns every node.
        views: what is worked out from the slices and kept with them, by whoever does.
    """

    __slots__ = ("has_counters", "is_troubled", "key", "nodes", "slices", "views")

    def __init__(self, key: PoolKey, slices: Iterable[ResourceSlice]) -> None:
        self.key: Final = key
        self.slices: Final = tuple(sorted(slices, key=_by_name))
        self.nodes: Final[Touched] = _named_nodes(self.slices)
        self.has_counters: Final = any(found.counters for found in self.slices)
        self.views: Final[dict[Any, Any]] = {}
        self.is_troubled: Final = self.has_counters and bool(_trouble(self.slices))


class PoolState:
    """One pool and what claims hold of it; equal only to itself.

    Attributes:
        holds: by the name of the device; only those of which something is held.
    """

    __slots__ = ("holds", "source")

    def __init__(self, source: PoolSlices, holds: Mapping[str, DeviceHold]) -> None:
        self.source: Final = source
        self.holds: Final = holds

    @property
    def key(self) -> PoolKey:
        """Driver and pool name."""
        return self.source.key


class PoolIndex:
    """The pools of a cluster at one moment.

    Attributes:
        pools: by driver and name; those with slices.
        by_node: the keys of the pools that reach one or several named nodes, by node, ordered.
        wide: the keys of the pools that reach nodes in another way, ordered.
        troubled: the keys of pools that concern every node (``PoolSlices.is_troubled``).
    """

    __slots__ = ("by_node", "pools", "troubled", "wide")

    def __init__(
        self,
        pools: Mapping[PoolKey, PoolState],
        by_node: Mapping[str, tuple[PoolKey, ...]],
        wide: tuple[PoolKey, ...],
        troubled: tuple[PoolKey, ...],
    ) -> None:
        self.pools: Final = pools
        self.by_node: Final = by_node
        self.wide: Final = wide
        self.troubled: Final = troubled

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PoolIndex):
            return NotImplemented
        return _content(self) == _content(other)

    def __hash__(self) -> int:
        return hash((self.wide, self.troubled, len(self.pools)))

    def at(self, node_name: str) -> tuple[PoolState, ...]:
        """Return the pools that may concern a node, ordered by key."""
        keys = self.by_node.get(node_name, ())
        if self.wide or self.troubled:
            keys = tuple(sorted({*keys, *self.wide, *self.troubled}))
        return tuple([self.pools[key] for key in keys])

    def with_results(self, results: Iterable[DeviceResult]) -> "PoolIndex":
        """Return the index as it would be if these devices were held as well."""
        ledger = PoolLedger(self)
        ledger.hold(results, 1)
        return ledger.build()

    def emptied(self) -> "PoolIndex":
        """Return the index as it would be if no claim held anything."""
        pools = ShardedMap.of(
            (key, PoolState(pool.source, {}) if pool.holds else pool)
            for key, pool in self.pools.items()
        )
        return PoolIndex(pools, self.by_node, self.wide, self.troubled)


NO_POOLS: Final = PoolIndex(ShardedMap.of(), ShardedMap.of(), (), ())


class PoolLedger:
    """Pools that are changed in place and handed out as indexes that do not change."""

    def __init__(self, start: PoolIndex = NO_POOLS) -> None:
        self._pools = _builder(start.pools)
        self._by_node = _builder(start.by_node)
        self._wide = set(start.wide)
        self._troubled = set(start.troubled)
        # What is held of pools that have no slices (yet).
        self._stray: dict[PoolKey, dict[str, DeviceHold]] = {}
        self._built = NO_POOLS

    def build(self) -> PoolIndex:
        """Return the present content; nothing that happens later changes it.

        It is the same object as before where nothing has changed.
        """
        pools, by_node = self._pools.build(), self._by_node.build()
        wide, troubled = tuple(sorted(self._wide)), tuple(sorted(self._troubled))
        known = self._built
        is_same = known.pools is pools and known.by_node is by_node
        if not is_same or (known.wide, known.troubled) != (wide, troubled):
            self._built = PoolIndex(pools, by_node, wide, troubled)
        return self._built

    def replace_slices(self, slices: Iterable[ResourceSlice]) -> None:
        """Take a complete list of slices; what is held stays held."""
        holds = dict(self._stray)
        for key, pool in self._pools.build().items():
            if pool.holds:
                holds[key] = dict(pool.holds)
        groups: dict[PoolKey, list[ResourceSlice]] = {}
        for found in slices:
            groups.setdefault(found.pool_key, []).append(found)
        self._pools, self._by_node = ShardedMapBuilder(), ShardedMapBuilder()
        self._wide, self._troubled = set(), set()
        by_node: dict[str, list[PoolKey]] = {}
        for key, group in groups.items():
            source = PoolSlices(key, group)
            self._pools[key] = PoolState(source, holds.pop(key, {}))
            for name in source.nodes or ():
                by_node.setdefault(name, []).append(key)
            self._note_reach(source)
        for name, keys in by_node.items():
            self._by_node[name] = tuple(sorted(keys))
        self._stray = holds

    def replace_slice(
        self, before: ResourceSlice | None, after: ResourceSlice | None
    ) -> frozenset[str] | None:
        """Put, change or drop one slice; return the nodes that touches, None for all."""
        touched: Touched = _NOWHERE
        for key in {found.pool_key for found in (before, after) if found is not None}:
            pool = self._pools.get(key)
            slices = list(pool.source.slices) if pool is not None else []
            if before is not None and before.pool_key == key:
                slices = [found for found in slices if found.name != before.name]
            if after is not None and after.pool_key == key:
                slices.append(after)
            touched = _union(touched, self._reset(key, pool, slices))
        return touched

    def hold(self, results: Iterable[DeviceResult], sign: int) -> frozenset[str] | None:
        """Take devices (1) or give them back (-1); return the nodes that touches, None for all."""
        touched: Touched = _NOWHERE
        groups: dict[PoolKey, list[DeviceResult]] = {}
        for result in results:
            if not result.has_admin_access:  # looks on, and holds nothing
                groups.setdefault((result.driver, result.pool), []).append(result)
        for key, group in groups.items():
            pool = self._pools.get(key)
            holds = dict(pool.holds if pool is not None else self._stray.get(key, {}))
            for result in group:
                hold = holds.get(result.device, _NO_HOLD).changed_by(result, sign)
                if hold.is_vacant:
                    holds.pop(result.device, None)
                else:
                    holds[result.device] = hold
            if pool is not None:
                self._pools[key] = PoolState(pool.source, holds)
                touched = _union(touched, pool.source.nodes)
            else:
                self._keep_stray(key, holds)
        return touched

    def clear_holds(self) -> None:
        """Give everything back."""
        self._stray.clear()
        for key, pool in self._pools.build().items():
            if pool.holds:
                self._pools[key] = PoolState(pool.source, {})

    def hold_all(self, claims: Iterable[ResourceClaim]) -> None:
        """Take what a complete list of claims holds, and nothing else."""
        self.clear_holds()
        self.hold(
            (
                result
                for claim in claims
                if claim.allocation is not None
                for result in claim.allocation.results
            ),
            1,
        )

    def _reset(self, key: PoolKey, pool: PoolState | None, slices: list[ResourceSlice]) -> Touched:
        """Give one pool other slices, perhaps none; return the nodes that touches."""
        touched: Touched = _NOWHERE
        holds: Mapping[str, DeviceHold] = self._stray.pop(key, {})
        if pool is not None:
            holds = pool.holds
            touched = _reach(pool.source)
            self._index(pool.source, is_there=False)
        if not slices:
            self._pools.discard(key)
            self._keep_stray(key, dict(holds))
            return touched
        source = PoolSlices(key, slices)
        self._pools[key] = PoolState(source, holds)
        self._index(source, is_there=True)
        return _union(touched, _reach(source))

    def _index(self, source: PoolSlices, *, is_there: bool) -> None:
        for name in source.nodes or ():
            keys = set(self._by_node.get(name) or ()) - {source.key}
            if is_there:
                keys.add(source.key)
            if keys:
                self._by_node[name] = tuple(sorted(keys))
            else:
                self._by_node.discard(name)
        self._wide.discard(source.key)
        self._troubled.discard(source.key)
        if is_there:
            self._note_reach(source)

    def _note_reach(self, source: PoolSlices) -> None:
        if source.nodes is None:
            self._wide.add(source.key)
        elif source.is_troubled:
            self._troubled.add(source.key)

    def _keep_stray(self, key: PoolKey, holds: dict[str, DeviceHold]) -> None:
        if holds:
            self._stray[key] = holds
        else:
            self._stray.pop(key, None)


def _reach(source: PoolSlices) -> Touched:
    if source.is_troubled:
        return EVERYWHERE
    return source.nodes


def _union(left: Touched, right: Touched) -> Touched:
    return None if left is None or right is None else left | right


def invalidity(
    devices: Iterable[ResourceSlice], counters: Iterable[ResourceSlice], *, names: bool = True
) -> str:
    """Return what is wrong with the slices of one generation; empty where nothing is.

    Args:
        devices: the slices with devices.
        counters: those with the counters the devices share.
        names: whether names of devices must not repeat.
    """
    sets: dict[str, frozenset[str]] = {}
    for found in counters:
        for entry in found.counters:
            if entry.counter_set in sets:
                return f"the counter set {entry.counter_set} is there twice"
            sets[entry.counter_set] = frozenset([name for name, _ in entry.counters])
    seen: set[str] = set()
    for device in [device for found in devices for device in found.devices]:
        if names and device.name in seen:
            return f"the device {device.name} is there twice"
        seen.add(device.name)
        for use in device.consumes:
            offered = sets.get(use.counter_set)
            if offered is None:
                return f"the counter set {use.counter_set} is missing"
            for name, _ in use.counters:
                if name not in offered:
                    return f"the counter {name} of {use.counter_set} is missing"
    return ""


def _trouble(slices: tuple[ResourceSlice, ...]) -> str:
    first = slices[0]
    if len(slices) != first.slice_count:
        return "incomplete"
    if any(found.generation != first.generation for found in slices):
        return "being replaced"
    return invalidity(
        [found for found in slices if not found.counters],
        [found for found in slices if found.counters],
    )


def _named_nodes(slices: tuple[ResourceSlice, ...]) -> Touched:
    """Return the nodes that slices name; None where one reaches nodes in another way."""
    names = [found.reach.node_name for found in slices if found.reach.node_name]
    others = [found for found in slices if not found.reach.node_name and not found.counters]
    return frozenset(names) if not others else EVERYWHERE


def _by_name(found: ResourceSlice) -> str:
    return found.name


def _builder(mapping: Mapping[Any, Any]) -> ShardedMapBuilder[Any, Any]:
    if isinstance(mapping, ShardedMap):
        return mapping.builder()
    return ShardedMap.of(mapping.items()).builder()


def _content(index: PoolIndex) -> dict[PoolKey, tuple[object, ...]]:
    return {key: (pool.source.slices, dict(pool.holds)) for key, pool in index.pools.items()}
