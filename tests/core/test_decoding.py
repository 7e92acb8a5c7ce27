"""Lists and watch lines as an API server sends them."""

import json
from typing import Any

import pytest
from raw_objects import container, node, pod

from gpu_spawner.core.cluster.decoding import (
    Page,
    WatchEvent,
    decode_list,
    decode_node_list,
    decode_pod_list,
    decode_watch_event,
)
from gpu_spawner.core.cluster.objects import node_from_api, pod_from_api
from gpu_spawner.core.errors import ClusterError


def body(**fields: Any) -> bytes:
    return json.dumps({"kind": "List", "apiVersion": "v1", **fields}).encode()


def test_a_page_of_pods() -> None:
    raw = [pod("a", containers=[container(cpu="1")]), pod("b", node_name="n")]

    page = decode_pod_list(body(metadata={"resourceVersion": "7", "continue": "tok"}, items=raw))

    assert page == Page(items=tuple(map(pod_from_api, raw)), next_token="tok", resource_version="7")


def test_a_page_of_nodes() -> None:
    page = decode_node_list(body(metadata={"resourceVersion": "7"}, items=[node()]))

    assert page == Page(items=(node_from_api(node()),), next_token="", resource_version="7")


@pytest.mark.parametrize("fields", [{}, {"metadata": None, "items": None}])
def test_an_empty_page(fields: dict[str, Any]) -> None:
    assert decode_list("pods", body(**fields)) == Page(items=())


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
def test_a_change(kind: str) -> None:
    raw = pod("a", metadata={"resourceVersion": "12"})

    event = decode_watch_event("pods", json.dumps({"type": kind, "object": raw}).encode())

    assert event == WatchEvent(type=kind, obj=pod_from_api(raw), resource_version="12")


def test_a_bookmark() -> None:
    line = b'{"type":"BOOKMARK","object":{"kind":"Node","metadata":{"resourceVersion":"99"}}}'

    assert decode_watch_event("nodes", line) == WatchEvent(type="BOOKMARK", resource_version="99")


def test_an_expired_watch() -> None:
    line = json.dumps(
        {
            "type": "ERROR",
            "object": {
                "kind": "Status",
                "status": "Failure",
                "code": 410,
                "reason": "Expired",
                "message": "too old resource version: 1 (2)",
            },
        }
    ).encode()

    assert decode_watch_event("pods", line) == WatchEvent(
        type="ERROR", status=410, reason="Expired", message="too old resource version: 1 (2)"
    )


@pytest.mark.parametrize(
    "line", [b'{"type":"ERROR","object":{}}', b'{"type":"BOOKMARK","object":{}}']
)
def test_errors_and_bookmarks_may_be_bare(line: bytes) -> None:
    event = decode_watch_event("pods", line)

    assert (event.obj, event.status, event.resource_version) == (None, 0, "")


@pytest.mark.parametrize("text", [b"", b"<html>", b"[]", b'{"items": {}}', b'{"items": [5]}'])
def test_what_is_no_list_is_a_failure_of_the_cluster(text: bytes) -> None:
    with pytest.raises(ClusterError, match="reading a list of pods: 200 Malformed"):
        decode_pod_list(text)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b'{"type":"ADDED"}',
        b'{"type":"ADDED","object":{}}',
        b'{"type":"ADDED","object":{"metadata":{"name":"x"},"spec":[]}}',
    ],
)
def test_what_is_no_event_is_a_failure_of_the_cluster(line: bytes) -> None:
    with pytest.raises(ClusterError, match="watching nodes: 200 Malformed"):
        decode_watch_event("nodes", line)
