"""What an API server refuses in a ResourceSlice, with which a driver publishes its devices."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_long,
    too_many,
)
from gpu_spawner.sim.apiserver.names import (
    dns_subdomain_problems,
    label_value_problems,
    qualified_name_problems,
)
from gpu_spawner.sim.apiserver.rules.affinity_rules import check_node_selector
from gpu_spawner.sim.apiserver.rules.capacity_rules import counter_problems, policy_problems
from gpu_spawner.sim.apiserver.rules.device_names import (
    binding_problems,
    device_problems,
    driver_problems,
    duplicates,
    pool_problems,
)
from gpu_spawner.sim.apiserver.wire.internal_types import internal_value

__all__ = ["check_slice", "check_slice_update", "stamp_taints"]

Obj = Mapping[str, Any]

_MAX_DEVICES: Final = 128
_MAX_ADVANCED_DEVICES: Final = 64
_MAX_ATTRIBUTES: Final = 32
_MAX_TEXT_BYTES: Final = 64
_MAX_TAINTS: Final = 16
_MAX_CONSUMPTIONS: Final = 2
_MAX_COUNTER_SETS: Final = 8
_VALUES: Final = ("int", "bool", "string", "version")
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
        yield from duplicates([item["name"] for item in devices], "spec.devices")
    counters = spec.get("sharedCounters", ())
    if len(counters) > _MAX_COUNTER_SETS:
        yield too_many("spec.sharedCounters", len(counters), _MAX_COUNTER_SETS)
        return
    for index, counter_set in enumerate(counters):
        yield from counter_problems(counter_set, "name", f"spec.sharedCounters[{index}]")
    yield from duplicates([item["name"] for item in counters], "spec.sharedCounters")


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
    yield from pool_problems(pool["name"], f"{path}.name")
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
        selector, here = spec["nodeSelector"], "spec.nodeSelector"
        yield from check_node_selector(selector, here)
        terms = selector.get("nodeSelectorTerms") or []
        if len(terms) != 1:
            shown = [internal_value("core.v1.NodeSelectorTerm", term) for term in terms] or None
            detail = "must have exactly one node selector term"
            yield invalid_value(f"{here}.nodeSelectorTerms", shown, detail)
    if not chosen:
        yield required("spec", _PLACES_RULE)
    elif len(chosen) > 1:
        detail = f"{_PLACES_RULE}, but multiple fields are set"
        yield invalid_value("spec", f"{{{', '.join(chosen)}}}", detail)


def _check_device(device: Obj, path: str, *, picks_nodes: bool) -> Iterator[FieldError]:
    yield from device_problems(device["name"], f"{path}.name")
    attributes, capacity = device.get("attributes", {}), device.get("capacity", {})
    if len(attributes) + len(capacity) > _MAX_ATTRIBUTES:
        detail = f"the total number of attributes and capacities must not exceed {_MAX_ATTRIBUTES}"
        yield invalid_value(path, len(attributes) + len(capacity), detail)
    for name in attributes:
        yield from _check_qualified(name, f"{path}.attributes")
        yield from _check_attribute(attributes[name], f"{path}.attributes[{name}]")
    for name in capacity:
        yield from _check_qualified(name, f"{path}.capacity")
        if "requestPolicy" not in capacity[name]:
            continue
        where = f"{path}.capacity[{name}]"
        if device.get("allowMultipleAllocations"):
            yield from policy_problems(capacity[name], where)
        else:
            detail = "allowMultipleAllocations must be true"
            yield forbidden_field(f"{where}.requestPolicy", detail)
    taints = device.get("taints", ())
    if len(taints) > _MAX_TAINTS:
        yield too_many(f"{path}.taints", len(taints), _MAX_TAINTS)
    else:
        for index, taint in enumerate(taints):
            yield from _check_taint(taint, f"{path}.taints[{index}]")
    yield from _check_consumption(device.get("consumesCounters", ()), f"{path}.consumesCounters")
    yield from _check_device_places(device, path, picks_nodes=picks_nodes)
    yield from binding_problems(device, path)


def _check_consumption(consumed: Sequence[Obj], path: str) -> Iterator[FieldError]:
    if len(consumed) > _MAX_CONSUMPTIONS:
        yield too_many(path, len(consumed), _MAX_CONSUMPTIONS)
        return
    for index, counters in enumerate(consumed):
        yield from counter_problems(counters, "counterSet", f"{path}[{index}]")
    yield from duplicates([counters["counterSet"] for counters in consumed], path)


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
        # The server's own names for the values, in its order.
        shown = {f"{key.title()}Value": attribute.get(key) for key in _VALUES}
        shown |= {f"{key.title()}Values": attribute.get(f"{key}s") for key in _VALUES}
        yield invalid_value(path, shown if attribute else "", "exactly one value must be specified")
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
