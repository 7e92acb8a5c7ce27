"""How many seats a cluster has for a pod: free now, in all, and node by node.

The number of seats of a request is how many identical pods the Kubernetes scheduler would bind now,
one after another, without preempting anybody: the sum of what each node takes
(``fitting``), never the sum of free resources. What cannot be judged is
unknown, never zero. Which node a pod goes to is for ``scheduling``.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from gpu_spawner.core.cluster.objects import Node, Pod
from gpu_spawner.core.cluster.snapshot import NO_LOAD, NodeState, Snapshot
from gpu_spawner.core.devices.fractions.counting import fraction_asked, why_unknown
from gpu_spawner.core.placement.barriers import NO_BARRIERS, Barriers, find_barriers
from gpu_spawner.core.placement.fitting import (
    NodeSeats,
    Reason,
    Rejection,
    check_node,
    count_on_node,
    load_against,
    looks_at_names,
    room_beside,
    static_rejections,
)
from gpu_spawner.core.placement.node_table import table_of
from gpu_spawner.core.placement.pod_request import CLAIMS_NOT_COUNTED, PodRequest, request_from_pod

__all__ = [
    "JudgedNodes",
    "NodeSeats",
    "PodRequest",
    "Reason",
    "Rejection",
    "SeatIndex",
    "Seats",
    "check_node",
    "count_seats",
    "request_from_pod",
]


class JudgedNodes(Mapping[str, NodeSeats]):
    """The nodes of a snapshot, each judged for a request when it is looked up."""

    __slots__ = ("_barriers", "_request", "_states")

    def __init__(
        self,
        request: PodRequest,
        states: Mapping[str, NodeState],
        barriers: Barriers = NO_BARRIERS,
    ) -> None:
        self._request: Final = request
        self._states: Final = states
        self._barriers: Final = barriers

    def __getitem__(self, name: str) -> NodeSeats:
        return check_node(
            self._request,
            self._states[name],
            self._barriers.by_node,
            is_exclusive=self._barriers.is_exclusive,
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)


_MANY: Final = 200  # changed nodes from which on counting anew is quicker
_NO_NODES: Final[Mapping[str, NodeState]] = {}


class Seats(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster offers a request.

    Attributes:
        free: how many such pods would be bound now; None where that is unknown.
        total: how many if no node held any pod; None where that is unknown.
        unknown: why ``free`` is None; else None.
        nodes: every node's part, worked out when it is looked up; empty where ``free`` is None.
    """

    free: int | None
    total: int | None
    unknown: str | None
    nodes: JudgedNodes


def count_seats(snapshot: Snapshot, request: PodRequest, *, limit: int | None = None) -> Seats:
    """Count the seats of a request.

    Args:
        snapshot: the cluster.
        request: what one pod asks for.
        limit: report no more free seats than this; None for no limit.
    """
    seats = SeatIndex(request).update(snapshot)
    if limit is None or seats.free is None or seats.free <= limit:
        return seats
    return msgspec.structs.replace(seats, free=limit)


class SeatIndex:
    """The seats of one request, kept up to date from snapshot to snapshot.

    After an event only the nodes it touched are judged again. An index may be given any snapshots
    in any order; where nothing is known about the difference it counts anew.
    """

    def __init__(self, request: PodRequest) -> None:
        self.request: Final = request
        self._fits_columns: Final = not (
            request.host_ports or request.fraction or looks_at_names(request)
        )
        self._snapshot: Snapshot | None = None
        self._barriers = NO_BARRIERS
        self._open: dict[str, tuple[Node, bool]] = {}
        # Nodes that would take such pods, if one knew what is left of their cards.
        self._unsure: dict[str, str] = {}
        self._free = 0
        self._total = 0

    def update(self, snapshot: Snapshot) -> Seats:
        """Return the seats in a snapshot."""
        unknown = _why_unknown(snapshot, self.request)
        if not unknown:
            changed = self._changed(snapshot)
            if changed is None:
                unknown = self._count_anew(snapshot)
            else:
                self._count_changed(snapshot, changed)
        if unknown:
            self._snapshot = None
            return Seats(free=None, total=None, unknown=unknown, nodes=self._judged(_NO_NODES))
        if snapshot.pods is None:
            self._snapshot = None
            return Seats(
                free=None,
                total=self._total,
                unknown=f"pods: {snapshot.unknown.get('pods', 'unknown')}",
                nodes=self._judged(_NO_NODES),
            )
        self._snapshot = snapshot
        if not self._free and self._unsure:  # none that is known of, but there may be some
            reason = self._unsure[min(self._unsure)]
            return Seats(free=None, total=None, unknown=reason, nodes=self._judged(_NO_NODES))
        nodes = self._judged(snapshot.nodes or _NO_NODES)
        return Seats(free=self._free, total=self._total, unknown=None, nodes=nodes)

    def _judged(self, states: Mapping[str, NodeState]) -> JudgedNodes:
        return JudgedNodes(self.request, states, self._barriers)

    def _changed(self, snapshot: Snapshot) -> frozenset[str] | None:
        """Return the nodes to judge again; None where all of them are."""
        before = self._snapshot
        if before is None or self.request.anti_affinity:
            return None
        changed = snapshot.changed_nodes_since(before)
        if changed is None or len(changed) > _MANY:
            return None
        for name in changed:
            old, new = (before.nodes or {}).get(name), (snapshot.nodes or {}).get(name)
            if _repelling(old) != _repelling(new):
                return None
            if self._barriers is not NO_BARRIERS and _node(old) is not _node(new):
                return None
        return changed

    def _count_anew(self, snapshot: Snapshot) -> str:
        """Count all nodes; return why that cannot be done, or nothing."""
        states = snapshot.nodes or _NO_NODES
        self._open.clear()
        self._unsure.clear()
        self._barriers = find_barriers(self.request, snapshot)
        if self._barriers.unknown:
            return self._barriers.unknown
        if self._fits_columns and not self._barriers.is_exclusive:
            table = table_of(snapshot)
            self._free, self._total = table.count(self.request)
            for state in table.with_cards:
                self._count_cards(state)
            for name in self._barriers.by_node:
                self._free -= count_on_node(self.request, states[name])[0]
        else:
            parts = [self._part(state) for state in states.values()]
            self._free = sum(free for free, _ in parts)
            self._total = sum(total for _, total in parts)
        return ""

    def _count_changed(self, snapshot: Snapshot, changed: frozenset[str]) -> None:
        before = self._snapshot.nodes if self._snapshot is not None else None
        for name in changed:
            for states, sign in ((before, -1), (snapshot.nodes, 1)):
                free, total = self._part((states or _NO_NODES).get(name))
                self._free += sign * free
                self._total += sign * total
            if name not in (snapshot.nodes or _NO_NODES):
                self._unsure.pop(name, None)

    def _count_cards(self, state: NodeState) -> None:
        """Replace what a node was counted for without a look at its cards."""
        request, node = self.request, state.node
        if fraction_asked(None, request.requests, node) is None or not self._is_open(node):
            return
        free, total = count_on_node(request, state, is_open=True)
        load = load_against(request, state.load)
        self._free += free - room_beside(request, node.allocatable, load)
        self._total += total - room_beside(request, node.allocatable, NO_LOAD)

    def _part(self, state: NodeState | None) -> tuple[int, int]:
        """Return the free and the total seats of one node."""
        if state is None:
            return 0, 0
        return count_on_node(
            self.request,
            state,
            is_barred=state.node.name in self._barriers.by_node,
            is_exclusive=self._barriers.is_exclusive,
            is_open=self._is_open(state.node),
        )

    def _is_open(self, node: Node) -> bool:
        """Tell whether nothing in the node itself refuses; note whether its cards are unknown."""
        known = self._open.get(node.name)
        if known is None or known[0] is not node:
            known = node, not static_rejections(self.request, node)
            self._open[node.name] = known
            parts = fraction_asked(self.request.fraction, self.request.requests, node)
            reason = why_unknown(parts, node) if parts is not None and known[1] else ""
            self._unsure.pop(node.name, None)
            if reason:
                self._unsure[node.name] = reason
        return known[1]


def _why_unknown(snapshot: Snapshot, request: PodRequest) -> str:
    """Return why not even the total can be known; empty where it can."""
    if request.unknown:
        return request.unknown
    if snapshot.nodes is None:
        return f"nodes: {snapshot.unknown.get('nodes', 'unknown')}"
    if request.claims or any(name in snapshot.claimable for name in request.requests):
        return CLAIMS_NOT_COUNTED
    return ""


def _repelling(state: NodeState | None) -> tuple[Pod, ...]:
    return state.load.repelling if state is not None else ()


def _node(state: NodeState | None) -> Node | None:
    return state.node if state is not None else None
