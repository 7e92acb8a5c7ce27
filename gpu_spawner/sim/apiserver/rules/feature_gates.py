"""What the API server drops of a claim while a feature gate is off.

It drops silently and before validation, as ``dropDisabledSpecFields`` does in
kubernetes/pkg/registry/resource/resourceclaim/strategy.go. All gates are on unless a test turns one
off.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from gpu_spawner.sim.apiserver.kinds import Resource

__all__ = ["drop_disabled_fields"]

Obj = dict[str, Any]

_OF_WISHES: Final = {
    "DRAAdminAccess": "adminAccess",
    "DRAConsumableCapacity": "capacity",
    "DRADeviceTaints": "tolerations",
}
_OF_REQUESTS: Final = {"DRAPrioritizedList": "firstAvailable"}
_OF_CONSTRAINTS: Final = {"DRAConsumableCapacity": "distinctAttribute"}


def drop_disabled_fields(resource: Resource, obj: Obj, disabled: Collection[str]) -> None:
    """Take from a new object what it may not have while these gates are off."""
    if not disabled:
        return
    for devices in _devices(resource, obj):
        requests = devices.get("requests", ())
        _drop(_wishes(requests), _OF_WISHES, disabled)
        _drop(requests, _OF_REQUESTS, disabled)
        _drop(devices.get("constraints", ()), _OF_CONSTRAINTS, disabled)


def _drop(things: Iterable[Obj], fields: Mapping[str, str], disabled: Collection[str]) -> None:
    for thing in things:
        for gate in disabled:
            thing.pop(fields.get(gate, ""), None)


def _wishes(requests: Iterable[Obj]) -> Iterator[Obj]:
    for request in requests:
        yield from request.get("firstAvailable", ())
        if "exactly" in request:
            yield request["exactly"]


def _devices(resource: Resource, obj: Obj) -> Iterator[Obj]:
    if resource.kind == "ResourceClaim":
        yield obj["spec"].get("devices") or {}
    elif resource.kind == "ResourceClaimTemplate":
        yield obj["spec"]["spec"].get("devices") or {}
