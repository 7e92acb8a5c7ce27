"""In which form a client wants its answer: plain JSON, a table, metadata only, or YAML."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import yaml

from gpu_spawner.sim.apiserver.api_errors import ApiError
from gpu_spawner.sim.apiserver.kinds import Resource
from gpu_spawner.sim.apiserver.store import Record
from gpu_spawner.sim.apiserver.wire.printers import printer_for

__all__ = ["Form", "negotiate"]

Obj = dict[str, Any]

_JSON: Final = "application/json"
_YAML: Final = "application/yaml"
_ANY: Final = frozenset({"*/*", "application/*"})
_META_VERSION: Final = "meta.k8s.io/v1"
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How to write objects and lists of them.

    Attributes:
        shape: empty for objects as they are, ``Table`` or ``PartialObjectMetadata``.
        is_yaml: YAML instead of JSON.
        includes: what of the object a row of a table carries.
    """

    shape: str = ""
    is_yaml: bool = False
    includes: str = "Metadata"

    @property
    def content_type(self) -> str:
        """The Content-Type of the answer."""
        return _YAML if self.is_yaml else _JSON

    def write(self, body: Obj) -> bytes:
        """Write a body that is not to be reshaped."""
        return yaml.safe_dump(body).encode() if self.is_yaml else _encode(body)

    def renderer(self, resource: Resource, now: float) -> Callable[[Record], bytes] | None:
        """Return how one object of a watch is written, or None for as it is stored."""
        if self.shape == "Table":
            return lambda record: _encode(self._table(resource, [record.decode()], {}, now))
        if self.shape:
            return lambda record: _encode(_metadata_only(record.decode()))
        return None

    def write_object(self, resource: Resource, obj: Obj, now: float) -> bytes:
        """Write one object."""
        if self.shape == "Table":
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return self.write(self._table(resource, [obj], metadata, now))
        return self.write(_metadata_only(obj) if self.shape else obj)

    def write_list(self, resource: Resource, records: list[Record], head: Obj, now: float) -> bytes:
        """Write a list; only called where the form differs from what is stored."""
        objects = [record.decode() for record in records]
        if self.shape == "Table":
            return self.write(self._table(resource, objects, head["metadata"], now))
        if self.shape:
            items = [_metadata_only(obj) for obj in objects]
            head = {"kind": "PartialObjectMetadataList", "apiVersion": _META_VERSION} | {
                "metadata": head["metadata"]
            }
            return self.write({**head, "items": items})
        return self.write({**head, "items": objects})

    def _table(self, resource: Resource, objects: list[Obj], metadata: Obj, now: float) -> Obj:
        printer = printer_for(resource)
        rows = []
        for obj in objects:
            row: Obj = {"cells": printer.cells(obj, now)}
            if self.includes == "Metadata":
                row["object"] = _metadata_only(obj)
            elif self.includes == "Object":
                row["object"] = obj
            rows.append(row)
        return {
            "kind": "Table",
            "apiVersion": _META_VERSION,
            "metadata": metadata,
            "columnDefinitions": [column.definition() for column in printer.columns],
            "rows": rows,
        }


def negotiate(accept: str, includes: str = "") -> Form:
    """Choose the first form a client accepts and this server can write.

    Raises:
        ApiError: 406 when there is none.
    """
    for clause in (accept or "*/*").split(","):
        media_type, *parameters = (part.strip() for part in clause.split(";"))
        values = dict(part.partition("=")[::2] for part in parameters)
        if media_type not in {_JSON, _YAML, *_ANY}:
            continue
        shape = values.get("as", "")
        if shape.endswith("List"):
            shape = shape.removesuffix("List")
        if shape not in {"", "PartialObjectMetadata", "Table"} or values.get("v", "v1") != "v1":
            continue
        return Form(shape=shape, is_yaml=media_type == _YAML, includes=includes or "Metadata")
    raise ApiError(
        406,
        "NotAcceptable",
        f"only the following media types are accepted: {_JSON}, {_YAML}, "
        "application/vnd.kubernetes.protobuf",
    )


def _metadata_only(obj: Obj) -> Obj:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": _META_VERSION,
        "metadata": obj["metadata"],
    }
