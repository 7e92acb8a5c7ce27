"""What a printed table is made of: columns, cells, and how long ago something was."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

__all__ = ["Column", "Printer", "columns", "human_duration", "since"]

Obj = Mapping[str, Any]
Cells = list[Any]

_UNKNOWN: Final = "<unknown>"
_YEAR: Final = 365 * 86400
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "y": _YEAR}
# Up to so many seconds, the units to show: kubectl's own steps.
_STEPS: Final = (
    (120, "s", ""),
    (600, "m", "s"),
    (10_800, "m", ""),
    (28_800, "h", "m"),
    (172_800, "h", ""),
    (691_200, "d", "h"),
    (2 * _YEAR, "d", ""),
    (8 * _YEAR, "y", "d"),
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column; the less important ones show with ``-o wide`` only."""

    name: str
    is_wide: bool = False
    kind: str = "string"

    def definition(self) -> dict[str, Any]:
        """Describe it as a Table does."""
        return {
            "name": self.name,
            "type": self.kind,
            "format": "name" if self.name == "Name" else "",
            "description": "",
            "priority": 1 if self.is_wide else 0,
        }


@dataclass(frozen=True, slots=True)
class Printer:
    """How to print a kind: its columns, and the cells of one object now."""

    columns: tuple[Column, ...]
    cells: Callable[[Obj, float], Cells]


def columns(*names: str) -> tuple[Column, ...]:
    """Make columns; a name in parentheses is shown in wide output only, ``#`` marks a number."""
    made = []
    for name in names:
        is_wide = name.startswith("(") and name.endswith(")")
        plain = name[1:-1] if is_wide else name
        kind = "integer" if plain.startswith("#") else "string"
        made.append(Column(plain.removeprefix("#"), is_wide, kind))
    return tuple(made)


def since(stamp: str | None, now: float) -> str:
    """Say how long a time stamp is ago."""
    if not stamp:
        return _UNKNOWN
    return human_duration(now - datetime.fromisoformat(stamp).timestamp())


def human_duration(seconds: float) -> str:
    """Say how long something is ago, in two or three figures.

    >>> human_duration(5), human_duration(125), human_duration(4 * 3600), human_duration(9 * 86400)
    ('5s', '2m5s', '4h', '9d')
    """
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    for end, large, small in _STEPS:
        if whole < end:
            return _two_units(max(whole, 0), large, small)
    return f"{whole // _YEAR}y"


def _two_units(seconds: int, large: str, small: str) -> str:
    size = _UNITS[large]
    rest = seconds % size // _UNITS[small] if small else 0
    head = f"{seconds // size}{large}"
    return f"{head}{rest}{small}" if rest else head
