"""How much of a shared device a claim takes, and whether that much is left.

Decides how a request is rounded by the device's policy, and what a request that names no amount
takes. Amounts are in billionths.
Source: k8s.io/dynamic-resource-allocation
``structured/internal/incubating/consumable_capacity.go`` (1.36).
"""

from collections.abc import Mapping

from gpu_spawner.core.cluster.device_objects import Capacity, Device, RequestPolicy
from gpu_spawner.core.quantity import NANO, nano_to_whole

__all__ = ["consumption", "has_room"]

_NOTHING: Mapping[str, int] = {}


def has_room(
    device: Device,
    wanted: Mapping[str, int],
    held: Mapping[str, int] = _NOTHING,
    pending: Mapping[str, int] = _NOTHING,
) -> bool:
    """Tell whether a device has the capacity that is wanted beside what is taken already.

    Args:
        device: the device, whether it can be shared or not.
        wanted: amounts by the name the device uses; one it does not have can never be met.
        held: what other claims take.
        pending: what the claims that are being allocated take.
    """
    capacities = device.capacity
    if wanted and not wanted.keys() <= {capacity.name for capacity in capacities}:
        return False
    for capacity in capacities:
        taken = _taken(wanted.get(capacity.name), capacity)
        if _violates(taken, capacity.policy):
            return False
        name = capacity.name
        if taken + held.get(name, 0) + pending.get(name, 0) > capacity.value:
            return False
    return True


def consumption(device: Device, wanted: Mapping[str, int]) -> dict[str, int]:
    """Return what a claim takes of each capacity of a device."""
    return {
        capacity.name: _taken(wanted.get(capacity.name), capacity) for capacity in device.capacity
    }


def _taken(wanted: int | None, capacity: Capacity) -> int:
    policy = capacity.policy
    if wanted is None:
        return capacity.value if policy is None or policy.default is None else policy.default
    if policy is None:
        return wanted
    if policy.least is not None:
        return _rounded_to_step(wanted, policy.least, policy.step)
    return next((value for value in policy.valid_values if wanted <= value), wanted)


def _rounded_to_step(wanted: int, least: int, step: int | None) -> int:
    if wanted < least:
        return least
    if step is None:
        return wanted
    # Steps are counted in whole units.
    start, width = nano_to_whole(least), max(nano_to_whole(step), 1)
    steps = -(-(nano_to_whole(wanted) - start) // width)
    return (start + width * steps) * NANO


def _violates(taken: int, policy: RequestPolicy | None) -> bool:
    if policy is None or taken == policy.default:
        return False
    if policy.has_range:
        if policy.most is not None and taken > policy.most:
            return True
        if policy.step is not None:
            start, width = nano_to_whole(policy.least or 0), max(nano_to_whole(policy.step), 1)
            return (nano_to_whole(taken) - start) % width != 0
        return False
    return bool(policy.valid_values) and taken not in policy.valid_values
