"""How long a start may take, and in which of its parts."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gpu_spawner.hub.outcome import stuck_on, too_late, waited_in_vain
from gpu_spawner.hub.refusal import SpawnRefused

__all__ = ["StartPatience", "full_timeout"]

MARGIN_SECONDS: Final = 2.0
"""How long before the hub's own timeout a start is given up, so that the reason can be told."""
_LOOK_SECONDS: Final = 2.0
_Pod = Mapping[str, Any]
_Events = Iterable[Mapping[str, Any]]


def full_timeout(start_seconds: int, max_wait_seconds: int) -> int:
    """Return what the hub's own timeout must be, so that a start may wait first."""
    return start_seconds + max_wait_seconds


@dataclass(slots=True, kw_only=True)
class StartPatience:
    """Watches the clock for one start.

    Attributes:
        timeout_seconds: for the whole start, as JupyterHub has it.
        max_wait_seconds: how much of that is for waiting for a node; 0 where nothing is waited
            for on purpose.
        stuck_seconds: how long to bear what goes on only if somebody mends something; 0 for ever.
        is_hopeless: tells whether no node could ever take the server.
        began: when it began, on the same clock as in ``check``.
    """

    timeout_seconds: float
    max_wait_seconds: int
    stuck_seconds: float
    is_hopeless: Callable[[], bool]
    began: float
    _placed: float | None = None
    _looked: float = float("-inf")
    _stuck: float | None = None

    def check(self, pod: _Pod, events: Callable[[], _Events], now: float) -> SpawnRefused | None:
        """Return the failure of a start that takes too long; None while it need not fail."""
        return self._check_time(pod, events, now) or self._check_progress(pod, events, now)

    def _check_time(
        self, pod: _Pod, events: Callable[[], _Events], now: float
    ) -> SpawnRefused | None:
        if self.max_wait_seconds and not _node(pod):
            if now - self.began >= self.max_wait_seconds:
                return waited_in_vain(pod, events(), self.max_wait_seconds)
            return None
        if self._placed is None:
            self._placed = now if self.max_wait_seconds else self.began
        patience = max(1.0, self.timeout_seconds - self.max_wait_seconds - MARGIN_SECONDS)
        waited = now - self._placed
        return too_late(pod, events(), waited) if waited >= patience else None

    def _check_progress(
        self, pod: _Pod, events: Callable[[], _Events], now: float
    ) -> SpawnRefused | None:
        """Give up what has been stuck for too long."""
        if not self.stuck_seconds or now - self._looked < _LOOK_SECONDS:
            return None
        self._looked = now
        why = stuck_on(pod, events(), is_hopeless=self.is_hopeless)
        if why is None:
            self._stuck = None
            return None
        if self._stuck is None:
            self._stuck = now
        return why if now - self._stuck >= self.stuck_seconds else None


def _node(pod: _Pod) -> object:
    return (pod.get("spec") or {}).get("nodeName")
