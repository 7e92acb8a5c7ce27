"""What Kubernetes 1.36.2 says of 1,100 expressions on ten devices, and what we say.

Each recording is an expression and its outcome on five devices, as the scheduler's own evaluator
gave it: true, false, a runtime error (which makes the scheduler give up on the pod) or a compile
error. A third of the expressions are those of drivers, documents and mistakes; the others were
generated. We may say that we cannot tell, for the reasons named here; we may never say otherwise.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from gpu_spawner.core.devices.cel import (
    SelectorError,
    SelectorRuntimeError,
    SelectorUnsupportedError,
    compile_selector,
)
from gpu_spawner.core.devices.facts import DeviceFacts, SemanticVersion, qualified
from gpu_spawner.core.quantity import parse_nano

DATA = Path(__file__).parent.parent / "data" / "selector-cases.jsonl.gz"
Case = dict[str, Any]

BEYOND_US = (
    "it uses ",
    "it tests for a field of device",
    "it makes a message of type",
    "it calls a variable of its own device",
    "it puts values of several types",
    "it has a backquote",
    "it computes a regular expression",
    "its regular expression has an unusual",
    "it asks has() of an optional",
    "it asks for the alternative of a value that is not optional",
    "it asks for the float of a quantity",
    "it asks for an integer of a quantity",
    "it looks for a value that is not plain",
    "it has a quantity beyond 64 bits",
    "it reads a double",
    "it reads a quantity from",
    "it writes a double",
    "it sums an empty list",
    "it is nested deeper",
    "it builds a value of more than",
)


def facts_of(device: Case) -> DeviceFacts:
    def value_of(attribute: Case) -> bool | int | str | SemanticVersion:
        ((kind, value),) = attribute.items()
        return SemanticVersion(value) if kind == "version" else value

    driver = device["driver"]
    return DeviceFacts(
        driver=driver,
        allow_multiple_allocations=device.get("allowMultipleAllocations", False),
        attributes=tuple(
            sorted(
                (qualified(name, driver), value_of(attribute))
                for name, attribute in device.get("attributes", {}).items()
            )
        ),
        capacity=tuple(
            sorted(
                (qualified(name, driver), parse_nano(held["value"]))
                for name, held in device.get("capacity", {}).items()
            )
        ),
    )


def read_cases() -> tuple[list[DeviceFacts], list[Case]]:
    with gzip.open(DATA) as lines:
        header, *cases = map(json.loads, lines)
    return [facts_of(device) for device in header["devices"]], cases


DEVICES, CASES = read_cases()


def outcome_of(expression: str, device: DeviceFacts) -> str:
    try:
        return str(compile_selector(expression).matches(device)).lower()
    except SelectorError:
        return "compile error"
    except SelectorRuntimeError:
        return "runtime error"
    except SelectorUnsupportedError as error:
        reason = str(error).removeprefix("the selector cannot be evaluated: ")
        assert reason.startswith(BEYOND_US), reason
        return "beyond us"


def devices_of(case: Case) -> list[DeviceFacts]:
    return DEVICES[case["first"] : case["first"] + len(case["outcomes"])]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["expression"][:60]) for case in CASES])
def test_it_is_never_otherwise_than_in_kubernetes(case: Case) -> None:
    for device, expected in zip(devices_of(case), case["outcomes"], strict=True):
        assert outcome_of(case["expression"], device) in {expected, "beyond us"}


def test_what_drivers_and_documents_use_is_served() -> None:
    """Of the first expressions, those for real devices, only the exotic last ones are beyond us."""
    real = [case["expression"] for case in CASES if case["first"] == 0]

    beyond = {each for each in real if outcome_of(each, DEVICES[0]) == "beyond us"}

    assert beyond == {'device.attributes["gpu.nvidia.com"].exists(k, v, k == "type")'}
    assert len(real) > 70


def test_little_is_beyond_us() -> None:
    generated = [case for case in CASES if case["first"]][-400:]

    outcomes = [
        outcome_of(case["expression"], device) for case in generated for device in devices_of(case)
    ]

    assert outcomes.count("beyond us") < len(outcomes) / 20


@pytest.mark.parametrize(
    "case", [case for case in CASES if "compile error" not in case["outcomes"]]
)
def test_names_that_are_not_asked_for_make_no_difference(case: Case) -> None:
    """A device with only the names a selector says it reads has the outcome of the whole device."""
    try:
        names = compile_selector(case["expression"]).names
    except SelectorUnsupportedError:
        return
    if names is None:
        return
    for device in devices_of(case):
        bare = DeviceFacts(
            driver=device.driver,
            allow_multiple_allocations=device.allow_multiple_allocations,
            attributes=tuple(pair for pair in device.attributes if pair[0] in names),
            capacity=tuple(pair for pair in device.capacity if pair[0] in names),
        )
        assert outcome_of(case["expression"], bare) == outcome_of(case["expression"], device)


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('device.attributes["a.b"].x == 1', {"a.b/x"}),
        ('device.attributes.d["x"] == 1 && "y" in device.capacity["d"]', {"d/x", "d/y"}),
        ('cel.bind(a, device.attributes["d"], has(a.x) && a.y == 1)', {"d/x", "d/y"}),
        ('device.attributes[?"d"].?x.orValue(1) == 1', {"d/x"}),
        ('device.driver == "d"', set()),
        ('"d" in device.attributes', None),
        ('device.attributes["d"].exists(k, k == "x")', None),
        ("device.attributes[device.driver].x == 1", None),
        ('size(device.attributes["d"]) == 1', None),
        ('["x"].exists(k, k in device.attributes["d"])', None),
    ],
)
def test_names_read(expression: str, names: set[str] | None) -> None:
    assert compile_selector(expression).names == names


def test_a_bool_is_not_an_int() -> None:
    """Python holds True and 1 for equal, also in a cache."""
    one, true = (DeviceFacts(driver="d", attributes=(("d/x", value),)) for value in (1, True))
    selector = compile_selector('device.attributes["d"].x == 1')

    assert (selector.matches(one), selector.matches(true)) == (True, False)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "device.driver ==",
        "(" * 4000,
        "!" * 9000 + "true",
        "a" * 10241,
        "\ud800",
        "\x00",
        "device.driver == '\u202e'" + " && true" * 1000,
        "1" + " + 1" * 2500 + " == 1",
        "cel.bind(a, " * 200 + "1" + ", a)" * 200 + " == 1",
        "[1, 2, 3, 4, 5, 6, 7, 8, 9].all(a, " * 12 + "true" + ")" * 12,
        "".join(f"cel.bind(a{n}, a{n - 1} + a{n - 1}, " for n in range(1, 60)).replace(
            "a0", '"0123456789"'
        )
        + "true"
        + ")" * 59,
        "[" * 200 + "]" * 200 + " == []",
    ],
)
def test_hostile_expressions_end_with_a_word(expression: str) -> None:
    said = ""
    try:
        compile_selector(expression).matches(DEVICES[0])
    except (SelectorError, SelectorRuntimeError, SelectorUnsupportedError) as error:
        said = str(error)

    assert len(said) < 1000


@pytest.mark.parametrize("expression", ["(" * 40 + "true" + ")" * 40, "1" + " + 1" * 40 + " == 41"])
def test_what_is_nested_deeper_than_we_read_is_no_mistake(expression: str) -> None:
    """The library reads 32 levels, Kubernetes 250."""
    with pytest.raises(SelectorUnsupportedError, match="it is nested deeper than we read"):
        compile_selector(expression)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # What the Kubernetes documentation of CEL and cel-go's of its lists extension give.
        ("[1,2,3,4].slice(1, 3) == [2, 3]", "true"),
        ("[1,2,3,4].slice(2, 4) == [3, 4]", "true"),
        ("[1, 2].slice(0, 3) == []", "runtime error"),
        ("[1, 2].slice(2, 1) == []", "runtime error"),
        ("[1, 2].slice(-1, 1) == []", "runtime error"),
        ("[[1], [2, 3]].flatten() == [1, 2, 3]", "true"),
        ("[[], [], []].flatten() == []", "true"),
        ("[[[1]], [[2]]].flatten() == [[1], [2]]", "true"),
        ("[1, 2, 2, 3, 3, 3].distinct() == [1, 2, 3]", "true"),
        ('["b", "b", "c", "a", "c"].distinct() == ["b", "c", "a"]', "true"),
        ("[5, 3, 1, 2].reverse() == [2, 1, 3, 5]", "true"),
        ("[3, 2, 1].sort() == [1, 2, 3]", "true"),
        ('["b", "c", "a"].sort() == ["a", "b", "c"]', "true"),
        ("[true, false].sort() == [false, true]", "true"),
        ("lists.range(5) == [0, 1, 2, 3, 4]", "true"),
        ("lists.range(0) == []", "true"),
        ("lists.range(1000000).size() == 1", "beyond us"),
        ("[[1], [2]].flatten(1) == [1, 2]", "beyond us"),
        ('[quantity("1")].sort().size() == 1', "beyond us"),
        ('device.attributes["gpu.nvidia.com"].type.reverse() == []', "runtime error"),
    ],
)
def test_functions_on_lists(expression: str, expected: str) -> None:
    assert outcome_of(expression, DEVICES[0]) == expected


def test_a_compile_error_says_where() -> None:
    with pytest.raises(SelectorError, match=r"not a selector: 1:15: found no matching overload"):
        compile_selector("device.driver == 1")


def test_an_outcome_that_is_no_bool_is_an_error() -> None:
    with pytest.raises(SelectorError, match="it gives string, a selector gives a bool"):
        compile_selector("device.driver")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('device.capacity["d"].cores.isInteger()', False),
        ('device.capacity["d"].cores.add(1).isInteger()', False),
        ('device.capacity["d"].cores.isInteger() || device.driver == "d"', True),
        ('quantity("500m").sub(quantity("200m")).isInteger()', False),
    ],
)
def test_a_fraction_is_no_integer_however_it_is_kept(expression: str, *, expected: bool) -> None:
    half = DeviceFacts(
        driver="d",
        allow_multiple_allocations=False,
        attributes=(),
        capacity=((qualified("cores", "d"), parse_nano("500m")),),
    )

    assert compile_selector(expression).matches(half) is expected
