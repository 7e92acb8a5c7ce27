"""How many seats a cluster has for a pod: free now, in all, and node by node.

The number of seats of a request is how many identical pods the Kubernetes scheduler would bind now,
one after another, without preempting anybody: the sum of what each node takes, never the sum of
free resources. Several requests may be *ways* of serving one wish: then each node is filled with
pods of the first way, then with those of the next beside them, so that nothing is counted twice.
What cannot be judged is unknown, never zero. Which node a pod goes to is for ``scheduling``.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import msgspec

from gpu_spawner.core.cluster.snapshot import NodeState, Snapshot
from gpu_spawner.core.placement.barriers import find_barriers
from gpu_spawner.core.placement.binding import bind_in_turn
from gpu_spawner.core.placement.device_side import device_side
from gpu_spawner.core.placement.fitting import check_node
from gpu_spawner.core.placement.judged_nodes import JudgedNodes, NodeParts
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod
from gpu_spawner.core.placement.rejections import NodeSeats, Reason, Rejection
from gpu_spawner.core.placement.request_seats import RequestSeats, Seats, emptied_once

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

Requests = PodRequest | Sequence[PodRequest]

_NO_NODES: Final[Mapping[str, NodeState]] = {}


def count_seats(snapshot: Snapshot, requests: Requests, *, limit: int | None = None) -> Seats:
    """Count the seats of a request, or of several ways of serving one wish together.

    Args:
        snapshot: the cluster.
        requests: what one pod asks for, or one of each way in the order they are tried.
        limit: report no more free seats than this; None for no limit.
    """
    seats = SeatIndex(requests).update(snapshot)
    if limit is None or seats.free is None or seats.free <= limit:
        return seats
    return msgspec.structs.replace(seats, free=limit)


class SeatIndex:
    """The seats of one request or of several ways, kept up to date from snapshot to snapshot.

    After an event only the nodes it touched are judged again. An index may be given any snapshots
    in any order; where nothing is known about the difference it counts anew.

    Attributes:
        request: the first request.
        requests: all of them, in the order they are tried.
    """

    def __init__(self, requests: Requests) -> None:
        self.requests: Final = (
            (requests,) if isinstance(requests, PodRequest) else tuple(dict.fromkeys(requests))
        )
        self.request: Final = self.requests[0]
        self._parts: Final = [RequestSeats(request) for request in self.requests]
        # What each node takes of the ways there are, as of a snapshot.
        self._filled: dict[str, _Filled] = {}
        self._filled_ways: list[RequestSeats] = []
        self._filled_at: Snapshot | None = None
        self._free = 0
        self._total = 0

    def update(self, snapshot: Snapshot) -> Seats:
        """Return the seats in a snapshot."""
        found = [part.update(snapshot) for part in self._parts]
        if len(found) == 1:
            return found[0]
        # A way of which nothing exists says nothing where there are others.
        live = [
            (part, seats)
            for part, seats in zip(self._parts, found, strict=True)
            if seats.total is None or seats.total
        ]
        if not live:
            return found[0]
        if len(live) == 1:
            return live[0][1]
        known = [(part, seats) for part, seats in live if seats.free is not None]
        doubts = [seats.unknown for _, seats in live if seats.unknown]
        if not known:
            return live[0][1]
        if len(known) == 1:
            together = known[0][1]
        elif any(part.is_tied for part, _ in known):
            together = self._bind(snapshot, [part for part, _ in known])
        else:
            together = self._fill_all(snapshot, known)
        if not doubts:
            return together
        free = together.free or None
        return msgspec.structs.replace(together, free=free, total=None, unknown=doubts[0])

    def skip_to(self, snapshot: Snapshot) -> None:
        """Follow to a snapshot of which is known that the seats are the same in it."""
        if self._filled_at is not None:
            self._filled_at = snapshot
        for part in self._parts:
            part.skip_to(snapshot)

    def _fill_all(self, snapshot: Snapshot, known: Sequence[tuple[RequestSeats, Seats]]) -> Seats:
        states = snapshot.nodes or _NO_NODES
        parts = [part for part, _ in known]
        changed = None
        if self._filled_at is not None and self._filled_ways == parts:
            changed = snapshot.changed_nodes_since(self._filled_at)
        if changed is None:
            self._filled.clear()
            self._free = self._total = 0
        for name in states if changed is None else changed:
            before = self._filled.pop(name, _NOTHING)
            after = _NOTHING
            if name in states:
                after = self._filled[name] = _fill(states[name], parts, snapshot)
            self._free += after.free - before.free
            self._total += after.total - before.total
        self._filled_at, self._filled_ways = snapshot, parts
        return Seats(
            free=self._free,
            total=self._total,
            unknown=None,
            nodes=_FilledNodes(dict(self._filled), known[0][1].nodes),
        )

    def _bind(self, snapshot: Snapshot, parts: Sequence[RequestSeats]) -> Seats:
        """Count by binding pods one after another, way by way."""
        _, total = _bind_in_turn(emptied_once(snapshot), parts)
        left, bound = _bind_in_turn(snapshot, parts)
        first = parts[0].request
        nodes = JudgedNodes(
            first,
            left.nodes or _NO_NODES,
            find_barriers(first, left),
            device_side(first, left),
            bound=bound,
        )
        return Seats(free=bound.total(), total=total.total(), unknown=None, nodes=nodes)


def _bind_in_turn(
    snapshot: Snapshot, parts: Sequence[RequestSeats]
) -> tuple[Snapshot, Counter[str]]:
    """Return the cluster with as many pods of each way as fit, and how many went where."""
    by_node: Counter[str] = Counter()
    for part in parts:
        bound = bind_in_turn(snapshot, part.request)
        snapshot = bound.snapshot
        by_node += bound.by_node
    return snapshot, by_node


class _Filled(NamedTuple):
    """How many pods of all ways a node takes now, and were it empty."""

    free: int
    total: int


_NOTHING: Final = _Filled(0, 0)


def _fill(state: NodeState, parts: Sequence[RequestSeats], snapshot: Snapshot) -> _Filled:
    """Fill one node way by way."""
    counts = [part.count_on(state) for part in parts]
    # Rules that look beyond a node have been applied to these counts.
    frees = [(part.request, free) for part, (free, _) in zip(parts, counts, strict=True) if free]
    totals = [(part.request, most) for part, (_, most) in zip(parts, counts, strict=True) if most]
    empty = NodeState(node=state.node)
    return _Filled(
        _fill_in_turn(snapshot, state, frees),
        _fill_in_turn(emptied_once(snapshot), empty, totals),
    )


def _fill_in_turn(
    snapshot: Snapshot, state: NodeState, ways: Sequence[tuple[PodRequest, int]]
) -> int:
    if len(ways) < _SEVERAL:
        return sum(most for _, most in ways)
    alone = replace(snapshot, nodes={state.node.name: state}, pods={}, journal=None)
    placed = 0
    for request, most in ways:
        bound = bind_in_turn(alone, request, most)
        placed += bound.by_node.total()
        alone = bound.snapshot
    return placed


_SEVERAL: Final = 2


class _FilledNodes(NodeParts):
    """Every node's part of several ways; the reasons are those of the first."""

    __slots__ = ("_filled", "_judged")

    def __init__(self, filled: Mapping[str, _Filled], judged: NodeParts) -> None:
        self._filled: Final = filled
        self._judged: Final = judged

    def __getitem__(self, name: str) -> NodeSeats:
        found = self._filled[name]
        return msgspec.structs.replace(self._judged[name], free=found.free, total=found.total)

    def counts(self, name: str) -> tuple[int, int]:
        """Return the free and the total seats of one node, without the reasons."""
        return self._filled[name]

    @property
    def with_room(self) -> frozenset[str]:
        """The names of the nodes with a free seat."""
        return frozenset([name for name, found in self._filled.items() if found.free])

    def __contains__(self, name: object) -> bool:
        return name in self._filled

    def __iter__(self) -> Iterator[str]:
        return iter(self._filled)

    def __len__(self) -> int:
        return len(self._filled)
