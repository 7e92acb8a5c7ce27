"""The formats in which Kubernetes writes points in time and durations."""

from datetime import UTC, datetime

__all__ = ["go_duration", "micro_time", "now_utc", "time_text"]


def now_utc() -> datetime:
    """Return the present."""
    return datetime.now(UTC)


def time_text(moment: datetime) -> str:
    """Format as metav1.Time: whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_time(moment: datetime) -> str:
    """Format as metav1.MicroTime, which leases and the newer events use."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def go_duration(seconds: float) -> str:
    """Format as Go prints a duration cut to milliseconds: ``350ms``, ``12.3s``, ``1m2.05s``.

    >>> go_duration(0.35), go_duration(12.3), go_duration(62.05), go_duration(7200)
    ('350ms', '12.3s', '1m2.05s', '2h0m0s')
    """
    milliseconds = int(seconds * 1000 + 1e-6)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text
