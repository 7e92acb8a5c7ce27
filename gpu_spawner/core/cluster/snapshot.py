"""The cluster at one moment, immutable.

A :class:`Snapshot` is what every decision is made from: nodes with what is used on them, pods, and
what could not be read. Data that was never read, or may not be read, is *unknown*: never zero and
never "full". ``state`` keeps the present one up to date.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from gpu_spawner.core.cluster.claim_objects import ClaimTemplate, DeviceResult, ResourceClaim
from gpu_spawner.core.cluster.device_classes import DeviceClass, DeviceTaintRule
from gpu_spawner.core.cluster.device_objects import ResourceSlice
from gpu_spawner.core.cluster.device_pools import NO_POOLS, PoolIndex, PoolLedger
from gpu_spawner.core.cluster.image_uses import ImageUse, UseCounter, uses_of
from gpu_spawner.core.cluster.listed import sort_by_kind
from gpu_spawner.core.cluster.node_load import (
    NO_LOAD,
    NodeLoad,
    NodeState,
    loads_by_node,
    place_of,
)
from gpu_spawner.core.cluster.objects import Node, Pod, PodKey
from gpu_spawner.core.cluster.sharded_map import ShardedMap, ShardedMapBuilder

__all__ = [
    "BRIEF_SEARCH_STEPS",
    "NO_LOAD",
    "THOROUGH_SEARCH_STEPS",
    "Journal",
    "NodeLoad",
    "NodeState",
    "Snapshot",
    "loads_by_node",
    "place_of",
]

BRIEF_SEARCH_STEPS: Final = 50_000
"""How many devices are looked at for one pod on one node where others wait for the answer."""

THOROUGH_SEARCH_STEPS: Final = 5_000_000
"""The same where one person does."""

_K = TypeVar("_K")
_V = TypeVar("_V")


class Journal:
    """Which nodes each change of a state touched, for a bounded time back.

    Entry ``i`` of ``touched`` belongs to the change that led to serial ``base + i + 1``; an empty
    name stands for a change that touches no node. Only the state that owns it appends.
    """

    __slots__ = ("base", "touched")

    def __init__(self, base: int) -> None:
        self.base: Final = base
        self.touched: list[str] = []

    def between(self, after: int, upto: int) -> frozenset[str] | None:
        """Return the nodes touched by the changes in ``(after, upto]``; None if forgotten."""
        if not self.base <= after <= upto:
            return None
        return frozenset(self.touched[after - self.base : upto - self.base]) - {""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The cluster at one moment.

    Attributes:
        nodes: by name; None while nodes are unknown.
        pods: by namespace and name, finished ones included; None while pods are unknown. The loads
            of ``nodes`` are empty then, which means unknown, not free.
        unknown: why a kind (``nodes``, ``pods``, ...) is not known; absent for what is known.
        as_of: unix seconds of the oldest proof that the data was current; None if never.
        serial: grows with every change of the state it was taken from.
        slices: the slices of devices, by name; None while they are unknown.
        device_classes: by name; None while they are unknown.
        claims: resource claims by namespace and name; None while they are unknown.
        claim_templates: likewise.
        taint_rules: the rules that taint devices, by name; None while they are unknown.
        pools: the slices once more, by pool and by node, with what claims hold of them.
        stray: the load of nodes that pods name but the node list does not have.
        uses: which images the servers among ``pods`` run from, counted.
        search_steps_max: how many devices may be looked at for one pod on one node; what would
            take longer is unknown.
    """

    nodes: Mapping[str, NodeState] | None = None
    pods: Mapping[PodKey, Pod] | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)
    as_of: float | None = None
    slices: Mapping[str, ResourceSlice] | None = None
    device_classes: Mapping[str, DeviceClass] | None = None
    claims: Mapping[PodKey, ResourceClaim] | None = None
    claim_templates: Mapping[PodKey, ClaimTemplate] | None = None
    taint_rules: Mapping[str, DeviceTaintRule] | None = None
    pools: PoolIndex = NO_POOLS
    stray: Mapping[str, NodeLoad] = field(default_factory=dict)
    uses: Mapping[ImageUse, int] = field(default_factory=dict)
    search_steps_max: int = field(default=BRIEF_SEARCH_STEPS, compare=False)
    serial: int = field(default=0, compare=False)
    journal: Journal | None = field(default=None, compare=False, repr=False)
    _derived: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def from_objects(
        cls,
        items: Iterable[Mapping[str, Any]],
        *,
        as_of: float | None = None,
        source: str = "cluster",
    ) -> "Snapshot":
        """Build one from the items of a ``v1`` List as kubectl prints it.

        Kinds that no decision needs are skipped. Of objects with the same name the last one counts.

        Raises:
            ConfigError: objects that are not what the API would send, all of them, each with its
                position under ``source``.
        """
        found = sort_by_kind(items, source)
        return cls.of(
            {node.name: node for node in found["nodes"]}.values(),
            {pod.key: pod for pod in found["pods"]}.values(),
            as_of=as_of,
            others=found,
        )

    @classmethod
    def of(
        cls,
        nodes: Iterable[Node],
        pods: Iterable[Pod],
        *,
        as_of: float | None = None,
        others: Mapping[str, Iterable[Any]] | None = None,
    ) -> "Snapshot":
        """Build one in which everything is known.

        ``others`` are the objects of further kinds, by plural; a kind that is absent has none.
        """
        found = others or {}
        by_key = ShardedMap.of((pod.key, pod) for pod in pods)
        loads = loads_by_node(by_key.values())
        states = ShardedMap.of(
            (node.name, NodeState(node=node, load=loads.pop(node.name, NO_LOAD))) for node in nodes
        )
        slices_by_name = _by_key(found, "resourceslices")
        claims_by_key = _by_key(found, "resourceclaims")
        ledger = PoolLedger()
        ledger.replace_slices(slices_by_name.values())
        ledger.hold_all(claims_by_key.values())
        return cls(
            nodes=states,
            pods=by_key,
            as_of=as_of,
            stray=ShardedMap.of(loads.items()),
            uses=uses_of(by_key.values()),
            slices=ShardedMap.of(slices_by_name.items()),
            device_classes=_by_key(found, "deviceclasses"),
            claims=ShardedMap.of(claims_by_key.items()),
            claim_templates=_by_key(found, "resourceclaimtemplates"),
            taint_rules=_by_key(found, "devicetaintrules"),
            pools=ledger.build(),
        )

    @property
    def claimable(self) -> frozenset[str]:
        """The extended resources that device classes stand behind (KEP-5004)."""
        return self.derive("claimable", _claimable)

    @property
    def repelling(self) -> tuple[NodeState, ...]:
        """The nodes with pods that require other pods to stay away."""
        return self.derive("repelling", _repelling)

    def derive(self, name: str, work_out: Callable[["Snapshot"], _V]) -> _V:
        """Return what a function works out from this snapshot, worked out once and then kept."""
        if name not in self._derived:
            self._derived[name] = work_out(self)
        found: _V = self._derived[name]
        return found

    def changed_nodes_since(self, earlier: "Snapshot") -> frozenset[str] | None:
        """Return the names of nodes that may differ from an earlier snapshot of the same state.

        Returns:
            None where that is not known: another state, a relist, or too long ago.
        """
        if self.journal is None or self.journal is not earlier.journal:
            return None
        return self.journal.between(earlier.serial, self.serial)

    def thoroughly(self) -> "Snapshot":
        """Return the snapshot for whom a wait of seconds is better than no answer."""
        return replace(self, search_steps_max=THOROUGH_SEARCH_STEPS)

    def with_pod(self, pod: Pod) -> "Snapshot":
        """Return the snapshot as it would be with a pod added, or replaced by key."""
        if self.pods is None:
            return self
        if pod.key in self.pods:
            return self.without_pod(pod.key).with_pod(pod)
        pods = _writable(self.pods)
        pods[pod.key] = pod
        uses = UseCounter(self.uses)
        uses.add(pod)
        changed = self._with_load_change(pod, NodeLoad.with_pod, pods.build())
        return replace(changed, uses=uses.build())

    def with_claim(self, claim: ResourceClaim) -> "Snapshot":
        """Return the snapshot as it would be with a claim added, or replaced by key."""
        if self.claims is None:
            return self
        before = self.claims.get(claim.key)
        claims = _writable(self.claims)
        claims[claim.key] = claim
        ledger = PoolLedger(self.pools)
        ledger.hold(_results(before), -1)
        ledger.hold(_results(claim), 1)
        return replace(self, claims=claims.build(), pools=ledger.build(), journal=None)

    def without_claims(self) -> "Snapshot":
        """Return the snapshot as it would be if no claim held a device."""
        return replace(self, claims=ShardedMap.of(), pools=self.pools.emptied(), journal=None)

    def without_pod(self, key: PodKey) -> "Snapshot":
        """Return the snapshot as it would be without a pod; the same one if there is none."""
        if self.pods is None or key not in self.pods:
            return self
        pods = _writable(self.pods)
        pods.discard(key)
        pod = self.pods[key]
        uses = UseCounter(self.uses)
        uses.remove(pod)
        changed = self._with_load_change(pod, NodeLoad.without_pod, pods.build())
        return replace(changed, uses=uses.build())

    def _with_load_change(
        self,
        pod: Pod,
        change: Callable[[NodeLoad, Pod], NodeLoad],
        pods: Mapping[PodKey, Pod],
    ) -> "Snapshot":
        place = place_of(pod)
        if place and self.nodes is not None and place in self.nodes:
            state = self.nodes[place]
            nodes = _writable(self.nodes)
            nodes[place] = NodeState(node=state.node, load=change(state.load, pod))
            return replace(self, pods=pods, nodes=nodes.build(), journal=None)
        if place:
            stray = _writable(self.stray)
            load = change(self.stray.get(place, NO_LOAD), pod)
            stray.discard(place)
            if load != NO_LOAD:
                stray[place] = load
            return replace(self, pods=pods, stray=stray.build(), journal=None)
        return replace(self, pods=pods, journal=None)


def _by_key(found: Mapping[str, Iterable[Any]], kind: str) -> dict[Any, Any]:
    return {entry.key: entry for entry in found.get(kind, ())}


def _claimable(snapshot: Snapshot) -> frozenset[str]:
    classes = (snapshot.device_classes or {}).values()
    return frozenset(found.extended_resource for found in classes) - {""}


def _results(claim: ResourceClaim | None) -> tuple[DeviceResult, ...]:
    return claim.allocation.results if claim is not None and claim.allocation is not None else ()


def _repelling(snapshot: Snapshot) -> tuple[NodeState, ...]:
    states = (snapshot.nodes or {}).values()
    return tuple([state for state in states if state.load.repelling])


def _writable(mapping: Mapping[_K, _V]) -> ShardedMapBuilder[_K, _V]:
    if isinstance(mapping, ShardedMap):
        return mapping.builder()
    return ShardedMap.of(mapping.items()).builder()
