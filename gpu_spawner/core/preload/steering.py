"""Which nodes a server should prefer, because they have its image already.

Only ever a preference, and one term: the scheduler still decides, autoscalers are not misled, and a
list that is out of date does no harm. It names only nodes that have room, so that among them the
scheduler packs or spreads as it always does.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

from gpu_spawner.core.cluster.snapshot import NodeState, Snapshot
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.placement.seats import count_seats
from gpu_spawner.core.preload.usable import HOSTNAME_LABEL

__all__ = ["Steering", "prefer_warm"]

_MOST_NAMES: Final = 50
_WEIGHT: Final = 50


class Steering(StrEnum):
    """How much a server is steered."""

    WARM = "warm"
    """To nodes that have its image."""
    PACKED = "packed"
    """To those of them that are as full as any node it fits on."""
    OFF = "off"


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    host: str
    is_warm: bool
    room: int


def prefer_warm(
    snapshot: Snapshot,
    request: PodRequest,
    has_image: Callable[[str], bool],
    *,
    steering: Steering = Steering.WARM,
    preferred: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any] | None:
    """Return a preferred node affinity term as Kubernetes writes it; None to prefer nothing.

    Nothing is preferred where no node with room has the image, or every one has it, or nobody
    knows.

    Args:
        snapshot: the cluster.
        request: what the server asks for.
        has_image: whether a node, by its name, has the image.
        steering: how much.
        preferred: the terms that the server has already; none of them is outweighed.
    """
    if steering is Steering.OFF or snapshot.nodes is None:
        return None
    places = _places(snapshot, request, has_image)
    warm = [place for place in places if place.is_warm]
    if not warm or len(warm) == len(places):
        return None
    if steering is Steering.PACKED:
        fullest = min(place.room for place in places)
        warm = [place for place in warm if place.room == fullest]
    # The fullest first: where there are too many to name, it is the emptiest that are left out.
    named = sorted(warm, key=lambda place: (place.room, place.name))[:_MOST_NAMES]
    hosts = sorted({place.host for place in named if place.host})
    if not hosts:
        return None
    return {
        "weight": _weight(preferred),
        "preference": {
            "matchExpressions": [{"key": HOSTNAME_LABEL, "operator": "In", "values": hosts}]
        },
    }


def _places(
    snapshot: Snapshot, request: PodRequest, has_image: Callable[[str], bool]
) -> list[_Place]:
    """List the nodes on which the server fits now."""
    seats = count_seats(snapshot, request)
    if not seats.free:
        return []
    states = snapshot.nodes or {}
    return [
        _Place(
            name=name,
            host=states[name].node.labels.get(HOSTNAME_LABEL, ""),
            is_warm=has_image(name),
            room=_room(states[name], request),
        )
        for name, judged in seats.nodes.items()
        if judged.free > 0
    ]


def _room(state: NodeState, request: PodRequest) -> int:
    """Return how much is free of what the server needs most: its devices, else memory."""
    free = state.free
    devices = [name for name in request.requests if "/" in name]
    if devices:
        return min(free.amount(name) for name in devices)
    return free.amount("memory")


def _weight(preferred: Iterable[Mapping[str, Any]]) -> int:
    """Return half of the smallest difference that the other preferences make, at most 50."""
    weights = sorted({0, *(int(term.get("weight") or 0) for term in preferred)})
    gaps = [upper - lower for lower, upper in pairwise(weights)]
    return max(1, min([_WEIGHT, *(gap // 2 for gap in gaps)]))
