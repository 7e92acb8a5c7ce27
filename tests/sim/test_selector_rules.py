"""Which selectors the embedded API server refuses, and in which words.

It refuses none that Kubernetes takes; what it cannot judge it lets pass.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.sim.apiserver.rules.selector_rules import selector_problem

DATA = Path(__file__).parents[1] / "data" / "selector-cases.jsonl.gz"
UNJUDGED = 20
"""Of those that Kubernetes refuses, the most that are let pass."""


def recorded() -> list[dict[str, Any]]:
    with gzip.open(DATA) as lines:
        _, *cases = map(json.loads, lines)
    return cases


def test_none_is_refused_that_kubernetes_takes() -> None:
    is_wrong = {case["expression"]: case["outcomes"][0] == "compile error" for case in recorded()}
    refused = {expression for expression in is_wrong if selector_problem(expression)}
    wrong = {expression for expression, is_refused in is_wrong.items() if is_refused}
    assert refused <= wrong
    assert len(wrong - refused) < UNJUDGED < len(wrong) / 5


@pytest.mark.parametrize(
    "expression",
    [
        "true",
        'device.driver == "gpu.example.com"',
        'device.attributes["gpu.example.com"].model == "A100" && !(1 in [1, 2])',
        'device.capacity["gpu.example.com"].memory.compareTo(quantity("10Gi")) >= 0',
        "device.attributes['x'].exists(y, y == 'z') ? true : false",
        "has(device.attributes) || size({'a': 1}) > 0",
        "cel.bind(x, device.driver, x == 'a')",
        "device.attributes['x'].a",
        "true // whatever",
        "sign(device.capacity['x'].memory) == 1",
        "device.attributes['x'].?a.optMap(y, y == 'z').orValue(false)",
        "device.attributes.exists(k, v, k == 'x')",
        "[?device.attributes['x'].?a].size() == 1",
        "(" * 40 + "true" + ")" * 40,
        "1" + " + 1" * 40 + " == 41",
    ],
)
def test_selectors_that_compile(expression: str) -> None:
    assert selector_problem(expression) == ""


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "mismatched input '<EOF>'"),
        ("device.driver ==", "mismatched input '<EOF>'"),
        ("(true", "missing ')' at '<EOF>'"),
        ("true)", "extraneous input ')'"),
        ("devise.driver == 'x'", "undeclared reference to 'devise'"),
        ("device.driver == 'x", "token recognition error at: ''x'"),
        ("device.capacity['x'].memory > 40", "no matching overload for '_>_'"),
    ],
)
def test_selectors_that_do_not_compile(expression: str, words: str) -> None:
    problem = selector_problem(expression)
    assert problem.startswith("compilation failed: ERROR: <input>:1:")
    assert words in problem


def test_the_place_is_shown_in_its_line() -> None:
    assert selector_problem("true &&\n  foo.bar.baz") == (
        "compilation failed: ERROR: <input>:2:3: undeclared reference to 'foo' (in container '')"
        "\n |   foo.bar.baz\n | ..^"
    )


@pytest.mark.parametrize(
    ("expression", "outcome"),
    [
        ("1", "int"),
        ("1u", "uint"),
        ("-1.5", "double"),
        ("device.driver", "string"),
        ("b'x'", "bytes"),
        ("null", "null_type"),
        ("1 + 2", "int"),
        ("true ? 'a' : 'b'", "string"),
        ("[1, 2]", "list(int)"),
        ("{'a': 1}", "map(string, int)"),
        ("device.attributes", "map(string, map(string, any))"),
        ("device.capacity['x'].memory", "kubernetes.Quantity"),
        ("semver('1.0.0')", "kubernetes.Semver"),
        ("size(device.attributes)", "int"),
        ("optional.of(1)", "optional_type(int)"),
        ("dyn(true)", "dyn"),
    ],
)
def test_selectors_that_give_no_bool(expression: str, outcome: str) -> None:
    expected = f"must evaluate to bool or the unknown type, not {outcome}"
    assert selector_problem(expression) == expected


@given(st.text(alphabet="device.attributes['x']==&|()!?:1\" ", max_size=30))
def test_any_text_compiles_or_not(expression: str) -> None:
    assert isinstance(selector_problem(expression), str)
