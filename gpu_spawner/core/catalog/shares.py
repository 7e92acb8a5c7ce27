"""Shares: how much of a GPU a profile offers, as it is written and what it amounts to.

A share says what a user gets; by which mechanism, and whether the cluster has it at all, is decided
elsewhere.
"""

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.quantity import format_bytes, parse_bytes

__all__ = [
    "CLAIM_PATTERN",
    "MIG_PROFILE_PATTERN",
    "fraction_of",
    "memory_wanted",
    "parse_share",
    "share_json_schema",
]

MIG_PROFILE_PATTERN: Final = r"^[1-9]g\.[1-9][0-9]{0,3}gb([+-](me|gfx)(\.all)?)?$"
"""``1g.10gb``, ``1g.10gb+me``, ``1g.24gb+me.all``, ``1g.24gb-me`` (NVIDIA's MIG user guide)."""

_MIG_PROFILE: Final = re.compile(MIG_PROFILE_PATTERN, re.ASCII)
CLAIM_PATTERN: Final = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
_CLAIM: Final = re.compile(CLAIM_PATTERN, re.ASCII)
_MEMORY_PATTERN: Final = r"^[1-9][0-9]{0,5}(\.[0-9]{1,3})? ?[MGT]i?B?$"
_MEMORY: Final = re.compile(_MEMORY_PATTERN, re.ASCII)
_MIB: Final = 2**20
_MAX_MEMORY: Final = 2**50
_ALLOWED: Final = (
    "whole, {mig: [...]}, {memory: [10Gi]}, {fraction: [0.5]}, {replica: 1}, {claim: [...]}"
)


def parse_share(raw: object) -> tuple[Share, ...]:
    """Read a profile's ``share``: ``whole``, or a mapping from a kind to its value or values.

    Raises:
        ValueError: with a sentence that says what was found and what is allowed.
    """
    name: object
    value: object
    if isinstance(raw, str):
        name, value = raw, None
    elif isinstance(raw, dict) and len(raw) == 1:
        name, value = next(iter(raw.items()))
    elif isinstance(raw, dict):
        raise ValueError(f"got {len(raw)} keys; exactly one is allowed of {_ALLOWED}")
    else:
        raise ValueError(f"got {raw!r:.60}; allowed: {_ALLOWED}")
    if not isinstance(name, str) or name not in _READERS:
        raise ValueError(f"got {name!r:.60}, which this version cannot give; allowed: {_ALLOWED}")
    return _READERS[name](value)


def _whole(value: object) -> tuple[Share, ...]:
    if value is not None:
        raise ValueError("a whole GPU takes no value; write share: whole")
    return (Share(kind="whole"),)


def _several(name: str, read: Callable[[object], str], value: object) -> tuple[Share, ...]:
    shares: list[Share] = []
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError(f"the list is empty; name at least one {_EXAMPLES[name]}")
    for one in values:
        share = Share(kind=name, value=read(one))
        if share in shares:
            raise ValueError(f"'{share.value}' is listed twice")
        shares.append(share)
    return tuple(shares)


def _replica(value: object) -> tuple[Share, ...]:
    if type(value) is not int or value != 1:  # True and 1.0 equal 1, but are not it
        raise ValueError(
            f"got {value!r:.60}; only 1 is allowed: "
            "two replicas may be the same GPU and buy no extra compute"
        )
    return (Share(kind="replica"),)


def _mig(value: object) -> str:
    if not isinstance(value, str) or not _MIG_PROFILE.fullmatch(value):
        raise ValueError(f"got {value!r:.60}; a MIG profile looks like 1g.10gb or 3g.40gb")
    return value


def _memory(value: object) -> str:
    if not isinstance(value, str) or not _MEMORY.fullmatch(value):
        raise ValueError(f"got {value!r:.60}; an amount such as 10Gi or 20GB is expected")
    amount = parse_bytes(value.replace(" ", "").removesuffix("B"))
    if not _MIB <= amount <= _MAX_MEMORY:
        raise ValueError(f"got {value!r}; an amount such as 10Gi or 20GB is expected")
    # Most mechanisms count in MiB; what is asked for is never less than what was wished.
    shown = format_bytes(amount)
    if not shown.isdecimal():
        return shown
    return shown.removesuffix("0" * 9) + "G" if shown.endswith("0" * 9) else _whole_mib(amount)


def _whole_mib(amount: int) -> str:
    return format_bytes(-(-amount // _MIB) * _MIB)


def _fraction(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"got {value!r:.60}; a part of a GPU such as 0.5 or 0.25 is expected")
    text = f"{value:.2f}".rstrip("0")
    if float(text) != value:
        raise ValueError(f"got {value!r:.60}; at most two digits after the point are allowed")
    return text


def _claim(value: object) -> str:
    if not isinstance(value, str) or not _CLAIM.fullmatch(value):
        raise ValueError(f"got {value!r:.60}; a name of the flavor's dra.claims is expected")
    return value


_READERS: Final[Mapping[str, Callable[[object], tuple[Share, ...]]]] = MappingProxyType(
    {
        "whole": _whole,
        "replica": _replica,
        "mig": partial(_several, "mig", _mig),
        "memory": partial(_several, "memory", _memory),
        "fraction": partial(_several, "fraction", _fraction),
        "claim": partial(_several, "claim", _claim),
    }
)


_EXAMPLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mig": "MIG profile, such as 1g.10gb",
        "memory": "amount, such as 10Gi",
        "fraction": "part, such as 0.5",
        "claim": "claim",
    }
)


def fraction_of(share: Share) -> Fraction | None:
    """Return the exact part of a GPU that a ``fraction`` share is; None for others."""
    return Fraction(share.value) if share.kind == "fraction" else None


def memory_wanted(share: Share, whole_bytes: int | None) -> int | None:
    """Return the GPU memory, in bytes, that one of a ``memory`` or ``fraction`` share has.

    Args:
        share: what was wished.
        whole_bytes: memory of one whole GPU; a fraction of it is rounded down to whole MiB.

    Returns:
        None for other shares, and for a fraction of nobody knows how much.
    """
    if share.kind == "memory":
        return parse_bytes(share.value)
    part = fraction_of(share)
    if part is None or whole_bytes is None:
        return None
    return int(whole_bytes * part) // _MIB * _MIB


def share_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a profile's ``share``."""
    return {
        "oneOf": [
            {"const": "whole", "description": "Whole GPUs, nobody else on them."},
            _schema(
                "mig",
                "MIG slices of these profiles; the hardware keeps neighbours apart.",
                {"type": "string", "pattern": MIG_PROFILE_PATTERN},
            ),
            _schema(
                "memory",
                "A part of a GPU with this much memory, obtained in whichever way the flavor "
                "declares: a MIG slice, a claim, a scheduler for parts of GPUs.",
                {"type": "string", "pattern": _MEMORY_PATTERN},
            ),
            _schema(
                "fraction",
                "A part of a GPU's memory, obtained like memory: 0.5 of 80 GB is 40 GB.",
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            ),
            {
                "type": "object",
                "description": "One replica of a GPU that is shared between servers in turns.",
                "properties": {"replica": {"const": 1}},
                "required": ["replica"],
                "additionalProperties": False,
            },
            _schema(
                "claim",
                "What a claim of the flavor's dra.claims gives.",
                {"type": "string", "pattern": CLAIM_PATTERN},
            ),
        ]
    }


def _schema(kind: str, description: str, value: Mapping[str, Any]) -> dict[str, Any]:
    many = {"type": "array", "items": value, "minItems": 1, "uniqueItems": True}
    return {
        "type": "object",
        "description": description,
        "properties": {kind: {"anyOf": [value, many]}},
        "required": [kind],
        "additionalProperties": False,
    }
