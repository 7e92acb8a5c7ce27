"""Whatever stands in a saved cluster or a manifest: an answer or a ``ConfigError``, never more."""

import copy
from typing import Any

from cluster_strategies import clusters, probes
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.errors import ConfigError
from gpu_spawner.core.placement.whatif import whatif

Raw = dict[str, Any]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**63)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3)
    | st.dates()
    | st.sampled_from(["abc", "-1", "1e999999999", "\u0661", "\ud800", "9" * 5000, object()])
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        | st.dictionaries(scalars, inner, max_size=2)
    ),
    max_leaves=5,
)


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Find every (container, key) of a nested value."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], dict | list):
            found += places_in(value[key])
    return found


def answer_or_refusal(items: Any, probe: Any) -> None:
    problems, answer = (), {"seats": None, "nodes": {}, "reason": "refused"}
    try:
        answer = whatif(items, probe)
    except ConfigError as error:
        problems = error.problems
    assert all(len(str(problem)) < 2000 for problem in problems)
    assert (answer["seats"] is None) == ("reason" in answer)
    assert all(node["reasons"] for node in answer["nodes"].values())


@given(items=clusters(), probe=probes(), data=st.data())
def test_one_broken_place(items: list[Raw], probe: Raw, data: st.DataObject) -> None:
    world = {"items": copy.deepcopy(items), "probe": copy.deepcopy(probe)}
    places = [place for place in places_in(world) if place[0] is not world]
    container, key = data.draw(st.sampled_from(places))
    container[key] = data.draw(anything)

    answer_or_refusal(world["items"], world["probe"])


@given(items=st.lists(anything, max_size=3), probe=anything)
def test_nothing_like_a_cluster(items: list[Any], probe: Any) -> None:
    answer_or_refusal(items, probe)
