"""Reading the protobuf bodies that kubectl sends for some of its commands.

``kubectl create namespace`` and ``kubectl auth can-i`` go through typed clients, which speak
protobuf and nothing else. ``data/protobuf-fields.txt`` has the field numbers of the kinds they
send; the types of the fields are those of :mod:`wire_types`. Answers are JSON, which those clients
read. Other kinds are refused with a sentence.
"""

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, Final

from gpu_spawner.sim.apiserver.kinds import resource_for_kind
from gpu_spawner.sim.apiserver.wire.wire_types import Field, fields_of, is_struct, type_name

__all__ = ["ProtobufError", "decode_protobuf"]

Obj = dict[str, Any]

_MAGIC: Final = b"k8s\x00"
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_META_KINDS: Final = {"DeleteOptions": "meta.v1.DeleteOptions", "Eviction": "policy.v1.Eviction"}
_TOKEN_REQUEST: Final = "authentication.v1.TokenRequest"  # noqa: S105 - the name of a type


class ProtobufError(ValueError):
    """The body is no protobuf that this server reads."""


def decode_protobuf(raw: bytes) -> Obj:
    """Read a body in Kubernetes' protobuf envelope as the JSON object it stands for.

    Raises:
        ProtobufError: it is malformed, or of a kind whose fields are not known here.
    """
    if not raw.startswith(_MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message")
    try:
        envelope = dict(_fields(raw[len(_MAGIC) :]))
        head = {number: value.decode() for number, value in _fields(envelope.get(1, b""))}
        api_version, kind = head.get(1, ""), head.get(2, "")
        obj = _decode_message(_type_of(api_version, kind), envelope.get(2, b""))
    except (AttributeError, OverflowError, TypeError, UnicodeDecodeError) as error:
        # A number where text belongs, or the other way round.
        raise ProtobufError(f"malformed protobuf: {error}") from None
    return {"kind": kind, "apiVersion": api_version, **obj}


@cache
def _numbers() -> dict[str, dict[int, str]]:
    text = resources.files("gpu_spawner.sim").joinpath("data/protobuf-fields.txt").read_text()
    table = {}
    for line in text.splitlines():
        name, *pairs = line.split()
        table[name] = {int(number): key for number, key in (pair.split("=") for pair in pairs)}
    return table


def _type_of(api_version: str, kind: str) -> str:
    resource = resource_for_kind(api_version, kind)
    name = type_name(resource) if resource is not None else _META_KINDS.get(kind, "")
    if kind == "TokenRequest":
        name = _TOKEN_REQUEST
    if name not in _numbers():
        raise ProtobufError(f"the embedded cluster reads {kind} as JSON only")
    return name


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the fields of a message: numbers as they are, everything else as bytes."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(raw, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(raw, at)
        elif kind in {_FIXED_32, _FIXED_64}:
            length = 4 if kind == _FIXED_32 else 8
        else:
            raise ProtobufError(f"unknown wire type {kind}")
        if at + length > len(raw):
            raise ProtobufError("unexpected EOF")
        yield number, raw[at : at + length]
        at += length


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(raw) or shift > 63:
            raise ProtobufError("unexpected EOF")
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at


def _decode_message(name: str, raw: bytes) -> Obj:
    numbers, types = _numbers().get(name, {}), fields_of(name)
    obj: Obj = {}
    for number, value in _fields(raw):
        key = numbers.get(number)
        field = types.get(key) if key is not None else None
        if key is None or field is None:
            continue
        if field.container == "map":
            entry = dict(_fields(value))
            name_of_entry = entry.get(1, b"").decode()
            obj.setdefault(key, {})[name_of_entry] = _decode_value(field, entry.get(2, b""))
        elif field.container == "list":
            obj.setdefault(key, []).append(_decode_value(field, value))
        else:
            obj[key] = _decode_value(field, value)
    return obj


def _decode_value(field: Field, value: Any) -> Any:
    if is_struct(field.kind):
        return _decode_message(field.kind, value)
    decode = _SCALARS.get(field.kind)
    return decode(value) if decode is not None else None


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _quantity(value: bytes) -> str:
    text: bytes = dict(_fields(value)).get(1, b"0")
    return text.decode()


def _int_or_string(value: bytes) -> int | str:
    parts = dict(_fields(value))
    text: bytes = parts.get(3, b"")
    number: int = parts.get(2, 0)
    return text.decode() if parts.get(1) else number


def _time(value: bytes) -> str | None:
    parts = dict(_fields(value))
    if not parts:
        return None
    moment = datetime.fromtimestamp(parts.get(1, 0), UTC)
    micros = parts.get(2, 0) // 1000
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"


_SCALARS: Final[dict[str, Callable[[Any], Any]]] = {
    "bool": bool,
    "bytes": lambda value: base64.b64encode(value).decode(),
    "int32": _signed,
    "int64": _signed,
    "intstr": _int_or_string,
    "microtime": _time,
    "quantity": _quantity,
    "string": lambda value: value.decode(),
    "time": _time,
}
