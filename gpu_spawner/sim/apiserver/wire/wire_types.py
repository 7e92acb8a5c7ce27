"""Turning what a client sent into the object an API server keeps.

An API server decodes JSON into typed structs and writes them out again. A client sees it: unknown
fields vanish (with a warning, or an error when it asks for strictness), wrong types are refused,
``null`` and empty values disappear, quantities and times are spelled canonically, some fields
always appear. This module does the same from a table of types (``data/wire-types.json``, built from
Kubernetes' own OpenAPI document), which also knows how a strategic merge patch merges each list.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec

from gpu_spawner.sim.apiserver.kinds import Resource
from gpu_spawner.sim.apiserver.wire.quantities import canonical_quantity

__all__ = [
    "DecodeError",
    "Field",
    "canonical_time",
    "decode",
    "fields_of",
    "is_struct",
    "type_name",
]

_GROUPS: Final = {"": "core"}
_INTEGER_BITS: Final = {"int32": 31, "int64": 63}
_SCALARS: Final = {"string", "bool", "int32", "int64", "double", "bytes"}
# What JSON may stand for a scalar, and what Go calls its type.
_ACCEPTED: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "bool": ((bool,), "bool"),
    "bytes": ((str,), "[]uint8"),
    "double": ((int, float), "float64"),
    "int32": ((int,), "int32"),
    "int64": ((int,), "int64"),
    "intstr": ((str, int), "intstr.IntOrString"),
    "microtime": ((str,), "string"),
    "quantity": ((str, int, float), "resource.Quantity"),
    "time": ((str,), "string"),
}
_ZERO: Final[dict[str, Any]] = {
    "string": "",
    "bool": False,
    "int32": 0,
    "int64": 0,
    "double": 0,
    "bytes": "",
    "quantity": "0",
    "intstr": 0,
    "time": None,
    "microtime": None,
    "any": None,
}


class DecodeError(ValueError):
    """The JSON does not fit the type; the text is Go's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a type.

    Attributes:
        kind: a scalar's name, a special type's, or another type in the table.
        container: ``list``, ``map`` or empty.
        is_always: written even when nothing was sent.
        is_kept: a zero that was sent is not the same as nothing sent.
        merge_key: for lists that a strategic merge patch merges: the key, empty for lists of
            scalars; None for lists that are replaced.
        retains_keys: a patch may list which keys of an item survive.
    """

    kind: str
    container: str = ""
    is_always: bool = False
    is_kept: bool = False
    merge_key: str | None = None
    retains_keys: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the object we are, in the two spellings that error texts use."""

    struct: str = ""
    dotted: str = ""
    path: str = ""

    def below(self, struct: str, name: str) -> "_Place":
        return _Place(struct, _join(self.dotted, name), _join(self.path, name))

    def at(self, key: int | str) -> "_Place":
        tail = f"[{key}]" if isinstance(key, int) else f".{key}"
        return _Place(self.struct, self.dotted, self.path + tail)

    def mismatch(self, value: Any, wanted: str) -> DecodeError:
        return DecodeError(
            f"json: cannot unmarshal {_go_kind(value)} into Go struct field "
            f"{self.struct}.{self.dotted} of type {wanted}"
        )


def type_name(resource: Resource) -> str:
    """Name the type of a kind in the table."""
    group = _GROUPS.get(resource.group, resource.group.partition(".")[0])
    return f"{group}.{resource.version}.{resource.kind}"


@cache
def _table() -> dict[str, dict[str, str]]:
    raw = resources.files("gpu_spawner.sim").joinpath("data/wire-types.json").read_bytes()
    return msgspec.json.decode(raw, type=dict[str, dict[str, str]])


@cache
def fields_of(name: str) -> Mapping[str, Field]:
    """Return the fields of a type by their JSON names."""
    return {key: _parse_field(spelled) for key, spelled in _table()[name].items()}


def is_struct(kind: str) -> bool:
    """Whether a field's kind is another type in the table."""
    return kind in _table()


def decode(name: str, value: Any) -> tuple[dict[str, Any], list[str]]:
    """Read a JSON value as a type.

    Returns:
        The object as it would be written back, and the paths of fields nobody knows.

    Raises:
        DecodeError: a value is of the wrong type.
    """
    unknown: list[str] = []
    if not isinstance(value, dict):
        raise DecodeError(
            f"json: cannot unmarshal {_go_kind(value)} into Go value of type v1.{_tail(name)}"
        )
    return _decode_struct(name, value, _Place(), unknown), unknown


def _decode_struct(name: str, value: Any, place: _Place, unknown: list[str]) -> dict[str, Any]:
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise place.mismatch(value, f"v1.{_tail(name)}")
    fields = fields_of(name)
    decoded: dict[str, Any] = {}
    for key, item in value.items():
        field = fields.get(key)
        if field is None:
            unknown.append(_join(place.path, key))
            continue
        if item is None:
            continue
        written = _decode_field(field, item, place.below(_tail(name), key), unknown)
        if written or field.is_kept or _is_present(field, written):
            decoded[key] = written
    for key, field in fields.items():
        if field.is_always and key not in decoded:
            decoded[key] = _empty(field)
    return decoded


def _is_present(field: Field, written: Any) -> bool:
    """Whether an empty value is still written: structs are, zeroes and empty lists are not."""
    if field.container or field.kind in _SCALARS:
        return False
    return written is not None


def _empty(field: Field) -> Any:
    if field.container or field.kind not in _table():
        return None if field.container else _ZERO[field.kind]
    return _decode_struct(field.kind, {}, _Place(), [])


def _decode_field(field: Field, value: Any, place: _Place, unknown: list[str]) -> Any:
    if field.container == "list":
        if not isinstance(value, list):
            raise place.mismatch(value, f"[]{_go_type(field.kind)}")
        return [
            _decode_item(field.kind, item, place.at(index), unknown)
            for index, item in enumerate(value)
        ]
    if field.container == "map":
        if not isinstance(value, dict):
            raise place.mismatch(value, f"map[string]{_go_type(field.kind)}")
        return {
            key: _decode_item(field.kind, value[key], place.at(key), unknown)
            for key in sorted(value)
        }
    return _decode_item(field.kind, value, place, unknown)


def _decode_item(kind: str, value: Any, place: _Place, unknown: list[str]) -> Any:
    if kind == "string":
        if isinstance(value, str):
            return value
        if value is None:
            return ""
        raise place.mismatch(value, "string")
    if kind in _table():
        return _decode_struct(kind, value, place, unknown)
    if kind == "any":
        return value
    if value is None:
        return _ZERO[kind]
    return _decode_scalar(kind, value, place)


def _decode_scalar(kind: str, value: Any, place: _Place) -> Any:
    accepted, go_type = _ACCEPTED.get(kind, ((object,), kind))
    is_bool = isinstance(value, bool)
    if not isinstance(value, accepted) or (is_bool and bool not in accepted):
        raise place.mismatch(value, go_type)
    return _spell(kind, value, place)


def _spell(kind: str, value: Any, place: _Place) -> Any:
    """Give a scalar of the right type its canonical form."""
    match kind:
        case "int32" | "int64":
            limit = 1 << _INTEGER_BITS[kind]
            if not -limit <= value < limit:
                raise place.mismatch(value, kind)
        case "quantity":
            try:
                return canonical_quantity(value)
            except ValueError as error:
                raise DecodeError(str(error)) from None
        case "bytes":
            return _decode_bytes(value)
        case "time" | "microtime":
            return canonical_time(value, is_micro=kind == "microtime")
    return value


def _decode_bytes(value: str) -> str:
    compact = value.replace("\n", "").replace("\r", "")
    try:
        base64.b64decode(compact, validate=True)
    except binascii.Error:
        bad = re.search(r"[^A-Za-z0-9+/]", compact)
        index = bad.start() if bad else len(compact)
        raise DecodeError(f"illegal base64 data at input byte {index}") from None
    return compact


def canonical_time(text: str, *, is_micro: bool = False) -> str:
    """Spell a point in time as Kubernetes does: UTC, to the second or to the microsecond.

    Raises:
        DecodeError: with Go's words, approximately.
    """
    found = re.fullmatch(
        r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", text, re.ASCII
    )
    layout = "2006-01-02T15:04:05.000000Z07:00" if is_micro else "2006-01-02T15:04:05Z07:00"
    failure = DecodeError(f'parsing time "{text}" as "{layout}": cannot parse "{text}" as "2006"')
    if found is None:
        raise failure
    zone = "+00:00" if found[3] == "Z" else found[3]
    try:
        moment = datetime.fromisoformat(f"{found[1]}{zone}").astimezone(UTC)
    except ValueError:
        raise failure from None
    seconds = moment.strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{(found[2] or '')[:6]:0<6}" if is_micro else ""
    return f"{seconds}{fraction}Z"


def _parse_field(spelled: str) -> Field:
    kind, *words = spelled.split()
    container = ""
    if kind == "map":
        container, kind = "map", words.pop(0)
    elif kind.startswith("[]"):
        container, kind = "list", kind.removeprefix("[]")
    merge_key = None
    for word in words:
        if word.startswith("merge="):
            merge_key = word.removeprefix("merge=")
    return Field(
        kind=kind,
        container=container,
        is_always="always" in words,
        is_kept="kept" in words,
        merge_key=merge_key,
        retains_keys="retainKeys" in words,
    )


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _tail(name: str) -> str:
    return name.rpartition(".")[2]


def _go_type(kind: str) -> str:
    return f"v1.{_tail(kind)}" if kind in _table() else kind


def _go_kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return f"number {value}" if not isinstance(value, int) else "number"
        case list():
            return "array"
    return "object" if isinstance(value, dict) else "null"
