"""When a seat of a choice that is busy may come free, as far as rules say so.

A server that has a rule for its end leaves a seat behind: at once, or together with others of its
node. What nobody has set a rule for may end at any time, and is not guessed at.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import msgspec

from gpu_spawner.core.cluster.claim_objects import ResourceClaim
from gpu_spawner.core.cluster.objects import Pod, PodKey
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.placement.seats import SeatIndex

__all__ = ["EndCause", "Expectations", "Expected", "ServerEnd", "expect_seat"]

EndCause = str
"""``idle`` or ``lifetime``: the rule that ends a server."""

_MOST_ENDS: Final = 500  # a seat that is further away than so many ends is no news


class ServerEnd(NamedTuple):
    """When a server is expected to be stopped: Unix time, its pod, and by which rule."""

    at: float
    pod: PodKey
    cause: EndCause


class Expected(NamedTuple):
    """When a seat is expected to come free: Unix time, and the rule that ends the last server."""

    at: float
    cause: EndCause


def expect_seat(
    snapshot: Snapshot, requests: Sequence[PodRequest], ends: Iterable[ServerEnd]
) -> Expected | None:
    """Return when the first seat is expected; None where no known end makes room for one.

    Each node is looked at for itself: the servers on it end one after another, until one such pod
    would fit.

    Args:
        snapshot: the cluster, in which there is no seat now.
        requests: the ways of serving the choice.
        ends: of servers of this hub.
    """
    if snapshot.pods is None or snapshot.nodes is None:
        return None
    by_node: dict[str, list[tuple[ServerEnd, Pod]]] = defaultdict(list)
    for end in sorted(ends)[:_MOST_ENDS]:
        pod = snapshot.pods.get(end.pod)
        if pod is not None and pod.node_name in snapshot.nodes:
            by_node[pod.node_name].append((end, pod))
    own = snapshot.derive("claims of one pod", _own_claims)
    best: Expected | None = None
    indexes = [SeatIndex(request) for request in dict.fromkeys(requests)]
    for name, leaving in by_node.items():
        alone = replace(snapshot, nodes={name: snapshot.nodes[name]}, journal=None)
        for end, pod in leaving:
            if best is not None and end.at >= best.at:
                break
            alone = _without(alone, pod, own)
            if any(index.update(alone).free for index in indexes):
                best = Expected(end.at, end.cause)
                break
    return best


def _without(snapshot: Snapshot, pod: Pod, own: Mapping[str, Sequence[ResourceClaim]]) -> Snapshot:
    """Return a cluster without a pod, and without what its claims hold for it alone."""
    snapshot = snapshot.without_pod(pod.key)
    for claim in own.get(pod.uid, ()):
        freed = msgspec.structs.replace(claim, allocation=None, reserved_for=())
        snapshot = snapshot.with_claim(freed)
    return snapshot


def _own_claims(snapshot: Snapshot) -> Mapping[str, Sequence[ResourceClaim]]:
    """Return the claims that one pod alone holds devices by, by the uid of the pod."""
    own: dict[str, list[ResourceClaim]] = defaultdict(list)
    for claim in (snapshot.claims or {}).values():
        if claim.allocation is not None and len(claim.reserved_for) == 1:
            own[claim.reserved_for[0]].append(claim)
    return own


class Expectations:
    """The ends that are known, and a number that grows when they change."""

    def __init__(self) -> None:
        self.serial = 0
        self._ends: tuple[ServerEnd, ...] = ()

    def learn(self, ends: tuple[ServerEnd, ...]) -> None:
        """Take over what is known now."""
        if ends != self._ends:
            self._ends = ends
            self.serial += 1

    def of(self, snapshot: Snapshot, requests: Sequence[PodRequest]) -> Expected | None:
        """Return when the first seat is expected for one of several ways."""
        return expect_seat(snapshot, requests, self._ends) if self._ends else None
