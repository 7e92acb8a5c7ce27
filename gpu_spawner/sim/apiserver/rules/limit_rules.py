"""Defaults and refusals for LimitRanges."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gpu_spawner.core.quantity import NANO, parse_nano
from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    required,
)
from gpu_spawner.sim.apiserver.names import qualified_name_problems
from gpu_spawner.sim.apiserver.rules.resource_rules import check_resource_name, is_native

__all__ = ["check_limit_range", "default_limit_range"]

Obj = Mapping[str, Any]

_TYPES: Final = ("Pod", "Container", "PersistentVolumeClaim")


def default_limit_range(limit_range: dict[str, Any]) -> None:
    """Fill in what a LimitRange leaves out: a container may have the most, and asks for it."""
    for limit in limit_range["spec"].get("limits") or ():
        if limit["type"] != "Container":
            continue
        limits = {**(limit.get("max") or {}), **(limit.get("default") or {})}
        requests = {**(limit.get("min") or {}), **limits, **(limit.get("defaultRequest") or {})}
        if limits:
            limit["default"] = limits
        if requests:
            limit["defaultRequest"] = requests


def check_limit_range(limit_range: Obj) -> Iterator[FieldError]:
    """Check a LimitRange."""
    seen: set[str] = set()
    for index, limit in enumerate(limit_range["spec"].get("limits") or ()):
        path, kind = f"spec.limits[{index}]", limit["type"]
        yield from _check_type(kind, f"{path}.type")
        if kind in seen:
            yield duplicate(f"{path}.type", kind)
        seen.add(kind)
        yield from _check_names(limit, path)
        if kind == "PersistentVolumeClaim" and not any(
            "storage" in (limit.get(key) or {}) for key in ("min", "max")
        ):
            detail = "either minimum or maximum storage value is required, but neither was provided"
            yield required(f"{path}.limits", detail)
        names = {name for key in _keys(kind) for name in limit.get(key) or {}}
        for name in sorted(names):
            yield from _check_order(limit, name, path)


def _check_type(kind: str, path: str) -> Iterator[FieldError]:
    problems = qualified_name_problems(kind)
    for problem in problems:
        yield invalid_value(path, kind, problem)
    if not problems and "/" not in kind and kind not in _TYPES:
        yield invalid_value(path, kind, "must be a standard limit type or fully qualified")


def _keys(kind: str) -> tuple[str, ...]:
    own = () if kind == "Pod" else ("default", "defaultRequest")
    return ("max", "min", *own, "maxLimitRequestRatio")


def _check_names(limit: Obj, path: str) -> Iterator[FieldError]:
    kind = limit["type"]
    if kind == "Pod":
        for key in ("default", "defaultRequest"):
            if limit.get(key):
                yield forbidden_field(f"{path}.{key}", "may not be specified when `type` is 'Pod'")
    for key in _keys(kind):
        for name in limit.get(key) or {}:
            yield from check_resource_name(
                name, f"{path}.{key}[{name}]", is_for_containers=kind in ("Pod", "Container")
            )


def _check_order(limit: Obj, name: str, path: str) -> Iterator[FieldError]:
    """Check that least, usual and most come in this order."""
    given = {key: limit.get(key) or {} for key in _keys(limit["type"])}
    found = {key: amounts[name] for key, amounts in given.items() if name in amounts}
    words = {
        "min": "min",
        "max": "max",
        "default": "default",
        "defaultRequest": "default request",
    }
    for low, high, blamed, shown in (
        ("min", "max", "min", "min"),
        ("min", "defaultRequest", "defaultRequest", "defaultRequest"),
        ("defaultRequest", "max", "defaultRequest", "defaultRequest"),
        ("defaultRequest", "default", "defaultRequest", "defaultRequest"),
        # As Kubernetes has it: it blames the default and shows what it was compared with.
        ("min", "default", "default", "min"),
        ("default", "max", "default", "max"),
    ):
        if low in found and high in found and parse_nano(found[low]) > parse_nano(found[high]):
            other = "default limit" if (low, high) == ("defaultRequest", "default") else words[high]
            detail = f"{words[low]} value {found[low]} is greater than {other} value {found[high]}"
            yield invalid_value(f"{path}.{blamed}[{name}]", found[shown], detail)
    yield from _check_ratio(found, name, path)
    usual, asked = found.get("default"), found.get("defaultRequest")
    if not is_native(name) and usual and asked and parse_nano(usual) != parse_nano(asked):
        detail = f"default value {usual} must equal to defaultRequest value {asked} in {name}"
        yield invalid_value(f"{path}.defaultRequest[{name}]", asked, detail)


def _check_ratio(found: Mapping[str, str], name: str, path: str) -> Iterator[FieldError]:
    ratio = found.get("maxLimitRequestRatio")
    if ratio is None:
        return
    where = f"{path}.maxLimitRequestRatio[{name}]"
    if parse_nano(ratio) < NANO:
        yield invalid_value(where, ratio, f"ratio {ratio} is less than 1")
    least = parse_nano(found.get("min", "0"))
    if least and "max" in found:
        most = parse_nano(found["max"]) / least
        if parse_nano(ratio) / NANO > most:
            detail = f"ratio {ratio} is greater than max/min = {most:.6f}"
            yield invalid_value(where, ratio, detail)
