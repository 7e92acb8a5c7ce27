"""Rules that claims, slices and allocations share: how drivers, pools and devices are named."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    duplicate,
    invalid_value,
    required,
    too_long,
    too_many,
)
from gpu_spawner.sim.apiserver.names import (
    dns_label_problems,
    dns_subdomain_problems,
    qualified_name_problems,
)

__all__ = [
    "binding_problems",
    "device_problems",
    "driver_problems",
    "duplicates",
    "pool_problems",
    "share_id_problems",
]

_MAX_DRIVER_BYTES: Final = 63
_MAX_POOL_BYTES: Final = 253
_MAX_CONDITIONS: Final = 4
_UUID_CHARACTERS: Final = 36
_BINDING: Final = "bindingConditions"
_FAILURE: Final = "bindingFailureConditions"


def driver_problems(driver: str, path: str) -> Iterator[FieldError]:
    """Check the name of a driver."""
    if not driver:
        yield required(path)
        return
    if len(driver) > _MAX_DRIVER_BYTES:
        yield too_long(path, _MAX_DRIVER_BYTES)
    for problem in dns_subdomain_problems(driver.lower()):
        yield invalid_value(path, driver, problem)


def pool_problems(pool: str, path: str) -> Iterator[FieldError]:
    """Check the name of a pool: subdomains, separated by slashes."""
    if not pool:
        yield required(path)
        return
    if len(pool) > _MAX_POOL_BYTES:
        yield too_long(path, _MAX_POOL_BYTES)
    for part in pool.split("/"):
        for problem in dns_subdomain_problems(part):
            yield invalid_value(path, part, problem)


def device_problems(device: str, path: str) -> Iterator[FieldError]:
    """Check the name of a device."""
    for problem in dns_label_problems(device):
        yield invalid_value(path, device, problem)


def share_id_problems(share_id: str, path: str) -> Iterator[FieldError]:
    """Check the id of one share of a device."""
    try:
        normal = str(uuid.UUID(share_id))
    except ValueError:
        length = len(share_id)
        why = (
            "invalid UUID format"
            if length == _UUID_CHARACTERS
            else f"invalid UUID length: {length}"
        )
        yield invalid_value(path, share_id, f"error validating uid: {why}")
        return
    if share_id != normal:
        detail = (
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with "
            "lowercase hexadecimal characters"
        )
        yield invalid_value(path, share_id, detail)


def binding_problems(device: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """Check the conditions a device has to meet before its pod is bound."""
    good, bad = device.get(_BINDING) or [], device.get(_FAILURE) or []
    for key, conditions in ((_BINDING, good), (_FAILURE, bad)):
        here = f"{path}.{key}"
        if len(conditions) > _MAX_CONDITIONS:
            yield too_many(here, len(conditions), _MAX_CONDITIONS)
        for index, condition in enumerate(conditions):
            for problem in qualified_name_problems(condition):
                yield invalid_value(f"{here}[{index}]", condition, problem)
        yield from duplicates(conditions, here)
    for index, condition in enumerate(bad):
        if condition in good:
            detail = f"{_FAILURE} must not overlap with {_BINDING}"
            yield invalid_value(f"{path}.{_FAILURE}[{index}]", condition, detail)
    if bad and not good:
        detail = f"{_BINDING} are required to use {_FAILURE}"
        yield invalid_value(f"{path}.{_BINDING}", None, detail)
    if good and not bad:
        detail = f"{_FAILURE} are required to use {_BINDING}"
        yield invalid_value(f"{path}.{_FAILURE}", None, detail)


def duplicates(names: Sequence[str], path: str) -> Iterator[FieldError]:
    """Find the names that are there twice."""
    for index, name in enumerate(names):
        if name in names[:index]:
            yield duplicate(f"{path}[{index}]", name)
