"""The seats of one request, kept up to date from snapshot to snapshot.

Decides which nodes are looked at again after a change, and how a cluster's nodes add up. What one
node takes is for ``fitting`` and ``device_side``; what cannot be judged is unknown, never zero.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import msgspec

from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.sharded_map import ShardedMap
from gpu_spawner.core.cluster.snapshot import NO_LOAD, NodeState, Snapshot
from gpu_spawner.core.devices.fractions.counting import fraction_asked, why_unknown
from gpu_spawner.core.messages import joined
from gpu_spawner.core.placement.barriers import NO_BARRIERS, find_barriers
from gpu_spawner.core.placement.binding import bind_in_turn
from gpu_spawner.core.placement.changes import Changes, changes_since
from gpu_spawner.core.placement.device_side import DeviceSide, device_side
from gpu_spawner.core.placement.fitting import (
    count_on_node,
    load_against,
    looks_at_names,
    room_beside,
    static_keys,
    static_rejections,
)
from gpu_spawner.core.placement.judged_nodes import JudgedNodes, NodeParts, RoomyNodes
from gpu_spawner.core.placement.node_table import table_of
from gpu_spawner.core.placement.pod_claims import PodClaims
from gpu_spawner.core.placement.pod_request import PodRequest

__all__ = ["RequestSeats", "Seats", "emptied_once"]


_NO_NODES: Final[Mapping[str, NodeState]] = {}


class Seats(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster offers a request.

    Attributes:
        free: how many such pods would be bound now; None where that is unknown.
        total: how many if no node held any pod; None where that is unknown.
        unknown: why ``free`` is None, or why there may be more, where one of several requests is
            not known; else None.
        nodes: every node's part, worked out when it is looked up; empty where ``free`` is None.
    """

    free: int | None
    total: int | None
    unknown: str | None
    nodes: NodeParts


class RequestSeats:
    """The seats of one request, kept up to date from snapshot to snapshot.

    After an event only the nodes it touched are judged again. An index may be given any snapshots
    in any order; where nothing is known about the difference it counts anew.
    """

    def __init__(self, request: PodRequest) -> None:
        self.request: Final = request
        self._fits_columns: Final = not (
            request.host_ports or request.fraction or looks_at_names(request)
        )
        # What nodes can be told apart by, but for their names; None where those count too.
        self._static_keys: Final = None if looks_at_names(request) else sorted(static_keys(request))
        self._verdicts: dict[tuple[object, ...], bool] = {}
        self._snapshot: Snapshot | None = None
        self._barriers = NO_BARRIERS
        # Nodes as they were when nothing in themselves refused such a pod, and when something did.
        self._open: dict[str, Node] = {}
        self._closed: dict[str, Node] = {}
        # Nodes that would take such pods, if one knew what is left of their cards.
        self._unsure: dict[str, str] = {}
        self._free = 0
        self._total = 0
        self._room = RoomyNodes()
        self._claims: PodClaims | None = None
        self._devices: DeviceSide | None = None
        # Nodes that cannot be counted one by one: others may use up what they count.
        self._tied: set[str] = set()

    def update(self, snapshot: Snapshot) -> Seats:
        """Return the seats in a snapshot."""
        unknown = _why_unknown(snapshot, self.request)
        devices = None if unknown else self._devices_in(snapshot)
        unknown = unknown or (devices.unknown if devices is not None else "")
        if not unknown:
            changed = self._changed(snapshot, devices)
            if changed is None:
                self._devices = devices
                unknown = self._count_anew(snapshot)
            else:
                self._count_changed(changed, devices)
        if unknown:
            self._snapshot = None
            return Seats(free=None, total=None, unknown=unknown, nodes=self._judged(_NO_NODES))
        if snapshot.pods is None:
            self._snapshot = None
            return Seats(
                free=None,
                total=self._total,
                unknown=joined(": ", ("pods", snapshot.unknown.get("pods", "unknown"))),
                nodes=self._judged(_NO_NODES),
            )
        self._snapshot = snapshot
        if self._tied:
            return self._bind_in_turn(snapshot)
        if not self._free and self._unsure:  # none that is known of, but there may be some
            reason = self._unsure[min(self._unsure)]
            return Seats(free=None, total=None, unknown=reason, nodes=self._judged(_NO_NODES))
        nodes = self._judged(snapshot.nodes or _NO_NODES)
        return Seats(free=self._free, total=self._total, unknown=None, nodes=nodes)

    def skip_to(self, snapshot: Snapshot) -> None:
        """Follow to a snapshot of which is known that every node's part is the same in it."""
        if self._snapshot is not None:
            self._snapshot = snapshot

    def _judged(self, states: Mapping[str, NodeState]) -> JudgedNodes:
        # Seats that are not known show no node, which says nothing of where there is room.
        room = self._room if states is not _NO_NODES else None
        return JudgedNodes(self.request, states, self._barriers, self._devices, room=room)

    def count_on(self, state: NodeState) -> tuple[int, int]:
        """Return the free and the total seats of one node of the snapshot last seen."""
        return self._part(state, self._devices)

    @property
    def is_tied(self) -> bool:
        """Whether nodes could not be counted one by one in the snapshot last seen."""
        return bool(self._tied)

    def _devices_in(self, snapshot: Snapshot) -> DeviceSide | None:
        devices = device_side(self.request, snapshot, self._claims)
        if devices is not None:
            self._claims = devices.claims
        return devices

    def _bind_in_turn(self, snapshot: Snapshot) -> Seats:
        """Count by binding pods one after another."""
        bound = bind_in_turn(snapshot, self.request)
        if bound.unknown and not bound.by_node:
            return Seats(
                free=None, total=None, unknown=bound.unknown, nodes=self._judged(_NO_NODES)
            )
        total = bind_in_turn(emptied_once(snapshot), self.request).by_node.total()
        after = bound.snapshot
        nodes = JudgedNodes(
            self.request,
            after.nodes or _NO_NODES,
            find_barriers(self.request, after),
            device_side(self.request, after, self._claims),
            bound=bound.by_node,
        )
        return Seats(free=bound.by_node.total(), total=total, unknown=None, nodes=nodes)

    def _changed(self, snapshot: Snapshot, devices: DeviceSide | None) -> Changes | None:
        """Return the nodes to judge again; None where all of them are."""
        before = self._snapshot
        if before is None or self.request.anti_affinity:
            return None
        known = self._devices.claims if self._devices is not None else None
        if known is not (devices.claims if devices is not None else None):
            return None
        changes = changes_since(before, snapshot)
        if changes is None or changes.is_far:
            return None
        if self._barriers is not NO_BARRIERS and changes.is_of_nodes:
            return None
        return changes

    def _count_anew(self, snapshot: Snapshot) -> str:
        """Count all nodes; return why that cannot be done, or nothing."""
        states = snapshot.nodes or _NO_NODES
        self._open.clear()
        self._closed.clear()
        self._verdicts.clear()
        self._unsure.clear()
        self._tied.clear()
        self._room = RoomyNodes()
        self._barriers = find_barriers(self.request, snapshot)
        if self._barriers.unknown:
            return self._barriers.unknown
        devices = self._devices
        if devices is not None and self.request.claims:
            self._count_some(devices.places(states.values()))
        elif self._fits_columns and not self._barriers.is_exclusive:
            table = table_of(snapshot)
            self._free, self._total = table.count(self.request)
            for state in table.with_cards:
                self._count_cards(state)
            for name in self._barriers.by_node:
                self._free -= count_on_node(self.request, states[name])[0]
            if devices is not None and devices.refusal is None:
                self._count_delegated(devices, snapshot)
        elif self.request.fraction is not None and self.request.fraction.has_register:
            self._count_some(table_of(snapshot).with_cards)
        else:
            self._count_some(states.values())
        return ""

    def _count_delegated(self, devices: DeviceSide, snapshot: Snapshot) -> None:
        """Add the nodes that give a resource as devices: in columns, they have none of it."""
        states, pools = snapshot.nodes or _NO_NODES, snapshot.pools
        for name in states if pools.wide else pools.by_node:
            state = states.get(name)
            if state is not None and devices.claims.delegated(state.node):
                free, total = self._part(state, devices)
                self._free += free
                self._total += total

    def _count_some(self, states: Iterable[NodeState]) -> None:
        """Count these nodes one by one; the others have no seat."""
        parts = [(state.node.name, self._part(state, self._devices)) for state in states]
        self._free = sum(free for _, (free, _) in parts)
        self._total = sum(total for _, (_, total) in parts)
        self._room.names = frozenset([name for name, (free, _) in parts if free])

    def _count_changed(self, changes: Changes, devices: DeviceSide | None) -> None:
        is_plain = (
            devices is None
            and self._fits_columns
            and not self._barriers.is_exclusive
            and self._room.names is None
        )
        self._room = RoomyNodes(self._room.names)  # earlier seats keep theirs
        for name, old, new in changes.states:
            if (
                is_plain
                and old is not None
                and new is not None
                and old.node is new.node
                and not new.node.card_registers
            ):
                self._free += self._difference(old, new)
                continue
            for state, side, sign in ((old, self._devices, -1), (new, devices, 1)):
                free, total = self._part(state, side)
                self._free += sign * free
                self._total += sign * total
            self._note_room(name, has_room=free > 0)  # the new one came last
            if new is None:
                self._unsure.pop(name, None)
                self._tied.discard(name)
        self._devices = devices

    def _note_room(self, name: str, *, has_room: bool) -> None:
        known = self._room.names
        if known is not None and has_room != (name in known):
            self._room.names = known | {name} if has_room else known - {name}

    def _difference(self, old: NodeState, new: NodeState) -> int:
        """Return by how much the free seats of one node changed, of which only the load did."""
        request, node = self.request, new.node
        if node.name in self._barriers.by_node or not self._is_open(node):
            return 0
        before, after = load_against(request, old.load), load_against(request, new.load)
        capacity = node.allocatable
        return room_beside(request, capacity, after) - room_beside(request, capacity, before)

    def _count_cards(self, state: NodeState) -> None:
        """Replace what a node was counted for without a look at its cards."""
        request, node = self.request, state.node
        if fraction_asked(None, request.requests, node) is None or not self._is_open(node):
            return
        free, total = count_on_node(request, state, is_open=True)
        load = load_against(request, state.load)
        self._free += free - room_beside(request, node.allocatable, load)
        self._total += total - room_beside(request, node.allocatable, NO_LOAD)

    def _part(self, state: NodeState | None, devices: DeviceSide | None) -> tuple[int, int]:
        """Return the free and the total seats of one node."""
        if state is None:
            return 0, 0
        node = state.node
        free, total = count_on_node(
            devices.request_at(node) if devices is not None else self.request,
            state,
            is_barred=node.name in self._barriers.by_node,
            is_exclusive=self._barriers.is_exclusive,
            is_open=self._is_open(node),
        )
        if devices is None:
            return free, total
        self._tied.discard(node.name)
        self._unsure.pop(node.name, None)
        if not free and not total:
            return 0, 0
        counted = devices.counts(node, free, total)
        if devices.is_tied(node) or (counted[0] < free and devices.fatal(node)):
            self._tied.add(node.name)
        if counted[0] < free and devices.doubt(node):
            self._unsure[node.name] = devices.doubt(node)
        return counted

    def _is_open(self, node: Node) -> bool:
        """Tell whether nothing in the node itself refuses; note whether its cards are unknown."""
        name = node.name
        if self._open.get(name) is node:
            return True
        if self._closed.get(name) is node:
            return False
        is_open = self._is_let_in(node)
        now, before = (self._open, self._closed) if is_open else (self._closed, self._open)
        now[name] = node
        before.pop(name, None)
        parts = fraction_asked(self.request.fraction, self.request.requests, node)
        reason = why_unknown(parts, node) if parts is not None and is_open else ""
        self._unsure.pop(name, None)
        if reason:
            self._unsure[name] = reason
        return is_open

    def _is_let_in(self, node: Node) -> bool:
        """Tell whether nothing in the node itself refuses, judging nodes that look alike once."""
        if self._static_keys is None:
            return not static_rejections(self.request, node)
        labels = node.labels
        looks = (
            node.taints,
            node.is_cordoned,
            node.architecture,
            tuple([labels.get(key) for key in self._static_keys]),
        )
        verdict = self._verdicts.get(looks)
        if verdict is None:
            verdict = self._verdicts[looks] = not static_rejections(self.request, node)
        return verdict


def _why_unknown(snapshot: Snapshot, request: PodRequest) -> str:
    """Return why not even the total can be known; empty where it can."""
    if request.unknown:
        return request.unknown
    if snapshot.nodes is None:
        return joined(": ", ("nodes", snapshot.unknown.get("nodes", "unknown")))
    return ""


def emptied_once(snapshot: Snapshot) -> Snapshot:
    """Return the cluster as it would be if no node held any pod and no claim any device."""
    return snapshot.derive("emptied", _emptied)


def _emptied(snapshot: Snapshot) -> Snapshot:
    states = (snapshot.nodes or _NO_NODES).values()
    claims = (snapshot.claims or {}).values()
    return replace(
        snapshot,
        nodes=ShardedMap.of((state.node.name, NodeState(node=state.node)) for state in states),
        pods=ShardedMap.of(),
        claims=ShardedMap.of(
            (claim.key, msgspec.structs.replace(claim, allocation=None, reserved_for=()))
            for claim in claims
        ),
        pools=snapshot.pools.emptied(),
        journal=None,
    )
