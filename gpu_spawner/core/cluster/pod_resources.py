"""What a pod effectively asks for, as the scheduler adds it up.

Containers and sidecars (init containers with ``restartPolicy: Always``) run together; another init
container runs beside the sidecars started before it; the pod needs the larger of both, plus its
overhead. Pod-level ``spec.resources`` replace the sum for cpu, memory and huge pages. While an
in-place resize is under way the largest of asked, allocated and actuated counts.
Source: ``PodRequests`` in k8s.io/component-helpers ``resource/helpers.go`` (1.36) and the defaults
of pkg/apis/core/v1. Equal resource lists are parsed once and share one vector.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from gpu_spawner.core.cluster.wire import (
    WireContainer,
    WireContainerStatus,
    WirePodSpec,
    WirePodStatus,
)
from gpu_spawner.core.quantity import Quantity
from gpu_spawner.core.resources import (
    CPU,
    MEMORY,
    PODS,
    ResourceVector,
    nano_from_quantities,
    vector_from_nano,
)

__all__ = ["effective_requests", "vector_from_raw"]

_CACHE_LIMIT: Final = 50_000
_NOTHING: Final = frozenset({b"", b"null", b"{}"})

_Nano = dict[str, int]


class _Resources(msgspec.Struct, frozen=True, kw_only=True):
    requests: dict[str, Quantity] | None = None
    limits: dict[str, Quantity] | None = None


class _ContainerShape(NamedTuple):
    """A container's resource lists as they were sent."""

    is_sidecar: bool
    asked: bytes
    actuated: bytes
    allocated: bytes


class _PodShape(NamedTuple):
    """Everything that decides what a pod asks for, as it was sent: the key of the cache."""

    containers: tuple[_ContainerShape, ...]
    init_containers: tuple[_ContainerShape, ...]
    pod_level: bytes
    pod_actuated: bytes
    pod_allocated: bytes
    overhead: bytes
    is_resize_infeasible: bool


_decode_resources = msgspec.json.Decoder(_Resources).decode
_decode_amounts = msgspec.json.Decoder(dict[str, Quantity]).decode
_pod_vectors: dict[_PodShape, ResourceVector] = {}
_raw_vectors: dict[bytes, ResourceVector] = {}


def effective_requests(spec: WirePodSpec, status: WirePodStatus | None) -> ResourceVector:
    """Return what a pod asks of a node, in the units of a vector.

    Raises:
        ValueError: a quantity or a resource list is malformed; the message says where.
    """
    statuses = _statuses_by_name(status)
    shape = _PodShape(
        tuple([_shape_of(container, statuses) for container in spec.containers or ()]),
        tuple([_shape_of(container, statuses) for container in spec.init_containers or ()]),
        bytes(spec.resources),
        bytes(status.resources) if status is not None else b"",
        bytes(status.allocated_resources) if status is not None else b"",
        bytes(spec.overhead),
        _is_resize_infeasible(status),
    )
    found = _pod_vectors.get(shape)
    if found is None:
        if len(_pod_vectors) >= _CACHE_LIMIT:
            _pod_vectors.clear()
        found = _pod_vectors[shape] = vector_from_nano(_add_up(shape))
    return found


def vector_from_raw(raw: bytes, where: str) -> ResourceVector:
    """Parse a resource list as it was sent; equal texts share one vector.

    Raises:
        ValueError: a quantity is malformed, or the text is no resource list; it names ``where``.
    """
    found = _raw_vectors.get(raw)
    if found is None:
        if len(_raw_vectors) >= _CACHE_LIMIT:
            _raw_vectors.clear()
        found = _raw_vectors[raw] = vector_from_nano(_parse_amounts(raw, where))
    return found


def _statuses_by_name(status: WirePodStatus | None) -> dict[str | None, WireContainerStatus]:
    if status is None:
        return {}
    return {
        entry.name: entry
        for entries in (status.container_statuses, status.init_container_statuses)
        for entry in entries or ()
    }


def _shape_of(
    container: WireContainer, statuses: Mapping[str | None, WireContainerStatus]
) -> _ContainerShape:
    is_sidecar = container.restart_policy == "Always"
    found = statuses.get(container.name)
    if found is None:
        return _ContainerShape(is_sidecar, bytes(container.resources), b"", b"")
    return _ContainerShape(
        is_sidecar,
        bytes(container.resources),
        bytes(found.resources),
        bytes(found.allocated_resources),
    )


def _is_resize_infeasible(status: WirePodStatus | None) -> bool:
    if status is not None:
        for condition in status.conditions or ():
            if condition.type == "PodResizePending":
                return condition.reason == "Infeasible"
    return False


def _add_up(shape: _PodShape) -> _Nano:
    infeasible = shape.is_resize_infeasible
    total: _Nano = {}
    for position, container in enumerate(shape.containers):
        where = f"spec.containers[{position}].resources"
        _add(total, _container_requests(container, infeasible, where))
    sidecars: _Nano = {}
    peak: _Nano = {}
    for position, container in enumerate(shape.init_containers):
        where = f"spec.initContainers[{position}].resources"
        if container.is_sidecar:
            requests = _container_requests(container, infeasible, where)
            _add(total, requests)
            _add(sidecars, requests)
            _raise_to(peak, sidecars)
        else:
            alone = _asked(container.asked, where)
            _add(alone, sidecars)
            _raise_to(peak, alone)
    _raise_to(total, peak)
    _apply_pod_level(total, shape)
    _add(total, _parse_amounts(shape.overhead, "spec.overhead"))
    total.pop(PODS, None)  # every pod counts as one of these, whatever it asks for
    return total


def _container_requests(container: _ContainerShape, infeasible: bool, where: str) -> _Nano:  # noqa: FBT001 - private
    asked = _asked(container.asked, where)
    if container.actuated in _NOTHING:
        return asked
    effective = {} if infeasible else asked
    _raise_to(effective, _parse_requests(container.actuated, "status of a container"))
    _raise_to(effective, _parse_amounts(container.allocated, "status of a container"))
    return effective


def _apply_pod_level(total: _Nano, shape: _PodShape) -> None:
    if shape.pod_level in _NOTHING:
        return
    level = _parse_resources(shape.pod_level, "spec.resources")
    requests = _parse_quantities(level.requests, "spec.resources.requests")
    limits = _parse_quantities(level.limits, "spec.resources.limits")
    # Defaulting at admission: a pod-level limit becomes the request where neither the pod nor, for
    # cpu and memory, any container asks (defaultPodRequests in pkg/apis/core/v1/defaults.go).
    for name, limit in limits.items():
        if name not in total or name not in (CPU, MEMORY):
            requests.setdefault(name, limit)
    effective = requests
    if shape.pod_actuated not in _NOTHING:
        effective = {} if shape.is_resize_infeasible else requests.copy()
        _raise_to(effective, _parse_requests(shape.pod_actuated, "status.resources"))
        _raise_to(effective, _parse_amounts(shape.pod_allocated, "status.allocatedResources"))
    for name in requests:
        if name in (CPU, MEMORY) or name.startswith("hugepages-"):
            total[name] = effective.get(name, 0)


def _asked(raw: bytes, where: str) -> _Nano:
    """Return a container's requests; a limit without a request is one, as the API defaults it."""
    if raw in _NOTHING:
        return {}
    resources = _parse_resources(raw, where)
    return _parse_quantities(resources.limits, where) | _parse_quantities(resources.requests, where)


def _parse_requests(raw: bytes, where: str) -> _Nano:
    return _parse_quantities(_parse_resources(raw, where).requests, where)


def _parse_resources(raw: bytes, where: str) -> _Resources:
    try:
        return _decode_resources(raw)
    except msgspec.ValidationError as error:
        raise ValueError(f"{where}: {error}") from None


def _parse_amounts(raw: bytes, where: str) -> _Nano:
    if raw in _NOTHING:
        return {}
    try:
        quantities = _decode_amounts(raw)
    except msgspec.ValidationError as error:
        raise ValueError(f"{where}: {error}") from None
    return _parse_quantities(quantities, where)


def _parse_quantities(quantities: Mapping[str, Quantity] | None, where: str) -> _Nano:
    try:
        return nano_from_quantities(quantities or {})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _add(total: _Nano, amounts: Mapping[str, int]) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0) + amount


def _raise_to(total: _Nano, floor: Mapping[str, int]) -> None:
    for name, amount in floor.items():
        total[name] = max(total.get(name, 0), amount)
