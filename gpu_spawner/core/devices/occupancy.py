"""What is taken of the pools of a node, while claims are being allocated one after another.

Decides what claims that hold devices leave of each pool: which devices are in use, how much of the
capacity of a shared one is gone, which counters are left. It changes as claims are added, and is
never shared between nodes.
"""

from collections.abc import Iterable
from typing import Final

from gpu_spawner.core.cluster.claim_objects import DeviceResult
from gpu_spawner.core.cluster.device_objects import PoolKey
from gpu_spawner.core.cluster.device_pools import DeviceHold, PoolState
from gpu_spawner.core.devices.pools import NodePool

__all__ = ["Counters", "DeviceKey", "Occupancy"]

DeviceKey = tuple[str, str, str]
"""Driver, pool and device name."""

Counters = dict[str, dict[str, int]]
"""Amounts in billionths by counter set and counter."""


class Occupancy:
    """What claims hold of some pools.

    Attributes:
        taken: devices that a claim has for itself.
        consumed: what is taken of shared devices, by capacity; there also where that is nothing.
        shares: the shares claims have of shared devices.
    """

    __slots__ = ("consumed", "shares", "taken")

    def __init__(self) -> None:
        self.taken: Final[set[DeviceKey]] = set()
        self.consumed: Final[dict[DeviceKey, dict[str, int]]] = {}
        self.shares: Final[dict[DeviceKey, set[str]]] = {}

    @classmethod
    def of(cls, states: Iterable[PoolState]) -> "Occupancy":
        """Start from what claims hold of pools."""
        occupancy = cls()
        for state in states:
            for name, hold in state.holds.items():
                occupancy._take_hold(state.key, name, hold)
        return occupancy

    def add(self, results: Iterable[DeviceResult]) -> None:
        """Take what a claim holds from now on."""
        for result in results:
            if result.has_admin_access:
                continue
            key = (result.driver, result.pool, result.device)
            if result.share_id:
                self.shares.setdefault(key, set()).add(result.share_id)
                if result.consumed:
                    amounts = self.consumed.setdefault(key, {})
                    for name, amount in result.consumed:
                        amounts[name] = amounts.get(name, 0) + amount
            else:
                self.taken.add(key)

    def holds(self, key: DeviceKey) -> bool:
        """Tell whether any claim holds a device, or a part of it."""
        return key in self.taken or key in self.shares or key in self.consumed

    def counters_left(self, pool: NodePool) -> Counters:
        """Return what is left of a pool's counters; less than nothing where too much is taken."""
        left = {name: dict(found) for name, found in pool.counters.items()}
        devices = [
            *[found.device for found in pool.candidates if found.device.consumes],
            *pool.bystanders,
        ]
        for device in devices:
            if self.holds((*pool.key, device.name)):
                for use in device.consumes:
                    counters = left[use.counter_set]
                    for name, amount in use.counters:
                        counters[name] -= amount
        return left

    def _take_hold(self, pool: PoolKey, name: str, hold: DeviceHold) -> None:
        key = (*pool, name)
        if hold.exclusive:
            self.taken.add(key)
        if hold.share_ids:
            self.shares[key] = set(hold.share_ids)
        if hold.consumed is not None:
            self.consumed[key] = dict(hold.consumed)
