"""Where a waiting pod stands among the pods that wait for the same seats.

The order is the scheduler's among pods it can seat equally well: by priority, then by age. Of pods
of one second the hub knows in which order it promised them a seat; of others the names decide, so
that the order never changes by itself. A later and smaller pod may still be seated first, where a
place is free that is too small for those before it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gpu_spawner.core.cluster.objects import Pod, PodKey
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.placement.rejections import Reason, Rejection
from gpu_spawner.core.placement.seats import count_seats

__all__ = [
    "Line",
    "Waiter",
    "can_never_fit",
    "is_barred_for_good",
    "place_in_line",
    "possible_nodes",
    "waiters_in",
]

_UNPROMISED: Final = 10**9
_ROOM: Final = frozenset({"room"})  # what pods without devices compete for; no resource's name
_PASSING: Final = frozenset({Reason.CORDONED, Reason.NOT_READY, Reason.TAINT, Reason.GATED})
"""Reasons that whoever runs the cluster takes away again, or that may be about to go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """A pod that waits for a node.

    Attributes:
        created: unix seconds.
        turn: when the hub promised it a seat, counted from 0; pods of others come after.
        wants: the devices it asks for, by resource or device class.
        nodes: which nodes could ever take it; None where that is not known: any.
    """

    key: PodKey
    priority: int = 0
    created: int = 0
    turn: int = _UNPROMISED
    wants: frozenset[str]
    nodes: frozenset[str] | None = None

    @property
    def rank(self) -> tuple[int, int, int, PodKey]:
        """What the order goes by; smaller is earlier."""
        return (-self.priority, self.created, self.turn, self.key)

    def competes_with(self, other: "Waiter") -> bool:
        """Tell whether both could be given the same seat."""
        if self.wants.isdisjoint(other.wants):
            return False
        if self.nodes is None or other.nodes is None:
            return True
        return not self.nodes.isdisjoint(other.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A place in a line: ``position`` counts from 1; ``length`` includes the pod itself."""

    position: int
    length: int


def place_in_line(key: PodKey, waiters: Iterable[Waiter]) -> Line | None:
    """Return where a pod stands; None where it does not wait.

    >>> gpu = frozenset({"nvidia.com/gpu"})
    >>> ann = Waiter(key=("hub", "ann"), created=100, wants=gpu)
    >>> ben = Waiter(key=("hub", "ben"), created=103, wants=gpu)
    >>> place_in_line(("hub", "ben"), [ben, ann])
    Line(position=2, length=2)
    """
    everybody = {waiter.key: waiter for waiter in waiters}
    own = everybody.pop(key, None)
    if own is None:
        return None
    rivals = [waiter for waiter in everybody.values() if own.competes_with(waiter)]
    ahead = sum(rival.rank < own.rank for rival in rivals)
    return Line(position=ahead + 1, length=len(rivals) + 1)


def waiters_in(
    snapshot: Snapshot, promised: Mapping[PodKey, frozenset[str] | None]
) -> tuple[Waiter, ...]:
    """Return the pods that wait for a node now.

    Pods that are held back by a gate wait in a queue of their own and are left out.

    Args:
        snapshot: the cluster.
        promised: the pods that were promised a seat, in that order, with the nodes that could
            ever take them.
    """
    turns = {key: turn for turn, key in enumerate(promised)}
    classes = _classes_by_owner(snapshot)
    return tuple(
        Waiter(
            key=pod.key,
            priority=pod.priority,
            created=pod.created,
            turn=turns.get(pod.key, _UNPROMISED),
            wants=_wants(pod, classes),
            nodes=promised.get(pod.key),
        )
        for pod in snapshot.derive("waiting", _waiting)
    )


def possible_nodes(snapshot: Snapshot, request: PodRequest) -> frozenset[str] | None:
    """Return the nodes that would take a pod if nothing ran on them; None where unknown."""
    seats = count_seats(snapshot, request, limit=1)
    if seats.total is None:
        return None
    return frozenset(name for name, found in seats.nodes.items() if found.total)


def can_never_fit(snapshot: Snapshot, request: PodRequest) -> bool:
    """Tell whether no node could ever take a pod, however long it waits.

    A node that is only cordoned, not ready or tainted for now may take it later; what is unknown
    may as well.
    """
    seats = count_seats(snapshot, request, limit=1)
    if seats.total != 0 or seats.unknown:
        return False
    return all(is_barred_for_good(found.rejections) for found in seats.nodes.values())


def is_barred_for_good(rejections: Iterable[Rejection]) -> bool:
    """Tell whether a node, and any node like it, would never take a pod."""
    return any(one.is_permanent and one.reason not in _PASSING for one in rejections)


def _waiting(snapshot: Snapshot) -> tuple[Pod, ...]:
    return tuple(
        pod
        for pod in (snapshot.pods or {}).values()
        if not pod.node_name
        and pod.phase == "Pending"
        and not pod.is_terminating
        and not pod.is_gated
    )


def _wants(pod: Pod, classes: Mapping[str, frozenset[str]]) -> frozenset[str]:
    devices = {name for name, amount in pod.requests.items() if "/" in name and amount > 0}
    return frozenset(devices) | classes.get(pod.uid, frozenset()) or _ROOM


def _classes_by_owner(snapshot: Snapshot) -> Mapping[str, frozenset[str]]:
    return snapshot.derive("classes wanted", _classes_wanted)


def _classes_wanted(snapshot: Snapshot) -> Mapping[str, frozenset[str]]:
    """Return the device classes that claims without devices ask for, by the uid of their pod."""
    wanted: dict[str, frozenset[str]] = {}
    for claim in (snapshot.claims or {}).values():
        if claim.owner_uid and claim.allocation is None:
            asked = frozenset(
                wish.class_name
                for request in claim.spec.requests
                for wish in (request.exactly, *request.alternatives)
                if wish is not None
            )
            wanted[claim.owner_uid] = wanted.get(claim.owner_uid, frozenset()) | asked
    return wanted
