"""Kubernetes quantity strings as exact integers.

Decides what ``"500m"``, ``"64Gi"``, ``"1e3"`` or a number from YAML amounts to, rounding up as
Kubernetes does ("if you want some resources, you should get some resources",
k8s.io/apimachinery ``pkg/api/resource``).
It does not know which unit belongs to which resource: that is :mod:`gpu_spawner.core.resources`.
"""

import re
from functools import lru_cache

__all__ = [
    "NANO",
    "Quantity",
    "format_bytes",
    "format_cpu",
    "nano_to_milli",
    "nano_to_whole",
    "parse_bytes",
    "parse_count",
    "parse_cpu_milli",
    "parse_nano",
]

Quantity = str | int | float
"""What stands for a quantity in JSON or YAML."""

NANO = 10**9
"""One, in the smallest unit Kubernetes keeps: nothing finer than a billionth survives parsing."""

_MAX_NANO = (2**63 - 1) * NANO
_MAX_LENGTH = 64
_MILLI_IN_NANO = NANO // 1000
_PATTERN = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?"
    r"(?:(?P<binary>[KMGTPE]i)|(?P<decimal>[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]+))?",
    re.ASCII,
)
_DECIMAL_EXPONENT = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_EXPONENT = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_EXPONENT_LIMIT = 100  # beyond it every nonzero amount is capped or rounded to the same value


def parse_nano(quantity: Quantity) -> int:
    """Parse a quantity into billionths, rounded up, capped at 2**63-1 whole units.

    Sums of quantities are made in billionths and rounded once, as the scheduler does.

    Raises:
        ValueError: the text is not a quantity; the message repeats a bounded piece of it.
    """
    if isinstance(quantity, str):
        return _parse_text(quantity)
    if isinstance(quantity, bool):  # a bool is an int to Python and a mistake to Kubernetes
        return _parse_text(str(quantity))
    if isinstance(quantity, int):
        return max(-_MAX_NANO, min(quantity * NANO, _MAX_NANO))
    return _parse_text(repr(quantity))


def parse_cpu_milli(quantity: Quantity) -> int:
    """Parse a CPU quantity into milli-CPUs, rounded up.

    >>> parse_cpu_milli("2"), parse_cpu_milli("250m"), parse_cpu_milli(0.5)
    (2000, 250, 500)
    """
    return nano_to_milli(parse_nano(quantity))


def parse_bytes(quantity: Quantity) -> int:
    """Parse a memory or storage quantity into bytes, rounded up.

    >>> parse_bytes("64Gi"), parse_bytes("1.5k"), parse_bytes("100m")
    (68719476736, 1500, 1)
    """
    return nano_to_whole(parse_nano(quantity))


def parse_count(quantity: Quantity) -> int:
    """Parse a count (pods, devices of an extended resource), rounded up.

    >>> parse_count("8"), parse_count("2k")
    (8, 2000)
    """
    return nano_to_whole(parse_nano(quantity))


def nano_to_milli(nano: int) -> int:
    """Round billionths up to thousandths."""
    return -(-nano // _MILLI_IN_NANO)


def nano_to_whole(nano: int) -> int:
    """Round billionths up to whole units."""
    return -(-nano // NANO)


def format_bytes(amount_bytes: int) -> str:
    """Write bytes as the shortest exact Kubernetes quantity with a binary suffix.

    >>> format_bytes(68719476736), format_bytes(1536), format_bytes(1000)
    ('64Gi', '1536', '1000')
    """
    for suffix, exponent in reversed(_BINARY_EXPONENT.items()):
        whole, rest = divmod(amount_bytes, 1 << exponent)
        if amount_bytes and not rest:
            return f"{whole}{suffix}"
    return str(amount_bytes)


def format_cpu(milli: int) -> str:
    """Write milli-CPUs as a Kubernetes quantity.

    >>> format_cpu(2000), format_cpu(250)
    ('2', '250m')
    """
    whole, rest = divmod(milli, 1000)
    return f"{milli}m" if rest else str(whole)


@lru_cache(maxsize=8192)
def _parse_text(text: str) -> int:
    match = _PATTERN.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None or not (match["whole"] or match["part"]):
        raise ValueError(_complaint(text))
    part = match["part"] or ""
    exponent = 9 - len(part)
    binary_exponent = 0
    if match["binary"]:
        binary_exponent = _BINARY_EXPONENT[match["binary"]]
    elif match["decimal"]:
        exponent += _DECIMAL_EXPONENT[match["decimal"]]
    elif match["exponent"]:
        given = int(match["exponent"])
        exponent += max(-_EXPONENT_LIMIT, min(given, _EXPONENT_LIMIT))
    digits = int((match["whole"] + part) or "0") << binary_exponent
    power: int = 10 ** abs(exponent)
    nano = min(digits * power if exponent >= 0 else -(-digits // power), _MAX_NANO)
    return -nano if match["sign"] == "-" else nano


def _complaint(found: str) -> str:
    shown = repr(found)
    if len(shown) > _MAX_LENGTH:
        shown = shown[:_MAX_LENGTH] + "..."
    return (
        f"{shown} is not a quantity; write a number with an optional suffix,"
        " such as 500m, 2, 1.5Gi or 1e3"
    )
