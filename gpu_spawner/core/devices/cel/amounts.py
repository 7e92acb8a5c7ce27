"""Quantities in expressions: ``quantity("10Gi")`` and the capacities of a device.

Decides what a quantity is worth and whether Kubernetes would give it as an integer, which depends
on how it is written as well as on its worth.
Source: k8s.io/apimachinery ``pkg/api/resource`` ``ParseQuantity`` and ``AsInt64``.
"""

import re
from functools import lru_cache

from gpu_spawner.core.devices.cel.values import BeyondUs, Comparable, EvaluationError
from gpu_spawner.core.quantity import NANO, parse_nano

__all__ = ["Amount", "amount_of_capacity", "parse_amount", "sum_of"]

_DIGITS = 18  # with more, Kubernetes leaves integers for arbitrary precision
_BINARY_DIGITS = 14
_SHIFTS = (0, 10, 20, 30, 40, 50, 60)
_POWERS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_WRITTEN = re.compile(
    r"[+-]?(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?"
    r"(?:[eE](?P<exponent>[+-]?[0-9]+)|(?P<suffix>[A-Za-z]*))",
    re.ASCII,
)
_NUMBERLESS = re.compile(r"[+-]?\.?(?:[eEinumkKMGTP]+[+-]?[0-9]*)?", re.ASCII)
_LARGEST = 2**63 - 1
_EXACT_FLOAT = 2**53
_LONGEST = 60  # characters


class Amount(Comparable, frozen=True, kw_only=True):
    """A quantity; ``rank`` is its worth in billionths.

    Attributes:
        integer: what ``asInteger()`` gives, None where it fails.
        unsure: ``integer`` cannot be told, because it depends on how the quantity was written.
    """

    integer: int | None
    unsure: bool = False

    @property
    def approximate(self) -> float | None:
        """What ``asApproximateFloat()`` gives, None where rounding cannot be told."""
        whole = not self.rank % NANO
        return self.rank / NANO if whole and abs(self.rank // NANO) < _EXACT_FLOAT else None


@lru_cache(maxsize=4096)
def parse_amount(text: str) -> Amount:
    """Read a quantity as it is written in an expression.

    Raises:
        EvaluationError: the text is not a quantity.
    """
    if not text:
        raise EvaluationError("the empty text is not a quantity")
    if len(text) > _LONGEST:
        raise BeyondUs("it reads a quantity from a very long text")
    if _NUMBERLESS.fullmatch(text):  # Kubernetes reads "Gi" as zero and refuses "Ei"
        raise BeyondUs("it reads a quantity from a text without a number")
    try:
        nano = parse_nano(text)
    except ValueError as error:
        raise EvaluationError(str(error)) from None
    _bounded(nano)
    return Amount(rank=nano, integer=nano // NANO if _is_integer(text, nano) else None)


@lru_cache(maxsize=4096)
def amount_of_capacity(nano: int) -> Amount:
    """Read a capacity, of which only the worth in billionths is known.

    The API server keeps quantities in their shortest form, decimal or binary as they came: where
    both forms are integers to Kubernetes, the amount is one.
    """
    _bounded(nano)
    whole, rest = divmod(nano, NANO)
    if rest or whole < 0:  # in no form is a fraction an integer
        return Amount(rank=nano, integer=None, unsure=not rest)
    shift = max((shift for shift in _SHIFTS if not whole % (1 << shift)), default=0)
    binary = len(str(whole >> shift)) + int(shift * 3 / 10) <= _BINARY_DIGITS
    sure = not whole or (len(str(whole)) <= _DIGITS and binary)
    return Amount(rank=nano, integer=whole if sure else None, unsure=not sure)


def sum_of(left: Amount, right: Amount | int, sign: int) -> Amount:
    """Add (``sign`` 1) or subtract (-1) as the methods ``add`` and ``sub`` do."""
    other = right if isinstance(right, Amount) else Amount(rank=right * NANO, integer=right)
    total = left.rank + sign * other.rank
    plain = left.integer is not None and other.integer is not None
    whole = total // NANO
    sure = plain and abs(whole) <= _LARGEST // 2
    _bounded(total)
    if total % NANO:
        return Amount(rank=total, computed=True, integer=None)
    return Amount(rank=total, computed=True, integer=whole if sure else None, unsure=not sure)


def _bounded(nano: int) -> None:
    if abs(nano) >= _LARGEST * NANO:  # Kubernetes keeps decimal ones beyond 64 bits, we cap them
        raise BeyondUs("it has a quantity beyond 64 bits")


def _is_integer(text: str, nano: int) -> bool:
    """Tell whether Kubernetes keeps the quantity as an integer without a fraction."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        return False
    whole, part = match["whole"].lstrip("0") or "0", match["part"] or ""
    suffix = match["suffix"] or ""
    if suffix in _BINARY:
        shift = _BINARY[suffix]
        fast = not part and len(whole) + int(shift * 3 / 10) <= _BINARY_DIGITS
        return fast and abs(nano) <= _LARGEST * NANO
    power = int(match["exponent"]) if match["exponent"] else _POWERS[suffix]
    return (
        len(whole) + len(part) <= _DIGITS
        and power - len(part) >= 0
        and abs(nano) <= _LARGEST * NANO
    )
