"""Nodes and pods with only the fields decisions need, and how they are read.

:func:`node_from_api` and :func:`pod_from_api` read mappings; ``decoding`` reads
the API's bytes through the same code. Strings, resource vectors and label sets that repeat are
shared, so that a cluster of 150,000 pods stays small. Nothing here decides what follows from an
object.
"""

import re
import sys
from collections.abc import Hashable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from gpu_spawner.core.cluster.card_annotations import card_registers, held_share
from gpu_spawner.core.cluster.card_shares import CardRegister, HeldShare
from gpu_spawner.core.cluster.pod_affinity import AntiAffinityTerm, anti_affinity_from_raw
from gpu_spawner.core.cluster.pod_resources import effective_requests, vector_from_raw
from gpu_spawner.core.cluster.selectors import Taint
from gpu_spawner.core.cluster.wire import (
    WireCondition,
    WireImage,
    WireMeta,
    WireNode,
    WireNodeSpec,
    WireNodeStatus,
    WirePod,
    WirePodSpec,
    WirePodStatus,
    WirePort,
)
from gpu_spawner.core.errors import GpuSpawnerError
from gpu_spawner.core.resources import EMPTY, ResourceVector

__all__ = [
    "IMAGE_LABEL",
    "KEPT_LABELS",
    "KEPT_LABEL_PREFIXES",
    "PROFILE_LABEL",
    "HostPort",
    "MalformedObjectError",
    "Node",
    "NodeImage",
    "Pod",
    "PodKey",
    "build_node",
    "build_pod",
    "host_ports",
    "is_label_kept",
    "node_from_api",
    "pod_from_api",
    "to_json",
]

PodKey = tuple[str, str]
"""Namespace and name."""

HostPort = tuple[str, str, int]
"""Host address (``0.0.0.0`` for all), protocol, port."""

KEPT_LABELS: Final = frozenset(
    {
        "app.kubernetes.io/component",
        "app.kubernetes.io/name",
        "component",
        "hub.jupyter.org/servername",
        "hub.jupyter.org/username",
    }
)
"""Labels of pods that are kept besides those with a kept prefix; the rest would cost memory."""

KEPT_LABEL_PREFIXES: Final = ("gpu-spawner.jupyter.org/", "kueue.x-k8s.io/")

PROFILE_LABEL: Final = "gpu-spawner.jupyter.org/profile"
"""What a pod was started from."""

IMAGE_LABEL: Final = "gpu-spawner.jupyter.org/image"
"""The name, in the catalog, of the image that was chosen."""

_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_ALL_ADDRESSES: Final = "0.0.0.0"  # noqa: S104 - the scheduler's word for "any address"
_UNSAID: Final = frozenset({b"", b"null"})
_ZERO: Final = re.compile(rb':\s*"?0"?\s*[,}]')
_INTERN_LIMIT: Final = 50_000
_NO_LABELS: Final[Mapping[str, str]] = {}
_T = TypeVar("_T", bound=Hashable)


class MalformedObjectError(GpuSpawnerError):
    """An object that is not what the API would send: where it is wrong and how."""


# Of nodes and pods there are very many, and none refers to what refers to it: Python's search for
# such circles leaves them out (``gc=False``), or it would stop the hub for a while again and again.
class NodeImage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An image a node holds: all names it goes by, and its size."""

    names: tuple[str, ...]
    size_bytes: int


class Node(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A node.

    Attributes:
        is_ready: what the kubelet reports. The scheduler looks at the not-ready *taint* instead,
            and so does placement.
        allocatable: what pods may use, never the capacity: unhealthy devices lower it.
        lapsed: what the node has by its capacity and can allocate none of, as devices whose plugin
            is being restarted: they come back, or leave the capacity too after some minutes.
        images: at most the fifty largest, the largest first, as the kubelet reports them.
        image_names: every name of these; made from them.
        card_registers: the cards that HAMi and Volcano divide, one entry a scheduler.
    """

    name: str
    uid: str = ""
    labels: Mapping[str, str] = {}
    taints: tuple[Taint, ...] = ()
    is_cordoned: bool = False
    is_ready: bool = True
    allocatable: ResourceVector
    lapsed: ResourceVector = EMPTY
    images: tuple[NodeImage, ...] = ()
    architecture: str = ""
    card_registers: tuple[CardRegister, ...] = ()
    image_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Line up the names once: they are looked through for every catalog."""
        names = tuple([name for image in self.images for name in image.names])
        msgspec.structs.force_setattr(self, "image_names", names)

    def has_image(self, name: str) -> bool:
        """Tell whether the kubelet lists an image under exactly this name."""
        return name in self.image_names


class Pod(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A pod.

    Attributes:
        node_name: where it is bound, empty while it waits.
        requests: what it effectively asks for (``pod_resources``).
        labels: only those of :data:`KEPT_LABELS` and :data:`KEPT_LABEL_PREFIXES`.
        username: the owner of a single-user server, from KubeSpawner's annotation; else empty.
        servername: the name of a named server; else empty.
        created: unix seconds, 0 where the object has no time yet.
        nominated_node: where the scheduler is making room for it by preemption; else empty.
        unschedulable_message: the scheduler's reason while it waits; else empty.
        held_share: what it holds of divided cards; None for nearly all pods.
    """

    namespace: str
    name: str
    uid: str = ""
    node_name: str = ""
    requests: ResourceVector
    phase: str = "Pending"
    is_terminating: bool = False
    is_gated: bool = False
    labels: Mapping[str, str] = {}
    username: str = ""
    servername: str = ""
    created: int = 0
    scheduler_name: str = ""
    priority: int = 0
    nominated_node: str = ""
    unschedulable_message: str = ""
    host_ports: tuple[HostPort, ...] = ()
    anti_affinity: tuple[AntiAffinityTerm, ...] = ()
    held_share: HeldShare | None = None

    @property
    def key(self) -> PodKey:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def occupies(self) -> bool:
        """Whether it takes room on its node: bound and not finished; terminating ones still do."""
        return bool(self.node_name) and self.phase not in _FINISHED

    @property
    def is_nominated(self) -> bool:
        """Whether room on a node is being kept for it."""
        return bool(self.nominated_node) and not self.node_name and self.phase not in _FINISHED


_decode_node = msgspec.json.Decoder(WireNode).decode
_decode_pod = msgspec.json.Decoder(WirePod).decode
_interned: dict[Any, Any] = {}


def node_from_api(obj: Mapping[str, Any]) -> Node:
    """Read a node from an object as the API or a manifest has it.

    Raises:
        MalformedObjectError: a field has the wrong type, or the name is missing.
    """
    try:
        return build_node(_decode_node(to_json(obj)))
    except ValueError as error:  # msgspec.ValidationError is one
        raise MalformedObjectError(str(error)) from None


def pod_from_api(obj: Mapping[str, Any]) -> Pod:
    """Read a pod from an object as the API or a manifest has it.

    Raises:
        MalformedObjectError: a field has the wrong type, or the name is missing.
    """
    try:
        return build_pod(_decode_pod(to_json(obj)))
    except ValueError as error:
        raise MalformedObjectError(str(error)) from None


def to_json(obj: object) -> bytes:
    """Write an object as JSON, so that mappings are read by the decoder that reads the wire.

    Raises:
        MalformedObjectError: it holds something JSON has no form for.
    """
    try:
        return msgspec.json.encode(obj)
    except (TypeError, ValueError, RecursionError) as error:
        raise MalformedObjectError(f"not a JSON object: {error}") from None


def build_node(wire: WireNode) -> Node:
    """Build a node from its wire form.

    Raises:
        ValueError: the name is missing or a quantity is malformed.
    """
    meta = wire.metadata or WireMeta()
    spec = wire.spec or WireNodeSpec()
    status = wire.status or WireNodeStatus()
    return Node(
        name=_required_name(meta),
        uid=meta.uid or "",
        labels={sys.intern(key): sys.intern(value) for key, value in (meta.labels or {}).items()},
        taints=_share(
            tuple(
                Taint(key=taint.key or "", value=taint.value or "", effect=taint.effect or "")
                for taint in spec.taints or ()
            )
        ),
        is_cordoned=bool(spec.unschedulable),
        is_ready=_is_ready(status.conditions),
        allocatable=_allocatable(status),
        lapsed=_lapsed(status),
        images=tuple(_image(image) for image in status.images or ()),
        architecture=(status.node_info.architecture if status.node_info else None) or "",
        card_registers=card_registers(meta.annotations),
    )


def build_pod(wire: WirePod) -> Pod:
    """Build a pod from its wire form.

    Raises:
        ValueError: the name is missing or a quantity is malformed.
    """
    meta = wire.metadata or WireMeta()
    spec = wire.spec or WirePodSpec()
    status = wire.status or WirePodStatus()
    annotations = meta.annotations
    created = meta.creation_timestamp
    return Pod(
        namespace=sys.intern(meta.namespace or "default"),
        name=_required_name(meta),
        uid=meta.uid or "",
        node_name=sys.intern(spec.node_name or ""),
        requests=effective_requests(spec, wire.status),
        phase=sys.intern(status.phase or "Pending"),
        is_terminating=meta.deletion_timestamp is not None,
        is_gated=bool(spec.scheduling_gates),
        labels=_kept_labels(meta.labels),
        username=(annotations.username if annotations else None) or "",
        servername=(annotations.servername if annotations else None) or "",
        created=int(created.timestamp()) if created else 0,
        scheduler_name=sys.intern(spec.scheduler_name or ""),
        priority=spec.priority or 0,
        nominated_node=sys.intern(status.nominated_node_name or ""),
        unschedulable_message=_unschedulable_message(status.conditions),
        host_ports=host_ports(spec),
        anti_affinity=anti_affinity_from_raw(bytes(spec.affinity)),
        held_share=held_share(meta, len(spec.init_containers or ())),
    )


def host_ports(spec: WirePodSpec) -> tuple[HostPort, ...]:
    """Return the ports a pod takes on its host: those of containers and sidecars.

    With ``hostNetwork`` every container port is one, as the API defaults it.
    """
    ports: list[HostPort] = []
    for container in spec.containers or ():
        for port in container.ports or ():
            _add_host_port(ports, port, is_host_network=bool(spec.host_network))
    for container in spec.init_containers or ():
        if container.restart_policy == "Always":
            for port in container.ports or ():
                _add_host_port(ports, port, is_host_network=bool(spec.host_network))
    return _share(tuple(ports)) if ports else ()


def is_label_kept(key: str) -> bool:
    """Tell whether pods keep this label after they were read."""
    return key in KEPT_LABELS or key.startswith(KEPT_LABEL_PREFIXES)


def _add_host_port(ports: list[HostPort], port: WirePort, *, is_host_network: bool) -> None:
    number = port.host_port or (port.container_port if is_host_network else 0) or 0
    if number > 0:
        ports.append((port.host_ip or _ALL_ADDRESSES, port.protocol or "TCP", number))


def _required_name(meta: WireMeta) -> str:
    if not meta.name:
        raise ValueError("metadata.name: missing")
    return meta.name


def _allocatable(status: WireNodeStatus) -> ResourceVector:
    """Return what may be used; the API defaults it to the capacity where it is not said."""
    raw = bytes(status.allocatable)
    if raw in _UNSAID:
        return vector_from_raw(bytes(status.capacity), "status.capacity")
    return vector_from_raw(raw, "status.allocatable")


def _lapsed(status: WireNodeStatus) -> ResourceVector:
    raw = bytes(status.allocatable)
    if raw in _UNSAID or _ZERO.search(raw) is None:  # nearly every node's
        return EMPTY
    allocatable = _allocatable(status)
    capacity = vector_from_raw(bytes(status.capacity), "status.capacity")
    gone = {
        name: amount for name, amount in capacity.amounts.items() if not allocatable.amount(name)
    }
    return ResourceVector(gone) if gone else EMPTY


def _is_ready(conditions: list[WireCondition] | None) -> bool:
    return any(
        condition.type == "Ready" and condition.status == "True" for condition in conditions or ()
    )


def _unschedulable_message(conditions: list[WireCondition] | None) -> str:
    for condition in conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return sys.intern(condition.message or "")
    return ""


def _kept_labels(labels: dict[str, str] | None) -> Mapping[str, str]:
    if not labels:
        return _NO_LABELS
    kept = tuple([(key, labels[key]) for key in labels if is_label_kept(key)])
    if not kept:
        return _NO_LABELS
    found: Mapping[str, str] | None = _interned.get(kept)
    if found is None:
        _make_room()
        found = _interned[kept] = dict(kept)
    return found


def _image(wire: WireImage) -> NodeImage:
    return _share(
        NodeImage(
            names=tuple(sys.intern(name) for name in wire.names or ()),
            size_bytes=wire.size_bytes or 0,
        )
    )


def _share(value: _T) -> _T:
    """Return the first equal value that was seen, so that repeated ones are kept once."""
    found: _T | None = _interned.get(value)
    if found is None:
        _make_room()
        found = _interned[value] = value
    return found


def _make_room() -> None:
    if len(_interned) >= _INTERN_LIMIT:
        _interned.clear()
