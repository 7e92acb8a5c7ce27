"""Conditions over the devices of a claim: an attribute that must be equal, or must differ.

Decides step by step, as the allocator adds devices and takes them back, whether the next one may
join. What it forgets on the way back, and that it remembers one value a request, is as in the
original, so that the same devices are found.
Source: k8s.io/dynamic-resource-allocation ``structured/internal/incubating`` (1.36):
``allocator_incubating.go`` and ``constraint.go``.
"""

from typing import Final, Protocol

from gpu_spawner.core.cluster.claim_objects import Constraint
from gpu_spawner.core.cluster.device_objects import AttributeValue
from gpu_spawner.core.devices.pools import Candidate

__all__ = ["Watch", "watch"]


class Watch(Protocol):
    """One constraint and the devices that were added under it."""

    def add(self, request: str, alternative: str, candidate: Candidate) -> bool:
        """Add a device; return False, and add nothing, where it may not join."""

    def remove(self, request: str, alternative: str, candidate: Candidate) -> None:
        """Take back a device that was added for the same request."""


def watch(constraint: Constraint) -> Watch:
    """Start with no devices."""
    if constraint.match_attribute:
        return _Match(constraint.requests, constraint.match_attribute)
    return _Distinct(constraint.requests, constraint.distinct_attribute)


class _Watch:
    def __init__(self, requests: frozenset[str], attribute: str) -> None:
        self._requests: Final = requests
        self._attribute: Final = attribute
        self._count = 0

    def _concerns(self, request: str, alternative: str) -> bool:
        if not self._requests or request in self._requests:
            return True
        return bool(alternative) and f"{request}/{alternative}" in self._requests

    def _value(self, candidate: Candidate) -> tuple[type, AttributeValue] | None:
        """Return the attribute with its type, by its full name or by that within the driver."""
        attributes = dict(candidate.device.attributes)
        value = attributes.get(self._attribute)
        if value is None:
            domain, _, name = self._attribute.partition("/")
            value = attributes.get(name) if name and domain == candidate.slice.driver else None
        return (type(value), value) if value is not None else None


class _Match(_Watch):
    """All devices have the attribute, with one value."""

    def __init__(self, requests: frozenset[str], attribute: str) -> None:
        super().__init__(requests, attribute)
        self._common: tuple[type, AttributeValue] | None = None

    def add(self, request: str, alternative: str, candidate: Candidate) -> bool:
        if not self._concerns(request, alternative):
            return True
        value = self._value(candidate)
        if value is None or (self._count and value != self._common):
            return False
        self._common = value
        self._count += 1
        return True

    def remove(self, request: str, alternative: str, candidate: Candidate) -> None:
        del candidate
        if self._concerns(request, alternative):
            self._count -= 1


class _Distinct(_Watch):
    """All devices have the attribute, with different values, as far as one a request tells."""

    def __init__(self, requests: frozenset[str], attribute: str) -> None:
        super().__init__(requests, attribute)
        self._seen: dict[str, tuple[type, AttributeValue]] = {}

    def add(self, request: str, alternative: str, candidate: Candidate) -> bool:
        if not self._concerns(request, alternative):
            return True
        value = self._value(candidate)
        if value is None or (self._count and value in self._seen.values()):
            return False
        self._seen[request] = value
        self._count += 1
        return True

    def remove(self, request: str, alternative: str, candidate: Candidate) -> None:
        del candidate
        if self._concerns(request, alternative):
            self._seen.pop(request, None)
            self._count -= 1
