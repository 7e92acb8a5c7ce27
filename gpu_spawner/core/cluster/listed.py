"""The objects of a ``v1`` List as kubectl prints it, sorted by kind.

Decides which kinds are read and which versions of them. Every object that is not what the API would
send is a problem with its position; all of them are told at once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

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
from gpu_spawner.core.cluster.objects import (
    MalformedObjectError,
    node_from_api,
    pod_from_api,
    to_json,
)
from gpu_spawner.core.errors import ConfigError, Problem

__all__ = ["KIND_OF", "sort_by_kind"]

_VERSION: Final = "resource.k8s.io/v1"

_Read = Callable[[Mapping[str, Any]], Any]


def _reader(wire: type[Any], build: Callable[[Any], Any]) -> _Read:
    decode = msgspec.json.Decoder(wire).decode

    def read(item: Mapping[str, Any]) -> Any:
        version = item.get("apiVersion")
        # Taint rules have had one shape in every version.
        if build is not build_taint_rule and str(version or _VERSION) != _VERSION:
            raise MalformedObjectError(
                f"apiVersion: {str(version)[:60]} is not read, only {_VERSION} is"
            )
        try:
            return build(decode(to_json(item)))
        except ValueError as error:  # msgspec.ValidationError is one
            raise MalformedObjectError(str(error)) from None

    return read


KIND_OF: Final = {
    "Node": "nodes",
    "Pod": "pods",
    "ResourceSlice": "resourceslices",
    "DeviceClass": "deviceclasses",
    "ResourceClaim": "resourceclaims",
    "ResourceClaimTemplate": "resourceclaimtemplates",
    "DeviceTaintRule": "devicetaintrules",
}
"""The plural of each kind that is read."""

_READERS: Final[Mapping[str, _Read]] = {
    "Node": node_from_api,
    "Pod": pod_from_api,
    "ResourceSlice": _reader(WireSlice, build_slice),
    "DeviceClass": _reader(WireClass, build_class),
    "ResourceClaim": _reader(WireClaim, build_claim),
    "ResourceClaimTemplate": _reader(WireTemplate, build_template),
    "DeviceTaintRule": _reader(WireTaintRule, build_taint_rule),
}


def sort_by_kind(
    items: Iterable[Mapping[str, Any]], source: str = "cluster"
) -> dict[str, list[Any]]:
    """Read objects; return them by the plural of their kind, kinds that are not read left out.

    Raises:
        ConfigError: objects that are not what the API would send, all of them, each with its
            position under ``source``.
    """
    found: dict[str, list[Any]] = {plural: [] for plural in KIND_OF.values()}
    problems: list[Problem] = []
    for position, item in enumerate(items):
        try:
            kind = _kind_of(item)
            read = _READERS.get(kind)
            if read is not None:
                found[KIND_OF[kind]].append(read(item))
        except MalformedObjectError as error:
            problems.append(_problem(source, position, item, error))
    if problems:
        raise ConfigError(problems)
    return found


def _kind_of(item: Mapping[str, Any]) -> str:
    if not isinstance(item, Mapping):
        raise MalformedObjectError(f"an object is a mapping, not {type(item).__name__}")
    kind = item.get("kind")
    if not isinstance(kind, str):
        raise MalformedObjectError("kind: missing")
    return kind


def _problem(source: str, position: int, item: object, error: MalformedObjectError) -> Problem:
    where = f"items[{position}]"
    if isinstance(item, Mapping):
        meta = item.get("metadata")
        name = meta.get("name") if isinstance(meta, Mapping) else None
        if isinstance(name, str):
            where = f"{where} ({str(item.get('kind'))[:40]} {name[:260]})"
    return Problem(
        file=source,
        key=where,
        message=f"{error}.",
        cure="Save the objects again with kubectl get -A -o json.",
    )
