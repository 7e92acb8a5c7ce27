"""Two hundred things that are not a choice of the tests' catalog."""

import itertools
from typing import Any

LONG = "x" * 100_000
HTML = "<script>alert(1)</script>"
TEXTS = [
    HTML,
    "<img src=x onerror=alert(1)>",
    "\"'><svg/onload=alert(1)>",
    "{{ 7*7 }}",
    "{% include '/etc/passwd' %}",
    "${jndi:ldap://example.org/a}",
    "'; DROP TABLE users; --",
    "../../../etc/passwd",
    "gpus\x00cpu",
    "gpus\ncpu",
    "\u202egpus",
    "\N{FULLWIDTH LATIN SMALL LETTER G}pus",
    "GPUS",
    " gpus",
    "gpus ",
    "gpus/h100/whole/2",
    "%s%s%s%n",
    "\ud800",
    LONG,
    "secret",
    "-1",
    "1e3",
    "0",
    "NaN",
    "nvidia.com/gpu",
]
THINGS: list[Any] = [
    True,
    False,
    0,
    -1,
    3,
    1.5,
    2.0,
    1e308,
    10**400,
    [],
    ["gpus"],
    {},
    {"$ne": None},
    {"profile": "gpus"},
    [[[[[[]]]]]],
    [LONG],
]


def _nested(depth: int) -> Any:
    value: Any = "end"
    for _ in range(depth):
        value = {"profile": value}
    return value


def bodies() -> list[dict[str, Any]]:
    """Return ``user_options`` that none may start anything."""
    made: list[dict[str, Any]] = []
    # (A count of "0" or the slug itself as flavor is as wrong as any other.)
    for key, value in itertools.product(("profile", "image", "share", "flavor"), TEXTS + THINGS):
        made.append({"profile": "gpus", key: value})
    made += [{"profile": "gpus", "count": value} for value in TEXTS + THINGS]
    made += [{key: "gpus"} for key in [*TEXTS, "Profile", "profiles", "__class__", "count ", ""]]
    made += [
        {"profile": "secret", "flavor": "h100"},
        {"profile": "cpu", "count": 1},
        {"profile": "cpu", "image": "torch"},
        {"profile": ["gpus", "cpu"]},
        {"count": 2},
        {"flavor": "h100", "profile": None},
        _nested(50),
        {str(number): number for number in range(5000)},
        {"profile": "gpus", "kubespawner_override": {"image": "evil"}},
        {"profile": "gpus", "image--unlisted-choice": "evil:latest"},
        {"offer": "gpus/h100/whole/2"},
    ]
    return made


def fields() -> list[dict[str, Any]]:
    """Return the fields of forms that none may start anything."""
    made: list[dict[str, Any]] = [{"offer": text} for text in TEXTS if text != "gpus/h100/whole/2"]
    made += [{"profile": text} for text in TEXTS]
    made += [{"offer": "gpus/h100/whole/2", "profile-option-gpus--image": text} for text in TEXTS]
    made += [
        {},
        {"offer": ["gpus/h100/whole/1", "gpus/h100/whole/2"]},
        {"offer": "gpus/h100/whole/3"},
        {"offer": "gpus/h100/whole/-2"},
        {"offer": "gpus/h100/whole/2/"},
        {"offer": "gpus/h100//2"},
        {"offer": "////"},
        {"offer": "secret/h100/whole/1"},
        {"offer": "cpu/h100/whole/1"},
        {"offer": "gpus/cpu"},
        {"unrelated": "field"},
    ]
    return [
        {name: "?" if value == "\ud800" else value for name, value in one.items()} for one in made
    ]
