"""The events of one pod, in the order in which they happened."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["as_list", "as_mapping", "as_text", "last_of", "message_of", "own_events"]

_MAX_DETAIL: Final = 300
_SECONDS_LENGTH: Final = len("2026-01-01T00:00:00")
_COURSE: Final = ("FailedScheduling", "Scheduled", "Pulling", "Pulled", "Created", "Started")


def own_events(
    pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Order events by time, without those of an earlier pod that had the same name."""
    uid = as_text(as_mapping(pod.get("metadata")).get("uid"))
    own = []
    for event in events:
        subject = as_text(as_mapping(as_mapping(event).get("involvedObject")).get("uid"))
        if not uid or not subject or uid == subject:
            own.append(as_mapping(event))
    return sorted(own, key=_when)


def _when(event: Mapping[str, Any]) -> tuple[str, int]:
    """Return in which second an event last happened, and its place in the course of a start.

    The scheduler writes microseconds and the kubelet whole seconds: within one second only the
    course tells what came first.
    """
    reason = event.get("reason")
    rank = _COURSE.index(reason) if reason in _COURSE else len(_COURSE)
    for value in (
        as_mapping(event.get("series")).get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
        as_mapping(event.get("metadata")).get("creationTimestamp"),
    ):
        if value:
            return str(value)[:_SECONDS_LENGTH], rank
    return "", rank


def last_of(story: list[Mapping[str, Any]], *reasons: str) -> Mapping[str, Any] | None:
    """Return the latest event with one of these reasons."""
    return next((event for event in reversed(story) if event.get("reason") in reasons), None)


def message_of(event: Mapping[str, Any]) -> str:
    """Return what an event says, in one bounded line."""
    text = event.get("message") or event.get("note")  # events.k8s.io/v1 calls it note
    return " ".join(as_text(text).split())[:_MAX_DETAIL]


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one instead of anything else."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings of a list; none instead of anything else."""
    if not isinstance(value, (list, tuple)):
        return []
    return [item for item in value if isinstance(item, Mapping)]


def as_text(value: Any) -> str:
    """Return a text as it is, and an empty one instead of anything else."""
    return value if isinstance(value, str) else ""
