"""Steering servers to nodes that have their image: when, to which, and never against packing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.preload.steering import Room, Steering, prefer_warm


def rooms(left: dict[str, int], warm: set[str]) -> list[Room]:
    """Make nodes with so much left, and their images on some."""
    return [Room(name, name, name in warm, amount) for name, amount in left.items()]


def names(term: dict[str, Any] | None) -> list[str] | None:
    if term is None:
        return None
    found: list[str] = term["preference"]["matchExpressions"][0]["values"]
    return found


def test_a_server_prefers_nodes_with_its_image() -> None:
    term = prefer_warm(rooms({"a": 2, "c": 8}, {"a", "b"}))

    assert term == {
        "weight": 50,
        "preference": {
            "matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["a"]}
            ]
        },
    }


def test_nodes_go_by_their_label_and_those_without_are_left_out() -> None:
    found = [Room("a", "host-a", True, 1), Room("b", "", True, 1), Room("c", "host-c", False, 1)]
    assert names(prefer_warm(found)) == ["host-a"]
    assert prefer_warm(found[1:]) is None


@pytest.mark.parametrize("warm", [set(), {"a", "b"}], ids=["none", "all"])
def test_where_none_or_all_have_it_nothing_is_preferred(warm: set[str]) -> None:
    assert prefer_warm(rooms({"a": 1, "b": 1}, warm)) is None


def test_where_there_is_no_room_nothing_is_preferred() -> None:
    assert prefer_warm([]) is None


def test_the_names_are_bounded_and_the_fullest_nodes_are_named() -> None:
    left = {f"n{number:03}": number % 8 + 1 for number in range(120)}
    found = names(prefer_warm(rooms(left, left.keys() - {"n000"})))

    assert found is not None
    assert len(found) == 50
    assert all(int(name[1:]) % 8 < 4 for name in found)


def test_a_flavor_that_comes_first_is_not_outweighed() -> None:
    order = [{"weight": 100}, {"weight": 67}, {"weight": 33}]
    term = prefer_warm(rooms({"a": 1, "b": 1}, {"a"}), preferred=order)

    assert term is not None
    assert term["weight"] < 33


@given(
    left=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 8), min_size=1),
    warm=st.sets(st.sampled_from("abcdef")),
)
def test_packed_steering_never_packs_worse(left: dict[str, int], warm: set[str]) -> None:
    """Every node it names is as full as any node the server fits on."""
    found = names(prefer_warm(rooms(left, warm), steering=Steering.PACKED))
    for name in found or ():
        assert name in warm
        assert left[name] == min(left.values())


@given(
    left=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 8), min_size=1),
    warm=st.sets(st.sampled_from("abcdef")),
)
def test_all_that_are_warm_are_named_unless_that_says_nothing(
    left: dict[str, int], warm: set[str]
) -> None:
    found = names(prefer_warm(rooms(left, warm)))
    known = warm & left.keys()
    assert found == (sorted(known) if known and known != left.keys() else None)


def test_switched_off_it_steers_nobody() -> None:
    assert prefer_warm(rooms({"a": 1, "b": 1}, {"a"}), steering=Steering.OFF) is None
