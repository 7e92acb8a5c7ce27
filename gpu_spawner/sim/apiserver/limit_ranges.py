"""What a namespace lets one pod, container or claim ask for: LimitRange objects at work.

They fill in what containers leave out, and refuse what is beyond them. Sentences are those of
Kubernetes' LimitRanger (kubernetes/plugin/pkg/admission/limitranger, 1.36); where it finds several
in no particular order, here they are in order.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gpu_spawner.core.quantity import NANO, parse_nano
from gpu_spawner.sim.apiserver.kinds import RESOURCES
from gpu_spawner.sim.apiserver.wire.quantities import format_nano

__all__ = ["LIMIT_RANGES", "limit_complaint", "set_default_resources"]

Obj = dict[str, Any]
Amounts = Mapping[str, int]

LIMIT_RANGES: Final = next(item for item in RESOURCES if item.kind == "LimitRange")
_ANNOTATION: Final = "kubernetes.io/limit-ranger"
_BINARY: Final = ("memory", "storage", "hugepages-")


def set_default_resources(limit_range: Mapping[str, Any], pod: Obj) -> None:
    """Fill in what the containers of a new pod leave out."""
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    for item in _items(limit_range, "Container"):
        limits |= item.get("default") or {}
        requests |= item.get("defaultRequest") or {}
    notes: list[str] = []
    for key, words in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(key) or ():
            resources = container.setdefault("resources", {})
            for field, defaults, noun in (
                ("requests", requests, "request"),
                ("limits", limits, "limit"),
            ):
                added = sorted(defaults.keys() - (resources.get(field) or {}).keys())
                if added:
                    given = {name: defaults[name] for name in added}
                    resources[field] = {**(resources.get(field) or {}), **given}
                    notes.append(f"{', '.join(added)} {noun} for {words} {container['name']}")
    if notes:
        text = f"LimitRanger plugin set: {'; '.join(notes)}"
        pod["metadata"].setdefault("annotations", {})[_ANNOTATION] = text


def limit_complaint(limit_range: Mapping[str, Any], obj: Obj) -> str:
    """Say what an object asks for beyond a range, or return an empty text."""
    if obj["kind"] == "PersistentVolumeClaim":
        found = list(_claim_complaints(limit_range, obj))
    else:
        found = list(_pod_complaints(limit_range, obj["spec"]))
    unique = list(dict.fromkeys(found))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]" if unique else ""


def _items(limit_range: Mapping[str, Any], kind: str) -> list[Obj]:
    return [item for item in limit_range["spec"].get("limits") or () if item["type"] == kind]


def _claim_complaints(limit_range: Mapping[str, Any], claim: Obj) -> Iterator[str]:
    requests = _amounts((claim["spec"].get("resources") or {}).get("requests"))
    for item in _items(limit_range, "PersistentVolumeClaim"):
        yield from _too_little(item, requests, {})
        for name, most in sorted((item.get("max") or {}).items()):
            start = f"maximum {name} usage per {item['type']} is {most}"
            if name not in requests:
                yield f"{start}.  No request is specified"
            elif requests[name] > parse_nano(most):
                yield f"{start}, but request is {_show(name, requests[name])}"


def _pod_complaints(limit_range: Mapping[str, Any], spec: Obj) -> Iterator[str]:
    for item in limit_range["spec"].get("limits") or ():
        if item["type"] == "Container":
            for container in [*spec["containers"], *(spec.get("initContainers") or ())]:
                resources = container.get("resources") or {}
                yield from _complaints(
                    item, _amounts(resources.get("requests")), _amounts(resources.get("limits"))
                )
        elif item["type"] == "Pod":
            yield from _complaints(item, _whole(spec, "requests"), _whole(spec, "limits"))


def _complaints(item: Obj, requests: Amounts, limits: Amounts) -> Iterator[str]:
    yield from _too_little(item, requests, limits)
    for name, most in sorted((item.get("max") or {}).items()):
        start, highest = f"maximum {name} usage per {item['type']} is {most}", parse_nano(most)
        if name not in limits:
            yield f"{start}.  No limit is specified"
        elif limits[name] > highest:
            yield f"{start}, but limit is {_show(name, limits[name])}"
        elif requests.get(name, 0) > highest:
            yield f"{start}, but request is {_show(name, requests[name])}"
    for name, most in sorted((item.get("maxLimitRequestRatio") or {}).items()):
        start = f"{name} max limit to request ratio per {item['type']} is {most}, but"
        if not requests.get(name):
            yield f"{start} no request is specified or request is 0"
        elif not limits.get(name):
            yield f"{start} no limit is specified or limit is 0"
        elif (ratio := limits[name] / requests[name]) > parse_nano(most) / NANO:
            yield f"{start} provided ratio is {ratio:.6f}"


def _too_little(item: Obj, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, least in sorted((item.get("min") or {}).items()):
        start, lowest = f"minimum {name} usage per {item['type']} is {least}", parse_nano(least)
        if name not in requests:
            yield f"{start}.  No request is specified"
        elif requests[name] < lowest:
            yield f"{start}, but request is {_show(name, requests[name])}"
        elif name in limits and limits[name] < lowest:
            yield f"{start}, but limit is {_show(name, limits[name])}"


def _whole(spec: Obj, field: str) -> Amounts:
    """Return what a pod asks for altogether: init containers run before the others, sidecars on."""
    total = _sum(_of(each, field) for each in spec["containers"])
    sidecars: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        amounts = _of(container, field)
        if container.get("restartPolicy") == "Always":
            total, sidecars = _sum((total, amounts)), _sum((sidecars, amounts))
            amounts = sidecars
        else:
            amounts = _sum((amounts, sidecars))
        total = {name: max(total.get(name, 0), amounts.get(name, 0)) for name in total | amounts}
    return total | _amounts((spec.get("resources") or {}).get(field))


def _of(container: Obj, field: str) -> dict[str, int]:
    return _amounts((container.get("resources") or {}).get(field))


def _amounts(resources: Mapping[str, str] | None) -> dict[str, int]:
    return {name: parse_nano(text) for name, text in (resources or {}).items()}


def _sum(parts: Iterable[Amounts]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, 0) + amount
    return total


def _show(name: str, nano: int) -> str:
    return format_nano(nano, is_binary=any(word in name for word in _BINARY))
