"""Required anti-affinity: of running pods, of the request, and against its own kind."""

from typing import Any

import pytest
from raw_objects import container, node, pod

from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.placement.fitting import Reason
from gpu_spawner.core.placement.pod_request import request_from_pod
from gpu_spawner.core.placement.seats import Seats, count_seats

HOST = "kubernetes.io/hostname"


def away(labels: dict[str, str] | None, key: str = HOST, **term: Any) -> dict[str, Any]:
    selector = {"labelSelector": {"matchLabels": labels}} if labels is not None else {}
    required = [{"topologyKey": key, **selector, **term}]
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def nodes() -> list[dict[str, Any]]:
    """Build three nodes, the first two in one zone, with eight seats of one core each."""
    return [
        node("a", labels={"zone": "1"}),
        node("b", labels={"zone": "1"}),
        node("c", labels={"zone": "2"}),
    ]


def count(*pods: dict[str, Any], probe: dict[str, Any], extra: Any = ()) -> Seats:
    snapshot = Snapshot.from_objects([*nodes(), *extra, *pods])
    return count_seats(snapshot, request_from_pod(probe))


def a_probe(**fields: Any) -> dict[str, Any]:
    return pod("probe", containers=[container(cpu="1")], **fields)


def free(seats: Seats) -> dict[str, int]:
    return {name: found.free for name, found in seats.nodes.items()}


def test_a_running_pod_keeps_the_request_off_its_host() -> None:
    loner = pod("loner", node_name="a", affinity=away({"app": "web"}))

    seats = count(loner, probe=a_probe(labels={"app": "web"}))

    assert (seats.free, seats.total, free(seats)) == (16, 24, {"a": 0, "b": 8, "c": 8})
    assert [found.reason for found in seats.nodes["a"].rejections] == [Reason.REPELLED]


def test_a_running_pod_keeps_the_request_out_of_its_zone() -> None:
    loner = pod("loner", node_name="a", affinity=away({"app": "web"}, "zone"))

    assert free(count(loner, probe=a_probe(labels={"app": "web"}))) == {"a": 0, "b": 0, "c": 8}


@pytest.mark.parametrize(
    ("affinity", "namespace"),
    [
        pytest.param(away({"app": "db"}), "default", id="other labels"),
        pytest.param(away(None), "default", id="no selector selects nobody"),
        pytest.param(away({"app": "web"}), "other", id="another namespace"),
        pytest.param(away({"app": "web"}, namespaces=["else"]), "default", id="named namespaces"),
        pytest.param(away({"app": "web"}, "rack"), "default", id="a label no node has"),
        pytest.param(
            away(
                {"app": "web"},
                namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "else"}},
            ),
            "default",
            id="a namespace selected by name",
        ),
    ],
)
def test_whom_it_does_not_concern(affinity: dict[str, Any], namespace: str) -> None:
    loner = pod("loner", node_name="a", affinity=affinity)

    assert count(loner, probe=a_probe(labels={"app": "web"}, namespace=namespace)).free == 24


@pytest.mark.parametrize(
    "term",
    [
        {"namespaces": ["default"]},
        {"namespaceSelector": {}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}},
    ],
)
def test_namespaces_that_are_meant(term: dict[str, Any]) -> None:
    loner = pod("loner", namespace="other", node_name="a", affinity=away({"app": "web"}, **term))

    assert count(loner, probe=a_probe(labels={"app": "web"})).free == 16


def test_a_finished_pod_keeps_nobody_away() -> None:
    loner = pod("loner", node_name="a", phase="Failed", affinity=away({}))

    assert count(loner, probe=a_probe()).free == 24


def test_labels_of_namespaces_are_not_known() -> None:
    selector = {"matchLabels": {"team": "blue"}}
    loner = pod("loner", node_name="a", affinity=away({"app": "web"}, namespaceSelector=selector))

    asked = count(loner, probe=a_probe(labels={"app": "web"}))
    elsewhere = count(loner, probe=a_probe(labels={"app": "db"}))

    assert (asked.free, elsewhere.free) == (None, 24)
    assert "labels of namespaces" in (asked.unknown or "")
    assert dict(asked.nodes) == {}


def test_the_request_keeps_away_from_running_pods() -> None:
    running = [
        pod("one", node_name="a", labels={"component": "singleuser-server"}),
        pod("two", node_name="b", labels={"component": "hub"}),
        pod("three", node_name="c", labels={"component": "singleuser-server"}, namespace="other"),
    ]

    seats = count(*running, probe=a_probe(affinity=away({"component": "singleuser-server"})))

    assert free(seats) == {"a": 0, "b": 8, "c": 8}
    assert [found.reason for found in seats.nodes["a"].rejections] == [Reason.ANTI_AFFINITY]


def test_labels_that_are_not_kept_make_it_unknown() -> None:
    seats = count(probe=a_probe(affinity=away({"app": "web"})))

    assert (seats.free, seats.unknown) == (
        None,
        "anti-affinity depends on labels of pods that are not kept",
    )


def test_a_selector_of_nobody_keeps_away_from_nobody() -> None:
    assert count(probe=a_probe(affinity=away(None))).free == 24


def test_namespaces_of_running_pods_may_be_unknown() -> None:
    running = pod("one", node_name="a", labels={"component": "hub"}, namespace="other")
    selector = {"matchLabels": {"team": "blue"}}
    probe = a_probe(affinity=away({"component": "hub"}, namespaceSelector=selector))

    assert count(running, probe=probe).free is None


def test_pods_that_repel_their_own_kind_get_one_seat_a_host() -> None:
    own = {"component": "singleuser-server"}

    seats = count(probe=a_probe(labels=own, affinity=away(own)))

    assert (seats.free, seats.total, free(seats)) == (3, 3, {"a": 1, "b": 1, "c": 1})


def test_pods_that_repel_their_own_kind_across_zones_are_not_counted() -> None:
    own = {"component": "singleuser-server"}

    assert count(probe=a_probe(labels=own, affinity=away(own, "zone"))).unknown == (
        "anti-affinity between groups of nodes is not counted"
    )


def test_both_kinds_of_anti_affinity_add_up() -> None:
    loner = pod("loner", node_name="a", affinity=away({"app": "web"}))
    server = pod("server", node_name="a", labels={"component": "hub"})
    probe = a_probe(labels={"app": "web"}, affinity=away({"component": "hub"}))

    seats = count(loner, server, probe=probe)

    assert [found.reason for found in seats.nodes["a"].rejections] == [
        Reason.ANTI_AFFINITY,
        Reason.REPELLED,
    ]
