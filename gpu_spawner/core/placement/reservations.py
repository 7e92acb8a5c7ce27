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

from gpu_spawner.core.cluster.objects import Node, Pod, PodKey
from gpu_spawner.core.cluster.snapshot import Journal, NodeState, Snapshot
from gpu_spawner.core.devices.plan import CannotTellError, FatalError
from gpu_spawner.core.placement.barriers import NO_BARRIERS, find_barriers
from gpu_spawner.core.placement.binding import bound_pod, holding, with_grant
from gpu_spawner.core.placement.device_side import DeviceSide, device_side
from gpu_spawner.core.placement.fitting import check_node, load_against, room_beside
from gpu_spawner.core.placement.pod_request import PodRequest

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
        is_tied: whether it takes devices that other nodes could use, or a claim others share.
    """

    key: PodKey
    request: PodRequest
    expires_at: float = field(default=float("inf"))
    earlier_uid: str | None = None
    is_seen: bool = False
    node: str = ""
    is_tried: bool = False
    is_tied: bool = False

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
        self._is_tied = False
        # Nodes whose reservations ended since they were last shown.
        self._vacated: set[str] = set()

    def __len__(self) -> int:
        """Count the promises, lapsed ones included until ``apply`` is called."""
        return len(self._held)

    def __contains__(self, key: object) -> bool:
        return key in self._held

    def promised(self) -> dict[PodKey, PodRequest]:
        """Return which pods were promised a seat, and what each asks for, in that order."""
        return {key: held.request for key, held in self._held.items()}

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
        self._settle(snapshot, now)
        if self._shown is not None and self._base is snapshot:
            return self._shown
        changed = snapshot.changed_nodes_since(self._base) if self._base is not None else None
        if changed is not None:
            changed |= self._vacated
        before = {held.node for held in self._held.values()}
        result = _place_all(snapshot, self._held.values(), changed)
        after = {held.node for held in self._held.values()}
        was_tied, self._is_tied = self._is_tied, any(held.is_tied for held in self._held.values())
        is_far = was_tied or self._is_tied  # devices were promised that other nodes count too
        self._note(None if changed is None or is_far else changed | before | after)
        self._vacated.clear()
        self._base = snapshot
        self._shown = replace(result, serial=self._serial, journal=self._journal)
        return self._shown

    def _settle(self, snapshot: Snapshot, now: float) -> None:
        for held in tuple(self._held.values()):
            pod = _shown(held, snapshot)
            if pod is None:
                is_over = held.is_seen or now >= held.expires_at
            else:
                held.is_seen = True
                held.adopt(pod)
                is_gone = pod.is_terminating or pod.phase in _FINISHED
                is_over = is_gone or (pod.occupies and self._has_its_devices(held, pod, snapshot))
            if is_over:
                self.release(held.key)

    @staticmethod
    def _has_its_devices(held: Reservation, pod: Pod, snapshot: Snapshot) -> bool:
        """Tell whether the devices of a bound pod are seen: claims have a watch of their own."""
        is_made_for_it = any(wish.spec is not None for wish in held.request.claims)
        return not is_made_for_it or snapshot.claims is None or pod.uid in _served(snapshot)

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
        shown = _shown(held, snapshot)
        has_devices = shown is not None and shown.uid in _served(snapshot)
        request = _without_devices(held.request) if has_devices else held.request
        nodes = result.nodes or {}
        barriers = find_barriers(request, result) if has_barriers else NO_BARRIERS
        devices = device_side(request, result)
        stays = nodes.get(held.node)
        is_placed = shown is not None and shown.occupies
        if request.unknown or barriers.unknown or (devices is not None and devices.unknown):
            held.node = ""
        elif is_placed and shown is not None:
            held.node = shown.node_name
        elif (
            stays is None or not check_node(request, stays, barriers.by_node, devices=devices).free
        ):
            candidates: Iterable[NodeState] = nodes.values()
            if held.is_tried and not held.node and changed is not None:
                candidates = [nodes[name] for name in changed if name in nodes]
            held.node = _tightest(request, candidates, barriers.by_node, devices)
        held.is_tried = True
        held.is_tied = False
        if held.node in nodes:
            if not is_placed:
                result = result.with_pod(holding(_bound(held, shown), request, result))
            if devices is not None:
                held.is_tied = devices.is_tied(nodes[held.node].node)
                result = _with_devices(result, held, devices, nodes[held.node].node)
    return result


def _with_devices(
    snapshot: Snapshot, held: Reservation, devices: DeviceSide, node: Node
) -> Snapshot:
    """Return a snapshot in which a promised pod's claims hold what they would get."""
    try:
        grant = devices.grant(node)
    except (FatalError, CannotTellError):  # nothing to hold, then
        return snapshot
    namespace, name = held.key
    return with_grant(snapshot, held.request, (namespace, name + _PLACEHOLDER), grant)


def _tightest(
    request: PodRequest,
    states: Iterable[NodeState],
    barriers: Mapping[str, tuple[object, ...]],
    devices: DeviceSide | None,
) -> str:
    """Return the node with the least room that still has some: packing keeps large seats whole."""
    best = ""
    least = 0
    for state in devices.places(states) if devices is not None else states:
        asked = devices.request_at(state.node) if devices is not None else request
        room = room_beside(asked, state.node.allocatable, load_against(request, state.load))
        if not room or state.node.name in barriers or (best and devices is None and room >= least):
            continue
        free = check_node(request, state, devices=devices).free
        room = room if devices is None else free
        if free and (not best or room < least):
            best, least = state.node.name, room
            if room == 1:
                break
    return best


def _shown(held: Reservation, snapshot: Snapshot) -> Pod | None:
    """Return the promised pod as the watch shows it; None where it has not yet."""
    shown = (snapshot.pods or {}).get(held.key)
    return shown if shown is not None and shown.uid != held.earlier_uid else None


def _bound(held: Reservation, shown: Pod | None) -> Pod:
    """Return the pod as it will be on its node."""
    if shown is not None:
        return msgspec.structs.replace(shown, node_name=held.node, requests=held.request.requests)
    namespace, name = held.key
    # Under a name of its own: the pod of that name may still be there, taking room elsewhere.
    return bound_pod(held.request, (namespace, name + _PLACEHOLDER), held.node)


def _without_devices(request: PodRequest) -> PodRequest:
    return msgspec.structs.replace(request, claims=(), asks=())


def _served(snapshot: Snapshot) -> frozenset[str]:
    """Return the uids of pods for which claims that were made for them hold devices."""
    return snapshot.derive("pods with devices", _work_out_served)


def _work_out_served(snapshot: Snapshot) -> frozenset[str]:
    claims = (snapshot.claims or {}).values()
    return frozenset(
        claim.owner_uid for claim in claims if claim.owner_uid and claim.allocation is not None
    )
