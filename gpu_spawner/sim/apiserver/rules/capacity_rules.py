"""What an API server refuses in the capacities and counters of devices."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gpu_spawner.core.quantity import parse_nano
from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    required,
    too_many,
)
from gpu_spawner.sim.apiserver.names import dns_label_problems

__all__ = ["counter_problems", "policy_problems"]

Obj = Mapping[str, Any]

_MAX_COUNTERS: Final = 32


def counter_problems(counters: Obj, key: str, path: str) -> Iterator[FieldError]:
    """Check a set of counters, or what a device takes of one; ``key`` has the set's name."""
    if not counters[key]:
        yield required(f"{path}.{key}")
    else:
        for problem in dns_label_problems(counters[key]):
            yield invalid_value(f"{path}.{key}", counters[key], problem)
    here, names = f"{path}.counters", counters.get("counters")
    if not names:
        yield required(here)
        return
    if len(names) > _MAX_COUNTERS:
        yield too_many(here, len(names), _MAX_COUNTERS)
    for name in names:
        for problem in dns_label_problems(name):
            yield invalid_value(here, name, problem)


def policy_problems(capacity: Obj, path: str) -> Iterator[FieldError]:
    """Check how much of a capacity may be asked for, where a device is shared."""
    policy, here = capacity["requestPolicy"], f"{path}.requestPolicy"
    values, value_range = policy.get("validValues"), policy.get("validRange")
    if values and value_range is not None:
        detail = (
            'exactly one policy can be specified, cannot specify "validValues" and "validRange" at '
            "the same time"
        )
        yield forbidden_field(here, detail)
    elif values:
        if "default" not in policy:
            yield required(f"{here}.default", "required when validValues is defined")
        else:
            yield from _check_values(policy["default"], capacity["value"], values, here)
    elif value_range is not None:
        if "default" not in policy:
            yield required(f"{here}.default", "required when validRange is defined")
        else:
            where = f"{here}.validRange"
            yield from _check_range(policy["default"], capacity["value"], value_range, where)


def _check_values(default: str, most: str, values: list[str], path: str) -> Iterator[FieldError]:
    here = f"{path}.validValues"
    amounts = [parse_nano(value) for value in values]
    for index in range(1, len(values)):
        if amounts[index - 1] > amounts[index]:
            detail = "values must be sorted in ascending order"
            yield invalid_value(f"{here}[{index}]", values[index], detail)
    for index, amount in enumerate(amounts):
        if amount > parse_nano(most):
            detail = f"option is larger than capacity value: {most}"
            yield invalid_value(f"{here}[{index}]", values[index], detail)
    if parse_nano(default) not in amounts:
        detail = "default value is not valid according to the requestPolicy"
        yield invalid_value(here, default, detail)


def _check_range(default: str, most: str, value_range: Obj, path: str) -> Iterator[FieldError]:
    least, end, step = (value_range.get(key) for key in ("min", "max", "step"))
    if least is None:
        yield required(f"{path}.min", "required when validRange is defined")
        return
    low, wanted = parse_nano(least), parse_nano(default)
    if low > parse_nano(most):
        yield invalid_value(f"{path}.min", least, f"min is larger than capacity value: {most}")
    if wanted < low:
        yield invalid_value(f"{path}.min", default, f"default is less than min: {least}")
    if end is not None:
        yield from _check_end(default, most, least, end, f"{path}.max")
    for value in filter(None, (default, end) if step is not None else ()):
        if (parse_nano(value) - low) % parse_nano(step or "1"):
            detail = f"value is not a multiple of a given step ({step}) from ({least})"
            yield invalid_value(f"{path}.step", value, detail)


def _check_end(default: str, most: str, least: str, end: str, path: str) -> Iterator[FieldError]:
    if parse_nano(least) > parse_nano(end):
        yield invalid_value(path, least, f"min is larger than max: {end}")
    if parse_nano(end) > parse_nano(most):
        yield invalid_value(path, end, f"max is larger than capacity value: {most}")
    if parse_nano(default) > parse_nano(end):
        yield invalid_value(path, default, f"default is more than max: {end}")
