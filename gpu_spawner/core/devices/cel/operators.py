"""The operators and conversions of CEL on values.

Decides what ``+``, ``<``, ``in``, ``[...]``, ``.``, ``has()``, ``size()``, ``int()`` and their like
give, or that there is no such thing for these types. Integers are 64 bits wide and overflow is an
error.
Source: github.com/google/cel-go ``common/types`` and ``interpreter/attributes.go``.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from gpu_spawner.core.devices.cel.tree import Uint
from gpu_spawner.core.devices.cel.values import (
    ABSENT,
    NONE,
    BeyondUs,
    EvaluationError,
    JoinedList,
    Optional,
    compare,
    equal,
    find,
    is_number,
    kind_of,
    no_overload,
    of_same_kind,
)

__all__ = ["OPERATORS", "bounded", "has_field", "is_member", "look_up", "same", "search"]

_INT = range(-(2**63), 2**63)
_UINT = range(2**64)
_LONGEST = 100_000  # characters or elements one value may have before we give up on it
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,15})(?:\.[0-9]{1,15})?", re.ASCII)
_TRUTHS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def bounded(value: Any) -> Any:
    """Return a string or list, unless it has grown past what is worth computing."""
    if len(value) > _LONGEST:
        raise BeyondUs("it builds a value of more than 100,000 elements")
    return value


def look_up(operand: Any, key: Any) -> Any:
    """Return ``operand[key]`` or ``operand.key``; on an optional, an optional."""
    if isinstance(operand, Optional):
        return search(operand.value, key) if operand.has_value else operand
    if isinstance(operand, dict):
        found = find(operand, key)
        if found is ABSENT:
            raise EvaluationError(f"no such key: {key}")
        return found
    if isinstance(operand, list):
        position = _position(key)
        if 0 <= position < len(operand):
            return operand[position]
        raise EvaluationError(f"index out of bounds: {position}")
    raise EvaluationError(f"no such key: {key}")


def search(operand: Any, key: Any) -> Optional:
    """Return ``operand[?key]`` or ``operand.?key``."""
    if isinstance(operand, Optional):
        return search(operand.value, key) if operand.has_value else operand
    if isinstance(operand, dict):
        found = find(operand, key)
        return NONE if found is ABSENT else Optional(found)
    if isinstance(operand, list):
        position = _position(key)
        return Optional(operand[position]) if 0 <= position < len(operand) else NONE
    return NONE


def has_field(operand: Any, field: str) -> bool:
    """Return ``has(operand.field)``."""
    if isinstance(operand, Optional):
        raise BeyondUs("it asks has() of an optional value")
    if isinstance(operand, list):
        raise no_overload("has", operand)
    return isinstance(operand, dict) and find(operand, field) is not ABSENT


def is_member(element: Any, container: Any) -> bool:
    """Return ``element in container``."""
    if isinstance(container, list):
        return any(same(element, each) for each in container)
    if isinstance(container, dict):
        if not (isinstance(element, bool | str) or is_number(element)):
            raise no_overload("_in_", element, container)
        key = ("bool", element) if isinstance(element, bool) else element
        return key in container
    raise no_overload("_in_", element, container)


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are equal; those that cannot be compared are not."""
    try:
        return equal(left, right)
    except EvaluationError:
        return False


def _differ(left: Any, right: Any) -> bool:
    return not same(left, right)  # values that cannot compare do differ


def _position(key: Any) -> int:
    if is_number(key) and int(key) == key:
        return int(key)
    raise EvaluationError(f"unsupported index: {kind_of(key)}")


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, list) and isinstance(right, list):
        if not left or not right:
            return left or right
        return bounded(JoinedList([*left, *right]))
    if of_same_kind(left, right) and isinstance(left, str | bytes):
        return bounded(left + right)
    return _arithmetic("_+_", left, right, lambda a, b: a + b)


def _subtract(left: Any, right: Any) -> Any:
    return _arithmetic("_-_", left, right, lambda a, b: a - b)


def _multiply(left: Any, right: Any) -> Any:
    return _arithmetic("_*_", left, right, lambda a, b: a * b)


def _divide(left: Any, right: Any) -> Any:
    if isinstance(left, float) and isinstance(right, float) and right == 0:
        if left == 0 or math.isnan(left):
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    return _arithmetic("_/_", left, right, _quotient)


def _remainder(left: Any, right: Any) -> Any:
    if isinstance(left, float):
        raise no_overload("_%_", left, right)
    return _arithmetic("_%_", left, right, lambda a, b: a - b * _quotient(a, b))


def _quotient(left: Any, right: Any) -> Any:
    if isinstance(left, float):
        return left / right
    if right == 0:
        raise EvaluationError("division by zero")
    whole = abs(int(left)) // abs(int(right))
    return whole if (left < 0) == (right < 0) else -whole


def _arithmetic(function: str, left: Any, right: Any, operation: Callable[[Any, Any], Any]) -> Any:
    if not (is_number(left) and of_same_kind(left, right)):
        raise no_overload(function, left, right)
    if isinstance(left, float):
        return operation(left, right)
    whole = int(operation(int(left), int(right)))
    if function == "_%_" and left == _INT.start and right == -1:
        raise EvaluationError("integer overflow")
    if isinstance(left, Uint):
        return _uint(whole)
    return _int(whole)


def _int(whole: int) -> int:
    if whole in _INT:
        return whole
    raise EvaluationError("integer overflow")


def _uint(whole: int) -> Uint:
    if whole in _UINT:
        return Uint(whole)
    raise EvaluationError("unsigned integer overflow")


def _negate(value: Any) -> Any:
    if isinstance(value, float):
        return -value
    if is_number(value) and not isinstance(value, Uint):
        return _int(-value)
    raise no_overload("-_", value)


def _not(value: Any) -> bool:
    if isinstance(value, bool):
        return not value
    raise no_overload("!_", value)


def _size(value: Any) -> int:
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    raise no_overload("size", value)


def _to_int(value: Any) -> int:
    if isinstance(value, float):
        if not (-(2**63) < value < 2**63):
            raise EvaluationError("integer overflow")
        return int(value)
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value) or len(value) > 40:
            raise EvaluationError("type conversion error from 'string' to 'int'")
        return _int(int(value))
    if is_number(value):
        return _int(int(value))
    raise no_overload("int", value)


def _to_uint(value: Any) -> Uint:
    if isinstance(value, float):
        if not (0 <= value < 2**64):
            raise EvaluationError("unsigned integer overflow")
        return Uint(int(value))
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit()) or len(value) > 40:
            raise EvaluationError("type conversion error from 'string' to 'uint'")
        return _uint(int(value))
    if is_number(value):
        return _uint(int(value))
    raise no_overload("uint", value)


def _to_double(value: Any) -> float:
    if isinstance(value, str):
        if _DECIMAL.fullmatch(value):
            return float(value)
        raise BeyondUs("it reads a double from an unusual text")
    if is_number(value):
        return float(value)
    raise no_overload("double", value)


def _to_string(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError as error:
                raise EvaluationError("invalid UTF-8 in bytes") from error
        case float():
            raise BeyondUs("it writes a double as text")
    raise no_overload("string", value)


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise no_overload("bytes", value)


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _TRUTHS:
        return _TRUTHS[value]
    raise EvaluationError(f"type conversion error from '{kind_of(value)}' to 'bool'")


OPERATORS: dict[str, Callable[..., Any]] = {
    "_==_": equal,
    "_!=_": _differ,
    "_<_": lambda left, right: compare("_<_", left, right) < 0,
    "_<=_": lambda left, right: compare("_<=_", left, right) <= 0,
    "_>_": lambda left, right: compare("_>_", left, right) > 0,
    "_>=_": lambda left, right: compare("_>=_", left, right) >= 0,
    "_+_": _add,
    "_-_": _subtract,
    "_*_": _multiply,
    "_/_": _divide,
    "_%_": _remainder,
    "-_": _negate,
    "!_": _not,
    "@in": is_member,
    "_[_]": look_up,
    "_[?_]": search,
    "_?._": search,
    "size": _size,
    "int": _to_int,
    "uint": _to_uint,
    "double": _to_double,
    "string": _to_string,
    "bytes": _to_bytes,
    "bool": _to_bool,
    "dyn": lambda value: value,
}
"""The strict functions of the language itself, by the name the checker gives them."""
