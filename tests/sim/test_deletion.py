"""Taking things away: grace, preconditions, finalizers, owners, namespaces, evictions."""

from typing import Any

import pytest
from api_caller import CONFIG_MAPS, PODS, Api, config_map, node, owned_by, pod, serving

BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
NAMESPACES = "/api/v1/namespaces"


@pytest.fixture
async def running(api: Api) -> dict[str, Any]:
    """Return a pod that is bound and runs."""
    await api.create("/api/v1/nodes", node("n1"))
    await api.create(PODS, pod("p", nodeName="n1"))
    return await api.merge(f"{PODS}/p/status", {"status": {"phase": "Running"}})


@pytest.mark.usefixtures("running")
async def test_a_running_pod_goes_when_its_kubelet_says_so(api: Api) -> None:
    answer = (await api.delete(f"{PODS}/p")).body
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 30
    assert answer["metadata"]["deletionTimestamp"]
    assert (await api.delete(f"{PODS}/p")).body == answer
    shorter = (await api.delete(f"{PODS}/p", gracePeriodSeconds=5)).body
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    longer = (await api.delete(f"{PODS}/p", gracePeriodSeconds=60)).body
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 5
    assert await api.exists(f"{PODS}/p")
    await api.delete(f"{PODS}/p", gracePeriodSeconds=0)
    assert not await api.exists(f"{PODS}/p")


@pytest.mark.usefixtures("running")
async def test_the_query_may_say_how_long(api: Api) -> None:
    answer = (await api.delete(f"{PODS}/p?gracePeriodSeconds=7")).body
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 7


async def test_a_pod_without_a_node_goes_at_once(api: Api) -> None:
    await api.create(PODS, pod("p"))
    await api.delete(f"{PODS}/p")
    assert not await api.exists(f"{PODS}/p")


async def test_preconditions(api: Api) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    for wrong in ({"uid": "other"}, {"resourceVersion": "1"}):
        reply = await api.delete(f"{CONFIG_MAPS}/a", preconditions=wrong)
        assert (reply.status, reply.reason) == (409, "Conflict")
    right = {
        "uid": made["metadata"]["uid"],
        "resourceVersion": made["metadata"]["resourceVersion"],
    }
    assert (await api.delete(f"{CONFIG_MAPS}/a", preconditions=right)).status == 200
    assert (await api.delete(f"{CONFIG_MAPS}/a")).status == 404


async def test_finalizers_hold_an_object_back(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a", finalizers=["example.com/mine"]))
    answer = (await api.delete(f"{CONFIG_MAPS}/a")).body
    assert answer["metadata"]["deletionTimestamp"]
    more = {"metadata": {"finalizers": ["example.com/mine", "example.com/late"]}}
    reply = await api.call("PATCH", f"{CONFIG_MAPS}/a", more, "application/merge-patch+json")
    assert (reply.status, reply.reason) == (422, "Invalid")
    again = await api.call("POST", CONFIG_MAPS, config_map("a"))
    assert again.message.startswith("object is being deleted")
    await api.merge(f"{CONFIG_MAPS}/a", {"metadata": {"finalizers": None}})
    assert not await api.exists(f"{CONFIG_MAPS}/a")


async def _family(api: Api, **reference: Any) -> None:
    owner = await api.create(CONFIG_MAPS, config_map("owner"))
    child = await api.create(CONFIG_MAPS, config_map("child", **owned_by(owner, **reference)))
    await api.create(CONFIG_MAPS, config_map("grandchild", **owned_by(child)))


async def _names(api: Api) -> set[str]:
    return set(await api.names(CONFIG_MAPS)) - {"kube-root-ca.crt"}


@pytest.mark.parametrize("policy", ["", "Background", "Foreground"])
async def test_dependents_go_with_their_owner(api: Api, policy: str) -> None:
    await _family(api, blockOwnerDeletion=True)
    options = {"propagationPolicy": policy} if policy else {}
    await api.delete(f"{CONFIG_MAPS}/owner", **options)
    assert await _names(api) == set()


async def test_foreground_waits_for_what_blocks(api: Api) -> None:
    owner = await api.create(CONFIG_MAPS, config_map("owner"))
    metadata = owned_by(owner, blockOwnerDeletion=True)
    held = config_map("child", finalizers=["example.com/mine"], **metadata)
    await api.create(CONFIG_MAPS, held)
    await api.delete(f"{CONFIG_MAPS}/owner", propagationPolicy="Foreground")
    waiting = await api.get(f"{CONFIG_MAPS}/owner")
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert "deletionTimestamp" in (await api.get(f"{CONFIG_MAPS}/child"))["metadata"]
    await api.merge(f"{CONFIG_MAPS}/child", {"metadata": {"finalizers": None}})
    assert await _names(api) == set()


async def test_foreground_does_not_wait_for_what_does_not_block(api: Api) -> None:
    owner = await api.create(CONFIG_MAPS, config_map("owner"))
    held = config_map("child", finalizers=["example.com/mine"], **owned_by(owner))
    await api.create(CONFIG_MAPS, held)
    await api.delete(f"{CONFIG_MAPS}/owner", propagationPolicy="Foreground")
    assert await _names(api) == {"child"}


async def test_orphans_lose_their_reference_and_stay(api: Api) -> None:
    await _family(api)
    await api.delete(f"{CONFIG_MAPS}/owner", propagationPolicy="Orphan")
    assert await _names(api) == {"child", "grandchild"}
    assert "ownerReferences" not in (await api.get(f"{CONFIG_MAPS}/child"))["metadata"]


async def test_one_of_two_owners_is_enough(api: Api) -> None:
    one = await api.create(CONFIG_MAPS, config_map("one"))
    other = await api.create(CONFIG_MAPS, config_map("other"))
    both = owned_by(one)["ownerReferences"] + owned_by(other)["ownerReferences"]
    await api.create(CONFIG_MAPS, config_map("child", ownerReferences=both))
    await api.delete(f"{CONFIG_MAPS}/one")
    (left,) = (await api.get(f"{CONFIG_MAPS}/child"))["metadata"]["ownerReferences"]
    assert left["name"] == "other"
    await api.delete(f"{CONFIG_MAPS}/other")
    assert await _names(api) == set()


async def test_an_owner_that_never_was_is_no_owner(api: Api) -> None:
    owner = await api.create(CONFIG_MAPS, config_map("owner"))
    await api.delete(f"{CONFIG_MAPS}/owner")
    await api.create(CONFIG_MAPS, config_map("late", **owned_by(owner)))
    assert await _names(api) == set()
    unknown = {"apiVersion": "example.com/v1", "kind": "Thing", "name": "x", "uid": "1"}
    await api.create(CONFIG_MAPS, config_map("kept", ownerReferences=[unknown]))
    assert await _names(api) == {"kept"}


async def test_a_bad_policy_is_refused(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    reply = await api.delete(f"{CONFIG_MAPS}/a", propagationPolicy="Gently")
    assert (reply.status, reply.reason) == (422, "Invalid")
    both = await api.delete(f"{CONFIG_MAPS}/a", propagationPolicy="Orphan", orphanDependents=True)
    assert both.status == 422


async def test_a_collection_can_be_deleted_by_selector(api: Api) -> None:
    for name, color in {"a": "red", "b": "blue", "c": "red"}.items():
        await api.create(CONFIG_MAPS, config_map(name, labels={"color": color}))
    reply = await api.call("DELETE", f"{CONFIG_MAPS}?labelSelector=color=red")
    assert [item["metadata"]["name"] for item in reply.body["items"]] == ["a", "c"]
    assert await _names(api) == {"b"}
    assert (await api.call("DELETE", NAMESPACES)).status == 405


async def test_a_namespace_takes_its_content_along(api: Api) -> None:
    await api.create(NAMESPACES, {"metadata": {"name": "n"}})
    inside = f"{NAMESPACES}/n/configmaps"
    assert await api.names(inside) == ["kube-root-ca.crt"]
    await api.create(inside, config_map("held", finalizers=["example.com/mine"]))
    going = (await api.delete(f"{NAMESPACES}/n")).body
    assert going["status"]["phase"] == "Terminating"
    assert await api.names(inside) == ["held"]
    refused = await api.call("POST", inside, config_map("late"))
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert "because it is being terminated" in refused.message
    await api.merge(f"{inside}/held", {"metadata": {"finalizers": None}})
    assert not await api.exists(f"{NAMESPACES}/n")


async def test_some_namespaces_stay(api: Api) -> None:
    assert (await api.delete(f"{NAMESPACES}/kube-system")).status == 403


@pytest.mark.usefixtures("running")
async def test_an_eviction_is_a_deletion(api: Api) -> None:
    body = {"metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 3}}
    assert (await api.call("POST", f"{PODS}/p/eviction", body)).status == 201
    assert (await api.get(f"{PODS}/p"))["metadata"]["deletionGracePeriodSeconds"] == 3
    assert (await api.call("POST", f"{PODS}/none/eviction", {})).status == 404


@pytest.mark.usefixtures("running")
async def test_a_disruption_budget_forbids_an_eviction(api: Api) -> None:
    await api.merge(f"{PODS}/p", {"metadata": {"labels": {"app": "x"}}})
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}
    await api.create(BUDGETS, {"metadata": {"name": "b"}, "spec": spec})
    reply = await api.call("POST", f"{PODS}/p/eviction", {"metadata": {"name": "p"}})
    assert (reply.status, reply.reason) == (429, "TooManyRequests")
    assert "disruption budget" in reply.message
    await api.delete(f"{PODS}/p")
    assert "deletionTimestamp" in (await api.get(f"{PODS}/p"))["metadata"]


async def test_a_pod_is_bound_once(api: Api) -> None:
    await api.create("/api/v1/nodes", node("n1"))
    made = await api.create(PODS, pod("p"))
    path = f"{PODS}/p/binding"
    target = {"kind": "Node", "name": "n1"}
    wrong = await api.call("POST", path, {"metadata": {"uid": "other"}, "target": target})
    assert wrong.status == 409
    assert (await api.call("POST", path, {"metadata": {}, "target": {"name": ""}})).status >= 400
    right = {"metadata": {"name": "p", "uid": made["metadata"]["uid"]}, "target": target}
    assert (await api.call("POST", path, right)).status == 201
    again = await api.call("POST", path, right)
    assert (again.status, "already assigned" in again.message) == (409, True)
    bound = await api.get(f"{PODS}/p")
    assert bound["spec"]["nodeName"] == "n1"
    (condition,) = bound["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")


async def test_old_events_disappear() -> None:
    now = [1_700_000_000.0]
    path = "/api/v1/namespaces/default/events"

    def event(name: str) -> dict[str, Any]:
        about = {"kind": "Pod", "name": "p", "namespace": "default"}
        return {"metadata": {"name": name}, "involvedObject": about, "type": "Normal"}

    async with serving(clock=lambda: now[0]) as api:
        await api.create(path, event("old"))
        now[0] += 3000
        await api.create(path, event("new"))
        assert await api.names(path) == ["new", "old"]
        now[0] += 1000
        await api.create(path, event("newest"))
        assert await api.names(path) == ["new", "newest"]
