"""Steering servers to nodes that have their image: when, to which, and never against packing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from preload_model import make_node

from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod
from gpu_spawner.core.placement.seats import count_seats
from gpu_spawner.core.preload.steering import Steering, prefer_warm

TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists"}


def server(gpus: int = 1) -> PodRequest:
    container = {"name": "notebook", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
    return request_from_pod({"spec": {"containers": [container], "tolerations": [TOLERATION]}})


def cluster(free: dict[str, int], total: int = 8) -> Snapshot:
    """Make nodes with so many free GPUs."""
    items: list[dict[str, Any]] = []
    for name, gpus in free.items():
        items.append(make_node(name, gpus=total))
        if total > gpus:
            limits = {"nvidia.com/gpu": total - gpus}
            container = {"name": "main", "resources": {"limits": limits, "requests": limits}}
            items.append(
                {
                    "kind": "Pod",
                    "metadata": {"name": f"on-{name}", "namespace": "others"},
                    "spec": {"nodeName": name, "containers": [container]},
                    "status": {"phase": "Running"},
                }
            )
    return Snapshot.from_objects(items)


def names(term: dict[str, Any] | None) -> list[str] | None:
    if term is None:
        return None
    found: list[str] = term["preference"]["matchExpressions"][0]["values"]
    return found


def test_a_server_prefers_nodes_with_its_image_that_have_room() -> None:
    snapshot = cluster({"a": 2, "b": 0, "c": 8})
    term = prefer_warm(snapshot, server(), {"a", "b"}.__contains__)

    assert term == {
        "weight": 50,
        "preference": {
            "matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["a"]}
            ]
        },
    }


@pytest.mark.parametrize("warm", [set(), {"a", "b"}], ids=["none", "all"])
def test_where_none_or_all_have_it_nothing_is_preferred(warm: set[str]) -> None:
    assert prefer_warm(cluster({"a": 1, "b": 1}), server(), warm.__contains__) is None


def test_what_is_unknown_steers_nobody() -> None:
    assert prefer_warm(Snapshot(), server(), lambda _: True) is None


def test_the_names_are_bounded_and_the_fullest_nodes_are_named() -> None:
    snapshot = cluster({f"n{number:03}": number % 8 + 1 for number in range(120)})
    found = names(prefer_warm(snapshot, server(), lambda name: name != "n000"))

    assert found is not None
    assert len(found) == 50
    assert all(int(name[1:]) % 8 < 4 for name in found)


def test_a_flavor_that_comes_first_is_not_outweighed() -> None:
    order = [{"weight": 100}, {"weight": 67}, {"weight": 33}]
    term = prefer_warm(cluster({"a": 1, "b": 1}), server(), {"a"}.__contains__, preferred=order)

    assert term is not None
    assert term["weight"] < 33


@given(
    free=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 8), min_size=1),
    warm=st.sets(st.sampled_from("abcdef")),
    gpus=st.integers(1, 4),
)
def test_packed_steering_never_packs_worse(free: dict[str, int], warm: set[str], gpus: int) -> None:
    """Every node it names is as full as any node the server fits on."""
    snapshot, request = cluster(free), server(gpus)
    found = names(prefer_warm(snapshot, request, warm.__contains__, steering=Steering.PACKED))
    fitting = [name for name, seats in count_seats(snapshot, request).nodes.items() if seats.free]
    for name in found or ():
        assert name in warm
        assert free[name] == min(free[one] for one in fitting)


@given(
    free=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 8), min_size=1),
    warm=st.sets(st.sampled_from("abcdef")),
)
def test_only_nodes_that_fit_and_are_warm_are_named(free: dict[str, int], warm: set[str]) -> None:
    found = names(prefer_warm(cluster(free), server(2), warm.__contains__))
    for name in found or ():
        assert name in warm
        assert free[name] >= 2
    if found is not None:
        assert {name for name, room in free.items() if room >= 2} - set(found)


def test_switched_off_it_steers_nobody() -> None:
    term = prefer_warm(
        cluster({"a": 1, "b": 1}), server(), {"a"}.__contains__, steering=Steering.OFF
    )

    assert term is None
