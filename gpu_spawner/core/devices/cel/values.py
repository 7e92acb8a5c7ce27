"""The values of CEL and how they compare, as cel-go has it.

Decides equality and order between values of any two types. A value is None, a bool, an int, a
:class:`~.tree.Uint`, a float, a str, bytes, a list, a dict (see :func:`key_of`), a
:class:`~.versions.Version`, an :class:`~.amounts.Amount` or an :class:`Optional`.
Source: github.com/google/cel-go ``common/types`` and k8s.io/apiserver ``pkg/cel``.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import msgspec

from gpu_spawner.core.devices.cel.tree import Uint

__all__ = [
    "ABSENT",
    "NONE",
    "BeyondUs",
    "Comparable",
    "DomainMap",
    "EvaluationError",
    "EvaluationPanicError",
    "JoinedList",
    "Optional",
    "compare",
    "equal",
    "find",
    "is_number",
    "key_of",
    "keys_of",
    "kind_of",
    "no_overload",
    "of_same_kind",
]

ABSENT = object()
"""What :func:`find` answers for a key that is not there."""


class EvaluationError(Exception):
    """The expression fails on this device, as it does in the scheduler."""


class BeyondUs(Exception):  # noqa: N818 - not an error of the expression: of what we can tell
    """What the expression gives on this device cannot be told; the message says why."""


class EvaluationPanicError(Exception):
    """Kubernetes' evaluator breaks off here, and no operator swallows that."""


class Optional(msgspec.Struct, frozen=True):
    """``optional.of(value)``; ``optional.none()`` has no value."""

    value: Any = None
    has_value: bool = True


NONE = Optional(None, has_value=False)


class Comparable(msgspec.Struct, frozen=True, kw_only=True):
    """A value of a Kubernetes type: it equals only values of its own type, else it fails.

    Attributes:
        rank: what orders two of a type.
        computed: whether a method made it; Kubernetes fails to compare such a value when it
            stands on the right of an operator.
    """

    rank: Any
    computed: bool = False


class JoinedList(list[Any]):
    """What ``+`` of two lists gives: it fails on elements that do not compare, a list does not."""


class DomainMap(dict[Hashable, Any]):
    """The maps by domain: looking up a domain that has nothing finds an empty map."""


_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (Uint, "uint"),
    (int, "int"),
    (float, "double"),
    (str, "string"),
    (bytes, "bytes"),
    (list, "list"),
    (dict, "map"),
    (Optional, "optional_type"),
    (Comparable, "kubernetes"),
)


def kind_of(value: Any) -> str:
    """Name the type of a value for a message.

    >>> kind_of(True), kind_of(Uint(1)), kind_of(None)
    ('bool', 'uint', 'null')
    """
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "null")


def no_overload(function: str, *values: Any) -> EvaluationError:
    """Make the error of a function that does not exist for values of these types."""
    return EvaluationError(f"no such overload: {function}({', '.join(map(kind_of, values))})")


def is_number(value: Any) -> bool:
    """Tell whether a value is an int, a uint or a double."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def of_same_kind(left: Any, right: Any) -> bool:
    """Tell whether two plain values are of one CEL type (an int and a uint are not)."""
    return type(left) is type(right)


def equal(left: Any, right: Any) -> bool:
    """Compare as ``==`` does.

    Raises:
        EvaluationError: a version or an amount on the left meets another type.
    """
    if left is None or right is None:
        return left is right
    if isinstance(left, Comparable):
        if type(left) is not type(right) or right.computed:
            raise no_overload("_==_", left, right)
        return bool(left.rank == right.rank)
    if is_number(left):
        return is_number(right) and _same_number(left, right)
    for kind, same in _COMPOUND:
        if isinstance(left, kind):
            return isinstance(right, kind) and same(left, right)
    return type(left) is type(right) and bool(left == right)


def compare(function: str, left: Any, right: Any) -> int:
    """Order two values as ``<`` and its like do: -1, 0 or 1.

    Raises:
        EvaluationError: the two have no order.
    """
    if is_number(left) and is_number(right):
        if isinstance(left, float) or isinstance(right, float):
            left, right = float(left), float(right)
            if math.isnan(left) or math.isnan(right):
                raise EvaluationError("NaN values cannot be ordered")
        return int(left > right) - int(left < right)
    if type(left) is type(right) and isinstance(left, bool | str | bytes):
        if isinstance(left, str):  # Go orders strings by their bytes
            left, right = left.encode(), right.encode()
        return int(left > right) - int(left < right)
    raise no_overload(function, left, right)


def key_of(value: Any) -> Hashable:
    """Return a map key as dicts of this package hold it: 1, 1u and 1.0 are one key, true another.

    Raises:
        EvaluationError: a value of this type is no key.
    """
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, str) or is_number(value):
        found: Hashable = value
        return found
    raise EvaluationError(f"unsupported key type: {kind_of(value)}")


def keys_of(mapping: Mapping[Hashable, Any]) -> Iterator[Any]:
    """Yield the keys as values."""
    for key in mapping:
        yield key[1] if isinstance(key, tuple) else key


def find(mapping: Mapping[Hashable, Any], key: Any) -> Any:
    """Look a key up as an index or a selection does; :data:`ABSENT` where it is not there."""
    if isinstance(mapping, DomainMap):
        return mapping.get(key_of(key), {})
    return mapping.get(key_of(key), ABSENT)


def _same_number(left: float, right: float) -> bool:
    if isinstance(left, float) or isinstance(right, float):
        return float(left) == float(right)
    return left == right


def _equal_lists(left: list[Any], right: list[Any]) -> bool:
    if len(left) != len(right):
        return False
    failure = None
    for mine, other in zip(left, right, strict=True):
        try:
            if not equal(mine, other):
                return False
        except EvaluationError as error:
            failure = failure or error
    if failure and isinstance(left, JoinedList):
        raise failure
    return True


def _equal_maps(left: dict[Hashable, Any], right: dict[Hashable, Any]) -> bool:
    if len(left) != len(right):
        return False
    for key, value in left.items():
        other = {} if isinstance(right, DomainMap) else ABSENT
        other = right.get(key, other)
        if other is ABSENT:
            return False
        try:
            if not equal(value, other):
                return False
        except EvaluationError:
            continue
    return True


def _equal_optionals(left: Optional, right: Optional) -> bool:
    if left.has_value and right.has_value:
        if isinstance(left.value, Comparable) and right.value is None:  # elsewhere that is false
            raise no_overload("_==_", left.value, None)
        return equal(left.value, right.value)
    return left.has_value == right.has_value


_COMPOUND: tuple[tuple[type, Callable[[Any, Any], bool]], ...] = (
    (list, _equal_lists),
    (dict, _equal_maps),
    (Optional, _equal_optionals),
)
