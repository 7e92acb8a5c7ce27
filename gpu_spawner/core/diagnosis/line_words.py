"""Say where a server stands among those that wait, and what is in use meanwhile."""

from collections.abc import Iterable
from dataclasses import dataclass

from gpu_spawner.core.placement.waiting_line import Line
from gpu_spawner.core.wording import counted, ordinal, within_sentence

__all__ = ["InUse", "say_line", "say_queue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """How many of the GPUs (slices, replicas: ``unit``) that are waited for are in use."""

    used: int
    total: int
    unit: str

    @classmethod
    def together(cls, counts: Iterable[tuple[int | None, int | None, str]]) -> "InUse | None":
        """Add up (free, total, unit); None where any is unknown, or where there is none."""
        used = total = 0
        units: dict[str, None] = {}
        for free, most, unit in counts:
            if free is None or most is None:
                return None
            used, total = used + max(0, most - free), total + most
            units.setdefault(unit)
        return cls(used=used, total=total, unit=next(iter(units))) if total else None

    @property
    def is_all(self) -> bool:
        """Whether none is free."""
        return self.used >= self.total

    @property
    def words(self) -> str:
        """Say it: "all 8 GPUs are in use"."""
        if not self.is_all:
            are = "is" if self.used == 1 else "are"
            return f"{self.used:,} of {counted(self.total, self.unit)} {are} in use"
        if self.total == 1:
            return f"the only {self.unit} is in use"
        return f"{'both' if self.total == 2 else f'all {self.total:,}'} {self.unit}s are in use"


def say_queue(position: int | None, length: int | None) -> str:
    """Say a place in a queue with quotas, as the queue itself counts it.

    >>> say_queue(3, 7)
    'You are 3rd of 7 in the queue.'
    >>> say_queue(1, None), say_queue(None, None)
    ('You are 1st in the queue.', '')
    """
    if position is None:
        return ""
    among = f" of {length:,}" if length is not None else ""
    return f"You are {ordinal(position)}{among} in the queue."


def say_line(line: Line, what: str, in_use: InUse | None = None, because: str = "") -> str:
    """Say where a server stands.

    >>> say_line(Line(position=2, length=3), "1 H100", InUse(used=8, total=8, unit="GPU"))
    'You are 2nd of 3 waiting for 1 H100; all 8 GPUs are in use.'
    >>> say_line(Line(position=1, length=1), "1 H100")
    'You are next for 1 H100.'
    >>> two_left = InUse(used=2, total=4, unit="GPU")
    >>> why = "2 GPUs are free, but on two different nodes"
    >>> say_line(Line(position=1, length=1), "2 H100", two_left, why)
    'You are next for 2 H100; 2 GPUs are free, but on two different nodes.'

    Args:
        line: the place.
        what: the choice, in words.
        in_use: None where that is not known.
        because: why those that are free will not do, in a sentence; empty where that is not known.
    """
    if line.length == 1:
        place = f"You are next for {what}"
    else:
        place = f"You are {ordinal(line.position)} of {line.length:,} waiting for {what}"
    if in_use is None:
        return f"{place}."
    why = within_sentence(because) if because and not in_use.is_all else in_use.words
    return f"{place}; {why}."
