"""How many seats a cluster has for a pod: free now, in all, and node by node.

The number of seats of a request is how many identical pods the Kubernetes scheduler would bind now,
one after another, without preempting anybody: the sum of what each node takes
(:mod:`gpu_spawner.core.fitting`), never the sum of free resources. What cannot be judged is
unknown, never zero. Which node a pod goes to is for :mod:`gpu_spawner.core.scheduling`.
"""

from collections.abc import Iterator, Mapping

import msgspec

from gpu_spawner.core.barriers import NO_BARRIERS, Barriers, find_barriers
from gpu_spawner.core.fitting import NodeSeats, Reason, Rejection, check_node
from gpu_spawner.core.pod_request import CLAIMS_NOT_COUNTED, PodRequest, request_from_pod
from gpu_spawner.core.snapshot import NodeState, Snapshot

__all__ = [
    "NodeSeats",
    "PodRequest",
    "Reason",
    "Rejection",
    "Seats",
    "check_node",
    "count_seats",
    "request_from_pod",
]


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
    nodes: Mapping[str, NodeSeats]


class _JudgedNodes(Mapping[str, NodeSeats]):
    """The nodes of a snapshot, each judged when it is looked up."""

    __slots__ = ("_barriers", "_request", "_states")

    def __init__(
        self, request: PodRequest, states: Mapping[str, NodeState], barriers: Barriers
    ) -> None:
        self._request = request
        self._states = states
        self._barriers = barriers

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


def count_seats(snapshot: Snapshot, request: PodRequest, *, limit: int | None = None) -> Seats:
    """Count the seats of a request.

    Args:
        snapshot: the cluster.
        request: what one pod asks for.
        limit: count no further than this; None for no limit.
    """
    unknown = why_unknown(snapshot, request)
    barriers = find_barriers(request, snapshot) if not unknown else NO_BARRIERS
    unknown = unknown or barriers.unknown
    if unknown or snapshot.nodes is None:
        return Seats(free=None, total=None, unknown=unknown, nodes={})
    nodes = _JudgedNodes(request, snapshot.nodes, barriers)
    free = total = 0
    for seats in nodes.values():
        free += seats.free
        total += seats.total
    if snapshot.pods is None:
        unknown = f"pods: {snapshot.unknown.get('pods', 'unknown')}"
        return Seats(free=None, total=total, unknown=unknown, nodes={})
    return Seats(
        free=free if limit is None else min(free, limit), total=total, unknown=None, nodes=nodes
    )


def why_unknown(snapshot: Snapshot, request: PodRequest) -> str:
    """Return why not even the total can be known; empty where it can."""
    if request.unknown:
        return request.unknown
    if snapshot.nodes is None:
        return f"nodes: {snapshot.unknown.get('nodes', 'unknown')}"
    if any(name in snapshot.claimable for name in request.requests):
        return CLAIMS_NOT_COUNTED
    return ""
