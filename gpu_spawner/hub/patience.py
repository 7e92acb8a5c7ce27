"""How long a start may take, and in which of its parts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gpu_spawner.hub.outcome import too_late, waited_in_vain
from gpu_spawner.hub.refusal import SpawnRefused

__all__ = ["StartPatience", "full_timeout"]

MARGIN_SECONDS: Final = 2.0
"""How long before the hub's own timeout a start is given up, so that the reason can be told."""


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
        began: when it began, on the same clock as in ``check``.
    """

    timeout_seconds: float
    max_wait_seconds: int
    began: float
    _placed: float | None = None

    def check(
        self, pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]], now: float
    ) -> SpawnRefused | None:
        """Return the failure of a start that takes too long; None while it need not fail."""
        if self.max_wait_seconds and not (pod.get("spec") or {}).get("nodeName"):
            if now - self.began >= self.max_wait_seconds:
                return waited_in_vain(pod, events, self.max_wait_seconds)
            return None
        if self._placed is None:
            self._placed = now if self.max_wait_seconds else self.began
        patience = max(1.0, self.timeout_seconds - self.max_wait_seconds - MARGIN_SECONDS)
        waited = now - self._placed
        return too_late(pod, events, waited) if waited >= patience else None
