"""DaemonSets that the cluster will not have for now, each with a pause of its own.

A policy of the site may refuse one image, and a quota one more DaemonSet; somebody may delete what
was just made. Either is tried again after pauses that double, and stops none of the others.
"""

from dataclasses import dataclass
from typing import Final

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.core.preload.policy import Policy
from gpu_spawner.core.preload.setbacks import pause_seconds

__all__ = ["Refusals"]

_DELETED: Final = "somebody deletes its DaemonSet as soon as it is made"


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One DaemonSet that is left alone until a moment, in unix seconds."""

    why: str
    count: int
    until: float


class Refusals:
    """What was refused, by the DaemonSet's name; all moments are unix seconds."""

    def __init__(self, policy: Policy) -> None:
        self._policy: Final = policy
        self._refused: Final[dict[str, _Refusal]] = {}
        self._made: Final[dict[str, float]] = {}
        self._vanished: Final[dict[str, int]] = {}

    def at(self, now: float) -> dict[str, str]:
        """Return which DaemonSets are to be left alone now, and why."""
        return {name: one.why for name, one in self._refused.items() if one.until > now}

    def next_at(self, now: float) -> float | None:
        """Return when the next of them may be tried again; None where none is refused."""
        return min((one.until for one in self._refused.values() if one.until > now), default=None)

    def refuse(self, name: str, error: ClusterError, now: float) -> bool:
        """Take in that a write was refused; tell whether that is news."""
        before = self._refused.get(name)
        count = before.count if before is not None else 0
        why = f"the cluster refuses its DaemonSet: {error.reason}: {error.message[:200]}"
        until = now + pause_seconds(self._policy, count)
        self._refused[name] = _Refusal(why, count + 1, until)
        return before is None or before.why != why

    def accepted(self, name: str) -> None:
        """Take in that a write succeeded."""
        self._refused.pop(name, None)

    def made(self, name: str, now: float) -> None:
        """Take in that a DaemonSet was created."""
        self.accepted(name)
        self._made[name] = now

    def vanished(self, name: str, now: float) -> None:
        """Take in that a DaemonSet is gone that nobody here removed.

        It is made again at once, unless that was done not long ago.
        """
        made_at = self._made.pop(name, None)
        if made_at is None or now - made_at > self._policy.longest_retry_seconds:
            self._vanished.pop(name, None)
            return
        count = self._vanished.get(name, 0)
        self._vanished[name] = count + 1
        self._refused[name] = _Refusal(_DELETED, 0, now + pause_seconds(self._policy, count))

    def forget_but(self, names: set[str]) -> None:
        """Forget the DaemonSets that are neither there nor wanted any more."""
        for known in (self._refused, self._made, self._vanished):
            for name in known.keys() - names:
                del known[name]
