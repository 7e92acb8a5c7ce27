"""The present state of a cluster, fed by lists and watch events, and its snapshots.

Pure and synchronous: whoever talks to Kubernetes calls :meth:`ClusterState.replace_all`,
:meth:`ClusterState.apply` and :meth:`ClusterState.forget`. One pod event touches one node; a
snapshot shares everything that did not change with the one before. It decides nothing about
placement, and it is not safe to feed it from several threads at once.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

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

KINDS: Final = ("nodes", "pods")
"""The kinds a state is fed with, by their plural."""

NOT_READ_YET: Final = "not read yet"

_JOURNAL_LIMIT: Final = 8192


_Touched = tuple[str, ...] | None
"""The nodes a change touches; None where nothing changed at all."""


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
        self._stray: ShardedMapBuilder[str, NodeLoad] = ShardedMapBuilder()
        self._unknown: dict[str, str] = dict.fromkeys(KINDS, NOT_READ_YET)
        self._serial = 0
        self._journal = Journal(0)
        # What feeds a state is one line here a kind; what a kind means is in the methods named.
        self._kinds: Final = {
            "nodes": _Kind(self._replace_nodes, self._put_node, self._drop_node),
            "pods": _Kind(self._replace_pods, self._put_pod, self._drop_pod),
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
            serial=self._serial,
            journal=self._journal,
        )

    def _start_journal(self) -> None:
        self._serial += 1
        self._journal = Journal(self._serial)

    def _record(self, touched: tuple[str, ...]) -> None:
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
        return _names(self._leave(known))

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
