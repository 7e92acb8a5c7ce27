"""Say where a server stands among those that wait, and what is in use meanwhile."""

from collections.abc import Iterable
from dataclasses import dataclass

from gpu_spawner.core.messages import gettext, ngettext
from gpu_spawner.core.placement.waiting_line import Line
from gpu_spawner.core.units import counted_units, counted_units_of, unit_word, units_word
from gpu_spawner.core.wording import ordinal

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
    def words(self) -> str:
        """Say it: "all 8 GPUs are in use"."""
        if self.used < self.total:
            return ngettext(
                "{number} of {units} is in use",
                "{number} of {units} are in use",
                self.used,
                units=counted_units_of(self.total, self.unit),
            )
        if self.total == 1:
            return gettext("the only {unit} is in use", unit=unit_word(self.unit))
        if self.total == 2:
            return gettext("both {units} are in use", units=units_word(self.unit))
        return gettext("all {units} are in use", units=counted_units(self.total, self.unit))


def say_queue(position: int | None, length: int | None) -> str:
    """Say a place in a queue with quotas, as the queue itself counts it.

    >>> say_queue(3, 7)
    'You are 3rd of 7 in the queue.'
    >>> say_queue(1, None), say_queue(None, None)
    ('You are 1st in the queue.', '')
    """
    if position is None:
        return ""
    place = ordinal(position)
    if length is None:
        return gettext("You are {place} in the queue.", place=place)
    return gettext("You are {place} of {length} in the queue.", place=place, length=length)


def say_line(line: Line, what: str, in_use: InUse | None = None, because: str = "") -> str:
    """Say where a server stands.

    >>> say_line(Line(position=2, length=3), "1 H100", InUse(used=8, total=8, unit="GPU"))
    'You are 2nd of 3 waiting for 1 H100; all 8 GPUs are in use.'
    >>> say_line(Line(position=1, length=1), "1 H100")
    'You are next for 1 H100.'
    >>> some = InUse(used=2, total=4, unit="GPU")
    >>> say_line(Line(position=1, length=1), "2 H100s", some, "2 GPUs are free, but on two nodes")
    'You are next for 2 H100s; 2 GPUs are free, but on two nodes.'

    Args:
        line: the place.
        what: the choice, in words.
        in_use: None where that is not known.
        because: why it does not start on what is free, as a part of a sentence; it is said where
            something is.
    """
    if line.length == 1:
        said = gettext("You are next for {what}", what=what)
    else:
        said = gettext(
            "You are {place} of {length} waiting for {what}",
            place=ordinal(line.position),
            length=line.length,
            what=what,
        )
    if in_use is None:
        return gettext("{place}.", place=said)
    why = because if in_use.used < in_use.total else ""
    return gettext("{place}; {why}.", place=said, why=why or in_use.words)
