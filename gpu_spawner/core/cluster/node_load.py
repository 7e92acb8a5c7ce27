"""What pods take of a node.

Decides how the load of a node follows from the pods on it, and on which node a pod takes room.
"""

from bisect import bisect_left
from collections.abc import Iterable
from operator import attrgetter
from typing import Final

import msgspec

from gpu_spawner.core.cluster.objects import Node, Pod
from gpu_spawner.core.resources import EMPTY, ResourceVector

__all__ = ["NO_LOAD", "NodeLoad", "NodeState", "loads_by_node", "place_of"]

_by_key = attrgetter("namespace", "name")


class NodeLoad(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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


class NodeState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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


def _insert(pods: tuple[Pod, ...], pod: Pod) -> tuple[Pod, ...]:
    position = bisect_left(pods, pod.key, key=_by_key)
    return (*pods[:position], pod, *pods[position:])


def _remove(pods: tuple[Pod, ...], pod: Pod) -> tuple[Pod, ...]:
    position = bisect_left(pods, pod.key, key=_by_key)
    return (*pods[:position], *pods[position + 1 :])
