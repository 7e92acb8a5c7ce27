"""What devices take of the counters of their pools while claims are tried out.

Decides whether the counters left by what is held, and by what was taken in this attempt, suffice
for one device more.
Source: k8s.io/dynamic-resource-allocation
``structured/internal/incubating/allocator_incubating.go`` at v0.36.2, functions
``checkAvailableCounters`` and ``deallocateCountersForDevice``.
"""

from typing import Final

from gpu_spawner.core.devices.occupancy import Counters, Occupancy
from gpu_spawner.core.devices.pools import Candidate, NodePool

__all__ = ["CounterBook"]


class CounterBook:
    """The counters of all pools in one attempt.

    By the name of the pool alone, as in the original: two drivers' pools of one name mix.
    """

    def __init__(self, occupancy: Occupancy) -> None:
        self._held: Final = occupancy
        self._left: dict[str, Counters] = {}
        self._overdrawn: set[str] = set()
        self._used: dict[str, Counters] = {}

    def take(self, pool: NodePool, candidate: Candidate) -> bool:
        """Take what a device needs; return False, and take nothing, where that is not left."""
        name = pool.key[1]
        left = self._left.get(name)
        if left is None:
            left = self._left[name] = self._held.counters_left(pool)
            if any(amount < 0 for counters in left.values() for amount in counters.values()):
                self._overdrawn.add(name)
        used = self._used.setdefault(name, {})
        fits = name not in self._overdrawn
        for use in candidate.device.consumes:
            counters = used.setdefault(use.counter_set, {})
            limits = left.get(use.counter_set, {})
            for counter, amount in use.counters:
                counters[counter] = counters.get(counter, 0) + amount
                fits = fits and counters[counter] <= limits.get(counter, counters[counter])
        if not fits:
            self.give_back(pool, candidate)
        return fits

    def give_back(self, pool: NodePool, candidate: Candidate) -> None:
        """Give back what a device took."""
        used = self._used.get(pool.key[1], {})
        for use in candidate.device.consumes:
            counters = used.get(use.counter_set, {})
            for counter, amount in use.counters:
                counters[counter] = counters.get(counter, 0) - amount
