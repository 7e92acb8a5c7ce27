"""How each device stands to a wish: free, in use, out of service, or without enough left of it.

Decides nothing about claims as a whole, which may want several devices together: that is for
``allocation``.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from gpu_spawner.core.cluster.selectors import tolerates
from gpu_spawner.core.devices.capacity import has_room
from gpu_spawner.core.devices.occupancy import Occupancy
from gpu_spawner.core.devices.plan import CannotTellError, DevicePlan, FatalError, WishPlan
from gpu_spawner.core.devices.pools import Candidate, NodePool
from gpu_spawner.core.quantity import nano_to_whole

__all__ = ["Standing", "Standings", "standing_of", "standings_of"]


class Standing(StrEnum):
    """Why a device that matches a wish is not given, in the order in which it is asked."""

    TAINTED = "tainted"
    IN_USE = "in use"
    NO_CAPACITY = "short of the capacity asked for"
    NO_COUNTERS = "short of the counters they share"
    FREE = "free"


class Standings(NamedTuple):
    """The devices of one node that match the first wish of a pod's claims.

    Attributes:
        counts: how many stand how.
        most_left: of the capacity that is asked for, the most that is left on one device that is
            in order, in whole units (bytes); None where no capacity is asked for.
    """

    counts: Counter[Standing]
    most_left: int | None


def standing_of(
    wish: WishPlan, pool: NodePool, candidate: Candidate, occupancy: Occupancy
) -> Standing:
    """Say how a device that matches a wish stands, were the wish alone."""
    device, asked = candidate.device, wish.wish
    if any(taint.repels and not tolerates(asked.tolerations, taint) for taint in device.taints):
        return Standing.TAINTED
    if not asked.has_admin_access and candidate.key in occupancy.taken:
        return Standing.IN_USE
    if not has_room(device, wish.capacity, occupancy.consumed.get(candidate.key, {})):
        return Standing.NO_CAPACITY
    if _lacks_counters(pool, candidate, occupancy):
        return Standing.NO_COUNTERS
    return Standing.FREE


def standings_of(
    plan: DevicePlan, pools: Sequence[NodePool], occupancy: Occupancy
) -> Standings | None:
    """Look at the devices that the first request of a plan could get; None where that fails.

    Pools that other nodes use as well are left out: their devices would be counted on each.
    """
    counts: Counter[Standing] = Counter()
    most_left: int | None = None
    request = next((one for claim in plan.claims for one in claim.requests), None)
    wishes = request.wishes if request is not None else ()
    for pool in pools:
        for candidate in pool.candidates if pool.is_local and not pool.trouble else ():
            try:
                wish = next((one for one in wishes if one.selects(candidate)), None)
            except (FatalError, CannotTellError):
                return None
            if wish is None:
                continue
            standing = standing_of(wish, pool, candidate, occupancy)
            counts[standing] += 1
            if wish.capacity and standing in (Standing.FREE, Standing.NO_CAPACITY):
                most_left = max(most_left or 0, _left(wish, candidate, occupancy))
    return Standings(counts, most_left)


def _left(wish: WishPlan, candidate: Candidate, occupancy: Occupancy) -> int:
    held = occupancy.consumed.get(candidate.key, {})
    left = [
        entry.value - held.get(entry.name, 0)
        for entry in candidate.device.capacity
        if entry.name in wish.capacity
    ]
    return max(0, nano_to_whole(min(left, default=0)))


def _lacks_counters(pool: NodePool, candidate: Candidate, occupancy: Occupancy) -> bool:
    device = candidate.device
    if not device.consumes or (device.is_shareable and candidate.key in occupancy.consumed):
        return False
    left = occupancy.counters_left(pool)
    return any(
        amount > left[use.counter_set][name]
        for use in device.consumes
        for name, amount in use.counters
    )
