"""How long to wait before trying again, and how old what we know has become.

Two small clocks without a clock: time and chance are given by the caller.
"""

from collections.abc import Callable

__all__ = ["Backoff", "Freshness"]


class Backoff:
    """Growing, jittered delays: at least half of the nominal delay, so that never a hot loop.

    Args:
        first_seconds: the nominal delay after the first failure; it doubles with each further one.
        cap_seconds: the longest nominal delay.
        chance: a source of numbers in [0, 1). Hubs that lost the same API server must not come
            back in step.
    """

    __slots__ = ("_cap", "_chance", "_failures", "_first")

    def __init__(
        self, *, first_seconds: float, cap_seconds: float, chance: Callable[[], float]
    ) -> None:
        self._first = first_seconds
        self._cap = cap_seconds
        self._chance = chance
        self._failures = 0

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._failures

    def next_seconds(self) -> float:
        """Count one more failure and return how long to wait."""
        # The exponent is bounded: 2.0 ** 1100 is an OverflowError after a long outage.
        nominal = min(self._cap, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return self.jittered(nominal)

    def jittered(self, seconds: float) -> float:
        """Spread ``seconds`` over its upper half."""
        return seconds * (0.5 + 0.5 * self._chance())

    def reset(self) -> None:
        """Forget the failures: things work again."""
        self._failures = 0


class Freshness:
    """When the API server last vouched for what we hold about one kind of object.

    While a watch is open every change reaches us as it happens, and silence means that nothing
    happened: the age is zero. A watch that is broken off or ended in order vouches up to that
    moment. One that went silent beyond its limit was perhaps dead all along: it vouches only up
    to the last byte heard. A list vouches for the moment it was asked for.
    """

    __slots__ = ("_is_open", "_vouched_at")

    def __init__(self) -> None:
        self._vouched_at: float | None = None
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether a watch is open."""
        return self._is_open

    def listed(self, asked_at: float) -> None:
        """A list that was asked for at ``asked_at`` has arrived whole."""
        self._vouched_at = asked_at

    def opened(self, now: float) -> None:
        """The server has accepted the watch."""
        self._is_open = True
        self._vouched_at = now

    def heard(self, now: float) -> None:
        """Bytes arrived on the open watch: an event or a bookmark."""
        self._vouched_at = now

    def closed(self, now: float, *, fell_silent: bool) -> None:
        """The watch is over.

        Args:
            now: the present moment.
            fell_silent: we gave up waiting; otherwise the end itself was a sign of life.
        """
        if self._is_open and not fell_silent:
            self._vouched_at = now
        self._is_open = False

    def forget(self) -> None:
        """Nothing is held any more."""
        self._vouched_at = None
        self._is_open = False

    def age_seconds(self, now: float) -> float | None:
        """Return the age of what we hold, ``None`` where we hold nothing."""
        if self._vouched_at is None:
            return None
        return 0.0 if self._is_open else max(0.0, now - self._vouched_at)
