"""What an API server refuses in a ResourceSlice, with which a driver publishes its devices."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_long,
    too_many,
)
from gpu_spawner.sim.apiserver.names import (
    dns_label_problems,
    dns_subdomain_problems,
    label_value_problems,
    qualified_name_problems,
)
from gpu_spawner.sim.apiserver.rules.affinity_rules import check_node_selector
from gpu_spawner.sim.apiserver.rules.device_rules import driver_problems

__all__ = ["check_slice", "check_slice_update", "stamp_taints"]

Obj = Mapping[str, Any]

_MAX_DEVICES: Final = 128
_MAX_ADVANCED_DEVICES: Final = 64
_MAX_ATTRIBUTES: Final = 32
_MAX_TEXT_BYTES: Final = 64
_TAINT_EFFECTS: Final = ("NoExecute", "NoSchedule", "None")
_PLACES: Final = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
_PLACES_RULE: Final = (
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
)
_DEVICE_PLACES: Final = ("nodeName", "nodeSelector", "allNodes")
_DEVICE_PLACES_RULE: Final = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
    "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
)
_SEMVER: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)


def stamp_taints(resource_slice: dict[str, Any], now: str) -> None:
    """Date device taints that carry no date."""
    for device in resource_slice["spec"].get("devices", ()):
        for taint in device.get("taints", ()):
            taint.setdefault("timeAdded", now)


def check_slice(resource_slice: Obj) -> Iterator[FieldError]:
    """Check a ResourceSlice."""
    spec = resource_slice["spec"]
    yield from driver_problems(spec["driver"], "spec.driver")
    yield from _check_pool(spec["pool"], "spec.pool")
    yield from _check_places(spec)
    devices = spec.get("devices", [])
    if spec.get("sharedCounters") and devices:
        detail = "only one of `sharedCounters` or `devices` is allowed"
        yield invalid_value("spec", "", detail)
    is_advanced = any("taints" in item or "consumesCounters" in item for item in devices)
    limit = _MAX_ADVANCED_DEVICES if is_advanced else _MAX_DEVICES
    if len(devices) > limit:
        yield too_many("spec.devices", len(devices), limit)
    else:
        picks_nodes = bool(spec.get("perDeviceNodeSelection"))
        for index, device in enumerate(devices):
            yield from _check_device(device, f"spec.devices[{index}]", picks_nodes=picks_nodes)
        yield from _duplicates([item["name"] for item in devices], "spec.devices")
    counters = spec.get("sharedCounters", ())
    for index, counter_set in enumerate(counters):
        yield from _check_counters(counter_set, "name", f"spec.sharedCounters[{index}]")
    yield from _duplicates([item["name"] for item in counters], "spec.sharedCounters")


def check_slice_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """A slice stays with its driver, pool and node."""
    spec, before = new["spec"], old["spec"]
    for path, after, now in (
        ("spec.pool.name", spec["pool"]["name"], before["pool"]["name"]),
        ("spec.driver", spec["driver"], before["driver"]),
        ("spec.nodeName", spec.get("nodeName"), before.get("nodeName")),
    ):
        if after != now:
            yield invalid_value(path, after, "field is immutable")
    yield from check_slice(new)


def _check_pool(pool: Obj, path: str) -> Iterator[FieldError]:
    name = pool["name"]
    if not name:
        yield required(f"{path}.name")
    for part in name.split("/") if name else ():
        for problem in dns_subdomain_problems(part):
            yield invalid_value(f"{path}.name", part, problem)
    count = pool["resourceSliceCount"]
    if count <= 0:
        yield invalid_value(f"{path}.resourceSliceCount", count, "must be greater than zero")
    if pool["generation"] < 0:
        detail = "must be greater than or equal to zero"
        yield invalid_value(f"{path}.generation", pool["generation"], detail)


def _check_places(spec: Obj) -> Iterator[FieldError]:
    chosen = []
    for key in _PLACES:
        value = spec.get(key)
        if value is None:
            continue
        if value is False:
            yield invalid_value(f"spec.{key}", value, "must be either unset or set to true")
        elif value == "":
            detail = "must be either unset or set to a non-empty string"
            yield invalid_value(f"spec.{key}", value, detail)
        else:
            chosen.append(f"`{key}`")
    for problem in dns_subdomain_problems(spec["nodeName"]) if spec.get("nodeName") else ():
        yield invalid_value("spec.nodeName", spec["nodeName"], problem)
    if "nodeSelector" in spec:
        yield from check_node_selector(spec["nodeSelector"], "spec.nodeSelector")
    if not chosen:
        yield required("spec", _PLACES_RULE)
    elif len(chosen) > 1:
        detail = f"{_PLACES_RULE}, but multiple fields are set"
        yield invalid_value("spec", f"{{{', '.join(chosen)}}}", detail)


def _check_device(device: Obj, path: str, *, picks_nodes: bool) -> Iterator[FieldError]:
    for problem in dns_label_problems(device["name"]):
        yield invalid_value(f"{path}.name", device["name"], problem)
    attributes, capacity = device.get("attributes", {}), device.get("capacity", {})
    if len(attributes) + len(capacity) > _MAX_ATTRIBUTES:
        detail = f"the total number of attributes and capacities must not exceed {_MAX_ATTRIBUTES}"
        yield invalid_value(path, len(attributes) + len(capacity), detail)
    for name in attributes:
        yield from _check_qualified(name, f"{path}.attributes")
        yield from _check_attribute(attributes[name], f"{path}.attributes[{name}]")
    for name in capacity:
        yield from _check_qualified(name, f"{path}.capacity")
        if "requestPolicy" in capacity[name] and not device.get("allowMultipleAllocations"):
            where = f"{path}.capacity[{name}].requestPolicy"
            yield forbidden_field(where, "allowMultipleAllocations must be true")
    for index, taint in enumerate(device.get("taints", ())):
        yield from _check_taint(taint, f"{path}.taints[{index}]")
    for index, counters in enumerate(device.get("consumesCounters", ())):
        yield from _check_counters(counters, "counterSet", f"{path}.consumesCounters[{index}]")
    yield from _check_device_places(device, path, picks_nodes=picks_nodes)


def _check_device_places(device: Obj, path: str, *, picks_nodes: bool) -> Iterator[FieldError]:
    chosen = [f"`{key}`" for key in _DEVICE_PLACES if device.get(key)]
    if picks_nodes and not chosen:
        yield required(path, _DEVICE_PLACES_RULE)
    elif picks_nodes and len(chosen) > 1:
        yield invalid_value(path, f"{{{', '.join(chosen)}}}", _DEVICE_PLACES_RULE)
    elif not picks_nodes and any(key in device for key in _DEVICE_PLACES):
        detail = (
            "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
            "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
        )
        yield invalid_value(path, None, detail)


def _check_qualified(name: str, path: str) -> Iterator[FieldError]:
    domain, slash, identifier = name.partition("/")
    if slash:
        yield from driver_problems(domain, path)
    if len(identifier if slash else domain) > 32:
        yield too_long(path, 32)
    if not re.fullmatch(r"[A-Za-z_]\w*", identifier if slash else domain, re.ASCII):
        detail = (
            "a valid C identifier must start with alphabetic character or '_', followed by a "
            "string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
            "'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"
        )
        yield invalid_value(path, identifier if slash else domain, detail)


def _check_attribute(attribute: Obj, path: str) -> Iterator[FieldError]:
    if len(attribute) != 1:
        shown = "" if not attribute else dict(attribute)
        yield invalid_value(path, shown, "exactly one value must be specified")
    for key in ("string", "version"):
        if len(attribute.get(key, "").encode()) > _MAX_TEXT_BYTES:
            yield too_long(f"{path}.{key}", _MAX_TEXT_BYTES)
    version = attribute.get("version")
    if version is not None and not _SEMVER.fullmatch(version):
        detail = "must be a string compatible with semver.org spec 2.0.0"
        yield invalid_value(f"{path}.version", version, detail)


def _check_taint(taint: Obj, path: str) -> Iterator[FieldError]:
    for problem in qualified_name_problems(taint["key"]):
        yield invalid_value(f"{path}.key", taint["key"], problem)
    value = taint.get("value", "")
    for problem in label_value_problems(value):
        yield invalid_value(f"{path}.value", value, problem)
    if not taint["effect"]:
        yield required(f"{path}.effect")
    elif taint["effect"] not in _TAINT_EFFECTS:
        yield not_supported(f"{path}.effect", taint["effect"], _TAINT_EFFECTS)


def _check_counters(counters: Obj, key: str, path: str) -> Iterator[FieldError]:
    if not counters[key]:
        yield required(f"{path}.{key}")
    else:
        for problem in dns_label_problems(counters[key]):
            yield invalid_value(f"{path}.{key}", counters[key], problem)
    if not counters.get("counters"):
        yield required(f"{path}.counters")


def _duplicates(names: Sequence[str], path: str) -> Iterator[FieldError]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield duplicate(f"{path}[{index}]", name)
