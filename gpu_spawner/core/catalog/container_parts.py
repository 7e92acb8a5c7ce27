"""Parts of a sidecar: values from secrets, and how Kubernetes asks whether it is ready."""

from dataclasses import dataclass

__all__ = ["Probe", "SecretKey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretKey:
    """Where the value of an environment variable is; the value itself is never known here."""

    variable: str
    secret: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How Kubernetes asks a sidecar whether it is ready: HTTP, or a connection without a path.

    ``patience_seconds`` is how long it may take to become ready before it is called failed.
    """

    path: str = ""
    port: int
    period_seconds: int = 10
    patience_seconds: int = 600
