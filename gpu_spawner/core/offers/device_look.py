"""What the devices and cards of some nodes look like where a choice of them cannot start now.

Tells what no count of seats tells: whether devices are out of service, how much is left of the
fullest-but-one card, whether a slice could still be cut. How that is said is for ``sentences``.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.devices.fractions.counting import cards_left
from gpu_spawner.core.devices.standing import Standing
from gpu_spawner.core.offers.ways import Way
from gpu_spawner.core.placement.seats import JudgedNodes, Seats

__all__ = ["DeviceLook", "look_at"]

_MIB: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLook:
    """Devices, or cards that are shared, that one choice is about.

    Attributes:
        in_use, out_of_service: how many of them.
        is_cut: whether slices are cut from what is left, and there is none of this size left.
        is_shared: whether parts of them are given to several servers.
        most_left: bytes of memory, the most that is left on one of them that may be shared
            further; None where no part is asked for, or none may be.
        missing_class: the device class that the cluster does not have; empty where it has it.
        trouble: why the scheduler gives such a server up; empty where it does not.
    """

    in_use: int = 0
    out_of_service: int = 0
    is_cut: bool = False
    is_shared: bool = False
    most_left: int | None = None
    missing_class: str = ""
    trouble: str = ""

    @classmethod
    def together(cls, looks: Iterable["DeviceLook"]) -> "DeviceLook":
        """Put the looks of several ways together."""
        found = list(looks)
        lefts = [look.most_left for look in found if look.most_left is not None]
        return cls(
            in_use=sum(look.in_use for look in found),
            out_of_service=sum(look.out_of_service for look in found),
            is_cut=all(look.is_cut for look in found),
            is_shared=all(look.is_shared for look in found),
            most_left=max(lefts, default=None),
            missing_class=next((look.missing_class for look in found if look.missing_class), ""),
            trouble=next((look.trouble for look in found if look.trouble), ""),
        )


def look_at(snapshot: Snapshot, way: Way, seats: Seats) -> DeviceLook | None:
    """Look at the usable nodes of one way; None where it wants neither devices nor parts."""
    if way.index.request.fraction is not None:
        return _look_at_cards(snapshot, way)
    if way.index.request.claims and isinstance(seats.nodes, JudgedNodes):
        return _look_at_devices(snapshot, way, seats.nodes)
    return None


def _look_at_cards(snapshot: Snapshot, way: Way) -> DeviceLook:
    request, states = way.index.request.fraction, snapshot.nodes or {}
    found = [
        cards_left(request, states[name].node, states[name].load)
        for name in way.pool.node_names()
        if name in states and request is not None
    ]
    rooms = [one.most_mib for one in found if one.most_mib is not None]
    return DeviceLook(
        out_of_service=sum(one.out_of_service for one in found),
        is_shared=True,
        most_left=max(rooms) * _MIB if rooms else None,
    )


def _look_at_devices(snapshot: Snapshot, way: Way, nodes: JudgedNodes) -> DeviceLook | None:
    devices, states = nodes.devices, snapshot.nodes or {}
    if devices is None:
        return None
    if devices.refusal is not None:
        return DeviceLook(missing_class=devices.refusal.resource)
    counts: Counter[Standing] = Counter()
    lefts: list[int] = []
    trouble = ""
    pools = snapshot.pools
    for name in way.pool.node_names():
        if name not in states or not (pools.wide or name in pools.by_node):
            continue
        standings = devices.standings(states[name].node)
        if standings is None:
            trouble = trouble or devices.fatal(states[name].node)
            continue
        counts += standings.counts
        if standings.most_left is not None:
            lefts.append(standings.most_left)
    return DeviceLook(
        in_use=counts[Standing.IN_USE],
        out_of_service=counts[Standing.TAINTED],
        is_cut=bool(counts[Standing.NO_COUNTERS]),
        is_shared=bool(lefts),
        most_left=max(lefts, default=None),
        trouble=trouble,
    )
