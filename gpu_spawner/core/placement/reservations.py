"""Seats that are promised but not yet taken, so that the last one is not promised twice.

Between the moment a user is told *yes* and the moment the watch shows the pod on its node lie an
API call and the scheduler's decision. Meanwhile the cluster looks as if the seat were free. A
:class:`ReservationBook` remembers the promise and shows the cluster as it will be. It says nothing
about who may have a seat, it does not survive the hub's process, and of waiting pods that are not
in the book it knows too little to tell which node they will take.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from gpu_spawner.core.cluster.objects import Pod, PodKey, is_label_kept
from gpu_spawner.core.cluster.snapshot import Journal, NodeState, Snapshot
from gpu_spawner.core.devices.fractions.counting import fraction_asked, share_for
from gpu_spawner.core.placement.barriers import NO_BARRIERS, find_barriers
from gpu_spawner.core.placement.fitting import check_node, load_against, room_beside
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.resources import ResourceVector

__all__ = ["Reservation", "ReservationBook", "apply_pending"]

_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_JOURNAL_LIMIT: Final = 8192

# No pod can be called this: names have no slash.
_PLACEHOLDER: Final = "/reserved"


@dataclass(slots=True, kw_only=True)
class Reservation:
    """A seat that is promised.

    Attributes:
        key: namespace and name of the pod that will take it.
        request: what that pod asks for.
        expires_at: when the promise lapses, unless the watch has shown the pod by then.
        earlier_uid: the uid of a pod of that name that was there before; it is another one.
        is_seen: whether the watch has shown the pod, waiting.
        node: where it was assumed to go; empty where it fits nowhere now.
        is_tried: whether a place was looked for at all.
    """

    key: PodKey
    request: PodRequest
    expires_at: float = field(default=float("inf"))
    earlier_uid: str | None = None
    is_seen: bool = False
    node: str = ""
    is_tried: bool = False

    def adopt(self, pod: Pod) -> None:
        """Go by what the pod asks for in fact: webhooks add sidecars."""
        fraction = self.request.fraction
        requests = fraction.without_uncounted(pod.requests) if fraction else pod.requests
        if requests != self.request.requests:
            self.request = msgspec.structs.replace(self.request, requests=requests)
            self.is_tried = False


class ReservationBook:
    """The promises of one hub process, in the order in which they were made.

    ``apply``, a look at the seats and ``reserve`` without an ``await`` in between cannot be raced:
    the hub has one event loop.

    Args:
        lasting_seconds: how long a promise holds before its pod must have been seen. It covers
            what KubeSpawner does first (volumes, secrets) and the watch's delay.
    """

    def __init__(self, lasting_seconds: float = 120.0) -> None:
        self._lasting = lasting_seconds
        self._held: dict[PodKey, Reservation] = {}
        self._serial = 0
        self._journal = Journal(0)
        self._base: Snapshot | None = None
        self._shown: Snapshot | None = None
        # Nodes whose reservations ended since they were last shown.
        self._vacated: set[str] = set()

    def __len__(self) -> int:
        """Count the promises, lapsed ones included until ``apply`` is called."""
        return len(self._held)

    def __contains__(self, key: object) -> bool:
        return key in self._held

    def reserve(self, key: PodKey, request: PodRequest, snapshot: Snapshot, now: float) -> None:
        """Promise a seat; a promise for the same pod is replaced.

        Args:
            key: namespace and name of the pod that is about to be created.
            request: what it asks for.
            snapshot: the cluster, as the seat was found in it; an older pod of this name, still
                terminating, is told apart by it.
            now: the time, on the same clock as in ``apply``.
        """
        self.release(key)
        earlier = (snapshot.pods or {}).get(key)
        self._held[key] = Reservation(
            key=key,
            request=request,
            expires_at=now + self._lasting,
            earlier_uid=earlier.uid if earlier is not None else None,
        )
        self._shown = None

    def release(self, key: PodKey) -> None:
        """Take a promise back, where there is one: the start failed or was given up."""
        held = self._held.pop(key, None)
        if held is not None:
            self._vacated.add(held.node)
            self._shown = None

    def apply(self, snapshot: Snapshot, now: float) -> Snapshot:
        """Return the cluster as it will be once every promise is kept.

        Promises that the cluster shows as kept, or that have lapsed, are dropped. Successive
        results know which nodes changed in between (``Snapshot.changed_nodes_since``).

        Args:
            snapshot: the cluster as it is.
            now: the time, on any clock that does not jump.
        """
        if snapshot.nodes is None or snapshot.pods is None:
            return snapshot
        self._settle(snapshot.pods, now)
        if self._shown is not None and self._base is snapshot:
            return self._shown
        changed = snapshot.changed_nodes_since(self._base) if self._base is not None else None
        if changed is not None:
            changed |= self._vacated
        before = {held.node for held in self._held.values()}
        result = _place_all(snapshot, self._held.values(), changed)
        after = {held.node for held in self._held.values()}
        self._note(None if changed is None else changed | before | after)
        self._vacated.clear()
        self._base = snapshot
        self._shown = replace(result, serial=self._serial, journal=self._journal)
        return self._shown

    def _settle(self, pods: Mapping[PodKey, Pod], now: float) -> None:
        for held in tuple(self._held.values()):
            pod = pods.get(held.key)
            if pod is None or pod.uid == held.earlier_uid:
                is_over = held.is_seen or now >= held.expires_at
            else:
                held.is_seen = True
                held.adopt(pod)
                is_over = pod.occupies or pod.is_terminating or pod.phase in _FINISHED
            if is_over:
                self.release(held.key)

    def _note(self, touched: Collection[str] | None) -> None:
        """Write down what differs from the result before; ``None``: nobody knows."""
        if touched is None or len(self._journal.touched) > _JOURNAL_LIMIT:
            self._serial += 1
            self._journal = Journal(self._serial)
            return
        for name in touched:
            self._serial += 1
            self._journal.touched.append(name)


def apply_pending(snapshot: Snapshot, reservations: Iterable[Reservation]) -> Snapshot:
    """Return the cluster with every reservation placed, in order, as full nodes first as possible.

    One that fits nowhere now changes nothing: the scheduler would not bind it either.
    """
    if snapshot.nodes is None or snapshot.pods is None:
        return snapshot
    return _place_all(snapshot, reservations, None)


def _place_all(
    snapshot: Snapshot, reservations: Iterable[Reservation], changed: Collection[str] | None
) -> Snapshot:
    """Place reservations one after another.

    One that was placed before stays where it is while it fits. One that fitted nowhere looks only
    at ``changed`` nodes (``None``: at all).
    """
    reservations = tuple(reservations)
    has_barriers = any(held.request.anti_affinity for held in reservations) or bool(
        reservations and snapshot.repelling
    )
    result = snapshot
    for held in reservations:
        nodes = result.nodes or {}
        barriers = find_barriers(held.request, result) if has_barriers else NO_BARRIERS
        stays = nodes.get(held.node)
        if held.request.unknown or barriers.unknown:
            held.node = ""
        elif stays is None or not check_node(held.request, stays, barriers.by_node).free:
            candidates: Iterable[NodeState] = nodes.values()
            if held.is_tried and not held.node and changed is not None:
                candidates = [nodes[name] for name in changed if name in nodes]
            held.node = _tightest(held.request, candidates, barriers.by_node)
        held.is_tried = True
        if held.node:
            result = result.with_pod(_holding(_bound(held, snapshot), held, result))
    return result


def _tightest(
    request: PodRequest, states: Iterable[NodeState], barriers: Mapping[str, tuple[object, ...]]
) -> str:
    """Return the node with the least room that still has some: packing keeps large seats whole."""
    best = ""
    least = 0
    for state in states:
        room = room_beside(request, state.node.allocatable, load_against(request, state.load))
        if (
            room
            and (not best or room < least)
            and state.node.name not in barriers
            and check_node(request, state).free
        ):
            best, least = state.node.name, room
            if room == 1:
                break
    return best


def _bound(held: Reservation, snapshot: Snapshot) -> Pod:
    """Return the pod as it will be on its node."""
    shown = (snapshot.pods or {}).get(held.key)
    if shown is not None and not shown.occupies and shown.uid != held.earlier_uid:
        return msgspec.structs.replace(shown, node_name=held.node, requests=held.request.requests)
    request = held.request
    namespace, name = held.key
    return Pod(
        namespace=namespace,
        # Under a name of its own: the pod of that name may still be there, taking room elsewhere.
        name=name + _PLACEHOLDER,
        node_name=held.node,
        requests=request.requests,
        labels={key: value for key, value in request.labels if is_label_kept(key)},
        priority=request.priority,
        host_ports=request.host_ports,
        anti_affinity=request.anti_affinity,
    )


def _holding(pod: Pod, held: Reservation, snapshot: Snapshot) -> Pod:
    """Return a pod with the parts of cards it will hold, and the cards that are kept for it."""
    state = (snapshot.nodes or {})[held.node]
    request = held.request
    parts = fraction_asked(request.fraction, request.requests, state.node)
    if parts is None:
        return pod
    share = share_for(parts, state.node, load_against(request, state.load), "/".join(pod.key))
    if share is None or not share.own_cards:
        return msgspec.structs.replace(pod, held_share=share)
    # The reservations of new groups are pods that do not exist yet: their cards are put down here.
    cards = ResourceVector({parts.resource: share.own_cards})
    return msgspec.structs.replace(pod, held_share=share, requests=pod.requests.plus(cards))
