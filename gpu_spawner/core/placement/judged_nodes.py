"""Every node's part of some seats: judged with all reasons when looked up, or only counted."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from gpu_spawner.core.cluster.snapshot import NodeState
from gpu_spawner.core.placement.barriers import NO_BARRIERS, Barriers
from gpu_spawner.core.placement.device_side import DeviceSide
from gpu_spawner.core.placement.fitting import NodeSeats, check_node, count_on_node
from gpu_spawner.core.placement.pod_request import PodRequest

__all__ = ["JudgedNodes", "NodeParts", "RoomyNodes"]


class NodeParts(Mapping[str, NodeSeats]):
    """Every node's part of some seats, worked out when it is looked up."""

    __slots__ = ()

    @property
    @abstractmethod
    def with_room(self) -> frozenset[str]:
        """The names of the nodes with a free seat."""

    @abstractmethod
    def counts(self, name: str) -> tuple[int, int]:
        """Return the free and the total seats of one node, without the reasons."""


@dataclass(slots=True)
class RoomyNodes:
    """The nodes with a free seat in some snapshots; None until somebody asks for them."""

    names: frozenset[str] | None = None


class JudgedNodes(NodeParts):
    """The nodes of a snapshot, each judged for a request when it is looked up.

    Args:
        request: the request.
        states: the nodes.
        barriers: rules that look beyond one node.
        devices: what the request asks of devices; None where it asks for none.
        bound: how many pods were bound where; None where each node is counted for itself. The
            nodes, barriers and devices are those after that, then.
        room: the nodes with a free seat, shared with who follows changes of them.
    """

    __slots__ = ("_barriers", "_bound", "_devices", "_request", "_room", "_states")

    def __init__(  # noqa: PLR0913 - all that a node is judged by
        self,
        request: PodRequest,
        states: Mapping[str, NodeState],
        barriers: Barriers = NO_BARRIERS,
        devices: DeviceSide | None = None,
        *,
        bound: Mapping[str, int] | None = None,
        room: RoomyNodes | None = None,
    ) -> None:
        self._request: Final = request
        self._states: Final = states
        self._barriers: Final = barriers
        self._devices: Final = devices
        self._bound: Final = bound
        self._room: Final = room or RoomyNodes()

    @property
    def with_room(self) -> frozenset[str]:
        """The names of the nodes with a free seat."""
        if self._room.names is None:
            self._room.names = frozenset([name for name in self._states if self.counts(name)[0]])
        return self._room.names

    @property
    def devices(self) -> DeviceSide | None:
        """What the request asks of devices; None where it asks for none."""
        return self._devices

    def __getitem__(self, name: str) -> NodeSeats:
        judged = check_node(
            self._request,
            self._states[name],
            self._barriers.by_node,
            is_exclusive=self._barriers.is_exclusive,
            devices=self._devices,
        )
        if self._bound is None:
            return judged
        return msgspec.structs.replace(judged, free=self._bound.get(name, 0))

    def counts(self, name: str) -> tuple[int, int]:
        """Return the free and the total seats of one node, without the reasons."""
        free, total = count_on_node(
            self._request,
            self._states[name],
            is_barred=name in self._barriers.by_node,
            is_exclusive=self._barriers.is_exclusive,
            devices=self._devices,
        )
        return (free, total) if self._bound is None else (self._bound.get(name, 0), total)

    def __contains__(self, name: object) -> bool:
        return name in self._states

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)
