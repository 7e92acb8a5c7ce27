"""Applying a PATCH request: the Content-Type decides what the body means.

Strict as Kubernetes is: an object labelled as a JSON patch is refused, plain JSON is no patch at
all, and server-side apply says plainly that it is not here.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from gpu_spawner.sim.apiserver.api_errors import (
    ApiError,
    bad_request,
    not_implemented,
    unsupported_media_type,
)
from gpu_spawner.sim.apiserver.codec import StrictError, Strictness, complete
from gpu_spawner.sim.apiserver.kinds import Resource
from gpu_spawner.sim.apiserver.wire.go_json import GoJsonError, parse_json
from gpu_spawner.sim.apiserver.wire.json_patch import (
    JsonPatchError,
    PatchFormatError,
    apply_json_patch,
    check_operations,
)
from gpu_spawner.sim.apiserver.wire.patches import PatchError, merge_patch, strategic_merge_patch
from gpu_spawner.sim.apiserver.wire.wire_types import DecodeError, type_name

__all__ = ["parse_patch"]

Obj = dict[str, Any]

_JSON_PATCH: Final = "application/json-patch+json"
_MERGE_PATCH: Final = "application/merge-patch+json"
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_APPLY: Final = frozenset({"application/apply-patch+yaml", "application/apply-patch+cbor"})
_MAX_OPERATIONS: Final = 10_000


def parse_patch(
    resource: Resource, content_type: str, raw: bytes, strictness: Strictness
) -> Callable[[Obj], Obj]:
    """Read a PATCH and return what it does to an object.

    Raises:
        ApiError: 415 for what is no patch, 400 for one that cannot be read. The returned function
            raises 422 where the patch does not fit the object.
    """
    if content_type in _APPLY:
        raise not_implemented("server-side apply; use kubectl apply without --server-side")
    if content_type not in {_JSON_PATCH, _MERGE_PATCH, _STRATEGIC}:
        raise unsupported_media_type("415: Unsupported Media Type", {})
    body = _parse(raw)
    change: Callable[[Obj], Any]
    if content_type == _JSON_PATCH:
        change = _json_patch(body)
    elif not isinstance(body, dict):
        kind = _go_kind(body)
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {kind} into Go value of type "
            "map[string]interface {}"
        )
    elif content_type == _MERGE_PATCH:
        change = lambda old: merge_patch(old, body)  # noqa: E731 - one of three alternatives
    else:
        change = _strategic(resource, body)

    def apply(old: Obj) -> Obj:
        patched = change(old)
        try:
            return complete(resource, patched, strictness)
        except (DecodeError, StrictError) as error:
            shown = _shown(patched, body, is_strategic=content_type == _STRATEGIC)
            message = f"Invalid value: {json.dumps(shown)}: {error}"
            cause = {"reason": "FieldValueInvalid", "message": message, "field": "patch"}
            raise ApiError(
                422, "Invalid", f' "" is invalid: patch: {message}', {"causes": [cause]}
            ) from None

    return apply


def _parse(raw: bytes) -> Any:
    try:
        return parse_json(raw)
    except GoJsonError as error:
        raise bad_request(f"error decoding patch: {error}") from None


def _json_patch(body: Any) -> Callable[[Obj], Any]:
    try:
        operations = check_operations(body)
    except PatchFormatError as error:
        raise bad_request(f"error decoding patch: {error}") from None
    if len(operations) > _MAX_OPERATIONS:
        message = (
            f"The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS}, got "
            f"{len(operations)}"
        )
        raise ApiError(413, "RequestEntityTooLarge", message)

    def change(old: Obj) -> Any:
        try:
            return apply_json_patch(old, operations)
        except JsonPatchError:
            raise _unprocessable() from None

    return change


def _strategic(resource: Resource, body: Obj) -> Callable[[Obj], Any]:
    def change(old: Obj) -> Any:
        try:
            return strategic_merge_patch(type_name(resource), old, body)
        except PatchError as error:
            raise bad_request(str(error)) from None

    return change


def _unprocessable() -> ApiError:
    message = "the server rejected our request due to an error in our request"
    return ApiError(422, "Invalid", message, {})


def _shown(patched: Any, patch: Any, *, is_strategic: bool) -> str:
    """Quote what Kubernetes quotes: the patch itself, or the whole patched object."""
    if is_strategic:
        return _go_print(patch)
    return json.dumps(patched, separators=(",", ":"))


def _go_print(value: Any) -> str:
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_go_print(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_go_print, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def _go_kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
    return "array" if isinstance(value, list) else "null"
