"""The present state of a cluster, fed by lists and watch events, and its snapshots.

Pure and synchronous: whoever talks to Kubernetes calls :meth:`ClusterState.replace_all`,
:meth:`ClusterState.apply` and :meth:`ClusterState.forget`. One pod event touches one node; a
snapshot shares everything that did not change with the one before. It decides nothing about
placement, and it is not safe to feed it from several threads at once.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from gpu_spawner.core.cluster.claim_objects import ResourceClaim
from gpu_spawner.core.cluster.device_objects import ResourceSlice
from gpu_spawner.core.cluster.device_pools import PoolLedger
from gpu_spawner.core.cluster.image_uses import UseCounter, uses_of
from gpu_spawner.core.cluster.objects import Node, Pod, PodKey
from gpu_spawner.core.cluster.sharded_map import ShardedMap, ShardedMapBuilder
from gpu_spawner.core.cluster.snapshot import (
    NO_LOAD,
    Journal,
    NodeLoad,
    NodeState,
    Snapshot,
    loads_by_node,
    place_of,
)

__all__ = ["KINDS", "NOT_READ_YET", "ClusterState"]

KINDS: Final = (
    "nodes",
    "pods",
    "resourceslices",
    "deviceclasses",
    "resourceclaims",
    "resourceclaimtemplates",
    "devicetaintrules",
)
"""The kinds a state is fed with, by their plural."""

NOT_READ_YET: Final = "not read yet"

_JOURNAL_LIMIT: Final = 8192


_Touched = tuple[str, ...] | None
"""The nodes a change touches; None where nothing changed at all."""

_ALL_NODES: Final[tuple[str, ...]] = ("*",)  # no node can be called this


class _Kind(NamedTuple):
    """What a state does with objects of one kind."""

    replace: Callable[[Iterable[Any]], None]
    put: Callable[[Any], _Touched]
    drop: Callable[[Any], _Touched]


class ClusterState:
    """What is known of a cluster right now."""

    def __init__(self) -> None:
        self._nodes: ShardedMapBuilder[str, NodeState] = ShardedMapBuilder()
        self._pods: ShardedMapBuilder[PodKey, Pod] = ShardedMapBuilder()
        self._uses = UseCounter()
        self._stray: ShardedMapBuilder[str, NodeLoad] = ShardedMapBuilder()
        self._slices: ShardedMapBuilder[str, ResourceSlice] = ShardedMapBuilder()
        self._claims: ShardedMapBuilder[PodKey, ResourceClaim] = ShardedMapBuilder()
        self._pools = PoolLedger()
        # Kinds of which there are few objects, any of which may concern every node.
        self._few: dict[str, dict[Any, Any]] = {
            kind: {} for kind in ("deviceclasses", "resourceclaimtemplates", "devicetaintrules")
        }
        self._unknown: dict[str, str] = dict.fromkeys(KINDS, NOT_READ_YET)
        self._serial = 0
        self._journal = Journal(0)
        # What feeds a state is one line here a kind; what a kind means is in the methods named.
        self._kinds: Final = {
            "nodes": _Kind(self._replace_nodes, self._put_node, self._drop_node),
            "pods": _Kind(self._replace_pods, self._put_pod, self._drop_pod),
            "resourceslices": _Kind(self._replace_slices, self._put_slice, self._drop_slice),
            "resourceclaims": _Kind(self._replace_claims, self._put_claim, self._drop_claim),
            **{kind: self._kind_of_few(kind) for kind in self._few},
        }

    @property
    def serial(self) -> int:
        """A number that grows with every change."""
        return self._serial

    def replace_all(self, kind: str, objects: Iterable[Any]) -> None:
        """Take a complete list of one kind, which is known from now on."""
        self._kinds[kind].replace(objects)
        self._unknown.pop(kind, None)
        self._start_journal()

    def apply(self, kind: str, event_type: str, obj: Any) -> bool:
        """Take one watch event of a kind that is known.

        Returns:
            Whether anything changed; repeated and irrelevant events do not.
        """
        if event_type == "DELETED":
            touched = self._kinds[kind].drop(obj)
        else:
            touched = self._kinds[kind].put(obj)
        if touched is None:
            return False
        self._record(touched)
        return True

    def forget(self, kind: str, reason: str) -> None:
        """Make a kind unknown, for example because reading it is forbidden."""
        self._kinds[kind].replace(())
        self._unknown[kind] = reason
        self._start_journal()

    def clear(self, kind: str) -> None:
        """Know that there is nothing of a kind, for example because it is not served."""
        held = {"resourceslices": self._slices, "resourceclaims": self._claims, **self._few}
        if kind in self._unknown or held.get(kind, True):
            self.replace_all(kind, ())

    def changed_nodes_since(self, serial: int) -> frozenset[str] | None:
        """Return the nodes touched after a serial; None where that is no longer known."""
        return self._journal.between(serial, self._serial)

    def snapshot(self, as_of: float | None) -> Snapshot:
        """Return the present content; nothing that is applied later changes it."""
        return Snapshot(
            nodes=None if "nodes" in self._unknown else self._nodes.build(),
            pods=None if "pods" in self._unknown else self._pods.build(),
            unknown=dict(self._unknown),
            as_of=as_of,
            stray=self._stray.build(),
            uses=self._uses.build(),
            slices=None if "resourceslices" in self._unknown else self._slices.build(),
            claims=None if "resourceclaims" in self._unknown else self._claims.build(),
            device_classes=self._copy("deviceclasses"),
            claim_templates=self._copy("resourceclaimtemplates"),
            taint_rules=self._copy("devicetaintrules"),
            pools=self._pools.build(),
            serial=self._serial,
            journal=self._journal,
        )

    def _start_journal(self) -> None:
        self._serial += 1
        self._journal = Journal(self._serial)

    def _copy(self, kind: str) -> dict[Any, Any] | None:
        return None if kind in self._unknown else self._few[kind]

    def _record(self, touched: tuple[str, ...]) -> None:
        if touched == _ALL_NODES:
            self._start_journal()
            return
        for name in touched or ("",):
            self._serial += 1
            self._journal.touched.append(name)
        if len(self._journal.touched) > _JOURNAL_LIMIT:
            self._journal = Journal(self._serial)

    def _replace_nodes(self, nodes: Iterable[Node]) -> None:
        loads = dict(self._stray.build())
        for state in self._nodes.build().values():
            loads[state.node.name] = state.load
        self._install(nodes, loads)

    def _replace_pods(self, pods: Iterable[Pod]) -> None:
        by_key = ShardedMap.of((pod.key, pod) for pod in pods)
        nodes = [state.node for state in self._nodes.build().values()]
        self._install(nodes, loads_by_node(by_key.values()))
        self._pods = by_key.builder()
        self._uses = UseCounter(uses_of(by_key.values()))

    def _install(self, nodes: Iterable[Node], loads: dict[str, NodeLoad]) -> None:
        states = ShardedMap.of(
            (node.name, NodeState(node=node, load=loads.pop(node.name, NO_LOAD))) for node in nodes
        )
        self._nodes = states.builder()
        self._stray = ShardedMap.of(
            (name, load) for name, load in loads.items() if load != NO_LOAD
        ).builder()

    def _put_node(self, node: Node) -> _Touched:
        known = self._nodes.get(node.name)
        if known is not None and known.node == node:
            return None
        load = known.load if known is not None else self._stray.get(node.name) or NO_LOAD
        self._stray.discard(node.name)
        self._nodes[node.name] = NodeState(node=node, load=load)
        return (node.name,)

    def _drop_node(self, node: Node) -> _Touched:
        known = self._nodes.get(node.name)
        if known is None:
            return None
        self._nodes.discard(node.name)
        self._set_load(node.name, known.load)
        return (node.name,)

    def _put_pod(self, pod: Pod) -> _Touched:
        known = self._pods.get(pod.key)
        if known == pod:
            return None
        self._pods[pod.key] = pod
        if known is not None:
            self._uses.remove(known)
        self._uses.add(pod)
        before = self._leave(known) if known is not None else ""
        after = self._enter(pod)
        if known is not None and before == after and _weighs_the_same(known, pod):
            return ()
        return _names(before, after)

    def _drop_pod(self, pod: Pod) -> _Touched:
        known = self._pods.get(pod.key)
        if known is None:
            return None
        self._pods.discard(pod.key)
        self._uses.remove(known)
        return _names(self._leave(known))

    def _replace_slices(self, slices: Iterable[ResourceSlice]) -> None:
        by_name = ShardedMap.of((found.name, found) for found in slices)
        self._pools.replace_slices(by_name.values())
        self._slices = by_name.builder()

    def _put_slice(self, found: ResourceSlice) -> _Touched:
        known = self._slices.get(found.name)
        if known == found:
            return None
        self._slices[found.name] = found
        return _nodes(self._pools.replace_slice(known, found))

    def _drop_slice(self, found: ResourceSlice) -> _Touched:
        known = self._slices.get(found.name)
        if known is None:
            return None
        self._slices.discard(found.name)
        return _nodes(self._pools.replace_slice(known, None))

    def _replace_claims(self, claims: Iterable[ResourceClaim]) -> None:
        by_key = ShardedMap.of((claim.key, claim) for claim in claims)
        self._pools.hold_all(by_key.values())
        self._claims = by_key.builder()

    def _put_claim(self, claim: ResourceClaim) -> _Touched:
        known = self._claims.get(claim.key)
        if known == claim:
            return None
        self._claims[claim.key] = claim
        return self._change_hold(known, claim)

    def _drop_claim(self, claim: ResourceClaim) -> _Touched:
        known = self._claims.get(claim.key)
        if known is None:
            return None
        self._claims.discard(claim.key)
        return self._change_hold(known, None)

    def _change_hold(self, before: ResourceClaim | None, after: ResourceClaim | None) -> _Touched:
        old = before.allocation if before is not None else None
        new = after.allocation if after is not None else None
        if old == new:
            return ()  # who may use it says nothing about devices
        gone = self._pools.hold(old.results if old is not None else (), -1)
        come = self._pools.hold(new.results if new is not None else (), 1)
        return _nodes(None if gone is None or come is None else gone | come)

    def _kind_of_few(self, kind: str) -> _Kind:
        # The mapping is replaced and never changed: snapshots hold it.
        def replace(objects: Iterable[Any]) -> None:
            self._few[kind] = {found.key: found for found in objects}

        # Templates matter to whoever resolves a pod's names, not to what is free.
        touched = () if kind == "resourceclaimtemplates" else _ALL_NODES

        def put(found: Any) -> _Touched:
            known = self._few[kind]
            if known.get(found.key) == found:
                return None
            self._few[kind] = {**known, found.key: found}
            return touched

        def drop(found: Any) -> _Touched:
            known = self._few[kind]
            if found.key not in known:
                return None
            self._few[kind] = {key: value for key, value in known.items() if key != found.key}
            return touched

        return _Kind(replace, put, drop)

    def _leave(self, pod: Pod) -> str:
        """Take a pod off the node on which it takes room; return that node, if any."""
        place = place_of(pod)
        if place:
            self._set_load(place, self._load(place).without_pod(pod))
        return place

    def _enter(self, pod: Pod) -> str:
        """Put a pod onto the node on which it takes room; return that node, if any."""
        place = place_of(pod)
        if place:
            self._set_load(place, self._load(place).with_pod(pod))
        return place

    def _load(self, name: str) -> NodeLoad:
        state = self._nodes.get(name)
        return state.load if state is not None else self._stray.get(name) or NO_LOAD

    def _set_load(self, name: str, load: NodeLoad) -> None:
        state = self._nodes.get(name)
        if state is not None:
            self._nodes[name] = NodeState(node=state.node, load=load)
        elif load == NO_LOAD:
            self._stray.discard(name)
        else:
            self._stray[name] = load


def _nodes(touched: frozenset[str] | None) -> tuple[str, ...]:
    return _ALL_NODES if touched is None else tuple(touched)


def _names(*names: str) -> tuple[str, ...]:
    return tuple({name: None for name in names if name})


def _weighs_the_same(known: Pod, pod: Pod) -> bool:
    """Tell whether a pod that stays in its place means the same to placement as before."""
    return (
        known.requests == pod.requests
        and known.host_ports == pod.host_ports
        and known.anti_affinity == pod.anti_affinity
        and known.held_share == pod.held_share
        and known.labels == pod.labels
        and known.priority == pod.priority
        and known.occupies == pod.occupies
    )
