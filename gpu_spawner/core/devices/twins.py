"""Requests of a pod that ask for the very same devices.

Decides which requests can change their devices with each other without anybody noticing: they want
the same in the same words, and the conditions of their claims concern both or neither. Of two such
requests the allocator need not try the later one with devices before those of the earlier one: had
that led anywhere, it would have been found with both the other way round.
"""

from collections.abc import Mapping, Sequence

import msgspec

from gpu_spawner.core.cluster.claim_objects import ALL, Constraint
from gpu_spawner.core.devices.plan import ClaimPlan, RequestPlan

__all__ = ["Place", "find_twins"]

Place = tuple[int, int]
"""The position of a claim, and that of a request in it."""


def find_twins(claims: Sequence[ClaimPlan]) -> Mapping[Place, Place]:
    """Return the nearest earlier twin of each request that has one.

    Requests with alternatives, and such for all devices, have none.
    """
    last: dict[object, Place] = {}
    twins = {}
    for number, claim in enumerate(claims):
        for position, request in enumerate(claim.requests):
            likeness = _likeness(number, claim, request)
            if likeness is None:
                continue
            place = number, position
            if likeness in last:
                twins[place] = last[likeness]
            last[likeness] = place
    return twins


def _likeness(number: int, claim: ClaimPlan, request: RequestPlan) -> object | None:
    """Return what twins have in common; None for a request that can have no twin."""
    plan = request.wishes[0]
    if request.has_alternatives or plan.wish.mode == ALL:
        return None
    wish = msgspec.structs.replace(plan.wish, name="")
    concerning = tuple([_concerns(entry, request.name) for entry in claim.constraints])
    # Conditions are those of one claim: they do not tie together what two claims hold.
    return wish, plan.cls.name, (number, concerning) if any(concerning) else ()


def _concerns(constraint: Constraint, request: str) -> bool:
    return not constraint.requests or request in constraint.requests
