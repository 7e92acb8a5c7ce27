"""Which nodes a server should prefer, because they have its image already.

Only ever a preference, and one term: the scheduler still decides, autoscalers are not misled, and a
list that is out of date does no harm. It names only nodes that have room, so that among them the
scheduler packs or spreads as it always does.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final, NamedTuple

from gpu_spawner.core.preload.usable import HOSTNAME_LABEL

__all__ = ["Room", "Steering", "prefer_warm"]

_MOST_NAMES: Final = 50
_WEIGHT: Final = 50


class Room(NamedTuple):
    """A node where a server would start now.

    Attributes:
        name: of the node.
        host: its label ``kubernetes.io/hostname``; empty without one.
        is_warm: whether it has all images of the server.
        left: how much is free of what the server needs most: its devices, else memory; how many
            more pods may come where it asks for neither.
    """

    name: str
    host: str
    is_warm: bool
    left: int


class Steering(StrEnum):
    """How much a server is steered."""

    WARM = "warm"
    """To nodes that have its image."""
    PACKED = "packed"
    """To those of them that are as full as any node it fits on."""
    OFF = "off"


def prefer_warm(
    rooms: Sequence[Room],
    *,
    steering: Steering = Steering.WARM,
    preferred: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any] | None:
    """Return a preferred node affinity term as Kubernetes writes it; None to prefer nothing.

    Nothing is preferred where no node with room has the image, or every one has it, or nobody
    knows.

    Args:
        rooms: every node where the server would start now.
        steering: how much.
        preferred: the terms that the server has already; none of them is outweighed.
    """
    warm = [room for room in rooms if room.is_warm]
    if steering is Steering.OFF or not warm or len(warm) == len(rooms):
        return None
    if steering is Steering.PACKED:
        fullest = min(room.left for room in rooms)
        warm = [room for room in warm if room.left == fullest]
    # The fullest first: where there are too many to name, it is the emptiest that are left out.
    named = sorted(warm, key=lambda room: (room.left, room.name))[:_MOST_NAMES]
    hosts = sorted({room.host for room in named if room.host})
    if not hosts:
        return None
    return {
        "weight": _weight(preferred),
        "preference": {
            "matchExpressions": [{"key": HOSTNAME_LABEL, "operator": "In", "values": hosts}]
        },
    }


def _weight(preferred: Iterable[Mapping[str, Any]]) -> int:
    """Return half of the smallest difference that the other preferences make, at most 50."""
    weights = sorted({0, *(int(term.get("weight") or 0) for term in preferred)})
    gaps = [upper - lower for lower, upper in pairwise(weights)]
    return max(1, min([_WEIGHT, *(gap // 2 for gap in gaps)]))
