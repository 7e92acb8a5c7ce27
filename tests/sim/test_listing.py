"""Lists: selectors, versions, pages, and what no longer exists."""

import pytest
from api_caller import PODS, Api, config_map, node, pod
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.sim.apiserver.selectors import parse_labels

SYSTEM = "/api/v1/namespaces/kube-system/configmaps"


async def _make(api: Api, count: int) -> None:
    for number in range(count):
        await api.create(SYSTEM, config_map(f"m{number}"))


async def test_lists_are_ordered_by_namespace_then_name(api: Api) -> None:
    for namespace in ("a", "a-b", "b"):
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await api.create("/api/v1/namespaces", body)
        await api.create(f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "z"}})
        await api.create(f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "y"}})
    items = (await api.get("/api/v1/secrets"))["items"]
    keys = [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in items]
    assert keys == sorted(keys)
    assert len(keys) == 6
    assert await api.names("/api/v1/namespaces/a/secrets") == ["y", "z"]


async def test_pages_are_consistent(api: Api) -> None:
    await _make(api, 5)
    first = await api.get(f"{SYSTEM}?limit=2")
    assert first["metadata"]["remainingItemCount"] == 4
    await api.delete(f"{SYSTEM}/m3")
    await api.create(SYSTEM, config_map("m2b"))
    names = [item["metadata"]["name"] for item in first["items"]]
    token = first["metadata"]["continue"]
    while token:
        page = await api.get(f"{SYSTEM}?limit=2&continue={token}")
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
    assert names == ["kube-root-ca.crt", "m0", "m1", "m2", "m3", "m4"]
    assert "remainingItemCount" not in page["metadata"]


async def test_a_page_whose_version_is_forgotten_is_410_and_offers_a_way_on(api: Api) -> None:
    await _make(api, 4)
    token = (await api.get(f"{SYSTEM}?limit=2"))["metadata"]["continue"]
    await api.delete(f"{SYSTEM}/m3")
    api.server.store.forget_history()
    gone = await api.call("GET", f"{SYSTEM}?limit=2&continue={token}")
    assert (gone.status, gone.reason) == (410, "Expired")
    on = gone.body["metadata"]["continue"]
    assert await api.names(f"{SYSTEM}?limit=9&continue={on}") == ["m1", "m2"]


async def test_a_list_as_of_an_earlier_version(api: Api) -> None:
    await _make(api, 2)
    version = (await api.get(SYSTEM))["metadata"]["resourceVersion"]
    await api.merge(f"{SYSTEM}/m0", {"data": {"x": "y"}})
    await api.delete(f"{SYSTEM}/m1")
    exact = await api.get(f"{SYSTEM}?resourceVersion={version}&resourceVersionMatch=Exact")
    assert exact["metadata"]["resourceVersion"] == version
    assert [item.get("data") for item in exact["items"][1:]] == [None, None]
    newer = f"{SYSTEM}?resourceVersion={version}&resourceVersionMatch=NotOlderThan"
    assert await api.names(newer) == ["kube-root-ca.crt", "m0"]
    api.server.store.forget_history()
    gone = await api.call("GET", f"{SYSTEM}?resourceVersion={version}&resourceVersionMatch=Exact")
    assert gone.status == 410


async def test_a_version_from_the_future_is_a_timeout(api: Api) -> None:
    reply = await api.call("GET", f"{SYSTEM}?resourceVersion=999999")
    assert (reply.status, reply.reason) == (504, "Timeout")
    assert reply.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("resourceVersion=x", 400),
        ("limit=x", 400),
        ("limit=1_0", 400),
        ("continue=nonsense", 400),
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422),
        ("sendInitialEvents=true", 422),
        ("labelSelector=a%20b", 400),
        ("labelSelector=a+in+(b", 400),
        ("labelSelector=-x", 400),
        ("fieldSelector=spec.what=1", 400),
        ("fieldSelector=nonsense", 400),
        ("watch=1&resourceVersionMatch=NotOlderThan", 422),
        ("watch=1&sendInitialEvents=true", 422),
    ],
)
async def test_queries_that_cannot_be_answered(api: Api, query: str, status: int) -> None:
    reply = await api.call("GET", f"{PODS}?{query}")
    assert reply.status == status, reply.text


async def test_pods_can_be_selected_by_their_fields(api: Api) -> None:
    await api.create("/api/v1/nodes", node("n1"))
    await api.create(PODS, pod("a", nodeName="n1"))
    await api.create(PODS, pod("b"))
    await api.merge(f"{PODS}/b/status", {"status": {"phase": "Failed"}})
    for selector, names in {
        "spec.nodeName=n1": ["a"],
        "spec.nodeName=": ["b"],
        "spec.nodeName!=n1": ["b"],
        "status.phase!=Failed": ["a"],
        "metadata.name==b,status.phase=Failed": ["b"],
        "metadata.namespace=other": [],
        "spec.hostNetwork=false": ["a", "b"],
    }.items():
        assert await api.names(f"{PODS}?fieldSelector={selector}") == names, selector


def test_label_selectors() -> None:
    labels = {"a": "1", "b": "", "example.com/c": "x"}
    for text, accepts in {
        "": True,
        "a": True,
        "!a": False,
        "!d": True,
        "a=1": True,
        "a==1": True,
        "a!=1": False,
        "d!=1": True,
        "a in (0, 1)": True,
        "a notin (0,1)": False,
        "d notin (0)": True,
        "b=": True,
        "b in ()": True,
        "a>0": True,
        "a<1": False,
        "a,b": True,
        "a,!b": False,
        "example.com/c in (x),a=1": True,
    }.items():
        clauses = parse_labels(text)
        assert all(clause.accepts(labels) for clause in clauses) is accepts, text


@given(st.text(alphabet="ab=!,()<> in", max_size=12))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    try:
        clauses = parse_labels(text)
    except ValueError:
        return
    assert all(clause.accepts({}) in {True, False} for clause in clauses)
