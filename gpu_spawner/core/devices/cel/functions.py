"""The functions Kubernetes adds to CEL: on strings, lists, sets, quantities and versions.

Decides what each gives. A function of a dynamic value may meet any type at run time, so each looks
at what it got.
Source: github.com/google/cel-go ``ext``, k8s.io/apiserver ``pkg/cel/library``.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from gpu_spawner.core.devices.cel.amounts import Amount, parse_amount, sum_of
from gpu_spawner.core.devices.cel.checking import matches_pattern
from gpu_spawner.core.devices.cel.lists import LIST_FUNCTIONS, as_list, as_whole
from gpu_spawner.core.devices.cel.operators import OPERATORS, bounded, same
from gpu_spawner.core.devices.cel.values import (
    NONE,
    BeyondUs,
    Comparable,
    EvaluationError,
    Optional,
    compare,
    is_number,
    no_overload,
)
from gpu_spawner.core.devices.cel.versions import Version, parse_version

__all__ = ["FUNCTIONS"]

_LIST_ATTRIBUTE_LIMIT = 64
_BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


def _strings(function: str, *values: Any) -> None:
    if not all(isinstance(value, str) for value in values):
        raise no_overload(function, *values)


def _contains(text: Any, piece: Any) -> bool:
    _strings("contains", text, piece)
    return piece in text


def _starts_with(text: Any, piece: Any) -> bool:
    _strings("startsWith", text, piece)
    return bool(text.startswith(piece))


def _ends_with(text: Any, piece: Any) -> bool:
    _strings("endsWith", text, piece)
    return bool(text.endswith(piece))


def _matches(text: Any, pattern: Any) -> bool:
    _strings("matches", text, pattern)
    found = matches_pattern(text, pattern)
    if found is None:
        raise EvaluationError("invalid regular expression")
    return found


def _char_at(text: Any, position: Any) -> str:
    _strings("charAt", text)
    index = as_whole("charAt", position)
    if not 0 <= index <= len(text):
        raise EvaluationError(f"index out of range: {index}")
    return str(text[index : index + 1])


def _index_of(text: Any, piece: Any, *offset: Any) -> int:
    if isinstance(text, list) and not offset:
        return next((at for at, each in enumerate(text) if same(each, piece)), -1)
    _strings("indexOf", text, piece)
    start = as_whole("indexOf", offset[0]) if offset else 0
    if not piece:
        return start
    if start < 0:
        raise EvaluationError(f"index out of range: {start}")
    return int(text.find(piece, start))


def _last_index_of(text: Any, piece: Any, *offset: Any) -> int:
    if isinstance(text, list) and not offset:
        places = [at for at, each in enumerate(text) if same(each, piece)]
        return places[-1] if places else -1
    _strings("lastIndexOf", text, piece)
    if not offset:
        return int(text.rfind(piece))
    start = as_whole("lastIndexOf", offset[0])
    if not piece:
        return start
    if start < 0:
        raise EvaluationError(f"index out of range: {start}")
    return -1 if start >= len(text) else int(text.rfind(piece, 0, start + len(piece)))


def _lower(text: Any) -> str:
    _strings("lowerAscii", text)
    return "".join(each.lower() if each.isascii() else each for each in text)


def _upper(text: Any) -> str:
    _strings("upperAscii", text)
    return "".join(each.upper() if each.isascii() else each for each in text)


def _replace(text: Any, old: Any, new: Any, *times: Any) -> str:
    _strings("replace", text, old, new)
    limit = as_whole("replace", times[0]) if times else -1
    if (len(text) + 1) * (len(new) + 1) > 1_000_000:
        raise BeyondUs("it replaces text by more than a million characters")
    return str(bounded(text.replace(old, new, max(limit, -1))))


def _split(text: Any, separator: Any, *limit: Any) -> list[Any]:
    _strings("split", text, separator)
    most = as_whole("split", limit[0]) if limit else -1
    if most == 0:
        return []
    if separator:
        return list(text.split(separator, most - 1 if most > 0 else -1))
    if 0 < most < len(text):
        return [*text[: most - 1], text[most - 1 :]]
    return list(text)


def _substring(text: Any, start: Any, *end: Any) -> str:
    _strings("substring", text)
    first = as_whole("substring", start)
    last = as_whole("substring", end[0]) if end else len(text)
    if not 0 <= first <= last <= len(text):
        raise EvaluationError("index out of range")
    return str(text[first:last])


def _trim(text: Any) -> str:
    _strings("trim", text)
    return str(text.strip(_BLANKS))


def _join(words: Any, *separator: Any) -> str:
    if not isinstance(words, list):
        raise no_overload("join", words)
    _strings("join", *separator)
    _strings("join", *words)
    return str(bounded((separator[0] if separator else "").join(words)))


def _includes(value: Any, wanted: Any) -> bool:
    if not isinstance(value, list):
        return same(value, wanted)
    for each in value[:_LIST_ATTRIBUTE_LIMIT]:
        if same(each, wanted):
            return True
    if len(value) > _LIST_ATTRIBUTE_LIMIT:
        raise EvaluationError("'includes' cannot be applied to lists this long")
    return False


def _ordered(function: str, value: Any) -> list[Any]:
    held = as_list(function, value)
    if not all(isinstance(each, bool | int | float | str | bytes) for each in held):
        raise no_overload(function, value)
    return held


def _is_sorted(values: Any) -> bool:
    held = _ordered("isSorted", values)
    return all(compare("isSorted", before, after) <= 0 for before, after in pairwise(held))


def _least(values: Any) -> Any:
    return _extreme("min", values, 1)


def _greatest(values: Any) -> Any:
    return _extreme("max", values, -1)


def _extreme(function: str, values: Any, worse: int) -> Any:
    held = _ordered(function, values)
    if not held:
        raise EvaluationError(f"{function} called on empty list")
    best = held[0]
    for each in held[1:]:
        if compare(function, best, each) == worse:
            best = each
    return best


def _sum(values: Any) -> Any:
    held = as_list("sum", values)
    if not held:
        raise BeyondUs("it sums an empty list")
    if not all(map(is_number, held)):
        raise no_overload("sum", values)
    total = held[0]
    for each in held[1:]:
        total = OPERATORS["_+_"](total, each)
    return total


def _set_contains(whole: Any, part: Any) -> bool:
    held, wanted = as_list("sets.contains", whole), as_list("sets.contains", part)
    return all(any(same(each, one) for each in held) for one in wanted)


def _set_equivalent(left: Any, right: Any) -> bool:
    return _set_contains(left, right) and _set_contains(right, left)


def _set_intersects(left: Any, right: Any) -> bool:
    held, wanted = as_list("sets.intersects", left), as_list("sets.intersects", right)
    return any(same(each, one) for each in held for one in wanted)


def _quantity(text: Any) -> Amount:
    _strings("quantity", text)
    return parse_amount(text)


def _is_quantity(text: Any) -> bool:
    _strings("isQuantity", text)
    return _succeeds(parse_amount, text)


def _semver(text: Any, *normalize: Any) -> Version:
    return parse_version(text, normalize=_loose("semver", text, *normalize))


def _is_semver(text: Any, *normalize: Any) -> bool:
    loose = _loose("isSemver", text, *normalize)
    return _succeeds(parse_version, text, normalize=loose)


def _loose(function: str, text: Any, *normalize: Any) -> bool:
    _strings(function, text)
    if not all(isinstance(each, bool) for each in normalize):
        raise no_overload(function, text, *normalize)
    return any(normalize)


def _succeeds(function: Callable[..., Any], *values: Any, **options: Any) -> bool:
    try:
        function(*values, **options)
    except EvaluationError:
        return False
    return True


def _amount(function: str, value: Any) -> Amount:
    if not isinstance(value, Amount):
        raise no_overload(function, value)
    return value


def _order(function: str, left: Any, right: Any) -> int:
    if not isinstance(left, Comparable) or type(left) is not type(right):
        raise no_overload(function, left, right)
    return int(left.rank > right.rank) - int(left.rank < right.rank)


def _sign(value: Any) -> int:
    worth = _amount("sign", value).rank
    return int(worth > 0) - int(worth < 0)


def _as_integer(value: Any) -> int:
    amount = _amount("asInteger", value)
    if not _is_integer(amount):
        raise EvaluationError("cannot convert value to integer")
    return int(amount.rank // 10**9)


def _is_integer(value: Any) -> bool:
    amount = _amount("isInteger", value)
    if amount.unsure:
        raise BeyondUs("it asks for an integer of a quantity that may not be kept as one")
    return amount.integer is not None


def _as_float(value: Any) -> float:
    approximate = _amount("asApproximateFloat", value).approximate
    if approximate is None:
        raise BeyondUs("it asks for the float of a quantity that has a fraction or is very large")
    return approximate


def _plus(left: Any, right: Any) -> Amount:
    return _sum_of("add", left, right, 1)


def _minus(left: Any, right: Any) -> Amount:
    return _sum_of("sub", left, right, -1)


def _sum_of(function: str, left: Any, right: Any, sign: int) -> Amount:
    amount = _amount(function, left)
    if isinstance(right, Amount):
        return sum_of(amount, right, sign)
    return sum_of(amount, as_whole(function, right), sign)


def _part(name: str) -> Callable[[Any], int]:
    def part(value: Any) -> int:
        if not isinstance(value, Version):
            raise no_overload(name, value)
        return int(getattr(value, name))

    return part


def _of_nonzero(value: Any) -> Optional:
    empty = value is None or (not isinstance(value, Comparable | Optional) and not value)
    return NONE if empty else Optional(value)


def _has_value(value: Any) -> bool:
    if not isinstance(value, Optional):
        raise no_overload("hasValue", value)
    return value.has_value


def _value(value: Any) -> Any:
    if not isinstance(value, Optional):
        raise no_overload("value", value)
    if not value.has_value:
        raise EvaluationError("optional.none() dereference")
    return value.value


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **OPERATORS,
    **LIST_FUNCTIONS,
    "contains": _contains,
    "startsWith": _starts_with,
    "endsWith": _ends_with,
    "matches": _matches,
    "charAt": _char_at,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "lowerAscii": _lower,
    "upperAscii": _upper,
    "replace": _replace,
    "split": _split,
    "substring": _substring,
    "trim": _trim,
    "join": _join,
    "includes": _includes,
    "isSorted": _is_sorted,
    "min": _least,
    "max": _greatest,
    "sum": _sum,
    "sets.contains": _set_contains,
    "sets.equivalent": _set_equivalent,
    "sets.intersects": _set_intersects,
    "quantity": _quantity,
    "isQuantity": _is_quantity,
    "sign": _sign,
    "asInteger": _as_integer,
    "isInteger": _is_integer,
    "asApproximateFloat": _as_float,
    "add": _plus,
    "sub": _minus,
    "semver": _semver,
    "isSemver": _is_semver,
    "major": _part("major"),
    "minor": _part("minor"),
    "patch": _part("patch"),
    "compareTo": lambda left, right: _order("compareTo", left, right),
    "isGreaterThan": lambda left, right: _order("isGreaterThan", left, right) > 0,
    "isLessThan": lambda left, right: _order("isLessThan", left, right) < 0,
    "optional.of": Optional,
    "optional.none": lambda: NONE,
    "optional.ofNonZeroValue": _of_nonzero,
    "hasValue": _has_value,
    "value": _value,
}
"""Every function whose arguments are all evaluated first, by name."""
