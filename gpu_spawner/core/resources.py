"""Amounts of resources, and what a pod effectively asks for.

A :class:`ResourceVector` maps resource names to integers. Units: ``cpu`` in milli-CPU; ``memory``,
``ephemeral-storage`` and ``hugepages-*`` in bytes; everything else, ``pods`` and extended resources
included, in pieces. It does not know of nodes: whether an amount fits is for
:mod:`gpu_spawner.core.placement.seats`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from gpu_spawner.core.quantity import Quantity, nano_to_milli, nano_to_whole, parse_nano

__all__ = [
    "CPU",
    "EMPTY",
    "EPHEMERAL_STORAGE",
    "MEMORY",
    "PODS",
    "ResourceVector",
    "is_counted",
    "nano_from_quantities",
    "vector_from_nano",
    "vector_from_quantities",
]

CPU: Final = "cpu"
MEMORY: Final = "memory"
EPHEMERAL_STORAGE: Final = "ephemeral-storage"
PODS: Final = "pods"

_SHOWN: Final = 100  # characters of a hostile name that are repeated
_PLAIN: Final = frozenset({CPU, MEMORY, EPHEMERAL_STORAGE, PODS})


class ResourceVector(Mapping[str, int]):
    """An immutable, hashable mapping of resource name to amount, in the module's units.

    A name that is absent counts as zero and zeros are dropped, so two vectors are equal exactly
    when every amount is. Amounts may be negative: an overcommitted node has less than nothing free.
    ``amounts`` is the same as a plain mapping, for loops over many vectors; never change it.

    >>> a = ResourceVector({"cpu": 500, "nvidia.com/gpu": 1})
    >>> a.plus(a)
    ResourceVector({'cpu': 1000, 'nvidia.com/gpu': 2})
    >>> a.minus(a) == EMPTY
    True
    """

    __slots__ = ("_hash", "amounts")

    def __init__(self, amounts: Mapping[str, int]) -> None:
        self.amounts: Final[Mapping[str, int]] = {
            name: amount for name, amount in amounts.items() if amount
        }
        self._hash: Final = hash(frozenset(self.amounts.items()))

    def __getitem__(self, name: str) -> int:
        return self.amounts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.amounts)

    def __len__(self) -> int:
        return len(self.amounts)

    def __contains__(self, name: object) -> bool:
        return name in self.amounts

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, ResourceVector):
            return NotImplemented
        return self._hash == other._hash and self.amounts == other.amounts

    def __repr__(self) -> str:
        return f"ResourceVector({dict(sorted(self.amounts.items()))})"

    def amount(self, name: str) -> int:
        """Return the amount of one resource, zero where it is absent."""
        return self.amounts.get(name, 0)

    def plus(self, other: "ResourceVector") -> "ResourceVector":
        """Return the sum."""
        return self._combine(other, 1)

    def minus(self, other: "ResourceVector") -> "ResourceVector":
        """Return the difference; amounts may become negative."""
        return self._combine(other, -1)

    def _combine(self, other: "ResourceVector", sign: int) -> "ResourceVector":
        if not other.amounts:
            return self
        amounts = dict(self.amounts)
        for name, amount in other.amounts.items():
            amounts[name] = amounts.get(name, 0) + sign * amount
        return ResourceVector(amounts)


EMPTY: Final = ResourceVector({})
"""Nothing of anything."""


def is_counted(name: str) -> bool:
    """Tell whether the scheduler accounts for a resource of this name.

    Names without a domain other than the built-in ones are ignored by it (``IsScalarResourceName``
    in pkg/scheduler/util), and ``requests.`` is a quota prefix, not a resource.
    """
    if name in _PLAIN:
        return True
    if "/" in name:
        return not name.startswith("requests.") or "kubernetes.io/" in name
    return name.startswith(("hugepages-", "attachable-volumes-"))


def vector_from_nano(nano: Mapping[str, int]) -> ResourceVector:
    """Round exact billionths up to the units of a vector, dropping names nobody accounts for."""
    return ResourceVector(
        {name: _rounding(name)(amount) for name, amount in nano.items() if is_counted(name)}
    )


def vector_from_quantities(quantities: Mapping[str, Quantity]) -> ResourceVector:
    """Parse a Kubernetes resource list, such as ``node.status.allocatable``.

    Raises:
        ValueError: a quantity cannot be parsed or is negative; the message names the resource.
    """
    return vector_from_nano(nano_from_quantities(quantities))


def nano_from_quantities(quantities: Mapping[str, Quantity]) -> dict[str, int]:
    """Parse a resource list into exact billionths.

    Raises:
        ValueError: a quantity cannot be parsed or is negative; the message names the resource.
    """
    nano = {}
    for name, quantity in quantities.items():
        try:
            amount = parse_nano(quantity)
        except ValueError as error:
            raise ValueError(f"{name[:_SHOWN]}: {error}") from None
        if amount < 0:
            shown = str(quantity)[:_SHOWN]
            raise ValueError(f"{name[:_SHOWN]}: {shown} is less than nothing")
        nano[name] = amount
    return nano


def _rounding(name: str) -> Callable[[int], int]:
    return nano_to_milli if name == CPU else nano_to_whole
