"""Why the claims of a pod find no devices on a node, in a few words.

Decides nothing: it looks at the wishes one by one, where the allocator looks at all of them
together, and tells of the first that cannot be met even alone.
"""

from collections.abc import Sequence

from gpu_spawner.core.cluster.selectors import tolerates
from gpu_spawner.core.devices.capacity import has_room
from gpu_spawner.core.devices.occupancy import Occupancy
from gpu_spawner.core.devices.plan import CannotTellError, DevicePlan, FatalError, WishPlan
from gpu_spawner.core.devices.pools import Candidate, NodePool

__all__ = ["explain_shortage"]

_TOGETHER = "no devices meet all requests together"


def explain_shortage(plan: DevicePlan, pools: Sequence[NodePool], occupancy: Occupancy) -> str:
    """Say why the claims cannot be met.

    Args:
        plan: the claims.
        pools: what the node can use.
        occupancy: what others hold.
    """
    troubled = [pool for pool in pools if pool.trouble]
    for claim in plan.claims:
        for request in claim.requests:
            reasons = [_shortage(wish, pools, occupancy) for wish in request.wishes]
            if all(reasons):
                text = f"request {request.name}: {reasons[-1]}"
                if troubled:
                    name = "/".join(troubled[0].key)
                    text = f"{text}; the pool {name} is left out: {troubled[0].trouble}"
                return text
    return _TOGETHER


def _shortage(wish: WishPlan, pools: Sequence[NodePool], occupancy: Occupancy) -> str:
    """Return why one wish cannot be met; empty where it could be, were it alone."""
    matching: list[tuple[NodePool, Candidate]] = []
    try:
        for pool in pools:
            matching += [(pool, found) for found in pool.candidates if wish.selects(found)]
    except (FatalError, CannotTellError) as error:
        return str(error)
    wanted = wish.wish.count
    if len(matching) < wanted:
        if not matching:
            return f"no device matches class {wish.cls.name} and its selectors"
        return f"{_devices(len(matching))} of class {wish.cls.name} match, {wanted} are wanted"
    left, lost = matching, []
    for reason, is_in_the_way in (
        ("tainted", _is_tainted),
        ("in use", _is_in_use),
        ("short of the capacity asked for", _is_short),
        ("short of the counters they share", _lacks_counters),
    ):
        kept = [
            (pool, found) for pool, found in left if not is_in_the_way(wish, pool, found, occupancy)
        ]
        if len(kept) < len(left):
            count = len(left) - len(kept)
            lost.append(f"{count} {'is' if count == 1 else 'are'} {reason}")
        left = kept
    if len(left) >= wanted:
        return ""
    return f"of {_devices(len(matching))} that match, {', '.join(lost)}"


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"


def _is_tainted(
    wish: WishPlan, _pool: NodePool, candidate: Candidate, _occupancy: Occupancy
) -> bool:
    return any(
        taint.repels and not tolerates(wish.wish.tolerations, taint)
        for taint in candidate.device.taints
    )


def _is_in_use(wish: WishPlan, _pool: NodePool, candidate: Candidate, occupancy: Occupancy) -> bool:
    return not wish.wish.has_admin_access and candidate.key in occupancy.taken


def _is_short(wish: WishPlan, _pool: NodePool, candidate: Candidate, occupancy: Occupancy) -> bool:
    held = occupancy.consumed.get(candidate.key, {})
    return not has_room(candidate.device, wish.capacity, held)


def _lacks_counters(
    _wish: WishPlan, pool: NodePool, candidate: Candidate, occupancy: Occupancy
) -> bool:
    device = candidate.device
    if not device.consumes or (device.is_shareable and candidate.key in occupancy.consumed):
        return False
    left = occupancy.counters_left(pool)
    return any(
        amount > left[use.counter_set][name]
        for use in device.consumes
        for name, amount in use.counters
    )
