"""The devices a node can use, in the order in which the allocator looks at them.

Decides which slices of a pool count for a node, and whether the pool is complete and valid; what
of it is free is not looked at here. What is worked out is kept with the slices, so that claims that
come and go cost nothing here.
Source: k8s.io/dynamic-resource-allocation ``structured/internal/incubating/pools_incubating.go``
(1.36).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import structs

from gpu_spawner.core.cluster.device_classes import DeviceTaintRule
from gpu_spawner.core.cluster.device_objects import Device, PoolKey, ResourceSlice
from gpu_spawner.core.cluster.device_pools import PoolSlices, PoolState, invalidity
from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.devices.facts import DeviceFacts, qualified

__all__ = ["Candidate", "NodePool", "facts_of", "node_pools"]


class Candidate:
    """A device a node could use; equal only to itself.

    Attributes:
        key: driver, pool and device name.
        is_usable: False for a device that says itself that it is for other nodes.
        kinds: what selectors found out about it, kept by ``matching``.
    """

    __slots__ = ("device", "is_usable", "key", "kinds", "slice")

    def __init__(self, device: Device, found: ResourceSlice, *, is_usable: bool) -> None:
        self.device: Final = device
        self.slice: Final = found
        self.key: Final = (found.driver, found.pool, device.name)
        self.is_usable: Final = is_usable
        self.kinds: Final[dict[Any, int]] = {}


@dataclass(eq=False, slots=True, kw_only=True)
class NodePool:
    """A pool as one node sees it; equal only to itself.

    Attributes:
        key: driver and pool name.
        trouble: why nothing is allocated from it; empty where it is in order.
        is_incomplete: whether that is because slices are missing.
        is_local: whether no other node can use it.
        candidates: the devices of the slices that reach the node, in order.
        counters: what the devices share, by counter set and counter, in billionths.
        bystanders: devices that take counters and cannot be used from the node.
        waits_for_conditions: whether a device must be attached before a pod can be bound; such
            pools come last.
        places: the position of each device among candidates and bystanders, by name.
        kinds: what the pool looks like to requests, kept by ``plan``.
    """

    key: PoolKey
    trouble: str = ""
    is_incomplete: bool = False
    is_local: bool = True
    candidates: tuple[Candidate, ...] = ()
    counters: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    bystanders: tuple[Device, ...] = ()
    waits_for_conditions: bool = field(init=False)
    places: Mapping[str, int] = field(init=False)
    kinds: dict[Any, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        names = [
            *[found.device.name for found in self.candidates],
            *[device.name for device in self.bystanders],
        ]
        self.places = {name: place for place, name in enumerate(names)}
        self.waits_for_conditions = any(
            found.device.binding_conditions for found in self.candidates
        )


def node_pools(
    node: Node, states: Iterable[PoolState], rules: tuple[DeviceTaintRule, ...] = ()
) -> tuple[NodePool, ...]:
    """Return the pools a node can use, and those that are in trouble, in the allocator's order.

    Args:
        node: the node.
        states: the pools that may concern it.
        rules: what taints devices besides their drivers, in any order.
    """
    found = []
    for state in states:
        pool = _pool(node, _tainted(state.source, rules) if rules else state.source)
        if pool is not None:
            found.append(pool)
    if len(found) > 1:
        found.sort(key=_order)
    return tuple(found)


def facts_of(candidate: Candidate) -> DeviceFacts:
    """Return what selectors see of a device."""
    driver, device = candidate.slice.driver, candidate.device
    return DeviceFacts(
        driver=driver,
        allow_multiple_allocations=device.is_shareable,
        attributes=tuple(
            sorted(
                [(qualified(name, driver), value) for name, value in device.attributes], key=_first
            )
        ),
        capacity=tuple(
            sorted([(qualified(entry.name, driver), entry.value) for entry in device.capacity])
        ),
    )


def _tainted(source: PoolSlices, rules: tuple[DeviceTaintRule, ...]) -> PoolSlices:
    """Return a pool with the taints that rules put on its devices."""
    driver, pool = source.key
    rules = tuple(
        [rule for rule in rules if rule.driver in ("", driver) and rule.pool in ("", pool)]
    )
    if not rules:
        return source
    view = ("tainted", rules)
    if view not in source.views:
        source.views[view] = PoolSlices(
            source.key,
            [
                structs.replace(
                    found, devices=tuple([_with_taints(device, rules) for device in found.devices])
                )
                for found in source.slices
            ],
        )
    found: PoolSlices = source.views[view]
    return found


def _with_taints(device: Device, rules: tuple[DeviceTaintRule, ...]) -> Device:
    taints = [rule.taint for rule in rules if rule.device in ("", device.name)]
    return structs.replace(device, taints=(*device.taints, *taints)) if taints else device


def _first(pair: tuple[str, object]) -> str:
    return pair[0]


def _order(pool: NodePool) -> tuple[bool, PoolKey]:
    return pool.waits_for_conditions, pool.key


def _pool(node: Node, source: PoolSlices) -> NodePool | None:
    """Return one pool as a node sees it; None where it has nothing for the node."""
    if source.nodes is not None:
        # Slices that name nodes look the same from every node they do not name.
        view = node.name if node.name in source.nodes else None
        if view not in source.views:
            source.views[view] = _work_out(node, source)
        found: NodePool | None = source.views[view]
        return found
    known = source.views.get(node.name)
    if known is None or known[0] != node.labels:
        if len(source.views) > _MAX_VIEWS:
            source.views.clear()
        known = source.views[node.name] = node.labels, _work_out(node, source)
    return known[1]


_MAX_VIEWS: Final = 8192


def _work_out(node: Node, source: PoolSlices) -> NodePool | None:
    relevant = [found for found in source.slices if found.counters or _reaches(found, node)]
    if not relevant:
        return None
    newest = max(found.generation for found in relevant)
    relevant = [found for found in relevant if found.generation == newest]
    everything: list[ResourceSlice] = relevant
    if len(relevant) != relevant[0].slice_count:
        if any(found.generation > newest for found in source.slices):
            return None  # is being replaced, by slices that have nothing for the node
        everything = [found for found in source.slices if found.generation == newest]
        if len(everything) != relevant[0].slice_count:
            return NodePool(key=source.key, trouble="slices are missing", is_incomplete=True)
    return _build(node, source, relevant, everything)


def _build(
    node: Node, source: PoolSlices, relevant: list[ResourceSlice], everything: list[ResourceSlice]
) -> NodePool:
    holding = [found for found in relevant if not found.counters]
    sharing = [found for found in relevant if found.counters]
    elsewhere = [found for found in everything if found not in relevant]
    trouble = invalidity(holding, sharing) or invalidity(elsewhere, sharing, names=False)
    if trouble:
        return NodePool(key=source.key, trouble=trouble)
    return NodePool(
        key=source.key,
        is_local=source.nodes == frozenset([node.name]),
        candidates=tuple(
            [
                Candidate(device, found, is_usable=_is_usable(device, found, node))
                for found in holding
                for device in found.devices
            ]
        ),
        counters={
            entry.counter_set: dict(entry.counters) for found in sharing for entry in found.counters
        },
        bystanders=tuple(
            [device for found in elsewhere for device in found.devices if device.consumes]
        ),
    )


def _reaches(found: ResourceSlice, node: Node) -> bool:
    if found.is_per_device:
        return any(device.reach.includes(node.name, node.labels) for device in found.devices)
    return found.reach.includes(node.name, node.labels)


def _is_usable(device: Device, found: ResourceSlice, node: Node) -> bool:
    return not found.is_per_device or device.reach.includes(node.name, node.labels)
