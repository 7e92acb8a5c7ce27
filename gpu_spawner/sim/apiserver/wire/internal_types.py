"""Showing an object the way an API server shows its own memory.

A few refusals quote the server's internal structs instead of the API's JSON: Go's field names, in
Go's order, with every unset field. ``data/internal-types.txt`` lists the fields of those structs
that appear; what kind of value each has follows from the type table of :mod:`wire_types`.
"""

import difflib
import json
from functools import cache
from importlib import resources
from typing import Any, Final

from gpu_spawner.sim.apiserver.wire.wire_types import Field, fields_of, is_struct

__all__ = ["internal_diff", "internal_value"]

# The internal pod keeps these in its security context; the API has them in the spec.
_MOVED: Final = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")
_POD_SPEC: Final = "core.v1.PodSpec"
_POD_SECURITY: Final = "core.v1.PodSecurityContext"


@cache
def _table() -> dict[str, tuple[str, ...]]:
    text = resources.files("gpu_spawner.sim").joinpath("data/internal-types.txt").read_text()
    rows = (line.split() for line in text.splitlines())
    return {name: tuple(fields) for name, *fields in rows}


@cache
def _json_names(name: str) -> dict[str, str]:
    """Map Go's field names to the API's: they differ only in case."""
    names = {key.lower(): key for key in fields_of(name)}
    if name == _POD_SECURITY:
        names |= {key.lower(): key for key in _MOVED}
    return names


def internal_value(name: str, value: dict[str, Any] | None) -> Any:
    """Return a value of an API type as the server's internal struct."""
    if value is None or name not in _table():
        return value
    fields = dict(fields_of(name))
    if name == _POD_SPEC:
        moved = {key: value[key] for key in _MOVED if key in value}
        value = {**value, "securityContext": {**value.get("securityContext", {}), **moved}}
    elif name == _POD_SECURITY:
        fields |= {key: fields_of(_POD_SPEC)[key] for key in _MOVED}
    names = _json_names(name)
    shown = {}
    for go_name in _table()[name]:
        key = names[go_name.lower()]
        shown[go_name] = _internal_field(fields[key], value.get(key))
    return shown


def internal_diff(name: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    """Compare two values of an API type as the server's internal structs, in unified format."""
    before, after = (_pretty(internal_value(name, value)) for value in (old, new))
    lines = list(difflib.unified_diff(before, after, n=3))
    return "".join(lines[2:])


def _pretty(value: Any) -> list[str]:
    text = json.dumps(value, indent=1, separators=(",", ": "), ensure_ascii=False)
    for char, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(char, escaped)
    return [f"{line}\n" for line in text.split("\n")]


def _internal_field(field: Field, value: Any) -> Any:
    if field.container == "list":
        return None if not value else [_internal_item(field.kind, item) for item in value]
    if field.container == "map":
        return None if not value else {key: value[key] for key in sorted(value)}
    if value is not None:
        return _internal_item(field.kind, value)
    if is_struct(field.kind):
        return internal_value(field.kind, {}) if field.is_always else None
    if field.is_kept:
        return None
    return {"string": "", "bool": False, "int32": 0, "int64": 0}.get(
        field.kind, "0" if field.is_always else None
    )


def _internal_item(kind: str, value: Any) -> Any:
    return internal_value(kind, value) if is_struct(kind) else value
