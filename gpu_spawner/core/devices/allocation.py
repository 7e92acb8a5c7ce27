"""Which devices the claims of a pod get on a node, if any: the allocator.

The search is that of the scheduler, device by device and in its order: claims, their requests,
alternatives, pools, slices, devices. The first solution counts.

Where it steps back it leaves behind what the original leaves behind, so that the same devices are
found and the same claims refused: ``allocateDevice`` takes a device's counters first, and does not
give them back where a taint or a condition then refuses the device; and what it returns for
stepping back gives back the counters of a device only where that cannot be shared.
Source: k8s.io/dynamic-resource-allocation
``structured/internal/incubating/allocator_incubating.go`` at v0.36.2 (commit b0162be5933a),
functions ``allocateOne`` and ``allocateDevice``. Of the allocators in 1.36 it is the one for
consumable capacity and binding conditions, which are on unless a gate turns them off.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from gpu_spawner.core.cluster.claim_objects import ALL, EXACT_COUNT
from gpu_spawner.core.cluster.selectors import tolerates
from gpu_spawner.core.devices.capacity import consumption, has_room
from gpu_spawner.core.devices.constraints import Watch, watch
from gpu_spawner.core.devices.counters import CounterBook
from gpu_spawner.core.devices.occupancy import DeviceKey, Occupancy
from gpu_spawner.core.devices.plan import (
    CannotTellError,
    DevicePlan,
    FatalError,
    WishPlan,
)
from gpu_spawner.core.devices.pools import Candidate, NodePool
from gpu_spawner.core.devices.twins import Place, find_twins

__all__ = ["MAX_DEVICES", "Granted", "allocate"]

MAX_DEVICES: Final = 32
"""How many devices one claim may hold."""

_NOTHING: Final[Mapping[str, int]] = {}


class Granted:
    """A device that a claim gets.

    Attributes:
        wish: for which wish.
        consumed: what it takes of a shared device; None where it has the device for itself.
    """

    __slots__ = ("candidate", "consumed", "wish")

    def __init__(
        self, candidate: Candidate, wish: WishPlan, consumed: dict[str, int] | None
    ) -> None:
        self.candidate: Final = candidate
        self.wish: Final = wish
        self.consumed: Final = consumed


def allocate(
    plan: DevicePlan, pools: Sequence[NodePool], occupancy: Occupancy, *, steps_max: int
) -> list[list[Granted]] | None:
    """Find devices for all claims.

    Args:
        plan: the claims.
        pools: what the node can use, in order.
        occupancy: what other claims hold.
        steps_max: how many devices are looked at before the answer is that it cannot be known. The
            scheduler gives up after ten seconds instead.

    Returns:
        What each claim gets; None where they cannot all be met on this node.

    Raises:
        FatalError: the scheduler would give up on the pod, and not only on this node.
        CannotTellError: a selector cannot be evaluated, or the search takes too long.
    """
    try:
        return _Search(plan, pools, occupancy, steps_max).run()
    except RecursionError:
        raise CannotTellError("the claims want too many devices to try them out") from None


class _Outcome(Enum):
    DONE = "done"
    REFUSED = "refused"
    # More devices than a claim can hold: alternatives that need fewer may still do.
    TOO_MANY = "too many"


class _Search:
    """One attempt to find devices."""

    def __init__(
        self,
        plan: DevicePlan,
        pools: Sequence[NodePool],
        occupancy: Occupancy,
        steps_max: int,
    ) -> None:
        self._plan: Final = plan
        self._pools: Final = pools
        self._held: Final = occupancy
        self._steps_max: Final = steps_max
        self._candidates: Final = [
            (pool, found) for pool in pools if not pool.trouble for found in pool.candidates
        ]
        self._steps = 0
        self._all: dict[WishPlan, list[tuple[NodePool, Candidate]]] = {}
        self._watches: Final[list[list[Watch]]] = [
            [watch(entry) for entry in claim.constraints] for claim in plan.claims
        ]
        # The condition "different" forgets values on the way back, so that another try may succeed.
        self._may_skip: Final = not any(
            entry.distinct_attribute for claim in plan.claims for entry in claim.constraints
        )
        twins = find_twins(plan.claims)
        self._twins: Final = twins if twins and not self._leaves_traces() else {}
        self._firsts: Final[dict[Place, int]] = {}
        self._results: Final[list[list[Granted]]] = [[] for _ in plan.claims]
        self._counters: Final = CounterBook(occupancy)
        self._taking: dict[DeviceKey, set[int]] = {}
        self._consuming: dict[DeviceKey, dict[str, int]] = {}

    def run(self) -> list[list[Granted]] | None:
        """Search; return what each claim gets, or None."""
        for position, claim in enumerate(self._plan.claims):
            least = 0
            for request in claim.requests:
                least += min(self._count_wanted(position, wish) for wish in request.wishes)
            if least > MAX_DEVICES:
                raise FatalError(
                    f"claim {claim.claim.label}: number of requested devices {least}"
                    f" exceeds the claim limit of {MAX_DEVICES}"
                )
        outcome = self._claim(0)
        if outcome is _Outcome.TOO_MANY:
            raise FatalError("allocation max size exceeded")
        return self._results if outcome is _Outcome.DONE else None

    def _count_wanted(self, claim: int, plan: WishPlan) -> int:
        """Return how many devices a wish needs; "all" are found out here."""
        wish = plan.wish
        name = self._plan.claims[claim].claim.label
        if wish.mode == EXACT_COUNT:
            return wish.count
        if wish.mode != ALL:
            raise FatalError(
                f"claim {name}, request {wish.name}: unsupported count mode {wish.mode[:60]}"
            )
        found = self._all[plan] = []
        for pool in self._pools:
            if pool.trouble:
                what = "currently being updated" if pool.is_incomplete else "currently invalid"
                raise FatalError(
                    f"claim {name}, request {wish.name}: asks for all devices,"
                    f" but resource pool {'/'.join(pool.key)} is {what}"
                )
            found += [
                (pool, candidate)
                for candidate in pool.candidates
                if plan.selects(candidate)
                and has_room(
                    candidate.device,
                    plan.capacity,
                    self._held.consumed.get(candidate.key, _NOTHING),
                )
            ]
        return len(found)

    def _claim(self, position: int) -> _Outcome:
        """Allocate a claim and all after it."""
        if position == len(self._plan.claims):
            return _Outcome.DONE
        outcome = self._request(position, 0)
        # Another choice for an earlier claim may leave alternatives that need fewer devices.
        if outcome is _Outcome.TOO_MANY and position:
            return _Outcome.REFUSED
        return outcome

    def _request(self, claim: int, position: int) -> _Outcome:
        """Allocate a request and all after it."""
        requests = self._plan.claims[claim].requests
        if position == len(requests):
            return self._claim(claim + 1)
        request = requests[position]
        if not request.has_alternatives:
            twin = self._twins.get((claim, position))
            start = 0 if twin is None else self._firsts.get(twin, 0)
            return self._device(claim, position, request.wishes[0], 0, start)
        outcome = _Outcome.TOO_MANY
        for wish in request.wishes:
            found = self._device(claim, position, wish, 0, 0)
            if found is _Outcome.DONE:
                return found
            if found is _Outcome.REFUSED:
                outcome = found
        return outcome

    def _device(
        self, claim: int, position: int, plan: WishPlan, number: int, start: int
    ) -> _Outcome:
        """Allocate one device of a wish and everything after it."""
        everything = self._all.get(plan)
        wanted = plan.wish.count if everything is None else len(everything)
        if everything is not None and not everything:
            return _Outcome.REFUSED
        if number >= wanted:
            return self._request(claim, position + 1)
        if len(self._results[claim]) + wanted - number > MAX_DEVICES:
            return _Outcome.TOO_MANY
        if everything is not None:
            return self._next_of_all(claim, position, plan, number, everything)
        return self._one_of_many(claim, position, plan, number, start)

    def _one_of_many(
        self, claim: int, position: int, plan: WishPlan, number: int, start: int
    ) -> _Outcome:
        failed: set[int | None] = set()
        for index in range(start, len(self._candidates)):
            pool, candidate = self._candidates[index]
            self._count_step()
            if not self._is_eligible(claim, plan, candidate):
                continue
            kind = self._interchangeable(candidate)
            if kind in failed or not self._take(claim, plan, pool, candidate):
                continue
            if not number:
                self._firsts[claim, position] = index
            outcome = self._device(claim, position, plan, number + 1, index + 1)
            if outcome is _Outcome.DONE:
                return outcome
            self._give_back(claim, plan, pool, candidate)
            if outcome is _Outcome.TOO_MANY:
                return outcome
            if kind is not None:
                failed.add(kind)
        return _Outcome.REFUSED

    def _is_eligible(self, claim: int, plan: WishPlan, candidate: Candidate) -> bool:
        key = candidate.key
        if plan.wish.has_admin_access:
            is_in_use = claim in self._taking.get(key, ())
        else:
            is_in_use = key in self._held.taken or bool(self._taking.get(key))
        return not is_in_use and plan.selects(candidate) and self._has_room(plan, candidate)

    def _next_of_all(
        self,
        claim: int,
        position: int,
        plan: WishPlan,
        number: int,
        everything: Sequence[tuple[NodePool, Candidate]],
    ) -> _Outcome:
        pool, candidate = everything[number]
        self._count_step()
        if not self._take(claim, plan, pool, candidate, must=True):
            return _Outcome.REFUSED
        outcome = self._device(claim, position, plan, number + 1, 0)
        if outcome is not _Outcome.DONE:
            self._give_back(claim, plan, pool, candidate)
        return outcome

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > self._steps_max:
            raise CannotTellError("the claims can be met in too many ways to try them all out")

    def _leaves_traces(self) -> bool:
        """Tell whether stepping back may leave something behind: then what was tried counts."""
        if not self._may_skip:
            return True
        has_conditions = any(self._watches)
        return any(
            found.device.consumes
            and (has_conditions or found.device.is_shareable or found.device.taints)
            for _, found in self._candidates
        )

    def _interchangeable(self, candidate: Candidate) -> int | None:
        """Return a number: of devices with one number, where one led nowhere, so will the other.

        Not where stepping back leaves traces, nor where two such devices may differ in what they
        already give to others.
        """
        device = candidate.device
        if not self._may_skip or device.consumes or device.is_shareable:
            return None
        if candidate.key in self._held.taken:
            return None
        return self._plan.kind_of_device(candidate)

    def _has_room(self, plan: WishPlan, candidate: Candidate) -> bool:
        key = candidate.key
        return has_room(
            candidate.device,
            plan.capacity,
            self._held.consumed.get(key, _NOTHING),
            self._consuming.get(key, _NOTHING),
        )

    def _take(
        self,
        claim: int,
        plan: WishPlan,
        pool: NodePool,
        candidate: Candidate,
        *,
        must: bool = False,
    ) -> bool:
        """Take one device, where counters, taints and constraints allow it."""
        device, key = candidate.device, candidate.key
        if (
            self._is_taken(claim, plan, candidate)
            or not self._fits_counters(pool, candidate)
            or not self._is_tolerated(plan, candidate)
            or not self._joins(claim, plan, candidate, must=must)
        ):
            return False
        if not device.is_shareable:
            self._taking.setdefault(key, set()).add(claim)
        if not self._has_room(plan, candidate):
            return False
        consumed = None
        if device.is_shareable:
            consumed = consumption(device, plan.capacity)
            pending = self._consuming.setdefault(key, {})
            for name, amount in consumed.items():
                pending[name] = pending.get(name, 0) + amount
        self._results[claim].append(Granted(candidate, plan, consumed))
        return True

    def _is_taken(self, claim: int, plan: WishPlan, candidate: Candidate) -> bool:
        key = candidate.key
        if plan.wish.has_admin_access:
            return not candidate.device.is_shareable and claim in self._taking.get(key, ())
        return key in self._held.taken or bool(self._taking.get(key))

    def _fits_counters(self, pool: NodePool, candidate: Candidate) -> bool:
        device, key = candidate.device, candidate.key
        if not device.consumes:
            return True
        if device.is_shareable and (key in self._held.consumed or key in self._consuming):
            return True  # counted when the first claim got its part
        return self._counters.take(pool, candidate)

    @staticmethod
    def _is_tolerated(plan: WishPlan, candidate: Candidate) -> bool:
        tolerations = plan.wish.tolerations
        return not any(
            taint.repels and not tolerates(tolerations, taint) for taint in candidate.device.taints
        )

    def _joins(self, claim: int, plan: WishPlan, candidate: Candidate, *, must: bool) -> bool:
        watches = self._watches[claim]
        request, alternative = plan.request, plan.alternative
        for count, entry in enumerate(watches):
            if entry.add(request, alternative, candidate):
                continue
            if must:
                label = self._plan.claims[claim].claim.label
                raise FatalError(
                    f"claim {label}, request {plan.wish.name}: cannot add device"
                    f" {'/'.join(candidate.key)} because a claim constraint would not be satisfied"
                )
            for earlier in watches[:count]:
                earlier.remove(request, alternative, candidate)
            return False
        return True

    def _give_back(self, claim: int, plan: WishPlan, pool: NodePool, candidate: Candidate) -> None:
        """Take back what :meth:`_take` did last, but for what the original forgets to take back."""
        device, key = candidate.device, candidate.key
        for entry in self._watches[claim]:
            entry.remove(plan.request, plan.alternative, candidate)
        granted = self._results[claim].pop()
        self._taking.get(key, set()).discard(claim)
        if device.is_shareable:
            pending = self._consuming.get(key, {})
            if granted.consumed:
                for name, amount in granted.consumed.items():
                    pending[name] = pending.get(name, 0) - amount
                if not any(pending.values()):
                    self._consuming.pop(key, None)
        elif device.consumes:
            self._counters.give_back(pool, candidate)
