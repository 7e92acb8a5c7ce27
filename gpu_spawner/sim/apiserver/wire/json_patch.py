"""JSON patches (RFC 6902), as an API server applies them."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["JsonPatchError", "PatchFormatError", "apply_json_patch", "check_operations"]


class JsonPatchError(ValueError):
    """An operation does not fit the object, or a test failed."""


class PatchFormatError(ValueError):
    """The patch is no list of operations; the message is Go's."""


def check_operations(patch: Any) -> list[Mapping[str, Any]]:
    """Check that a patch is a list of operations.

    Raises:
        PatchFormatError: it is something else.
    """
    if not isinstance(patch, list):
        raise PatchFormatError(
            f"json: cannot unmarshal {_go_kind(patch)} into Go value of type []handlers.jsonPatchOp"
        )
    for operation in patch:
        if not isinstance(operation, dict):
            raise PatchFormatError(
                f"json: cannot unmarshal {_go_kind(operation)} into Go value of type "
                "handlers.jsonPatchOp"
            )
        for key in ("op", "path", "from"):
            if not isinstance(operation.get(key, ""), str):
                raise PatchFormatError(
                    f"json: cannot unmarshal {_go_kind(operation[key])} into Go struct field "
                    f"jsonPatchOp.{key} of type string"
                )
    return patch


def apply_json_patch(target: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """Apply operations in order, all or nothing; the argument stays as it is.

    Raises:
        JsonPatchError: one of them cannot be applied.
    """
    patched = copy.deepcopy(target)
    for operation in operations:
        patched = _apply(patched, operation)
    return patched


def _apply(document: Any, operation: Mapping[str, Any]) -> Any:
    path = _parse_pointer(operation.get("path", ""))
    match operation.get("op"):
        case "add":
            return _add(document, path, copy.deepcopy(_value(operation)))
        case "remove":
            _remove(document, path)
        case "replace":
            _get(document, path)
            return _replace(document, path, copy.deepcopy(_value(operation)))
        case "move":
            source = _parse_pointer(operation.get("from", ""))
            if path[: len(source)] == source and path != source:
                raise JsonPatchError("cannot move a value into itself")
            moved = _get(document, source)
            _remove(document, source)
            return _add(document, path, moved)
        case "copy":
            source = _parse_pointer(operation.get("from", ""))
            return _add(document, path, copy.deepcopy(_get(document, source)))
        case "test":
            _test(document, path, operation.get("value"))
        case unknown:
            raise JsonPatchError(f"Unexpected kind: {unknown}")
    return document


def _value(operation: Mapping[str, Any]) -> Any:
    if "value" not in operation:
        raise JsonPatchError("missing value")
    return operation["value"]


def _parse_pointer(text: str) -> list[str]:
    if not text:
        return []
    if not text.startswith("/"):
        raise JsonPatchError(f"invalid JSON pointer: {text}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _get(document: Any, path: Sequence[str]) -> Any:
    for part in path:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(document, part)]
        else:
            raise JsonPatchError(f"missing path: /{'/'.join(path)}")
    return document


def _index(items: list[Any], part: str, *, can_append: bool = False) -> int:
    if can_append and part == "-":
        return len(items)
    try:
        index = int(part)
    except ValueError:
        raise JsonPatchError(f"invalid index: {part}") from None
    limit = len(items) + 1 if can_append else len(items)
    if index < 0:
        index += limit
    if not 0 <= index < limit:
        raise JsonPatchError(f"index out of bounds: {part}")
    return index


def _add(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        parent.insert(_index(parent, last, can_append=True), value)
    else:
        raise JsonPatchError(f"missing path: /{'/'.join(path)}")
    return document


def _replace(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent[_index(parent, last)] = value
    else:
        parent[last] = value
    return document


def _remove(document: Any, path: Sequence[str]) -> None:
    if not path:
        raise JsonPatchError("cannot remove the whole document")
    _get(document, path)
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[_index(parent, last)]
    else:
        del parent[last]


def _test(document: Any, path: Sequence[str], expected: Any) -> None:
    try:
        found = _get(document, path)
    except JsonPatchError:
        if expected is None:
            return
        raise
    if not _same(found, expected):
        raise JsonPatchError("testing value failed")


def _same(left: Any, right: Any) -> bool:
    """Compare as JSON: true is not 1."""
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        pairs = zip(left, right, strict=False)
        return len(left) == len(right) and all(_same(one, other) for one, other in pairs)
    return bool(left == right)


def _go_kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
    return "object" if isinstance(value, dict) else "null"
