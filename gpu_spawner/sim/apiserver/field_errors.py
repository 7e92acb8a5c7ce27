"""One thing wrong with one field, in the words of Kubernetes' validation."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "FieldError",
    "duplicate",
    "field_not_found",
    "forbidden_field",
    "invalid_value",
    "not_supported",
    "required",
    "too_long",
    "too_many",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One cause of an ``Invalid`` answer.

    Attributes:
        field: the path, such as ``spec.containers[0].name``.
        reason: Kubernetes' cause (``FieldValueRequired``, ``FieldValueInvalid``, ...).
        message: the sentence without the path.
    """

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def _error(field: str, reason: str, words: str, detail: str) -> FieldError:
    message = f"{words}: {detail}" if detail else words
    return FieldError(field=field, reason=f"FieldValue{reason}", message=message)


def _shown(value: Any) -> str:
    """Show a value as Go does: strings quoted, objects as compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def required(field: str, detail: str = "") -> FieldError:
    """The field must be there."""
    return _error(field, "Required", "Required value", detail)


def invalid_value(field: str, value: Any, detail: str) -> FieldError:
    """The field is there and wrong."""
    return _error(field, "Invalid", f"Invalid value: {_shown(value)}", detail)


def forbidden_field(field: str, detail: str) -> FieldError:
    """The field may not be there, or not with this value, in this situation."""
    return _error(field, "Forbidden", "Forbidden", detail)


def duplicate(field: str, value: Any, detail: str = "") -> FieldError:
    """Another item has the same key."""
    return _error(field, "Duplicate", f"Duplicate value: {_shown(value)}", detail)


def field_not_found(field: str, value: Any, detail: str = "") -> FieldError:
    """The field refers to something that is not there."""
    return _error(field, "NotFound", f"Not found: {_shown(value)}", detail)


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    """The field takes one of a few words, and this is none of them."""
    words = ", ".join(_shown(word) for word in supported)
    detail = f"supported values: {words}" if words else ""
    return _error(field, "NotSupported", f"Unsupported value: {_shown(value)}", detail)


def too_long(field: str, limit_bytes: int) -> FieldError:
    """The text is longer than it may be."""
    return _error(field, "TooLong", "Too long", f"may not be more than {limit_bytes} bytes")


def too_many(field: str, count: int, limit: int) -> FieldError:
    """The list has more items than it may have."""
    return _error(field, "TooMany", f"Too many: {count}", f"must have at most {limit} items")
