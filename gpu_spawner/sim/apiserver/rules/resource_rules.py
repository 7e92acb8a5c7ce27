"""What an API server refuses in requests and limits."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gpu_spawner.core.quantity import NANO, parse_nano
from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    duplicate,
    field_not_found,
    forbidden_field,
    invalid_value,
    required,
)
from gpu_spawner.sim.apiserver.names import dns_label_problems, qualified_name_problems

__all__ = [
    "check_quantity",
    "check_requirements",
    "check_resource_name",
    "is_extended",
    "is_native",
]

Obj = Mapping[str, Any]

_CONTAINER_RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_STANDARD_RESOURCES: Final = _CONTAINER_RESOURCES | {
    "configmaps",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
}
# Counted in whole things, so a fraction of one is refused.
_WHOLE_RESOURCES: Final = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    }
)


def is_native(name: str) -> bool:
    """Whether Kubernetes itself gives the resource its meaning."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Whether a device plugin gives the resource its meaning, as ``nvidia.com/gpu``."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not qualified_name_problems(f"requests.{name}")


def _may_overcommit(name: str) -> bool:
    return is_native(name) and not name.startswith("hugepages-")


def check_quantity(name: str, quantity: str, path: str) -> Iterator[FieldError]:
    """Check an amount of a resource: not negative, and whole where only whole ones exist."""
    nano = parse_nano(quantity)
    if nano < 0:
        yield invalid_value(path, quantity, "must be greater than or equal to 0")
    is_whole = is_extended(name) or name in _WHOLE_RESOURCES or name.startswith("count/")
    if is_whole and nano % NANO:
        yield invalid_value(path, quantity, "must be an integer")


def check_requirements(requirements: Obj, claim_names: set[str], path: str) -> Iterator[FieldError]:
    """Check a container's requests, limits and claims."""
    limits, requests = requirements.get("limits", {}), requirements.get("requests", {})
    for name in sorted(limits):
        here = f"{path}.limits[{name}]"
        yield from check_resource_name(name, here)
        yield from check_quantity(name, limits[name], here)
    for name in sorted(requests):
        here = f"{path}.requests[{name}]"
        yield from check_resource_name(name, here)
        yield from check_quantity(name, requests[name], here)
        yield from _check_against_limit(name, requests[name], limits.get(name), path)
    named = {*limits, *requests}
    if any(name.startswith("hugepages-") for name in named) and not named & {"cpu", "memory"}:
        yield forbidden_field(path, "HugePages require cpu or memory")
    yield from _check_claims(requirements.get("claims", ()), claim_names, f"{path}.claims")


def _check_against_limit(
    name: str, request: str, limit: str | None, path: str
) -> Iterator[FieldError]:
    if limit is None:
        if not _may_overcommit(name):
            yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        return
    wanted, allowed = parse_nano(request), parse_nano(limit)
    if wanted != allowed and not _may_overcommit(name):
        yield invalid_value(
            f"{path}.requests", request, f"must be equal to {name} limit of {limit}"
        )
    elif wanted > allowed:
        detail = f"must be less than or equal to {name} limit of {limit}"
        yield invalid_value(f"{path}.requests", request, detail)


def check_resource_name(
    name: str, path: str, *, is_for_containers: bool = True
) -> Iterator[FieldError]:
    """Check the name of a resource that a container, or an object of another kind, may use."""
    problems = qualified_name_problems(name)
    for problem in problems:
        yield invalid_value(path, name, problem)
    if "/" not in name:
        if problems:
            return
        if name not in _STANDARD_RESOURCES and not name.startswith("hugepages-"):
            yield invalid_value(path, name, "must be a standard resource type or fully qualified")
        if not is_for_containers:
            return
        if name not in _CONTAINER_RESOURCES and not name.startswith("hugepages-"):
            yield invalid_value(path, name, "must be a standard resource for containers")
    elif is_for_containers and not is_native(name) and not is_extended(name):
        yield invalid_value(path, name, "doesn't follow extended resource name standard")


def _check_claims(claims: Sequence[Obj], claim_names: set[str], path: str) -> Iterator[FieldError]:
    used: set[str] = set()
    for index, claim in enumerate(claims):
        here = f"{path}[{index}]"
        name, request = claim["name"], claim.get("request", "")
        if not name:
            yield required(here)
            continue
        key = f"{name}/{request}" if request else name
        if request:
            for problem in dns_label_problems(request):
                yield invalid_value(f"{here}.request", request, problem)
        overlaps = any(other.startswith(f"{name}/") for other in used) and not request
        if key in used or name in used or overlaps:
            yield duplicate(here, name if name in used or overlaps else key)
        used.add(key)
        if name not in claim_names:
            detail = "must be one of the names in pod.spec.resourceClaims"
            listed = ", ".join(sorted(claim_names))
            detail += f": {listed}" if listed else " which is empty"
            yield field_not_found(here, name, detail)
