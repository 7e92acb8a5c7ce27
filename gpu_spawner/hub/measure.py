"""Measure a start for the metrics: how long it took, and what became of it."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from gpu_spawner.hub.refusal import SpawnRefused
from gpu_spawner.hub.seats import Place
from gpu_spawner.hub.start_metrics import (
    START_SECONDS,
    STARTS_FAILED,
    STARTS_UNDER_WAY,
    WAIT_SECONDS,
    image_label,
)

__all__ = ["StartMeasure", "measured_start"]

_CANCELLED: Final = "cancelled"
"""The user gave up, or the hub did."""
_ERROR: Final = "error"
"""Something nobody foresaw; the hub's log has it."""


class StartMeasure:
    """One start under way."""

    def __init__(self, place: Place | None) -> None:
        self._place = place
        self._began = time.monotonic()

    @property
    def profile(self) -> str:
        """The profile that is started, for labels."""
        return self._place.fragment.selection.profile if self._place else ""

    def succeeded(self, pod: Mapping[str, Any] | None) -> None:
        """Count a start whose pod runs."""
        label = image_label(is_cold=self._place.is_cold if self._place else None)
        START_SECONDS.labels(self.profile, label).observe(time.monotonic() - self._began)
        waited = _waited_seconds(pod or {})
        if waited is not None:
            WAIT_SECONDS.labels(self.profile).observe(waited)

    def failed(self, error: BaseException) -> None:
        """Count a start that ended in an exception."""
        reason = _ERROR
        if isinstance(error, SpawnRefused):
            reason = error.metric_reason
        elif isinstance(error, asyncio.CancelledError):
            reason = _CANCELLED
        STARTS_FAILED.labels(self.profile, reason).inc()


@contextmanager
def measured_start(place: Place | None) -> Iterator[StartMeasure]:
    """Count what the block is left with: its exception, or what it said of its success."""
    measure = StartMeasure(place)
    with STARTS_UNDER_WAY.labels(measure.profile).track_inprogress():
        try:
            yield measure
        except BaseException as error:
            measure.failed(error)
            raise


def _waited_seconds(pod: Mapping[str, Any]) -> float | None:
    """Return how long a pod waited for its node, in whole seconds, as the API server tells it."""
    created = _time((pod.get("metadata") or {}).get("creationTimestamp"))
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "True":
            scheduled = _time(condition.get("lastTransitionTime"))
            if created is not None and scheduled is not None:
                return max(0.0, (scheduled - created).total_seconds())
    return None


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
