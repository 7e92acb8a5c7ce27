"""Which flavor a server gets that takes whichever is free first.

By default the one whose GPUs are fullest where a server still fits, so that nodes stay empty for
those who want many GPUs at once; the admin's order decides where two are equally full. Of one
flavor that can be had in several ways the first with a seat is taken in any case: ways differ in
what keeps neighbours apart, and fullness is no reason to have less of that. What one claim stands
for is left to the scheduler, which takes the alternatives in the admin's order.
"""

from dataclasses import replace
from enum import StrEnum
from typing import Final

from gpu_spawner.core.catalog.model import Selection
from gpu_spawner.core.offers.way_nodes import WayNodes
from gpu_spawner.core.offers.ways import Way, Ways

__all__ = ["Choosing", "choose_way"]


class Choosing(StrEnum):
    """How one of several flavors with a free seat is chosen."""

    FULLEST = "fullest"
    IN_ORDER = "in_order"


_EMPTY: Final = 1.0


def choose_way(ways: Ways, nodes: WayNodes, selection: Selection, rule: Choosing) -> Selection:
    """Settle which flavors and which mechanism a selection takes, from what is free now.

    The flavors of the answer are those that its pod admits. Where node labels tell them apart, the
    first of them is the one that is preferred.
    """
    if rule is Choosing.FULLEST and len(selection.flavors) > 1:
        chosen = _fullest(ways, nodes, selection)
        if chosen is not None:
            return chosen
    return ways.first_free(selection).fragment.selection


def _fullest(ways: Ways, nodes: WayNodes, selection: Selection) -> Selection | None:
    """Return what serves the flavor that is fullest; None where no flavor has a free seat."""
    best: tuple[float, str, Way] | None = None
    for flavor in selection.flavors:
        alone = ways.first_free(_of_flavor(selection, flavor))
        if not ways.count(alone).free:
            continue
        left = nodes.least_left(alone)
        left = _EMPTY if left is None else left
        if best is None or left < best[0]:
            best = (left, flavor, alone)
    if best is None:
        return None
    _, flavor, alone = best
    mechanism = alone.fragment.selection.mechanism
    for way in ways.of(selection):
        found = way.fragment.selection
        if found.mechanism_of(flavor) == mechanism:
            if way.fragment.claims:
                return found
            others = tuple(name for name in found.flavors if name != flavor)
            return replace(found, flavors=(flavor, *others))
    return alone.fragment.selection


def _of_flavor(selection: Selection, flavor: str) -> Selection:
    mechanism = selection.mechanism_of(flavor)
    return replace(selection, flavors=(flavor,), mechanisms=(mechanism,) if mechanism else ())
