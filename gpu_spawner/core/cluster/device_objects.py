"""Slices of devices with only the fields decisions need.

What repeats from device to device (attributes, counters, capacities) is shared, so that the slices
of a thousand nodes stay small. Which devices a claim gets is for :mod:`gpu_spawner.core.devices`.
Source of the shapes: k8s.io/api ``resource/v1/types.go`` (1.36).
"""

import sys
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

from gpu_spawner.core.cluster.device_wire import (
    WireAttribute,
    WireClaimMeta,
    WireConsumption,
    WireCounter,
    WireDevice,
    WireDeviceCapacity,
    WirePool,
    WireSlice,
    WireSliceSpec,
)
from gpu_spawner.core.cluster.pod_affinity import requirements
from gpu_spawner.core.cluster.selectors import NodeSelectorTerm, Taint
from gpu_spawner.core.cluster.wire import WireNodeSelector, WireTaint
from gpu_spawner.core.quantity import Quantity, parse_nano

__all__ = [
    "AttributeValue",
    "Capacity",
    "CounterUse",
    "Device",
    "NodeReach",
    "PoolKey",
    "RequestPolicy",
    "ResourceSlice",
    "SemanticVersion",
    "build_slice",
    "build_taint",
    "node_terms",
    "required_name",
    "share",
]

PoolKey = tuple[str, str]
"""Driver and pool name."""

_decode_capacities = msgspec.json.Decoder(dict[str, WireDeviceCapacity] | None).decode
_decode_consumptions = msgspec.json.Decoder(list[WireConsumption] | None).decode
_SHARE_LIMIT: Final = 50_000
_shared: dict[Any, Any] = {}
_T = TypeVar("_T", bound=Hashable)


class SemanticVersion(msgspec.Struct, frozen=True):
    """The value of an attribute of type ``version``, as it was written."""

    text: str


AttributeValue = bool | int | str | SemanticVersion
"""The value of an attribute; a bool is its own type, not an int."""


class RequestPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How requests for a capacity are rounded and limited; amounts in billionths."""

    default: int | None = None
    valid_values: tuple[int, ...] = ()
    has_range: bool = False
    least: int | None = None
    most: int | None = None
    step: int | None = None


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """One capacity of a device, by its name as the slice has it; the amount in billionths."""

    name: str
    value: int
    policy: RequestPolicy | None = None


class CounterUse(msgspec.Struct, frozen=True, kw_only=True):
    """What of one counter set something has or takes, counter by counter, in billionths."""

    counter_set: str
    counters: tuple[tuple[str, int], ...] = ()


class NodeReach(msgspec.Struct, frozen=True, kw_only=True):
    """From which nodes a slice or a device can be used; nothing set: from none.

    Attributes:
        node_name: only from this node; empty for no such limit.
        all_nodes: from every node.
        terms: node selector terms, one of which must match; None where there is no selector.
    """

    node_name: str = ""
    all_nodes: bool = False
    terms: tuple[NodeSelectorTerm, ...] | None = None

    def includes(self, node_name: str, labels: Mapping[str, str]) -> bool:
        """Tell whether it can be used from a node (``NodeMatches`` of the allocator)."""
        if self.node_name:
            return node_name == self.node_name
        if self.all_nodes:
            return True
        return any(term.matches(node_name, labels) for term in self.terms or ())


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device as a driver publishes it.

    Attributes:
        attributes: by name as the slice has it, ordered by name.
        capacity: likewise.
        consumes: the counters it takes when it is allocated.
        reach: from which nodes it can be used, where its slice leaves that to the device.
        is_shareable: whether several claims may hold it (``allowMultipleAllocations``).
        binds_to_node: whether a claim that holds it is tied to its node.
    """

    name: str
    attributes: tuple[tuple[str, AttributeValue], ...] = ()
    capacity: tuple[Capacity, ...] = ()
    consumes: tuple[CounterUse, ...] = ()
    taints: tuple[Taint, ...] = ()
    reach: NodeReach = NodeReach()
    is_shareable: bool = False
    binds_to_node: bool = False
    binding_conditions: tuple[str, ...] = ()
    binding_failure_conditions: tuple[str, ...] = ()


class ResourceSlice(msgspec.Struct, frozen=True, kw_only=True):
    """A slice of a driver's pool: devices, or the counters they share.

    Attributes:
        slice_count: how many slices this generation of the pool has.
        reach: from which nodes its devices can be used; nothing set where ``is_per_device``.
        is_per_device: whether each device says so itself.
    """

    name: str
    driver: str
    pool: str
    generation: int = 0
    slice_count: int = 0
    reach: NodeReach = NodeReach()
    is_per_device: bool = False
    devices: tuple[Device, ...] = ()
    counters: tuple[CounterUse, ...] = ()

    @property
    def key(self) -> str:
        """The name."""
        return self.name

    @property
    def pool_key(self) -> PoolKey:
        """Driver and pool name."""
        return self.driver, self.pool


def build_slice(wire: WireSlice) -> ResourceSlice:
    """Build a slice from its wire form.

    Raises:
        ValueError: a name is missing or a quantity is malformed.
    """
    spec = wire.spec or WireSliceSpec()
    pool = spec.pool or WirePool()
    if not spec.driver or not pool.name:
        raise ValueError("spec.driver, spec.pool.name: missing")
    return ResourceSlice(
        name=required_name(wire.metadata),
        driver=sys.intern(spec.driver),
        pool=sys.intern(pool.name),
        generation=pool.generation or 0,
        slice_count=pool.resource_slice_count or 0,
        reach=_reach(spec.node_name, spec.node_selector, all_nodes=bool(spec.all_nodes)),
        is_per_device=bool(spec.per_device_node_selection),
        devices=tuple([_device(device) for device in spec.devices or ()]),
        counters=tuple(
            [_counter_use(entry.name, entry.counters) for entry in spec.shared_counters or ()]
        ),
    )


def node_terms(selector: WireNodeSelector | None) -> tuple[NodeSelectorTerm, ...] | None:
    """Return the terms of a node selector; None where there is none."""
    if selector is None:
        return None
    return share(
        tuple(
            [
                NodeSelectorTerm(
                    match_expressions=requirements(term.match_expressions),
                    match_fields=requirements(term.match_fields),
                )
                for term in selector.node_selector_terms or ()
            ]
        )
    )


def required_name(meta: WireClaimMeta | None) -> str:
    """Return an object's name.

    Raises:
        ValueError: it is missing.
    """
    if meta is None or not meta.name:
        raise ValueError("metadata.name: missing")
    return meta.name


def share(value: _T) -> _T:
    """Return the first equal value that was seen, so that repeated ones are kept once.

    Not for attributes: True equals 1 in Python, and they are different attributes.
    """
    found: _T | None = _shared.get(value)
    if found is None:
        if len(_shared) >= _SHARE_LIMIT:
            _shared.clear()
        found = _shared[value] = value
    return found


def _device(wire: WireDevice) -> Device:
    if not wire.name:
        raise ValueError("spec.devices[].name: missing")
    return Device(
        name=sys.intern(wire.name),
        attributes=tuple(
            [
                (sys.intern(name), value)
                for name, value in sorted(
                    [(name, _value(found)) for name, found in (wire.attributes or {}).items()],
                    key=_by_name,
                )
                if value is not None
            ]
        ),
        capacity=_capacities(bytes(wire.capacity)),
        consumes=_consumptions(bytes(wire.consumes_counters)),
        taints=share(tuple([build_taint(taint) for taint in wire.taints or ()])),
        reach=_reach(wire.node_name, wire.node_selector, all_nodes=bool(wire.all_nodes)),
        is_shareable=bool(wire.allow_multiple_allocations),
        binds_to_node=bool(wire.binds_to_node),
        binding_conditions=tuple(wire.binding_conditions or ()),
        binding_failure_conditions=tuple(wire.binding_failure_conditions or ()),
    )


def _by_name(pair: tuple[str, object]) -> str:
    return pair[0]


def _value(wire: WireAttribute) -> AttributeValue | None:
    """Return an attribute's value; None for a type that is not known, as if it were absent."""
    if wire.string is not None:
        return sys.intern(wire.string)
    if wire.bool_ is not None:
        return wire.bool_
    if wire.int_ is not None:
        return wire.int_
    return SemanticVersion(wire.version) if wire.version is not None else None


@lru_cache(maxsize=8192)
def _capacities(raw: bytes) -> tuple[Capacity, ...]:
    found = (_decode_capacities(raw) if raw else None) or {}
    return tuple([_capacity(name, found[name]) for name in sorted(found)])


@lru_cache(maxsize=8192)
def _consumptions(raw: bytes) -> tuple[CounterUse, ...]:
    found = (_decode_consumptions(raw) if raw else None) or []
    return tuple([_counter_use(entry.counter_set, entry.counters) for entry in found])


def _capacity(name: str, wire: WireDeviceCapacity) -> Capacity:
    policy = wire.request_policy
    return Capacity(
        name=name,
        value=_nano(wire.value),
        policy=RequestPolicy(
            default=_optional_nano(policy.default),
            valid_values=tuple([_nano(value) for value in policy.valid_values or ()]),
            has_range=policy.valid_range is not None,
            least=_optional_nano(policy.valid_range.min) if policy.valid_range else None,
            most=_optional_nano(policy.valid_range.max) if policy.valid_range else None,
            step=_optional_nano(policy.valid_range.step) if policy.valid_range else None,
        )
        if policy is not None
        else None,
    )


def _counter_use(name: str | None, counters: Mapping[str, WireCounter] | None) -> CounterUse:
    found = counters or {}
    return CounterUse(
        counter_set=sys.intern(name or ""),
        counters=share(tuple([(key, _nano(found[key].value)) for key in sorted(found)])),
    )


def build_taint(wire: WireTaint) -> Taint:
    """Build a taint from its wire form."""
    return Taint(key=wire.key or "", value=wire.value or "", effect=wire.effect or "")


_NO_REACH: Final = NodeReach()


def _reach(
    node_name: str | None, selector: WireNodeSelector | None, *, all_nodes: bool
) -> NodeReach:
    if not node_name and selector is None and not all_nodes:
        return _NO_REACH
    return NodeReach(
        node_name=sys.intern(node_name or ""), all_nodes=all_nodes, terms=node_terms(selector)
    )


def _optional_nano(quantity: Quantity | None) -> int | None:
    return None if quantity is None else _nano(quantity)


def _nano(quantity: Quantity) -> int:
    return parse_nano(quantity)
