"""Quantities as an API server writes them back.

A client may send ``0.5``, ``1024Mi`` or ``2000m``; it reads ``500m``, ``1Gi`` and ``2``. The value
itself is :mod:`gpu_spawner.core.quantity`'s business; this module only spells it.
"""

import re
from typing import Final

from gpu_spawner.core.quantity import NANO, parse_nano

__all__ = ["canonical_quantity", "format_nano"]

_FORMAT_RULE: Final = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
_SUFFIX_RULE: Final = "unable to parse quantity's suffix"
_PARTS: Final = re.compile(
    r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?[0-9]+))?", re.ASCII
)
_DECIMAL: Final = {
    -9: "n",
    -6: "u",
    -3: "m",
    0: "",
    3: "k",
    6: "M",
    9: "G",
    12: "T",
    15: "P",
    18: "E",
}
_EXPONENT_OF: Final = {suffix: exponent for exponent, suffix in _DECIMAL.items()}
_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def canonical_quantity(value: str | float) -> str:
    """Spell a quantity the canonical way.

    Raises:
        ValueError: with Go's words for what is no quantity.
    """
    text = value.strip() if isinstance(value, str) else _number_text(value)
    found = _PARTS.fullmatch(text)
    if found is None or not (found[2] or found[3]):
        is_number = re.match(r"[+-]?[0-9.]+[A-Za-z]*$", text, re.ASCII) and found is None
        raise ValueError(_SUFFIX_RULE if is_number else _FORMAT_RULE)
    _, whole, part, binary, decimal, exponent = found.groups()
    try:
        nano = parse_nano(text)
    except ValueError:
        raise ValueError(_FORMAT_RULE) from None
    if nano == 0:
        return "0"
    digits = (whole.lstrip("0") or "0") + (part or "").rstrip("0")
    if len(digits) < 15 and _is_canonical(digits, part or "", binary, decimal, exponent):
        return text
    if binary:
        return format_nano(nano, is_binary=True)
    if exponent is not None:
        mantissa, scale = _decimal_parts(nano)
        return f"{mantissa}e{scale}" if scale else str(mantissa)
    return format_nano(nano)


def format_nano(nano: int, *, is_binary: bool = False) -> str:
    """Spell a value given in billionths, with decimal or binary suffixes."""
    if is_binary and nano % NANO == 0 and abs(nano) >= 1024 * NANO:
        amount, power = nano // NANO, 0
        while amount % 1024 == 0 and power < len(_BINARY) - 1:
            amount, power = amount // 1024, power + 1
        return f"{amount}{_BINARY[power]}"
    mantissa, scale = _decimal_parts(nano)
    return f"{mantissa}{_DECIMAL[scale]}"


def _decimal_parts(nano: int) -> tuple[int, int]:
    if not nano:
        return 0, 0
    scale = -9
    while nano % 1000 == 0 and scale < 18:
        nano, scale = nano // 1000, scale + 3
    return nano, scale


def _is_canonical(
    digits: str, part: str, binary: str | None, decimal: str | None, exponent: str | None
) -> bool:
    """Whether Kubernetes keeps the text as it was sent instead of spelling it anew."""
    if binary:
        return not part and int(digits) % 8 != 0
    scale = int(exponent) if exponent is not None else _EXPONENT_OF[decimal or ""]
    is_whole = (scale - len(part)) % 3 == 0 and scale - len(part) >= -9
    return is_whole and not digits.endswith("000") and not digits.startswith("0")


def _number_text(value: float) -> str:
    if isinstance(value, bool):
        return str(value)
    return str(value) if isinstance(value, int) else repr(value)
