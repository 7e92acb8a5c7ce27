"""The functions on lists that give lists: ``slice``, ``sort``, ``distinct`` and their like.

Source: github.com/google/cel-go ``ext/lists.go``.
"""

import math
from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

from gpu_spawner.core.devices.cel.operators import bounded, same
from gpu_spawner.core.devices.cel.tree import Uint
from gpu_spawner.core.devices.cel.values import (
    BeyondUs,
    EvaluationError,
    compare,
    no_overload,
)

__all__ = ["LIST_FUNCTIONS", "as_list", "as_whole"]

_MOST_COMPARED = 1000  # elements, of which each is compared with each


def as_list(function: str, value: Any) -> list[Any]:
    """Return a list that a function was given.

    Raises:
        EvaluationError: it is none.
    """
    if not isinstance(value, list):
        raise no_overload(function, value)
    return value


def as_whole(function: str, value: Any) -> int:
    """Return an int that a function was given.

    Raises:
        EvaluationError: it is none.
    """
    if isinstance(value, bool | Uint) or not isinstance(value, int):
        raise no_overload(function, value)
    return value


def _slice(values: Any, start: Any, end: Any) -> list[Any]:
    held = as_list("slice", values)
    first, last = as_whole("slice", start), as_whole("slice", end)
    if not 0 <= first <= last <= len(held):
        raise EvaluationError(f"cannot slice({first}, {last})")
    return list(held[first:last])


def _reverse(values: Any) -> list[Any]:
    return list(reversed(as_list("reverse", values)))


def _range(end: Any) -> list[Any]:
    return list(bounded(range(as_whole("lists.range", end))))


def _flatten(values: Any) -> list[Any]:
    flat: list[Any] = []
    for each in as_list("flatten", values):
        flat += each if isinstance(each, list) else [each]
    return list(bounded(flat))


def _distinct(values: Any) -> list[Any]:
    held = as_list("distinct", values)
    if len(held) > _MOST_COMPARED:
        raise BeyondUs("it compares each of more than a thousand elements with each")
    return [
        each
        for position, each in enumerate(held)
        if not any(same(each, before) for before in held[:position])
    ]


def _sort(values: Any) -> list[Any]:
    held = as_list("sort", values)
    if not held:
        return []
    if not isinstance(held[0], bool | int | float | str | bytes):
        raise EvaluationError("list elements must be comparable")
    if len({type(each) for each in held}) > 1:
        raise EvaluationError("list elements must have the same type")
    if any(isinstance(each, float) and math.isnan(each) for each in held):
        raise BeyondUs("it sorts what is not a number")
    return sorted(held, key=cmp_to_key(lambda left, right: compare("sort", left, right)))


LIST_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "slice": _slice,
    "reverse": _reverse,
    "lists.range": _range,
    "flatten": _flatten,
    "distinct": _distinct,
    "sort": _sort,
}
