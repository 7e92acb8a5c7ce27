"""The cluster at one moment, immutable.

A :class:`Snapshot` is what every decision is made from: nodes with what is used on them, pods, and
what could not be read. Data that was never read, or may not be read, is *unknown*: never zero and
never "full". ``state`` keeps the present one up to date.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Final, TypeVar

import msgspec

from gpu_spawner.core.cluster.objects import (
    MalformedObjectError,
    Node,
    Pod,
    PodKey,
    node_from_api,
    pod_from_api,
)
from gpu_spawner.core.cluster.sharded_map import ShardedMap, ShardedMapBuilder
from gpu_spawner.core.errors import ConfigError, Problem
from gpu_spawner.core.resources import EMPTY, ResourceVector

__all__ = [
    "NO_LOAD",
    "Journal",
    "NodeLoad",
    "NodeState",
    "Snapshot",
    "loads_by_node",
    "place_of",
]

_K = TypeVar("_K")
_V = TypeVar("_V")
_by_key = attrgetter("namespace", "name")


class NodeLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What pods take of a node.

    Attributes:
        used: the sum of what the holders ask for.
        holders: the pods that occupy the node, terminating ones included, ordered by key.
        nominated: pods for which room is being made there by preemption, ordered by key.
        repelling: those holders that require other pods to stay away.
    """

    used: ResourceVector = EMPTY
    holders: tuple[Pod, ...] = ()
    nominated: tuple[Pod, ...] = ()
    repelling: tuple[Pod, ...] = ()

    def with_pod(self, pod: Pod) -> "NodeLoad":
        """Return the load with one pod more."""
        if pod.is_nominated:
            return msgspec.structs.replace(self, nominated=_insert(self.nominated, pod))
        return NodeLoad(
            used=self.used.plus(pod.requests),
            holders=_insert(self.holders, pod),
            nominated=self.nominated,
            repelling=_insert(self.repelling, pod) if pod.anti_affinity else self.repelling,
        )

    def without_pod(self, pod: Pod) -> "NodeLoad":
        """Return the load without a pod that is part of it."""
        if pod.is_nominated:
            return msgspec.structs.replace(self, nominated=_remove(self.nominated, pod))
        return NodeLoad(
            used=self.used.minus(pod.requests),
            holders=_remove(self.holders, pod),
            nominated=self.nominated,
            repelling=_remove(self.repelling, pod) if pod.anti_affinity else self.repelling,
        )

    @classmethod
    def of(cls, pods: Iterable[Pod]) -> "NodeLoad":
        """Add up the load of pods that all belong to one node."""
        ordered = sorted(pods, key=_by_key)
        amounts: dict[str, int] = {}
        holders = tuple([pod for pod in ordered if pod.occupies])
        for pod in holders:
            for name, amount in pod.requests.items():
                amounts[name] = amounts.get(name, 0) + amount
        return cls(
            used=ResourceVector(amounts),
            holders=holders,
            nominated=tuple([pod for pod in ordered if pod.is_nominated]),
            repelling=tuple([pod for pod in holders if pod.anti_affinity]),
        )


NO_LOAD: Final = NodeLoad()


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """A node together with what is used on it."""

    node: Node
    load: NodeLoad = NO_LOAD

    @property
    def used(self) -> ResourceVector:
        """The sum of what the pods on this node ask for."""
        return self.load.used

    @property
    def pod_count(self) -> int:
        """How many pods occupy this node."""
        return len(self.load.holders)

    @property
    def holders(self) -> tuple[Pod, ...]:
        """The pods that occupy this node, ordered by namespace and name."""
        return self.load.holders

    @property
    def free(self) -> ResourceVector:
        """What is not asked for; amounts are negative where the node is overcommitted."""
        return self.node.allocatable.minus(self.load.used)


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
        claimable: extended resources that a device class offers (KEP-5004); they are counted
            with devices, not with ``allocatable``.
        stray: the load of nodes that pods name but the node list does not have.
    """

    nodes: Mapping[str, NodeState] | None = None
    pods: Mapping[PodKey, Pod] | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)
    as_of: float | None = None
    claimable: frozenset[str] = frozenset()
    stray: Mapping[str, NodeLoad] = field(default_factory=dict)
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
        nodes: dict[str, Node] = {}
        pods: dict[PodKey, Pod] = {}
        claimable: set[str] = set()
        problems: list[Problem] = []
        for position, item in enumerate(items):
            try:
                match _kind_of(item):
                    case "Node":
                        node = node_from_api(item)
                        nodes[node.name] = node
                    case "Pod":
                        pod = pod_from_api(item)
                        pods[pod.key] = pod
                    case "DeviceClass":
                        claimable |= _offered_resource(item)
            except MalformedObjectError as error:
                problems.append(_problem(source, position, item, error))
        if problems:
            raise ConfigError(problems)
        return cls.of(nodes.values(), pods.values(), as_of=as_of, claimable=claimable)

    @classmethod
    def of(
        cls,
        nodes: Iterable[Node],
        pods: Iterable[Pod],
        *,
        as_of: float | None = None,
        claimable: Iterable[str] = (),
    ) -> "Snapshot":
        """Build one in which everything is known."""
        by_key = ShardedMap.of((pod.key, pod) for pod in pods)
        loads = loads_by_node(by_key.values())
        states = ShardedMap.of(
            (node.name, NodeState(node=node, load=loads.pop(node.name, NO_LOAD))) for node in nodes
        )
        return cls(
            nodes=states,
            pods=by_key,
            as_of=as_of,
            claimable=frozenset(claimable),
            stray=ShardedMap.of(loads.items()),
        )

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

    def with_pod(self, pod: Pod) -> "Snapshot":
        """Return the snapshot as it would be with a pod added, or replaced by key."""
        if self.pods is None:
            return self
        if pod.key in self.pods:
            return self.without_pod(pod.key).with_pod(pod)
        pods = _writable(self.pods)
        pods[pod.key] = pod
        return self._with_load_change(pod, NodeLoad.with_pod, pods.build())

    def without_pod(self, key: PodKey) -> "Snapshot":
        """Return the snapshot as it would be without a pod; the same one if there is none."""
        if self.pods is None or key not in self.pods:
            return self
        pods = _writable(self.pods)
        pods.discard(key)
        return self._with_load_change(self.pods[key], NodeLoad.without_pod, pods.build())

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


def place_of(pod: Pod) -> str:
    """Return the node on which a pod takes room, or is promised room; else an empty name."""
    if pod.occupies:
        return pod.node_name
    return pod.nominated_node if pod.is_nominated else ""


def loads_by_node(pods: Iterable[Pod]) -> dict[str, NodeLoad]:
    """Add pods up by the node on which they take room."""
    groups: dict[str, list[Pod]] = {}
    for pod in pods:
        place = place_of(pod)
        if place:
            groups.setdefault(place, []).append(pod)
    return {name: NodeLoad.of(group) for name, group in groups.items()}


def _repelling(snapshot: Snapshot) -> tuple[NodeState, ...]:
    states = (snapshot.nodes or {}).values()
    return tuple([state for state in states if state.load.repelling])


def _writable(mapping: Mapping[_K, _V]) -> ShardedMapBuilder[_K, _V]:
    if isinstance(mapping, ShardedMap):
        return mapping.builder()
    return ShardedMap.of(mapping.items()).builder()


def _insert(pods: tuple[Pod, ...], pod: Pod) -> tuple[Pod, ...]:
    position = bisect_left(pods, pod.key, key=_by_key)
    return (*pods[:position], pod, *pods[position:])


def _remove(pods: tuple[Pod, ...], pod: Pod) -> tuple[Pod, ...]:
    position = bisect_left(pods, pod.key, key=_by_key)
    return (*pods[:position], *pods[position + 1 :])


def _kind_of(item: Mapping[str, Any]) -> str:
    if not isinstance(item, Mapping):
        raise MalformedObjectError(f"an object is a mapping, not {type(item).__name__}")
    kind = item.get("kind")
    if not isinstance(kind, str):
        raise MalformedObjectError("kind: missing")
    return kind


def _offered_resource(item: Mapping[str, Any]) -> set[str]:
    spec = item.get("spec")
    offered = spec.get("extendedResourceName") if isinstance(spec, Mapping) else None
    return {offered} if isinstance(offered, str) and offered else set()


def _problem(source: str, position: int, item: object, error: MalformedObjectError) -> Problem:
    where = f"items[{position}]"
    if isinstance(item, Mapping):
        meta = item.get("metadata")
        name = meta.get("name") if isinstance(meta, Mapping) else None
        if isinstance(name, str):
            where = f"{where} ({str(item.get('kind'))[:40]} {name[:260]})"
    return Problem(
        file=source,
        key=where,
        message=f"{error}.",
        cure="Save the objects again with kubectl get -A -o json.",
    )
