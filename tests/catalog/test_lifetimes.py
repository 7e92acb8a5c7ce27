"""How long servers may run and be unused: durations, words, and when a server is over."""

from typing import Any

import pytest
from catalog_builders import catalog_of, documents, select
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.catalog.compile import compile_selection
from gpu_spawner.core.catalog.lifetime import UNLIMITED, Lifetime
from gpu_spawner.core.errors import ConfigError

HOUR = 3600
seconds = st.none() | st.integers(min_value=600, max_value=366 * 86400)
lifetimes = st.builds(Lifetime, max_seconds=seconds, idle_seconds=seconds)


def lifetime_of(**changes: Any) -> Lifetime:
    mapping = documents()
    mapping["20-gpus"].update(changes)
    profile = catalog_of(mapping).profile("gpus")
    assert profile is not None
    return profile.lifetime


@pytest.mark.parametrize(
    ("text", "expected"),
    [("12h", 12 * HOUR), ("90m", 5400), ("7d", 7 * 24 * HOUR), ("1d2h3m", 26 * HOUR + 180)],
)
def test_durations(text: str, expected: int) -> None:
    assert lifetime_of(max_lifetime=text).max_seconds == expected


@pytest.mark.parametrize("text", ["", "12", 12, "9m", "400d", "-1h", "1h 2m", "2m1h", "1.5h", None])
def test_other_texts_are_no_durations(text: Any) -> None:
    if text is None:
        assert lifetime_of(idle_timeout=text) == UNLIMITED
        return
    with pytest.raises(ConfigError, match=r"20-gpus\.idle_timeout"):
        lifetime_of(idle_timeout=text)


def test_words() -> None:
    assert UNLIMITED.words == ""
    assert Lifetime(max_seconds=12 * HOUR).words == "stops after 12 h"
    assert Lifetime(idle_seconds=5400).words == "stops after 1 h 30 min without use"
    both = Lifetime(max_seconds=7 * 86400, idle_seconds=HOUR)
    assert both.words == "stops after 7 days, or 1 h without use"


def test_the_first_rule_that_ends_it_counts() -> None:
    rule = Lifetime(max_seconds=12 * HOUR, idle_seconds=HOUR)
    verdict = rule.judge(ran_seconds=11.5 * HOUR, idle_seconds=0)
    assert verdict is not None
    assert (verdict.because, verdict.seconds_left) == ("It may run for 12 h.", HOUR / 2)
    verdict = rule.judge(ran_seconds=2 * HOUR, idle_seconds=HOUR)
    assert verdict is not None
    assert (verdict.because, verdict.seconds_left) == ("It may be unused for 1 h.", 0)


@given(lifetimes, st.floats(0, 1e9), st.floats(0, 1e9))
def test_nothing_ends_before_its_time(rule: Lifetime, ran: float, idle: float) -> None:
    verdict = rule.judge(ran_seconds=ran, idle_seconds=idle)
    if rule.is_unlimited:
        assert verdict is None
        return
    assert verdict is not None
    over = (rule.max_seconds is not None and ran >= rule.max_seconds) or (
        rule.idle_seconds is not None and min(idle, ran) >= rule.idle_seconds
    )
    assert (verdict.seconds_left <= 0) == over


@given(lifetimes, lifetimes, st.floats(0, 1e9), st.floats(0, 1e9))
def test_the_more_generous_rule_never_ends_anything_earlier(
    one: Lifetime, other: Lifetime, ran: float, idle: float
) -> None:
    verdict = one.or_longer(other).judge(ran_seconds=ran, idle_seconds=idle)
    left = float("inf") if verdict is None else verdict.seconds_left
    for rule in (one, other):
        single = rule.judge(ran_seconds=ran, idle_seconds=idle)
        assert single is None or left >= single.seconds_left


@given(lifetimes)
def test_kept_and_read_back(rule: Lifetime) -> None:
    assert Lifetime.from_state(rule.as_state()) == rule


@pytest.mark.parametrize(
    "raw",
    [
        None,
        1,
        [],
        {},
        {"max_seconds": 1},
        {"max_seconds": "1", "idle_seconds": 2},
        {"max_seconds": True, "idle_seconds": 2},
        {"max_seconds": 0, "idle_seconds": 2},
    ],
)
def test_anything_else_that_was_kept_is_no_rule(raw: Any) -> None:
    assert Lifetime.from_state(raw) is None


def test_the_pod_says_its_rules() -> None:
    mapping = documents()
    mapping["20-gpus"] |= {"max_lifetime": "12h", "idle_timeout": "1h"}
    catalog = catalog_of(mapping)
    fragment = compile_selection(catalog, select(catalog, profile="gpus"))
    assert fragment.annotations == {
        "gpu-spawner.jupyter.org/max-lifetime-seconds": "43200",
        "gpu-spawner.jupyter.org/idle-timeout-seconds": "3600",
    }
    assert fragment.environment["GPU_SPAWNER_MAX_LIFETIME_SECONDS"] == "43200"
    assert fragment.environment["GPU_SPAWNER_IDLE_TIMEOUT_SECONDS"] == "3600"
