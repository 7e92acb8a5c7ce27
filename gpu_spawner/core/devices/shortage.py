"""Why the claims of a pod find no devices on a node, in a few words.

Decides nothing: it looks at the wishes one by one, where the allocator looks at all of them
together, and tells of the first that cannot be met even alone.
"""

from collections import Counter
from collections.abc import Sequence

from gpu_spawner.core.devices.occupancy import Occupancy
from gpu_spawner.core.devices.plan import CannotTellError, DevicePlan, FatalError, WishPlan
from gpu_spawner.core.devices.pools import Candidate, NodePool
from gpu_spawner.core.devices.standing import Standing, standing_of

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
    found = Counter([standing_of(wish, pool, one, occupancy) for pool, one in matching])
    if found[Standing.FREE] >= wanted:
        return ""
    lost = [
        f"{found[standing]} {'is' if found[standing] == 1 else 'are'} {standing}"
        for standing in Standing
        if standing is not Standing.FREE and found[standing]
    ]
    return f"of {_devices(len(matching))} that match, {', '.join(lost)}"


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"
