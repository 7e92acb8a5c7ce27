"""How long a server may run, and how long unused, before the hub stops it."""

from dataclasses import dataclass
from typing import Any

from gpu_spawner.core.messages import gettext, joined, ngettext

__all__ = ["UNLIMITED", "Lifetime", "Verdict", "say_exactly"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a rule says of a server at one moment.

    Attributes:
        because: the rule, in a sentence.
        seconds_left: until the server is to stop; zero or less when that is now.
        is_idle: whether it is because nobody uses it.
    """

    because: str
    seconds_left: float
    is_idle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """The rules of one server, in seconds; None where there is no such rule."""

    max_seconds: int | None = None
    idle_seconds: int | None = None

    @property
    def is_unlimited(self) -> bool:
        """Whether no rule ever stops the server."""
        return self.max_seconds is None and self.idle_seconds is None

    @property
    def words(self) -> str:
        """Say the rules: "stops after 12 h, or 1 h without use"; empty without any."""
        longest = say_exactly(self.max_seconds) if self.max_seconds else ""
        unused = say_exactly(self.idle_seconds) if self.idle_seconds else ""
        if longest and unused:
            return gettext(
                "stops after {longest}, or {unused} without use", longest=longest, unused=unused
            )
        if longest:
            return gettext("stops after {longest}", longest=longest)
        return gettext("stops after {unused} without use", unused=unused) if unused else ""

    def judge(self, *, ran_seconds: float, idle_seconds: float) -> Verdict | None:
        """Return which rule ends the server first, and when; None where none does.

        Args:
            ran_seconds: since the server was started.
            idle_seconds: since it was last used; a server is never unused for longer than it runs.
        """
        verdicts = []
        if self.max_seconds is not None:
            because = gettext("It may run for {time}.", time=say_exactly(self.max_seconds))
            verdicts.append(Verdict(because=because, seconds_left=self.max_seconds - ran_seconds))
        if self.idle_seconds is not None:
            because = gettext("It may be unused for {time}.", time=say_exactly(self.idle_seconds))
            left = self.idle_seconds - min(idle_seconds, ran_seconds)
            verdicts.append(Verdict(because=because, seconds_left=left, is_idle=True))
        return min(verdicts, key=lambda verdict: verdict.seconds_left, default=None)

    def or_longer(self, other: "Lifetime") -> "Lifetime":
        """Return the more generous of two rules, field by field."""
        return Lifetime(
            max_seconds=_longer(self.max_seconds, other.max_seconds),
            idle_seconds=_longer(self.idle_seconds, other.idle_seconds),
        )

    def as_state(self) -> dict[str, int | None]:
        """Return plain JSON; ``from_state`` reads it back."""
        return {"max_seconds": self.max_seconds, "idle_seconds": self.idle_seconds}

    @classmethod
    def from_state(cls, raw: Any) -> "Lifetime | None":
        """Read what ``as_state`` gave; None for anything else."""
        if not isinstance(raw, dict) or set(raw) != {"max_seconds", "idle_seconds"}:
            return None
        if not all(value is None or _is_seconds(value) for value in raw.values()):
            return None
        return cls(**raw)


UNLIMITED = Lifetime()


def _is_seconds(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _longer(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def say_exactly(seconds: int) -> str:
    """Write a duration that somebody set, to the second.

    >>> say_exactly(43200), say_exactly(5400), say_exactly(7 * 86400), say_exactly(90)
    ('12 h', '1 h 30 min', '7 days', '1 min 30 s')
    """
    days, hours, minutes = seconds // 86400, seconds % 86400 // 3600, seconds % 3600 // 60
    parts = (
        ngettext("{number} day", "{number} days", days) if days else "",
        gettext("{number} h", number=hours) if hours else "",
        gettext("{number} min", number=minutes) if minutes else "",
        gettext("{number} s", number=seconds % 60) if seconds % 60 else "",
    )
    return joined(" ", parts)
