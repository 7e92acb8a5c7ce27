"""Pulls that were completed, as the kubelet tells of them in events.

The text is k8s.io/kubernetes ``pkg/kubelet/images/image_manager.go``; a duration is written as Go
writes it. An image that was there already is another message, and teaches nothing.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = ["PullEvent", "WirePullEvent", "build_pull_event"]

_PULLED: Final = re.compile(
    r'Successfully pulled image "(?P<image>[^"\s]{1,512})" in (?P<pull>[0-9.a-zµμ]{1,40})'
    r"(?: \((?P<all>[0-9.a-zµμ]{1,40}) including waiting\))?"
    r"(?:\. Image size: (?P<size>[0-9]{1,15}) bytes)?",
    re.ASCII | re.DOTALL,
)
_GO_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|us|ns|m|s)")
_GO_SECONDS: Final[Mapping[str, float]] = {
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "ns": 1e-9,
}


class PullEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A pull that was completed, as the kubelet told it.

    Attributes:
        uid: of the event, to count each once.
        node: where; empty where the event does not say.
        size_bytes: compressed; 0 where the event does not say.
    """

    uid: str
    image: str
    node: str = ""
    seconds: float = 0.0
    size_bytes: int = 0
    count: int = 1


class _Wire(msgspec.Struct, rename="camel", gc=False):
    """Nulls are absences; unknown fields are skipped."""


class _Meta(_Wire):
    name: str | None = None
    uid: str | None = None
    resource_version: str | None = None


class _Source(_Wire):
    host: str | None = None


class WirePullEvent(_Wire):
    """An event on the wire."""

    metadata: _Meta | None = None
    message: str | None = None
    source: _Source | None = None
    reporting_instance: str | None = None
    count: int | None = None


def build_pull_event(wire: WirePullEvent) -> PullEvent:
    """Build a completed pull from an event; ``seconds`` is 0 where the event tells of none."""
    meta = wire.metadata or _Meta()
    found = _PULLED.search(wire.message or "")
    node = (wire.source.host if wire.source else None) or wire.reporting_instance or ""
    uid = meta.uid or meta.name or ""
    if found is None:
        return PullEvent(uid=uid, image="", node=node)
    return PullEvent(
        uid=uid,
        image=found["image"],
        node=node,
        # Without the time spent in the kubelet's queue: that is not the image's fault.
        seconds=_go_seconds(found["pull"]),
        size_bytes=int(found["size"] or 0),
        count=max(1, wire.count or 1),
    )


def _go_seconds(text: str) -> float:
    """Read a duration as Go prints it; 0 for what is none.

    >>> _go_seconds("1m52.33s"), _go_seconds("245ms"), _go_seconds("soon")
    (112.33, 0.245, 0.0)
    """
    parts = _GO_DURATION.findall(text.replace("µ", "u").replace("μ", "u"))
    return round(sum((float(number) * _GO_SECONDS[unit] for number, unit in parts), 0.0), 3)
