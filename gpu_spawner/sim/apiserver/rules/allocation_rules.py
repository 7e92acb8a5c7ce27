"""What an API server refuses in the status of a ResourceClaim.

A scheduler writes there which devices a claim holds and for whom, a driver what it did with them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_many,
)
from gpu_spawner.sim.apiserver.rules.affinity_rules import check_node_selector
from gpu_spawner.sim.apiserver.rules.device_names import (
    binding_problems,
    device_problems,
    driver_problems,
    duplicates,
    pool_problems,
    share_id_problems,
)
from gpu_spawner.sim.apiserver.rules.device_rules import (
    check_opaque,
    check_reference,
    request_names,
)
from gpu_spawner.sim.apiserver.wire.internal_types import internal_value

__all__ = ["check_claim_status_update", "forget_freed_devices"]

Obj = Mapping[str, Any]

_MAX_USERS: Final = 256
_MAX_RESULTS: Final = 32
_MAX_CONFIGS: Final = 64
_CONFIG_SOURCES: Final = ("FromClaim", "FromClass")


def forget_freed_devices(new: dict[str, Any], old: Obj) -> None:
    """Drop what drivers reported of devices that the claim holds no more."""
    devices = new["status"].get("devices")
    if not devices:
        return
    freed = _held(old["status"]) - _held(new["status"])
    kept = [device for device in devices if _identity(device) not in freed]
    if kept:
        new["status"]["devices"] = kept
    else:
        del new["status"]["devices"]


def check_claim_status_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """Check what a scheduler or a driver reports about a claim."""
    status, before = new["status"], old["status"]
    yield from _check_users(new, old)
    yield from _check_devices(status)
    allocation, earlier = status.get("allocation"), before.get("allocation")
    if allocation is None:
        return
    if earlier is not None:
        if allocation != earlier:
            shown = internal_value("resource.v1.AllocationResult", dict(allocation))
            yield invalid_value("status.allocation", shown, "field is immutable")
        return
    devices, names = allocation["devices"], request_names(new["spec"]["devices"])
    here, results = "status.allocation.devices", devices.get("results", ())
    if len(results) > _MAX_RESULTS:
        yield too_many(f"{here}.results", len(results), _MAX_RESULTS)
    else:
        for index, result in enumerate(results):
            yield from _check_result(result, names, f"{here}.results[{index}]")
    configs = devices.get("config", ())
    if len(configs) > _MAX_CONFIGS:
        yield too_many(f"{here}.config", len(configs), _MAX_CONFIGS)
    for index, config in enumerate(configs):
        yield from _check_config(config, names, f"{here}.config[{index}]")
    if "nodeSelector" in allocation:
        where = "status.allocation.nodeSelector"
        yield from check_node_selector(allocation["nodeSelector"], where)


def _check_users(new: Obj, old: Obj) -> Iterator[FieldError]:
    """Check for whom a claim is reserved."""
    users, here = new["status"].get("reservedFor", ()), "status.reservedFor"
    if len(users) > _MAX_USERS:
        yield too_many(here, len(users), _MAX_USERS)
    else:
        for index, user in enumerate(users):
            for key in ("resource", "name", "uid"):
                if not user[key]:
                    yield required(f"{here}[{index}].{key}")
        yield from duplicates([user["uid"] for user in users], here)
    if users and "allocation" not in new["status"]:
        yield forbidden_field(here, "may not be specified when `allocated` is not set")
    known = old["status"].get("reservedFor", ())
    is_going = "deletionTimestamp" in new["metadata"]
    if is_going and any(user not in known for user in users):
        detail = (
            "new entries may not be added while `deallocationRequested` or `deletionTimestamp` "
            "are set"
        )
        yield forbidden_field(here, detail)


def _check_result(result: Obj, names: set[str], path: str) -> Iterator[FieldError]:
    yield from check_reference(result["request"], names, f"{path}.request")
    yield from driver_problems(result["driver"], f"{path}.driver")
    yield from pool_problems(result["pool"], f"{path}.pool")
    yield from device_problems(result["device"], f"{path}.device")
    yield from binding_problems(result, path)
    if "shareID" in result:
        yield from share_id_problems(result["shareID"], f"{path}.shareID")


def _check_config(config: Obj, names: set[str], path: str) -> Iterator[FieldError]:
    if not config["source"]:
        yield required(f"{path}.source")
    elif config["source"] not in _CONFIG_SOURCES:
        yield not_supported(f"{path}.source", config["source"], _CONFIG_SOURCES)
    for number, name in enumerate(config.get("requests", ())):
        yield from check_reference(name, names, f"{path}.requests[{number}]")
    yield from check_opaque(config, path)


def _check_devices(status: Obj) -> Iterator[FieldError]:
    """Check what drivers report: only about devices that the claim holds."""
    held = _held(status)
    for index, device in enumerate(status.get("devices", ())):
        here = f"status.devices[{index}]"
        yield from driver_problems(device["driver"], f"{here}.driver")
        yield from pool_problems(device["pool"], f"{here}.pool")
        yield from device_problems(device["device"], f"{here}.device")
        if _identity(device) not in held:
            shown = dict(
                zip(("Driver", "Pool", "Device", "ShareID"), _identity(device), strict=True)
            )
            yield invalid_value(here, shown, "must be an allocated device in the claim")


def _held(status: Obj) -> set[tuple[str, str, str, str]]:
    devices = status.get("allocation", {}).get("devices", {})
    return {_identity(result) for result in devices.get("results", ())}


def _identity(device: Obj) -> tuple[str, str, str, str]:
    share = device.get("shareID", "")
    return device["driver"], device["pool"], device["device"], share
