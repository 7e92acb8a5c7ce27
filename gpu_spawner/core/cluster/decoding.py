"""The API's bytes as typed objects, pages and watch events.

Decides nothing: it turns one HTTP body or one watch line into typed objects, skipping every field
nobody asks for. A further kind is one more reader in ``_READERS``.
"""

from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from gpu_spawner.core.cluster.claim_objects import build_claim, build_template
from gpu_spawner.core.cluster.device_classes import build_class, build_taint_rule
from gpu_spawner.core.cluster.device_objects import build_slice
from gpu_spawner.core.cluster.device_wire import (
    WireClaim,
    WireClass,
    WireSlice,
    WireTaintRule,
    WireTemplate,
)
from gpu_spawner.core.cluster.objects import Node, Pod, build_node, build_pod
from gpu_spawner.core.cluster.pull_events import WirePullEvent, build_pull_event
from gpu_spawner.core.cluster.puller_wire import WirePullerPod, WirePullerSet
from gpu_spawner.core.cluster.pullers import build_puller_pod, build_puller_set
from gpu_spawner.core.cluster.wire import WireListMeta, WireMeta, WireNode, WirePod
from gpu_spawner.core.errors import ClusterError

__all__ = [
    "Page",
    "WatchEvent",
    "decode_list",
    "decode_node_list",
    "decode_pod_list",
    "decode_watch_event",
]

_T = TypeVar("_T")
_Wire = TypeVar("_Wire", bound=msgspec.Struct)


class Page(msgspec.Struct, Generic[_T], frozen=True, kw_only=True):
    """One page of a list: its items, where it goes on, and the version a watch may start from."""

    items: tuple[_T, ...]
    next_token: str = ""
    resource_version: str = ""


class WatchEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a watch.

    Attributes:
        type: ``ADDED``, ``MODIFIED``, ``DELETED``, ``BOOKMARK`` or ``ERROR``.
        obj: the object; None for bookmarks and errors.
        resource_version: the version reached; empty for errors.
        status: the HTTP status an error stands for (410 for an expired version), else 0.
        reason: Kubernetes' word for an error (``Expired``, ``Gone``, ...), else empty.
        message: its explanation, else empty.
    """

    type: str
    obj: Any = None
    resource_version: str = ""
    status: int = 0
    reason: str = ""
    message: str = ""


class _List(msgspec.Struct, Generic[_Wire]):
    metadata: WireListMeta | None = None
    items: list[_Wire] | None = None


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct):
    metadata: WireMeta | None = None


class _Status(msgspec.Struct):
    code: int | None = None
    reason: str | None = None
    message: str | None = None


class _Reader(NamedTuple):
    """How one kind is read."""

    decode_list: Callable[[bytes], _List[Any]]
    decode_one: Callable[[bytes | msgspec.Raw], Any]
    build: Callable[[Any], Any]


def _reader(wire: type[Any], build: Callable[[Any], Any]) -> _Reader:
    return _Reader(
        msgspec.json.Decoder(_List[wire]).decode,  # type: ignore[valid-type] # msgspec reads it
        msgspec.json.Decoder(wire).decode,
        build,
    )


_READERS: Final = {
    "nodes": _reader(WireNode, build_node),
    "pods": _reader(WirePod, build_pod),
    "resourceslices": _reader(WireSlice, build_slice),
    "deviceclasses": _reader(WireClass, build_class),
    "resourceclaims": _reader(WireClaim, build_claim),
    "resourceclaimtemplates": _reader(WireTemplate, build_template),
    "devicetaintrules": _reader(WireTaintRule, build_taint_rule),
    "puller-pods": _reader(WirePullerPod, build_puller_pod),
    "puller-sets": _reader(WirePullerSet, build_puller_set),
    "pull-events": _reader(WirePullEvent, build_pull_event),
}
_decode_line = msgspec.json.Decoder(_Line).decode
_decode_bookmark = msgspec.json.Decoder(_Bookmark).decode
_decode_status = msgspec.json.Decoder(_Status).decode


def decode_node_list(body: bytes) -> Page[Node]:
    """Decode one page of nodes.

    Raises:
        ClusterError: this is not what an API server sends for nodes.
    """
    return decode_list("nodes", body)


def decode_pod_list(body: bytes) -> Page[Pod]:
    """Decode one page of pods.

    Raises:
        ClusterError: this is not what an API server sends for pods.
    """
    return decode_list("pods", body)


def decode_list(kind: str, body: bytes) -> Page[Any]:
    """Decode one page of a kind, named by its plural.

    Raises:
        ClusterError: this is not what an API server sends for that kind.
    """
    reader = _READERS[kind]
    try:
        page = reader.decode_list(body)
        items = tuple([reader.build(wire) for wire in page.items or ()])
    except ValueError as error:  # msgspec.DecodeError is one
        raise _malformed(f"reading a list of {kind}", error) from None
    meta = page.metadata or WireListMeta()
    return Page(
        items=items,
        next_token=meta.continue_ or "",
        resource_version=meta.resource_version or "",
    )


def decode_watch_event(kind: str, line: bytes) -> WatchEvent:
    """Decode one line of a watch over a kind, named by its plural.

    Raises:
        ClusterError: this is not what an API server sends on such a watch.
    """
    reader = _READERS[kind]
    try:
        envelope = _decode_line(line)
        if envelope.type == "ERROR":
            status = _decode_status(envelope.object)
            return WatchEvent(
                type=envelope.type,
                status=status.code or 0,
                reason=status.reason or "",
                message=status.message or "",
            )
        if envelope.type == "BOOKMARK":
            meta = _decode_bookmark(envelope.object).metadata or WireMeta()
            return WatchEvent(type=envelope.type, resource_version=meta.resource_version or "")
        wire = reader.decode_one(envelope.object)
        return WatchEvent(
            type=envelope.type,
            obj=reader.build(wire),
            resource_version=wire.metadata.resource_version or "",
        )
    except ValueError as error:
        raise _malformed(f"watching {kind}", error) from None


def _malformed(doing: str, error: ValueError) -> ClusterError:
    return ClusterError(doing, status=200, reason="Malformed", message=str(error))
