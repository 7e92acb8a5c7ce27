"""What the server makes of a request: bodies, content types, strictness, names, versions."""

import json
from typing import Any

import pytest
from api_caller import CONFIG_MAPS, JSON_PATCH, MERGE, PODS, STRATEGIC, Api, config_map, pod


async def test_a_patch_that_is_no_list_is_refused_as_a_json_patch(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    reply = await api.call(
        "PATCH", f"{CONFIG_MAPS}/a", {"metadata": {"labels": {"x": "y"}}}, JSON_PATCH
    )
    assert (reply.status, reply.reason) == (400, "BadRequest")
    assert "cannot unmarshal object into Go value of type []handlers.jsonPatchOp" in reply.message


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/xml"])
async def test_other_content_types_of_a_patch_are_refused(api: Api, content_type: str) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    reply = await api.call("PATCH", f"{CONFIG_MAPS}/a", {}, content_type)
    assert (reply.status, reply.reason) == (415, "UnsupportedMediaType")


async def test_server_side_apply_is_refused_with_a_sentence(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    reply = await api.call(
        "PATCH", f"{CONFIG_MAPS}/a?fieldManager=me", "{}", "application/apply-patch+yaml"
    )
    assert reply.status == 501
    assert "apply" in reply.message


async def test_the_three_patch_types_do_what_they_say(api: Api) -> None:
    await api.create(PODS, pod("p"))
    path = f"{PODS}/p"
    await api.call("PATCH", path, {"metadata": {"labels": {"a": "1", "b": "2"}}}, MERGE)
    await api.call("PATCH", path, [{"op": "remove", "path": "/metadata/labels/a"}], JSON_PATCH)
    container = {"name": "c", "image": "i:2"}
    reply = await api.call("PATCH", path, {"spec": {"containers": [container]}}, STRATEGIC)
    assert reply.status == 200, reply.text
    assert reply.body["metadata"]["labels"] == {"b": "2"}
    assert [item["image"] for item in reply.body["spec"]["containers"]] == ["i:2"]
    assert reply.body["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"


async def test_a_patch_does_not_create(api: Api) -> None:
    reply = await api.call("PATCH", f"{CONFIG_MAPS}/none", {}, MERGE)
    assert reply.status == 404


@pytest.mark.parametrize(
    ("strictness", "status", "warns"),
    [("Strict", 400, False), ("Warn", 201, True), ("Ignore", 201, False), ("", 201, True)],
)
async def test_unknown_fields(api: Api, strictness: str, status: int, *, warns: bool) -> None:
    query = f"?fieldValidation={strictness}" if strictness else ""
    reply = await api.call("POST", CONFIG_MAPS + query, {**config_map("a"), "spice": 1})
    assert reply.status == status
    assert ("Warning" in reply.headers) is warns
    if warns:
        assert reply.headers["Warning"] == '299 - "unknown field \\"spice\\""'
    if status == 400:
        assert 'strict decoding error: unknown field "spice"' in reply.message


async def test_repeated_fields_are_refused_when_strict(api: Api) -> None:
    body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{},"data":{}}'
    reply = await api.call("POST", f"{CONFIG_MAPS}?fieldValidation=Strict", body)
    assert reply.status == 400
    assert 'duplicate field "data"' in reply.message


async def test_a_body_may_be_yaml(api: Api) -> None:
    body = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\ndata: {when: 2026-01-01}\n"
    reply = await api.call("POST", CONFIG_MAPS, body, "application/yaml")
    assert reply.status == 201, reply.text
    assert reply.body["data"] == {"when": "2026-01-01"}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        ("null", "application/json", 400),
        ('"text"', "application/json", 400),
        ("a: [", "application/yaml", 400),
        ("{}", "text/plain", 415),
        (b"k8s\x00\xff", "application/vnd.kubernetes.protobuf", 415),
        (b"\xff\xfe", "application/json", 400),
    ],
)
async def test_bodies_that_cannot_be_read(
    api: Api, body: str | bytes, content_type: str, status: int
) -> None:
    reply = await api.call("POST", PODS, body, content_type)
    assert reply.status == status, reply.text
    assert reply.body["kind"] == "Status"


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "Secret"},
        {"apiVersion": "v2"},
        {"metadata": {"name": 5}},
        {"metadata": {"name": "a", "labels": {"x": 1}}},
        {"metadata": {"name": "a"}, "data": {"x": {}}},
        {"metadata": []},
    ],
)
async def test_bodies_of_the_wrong_type(api: Api, body: dict[str, Any]) -> None:
    reply = await api.call("POST", CONFIG_MAPS, {**config_map("a"), **body})
    assert (reply.status, reply.reason) == (400, "BadRequest")


async def test_a_body_that_is_too_long_is_refused(api: Api) -> None:
    body = {**config_map("a"), "data": {"x": "y" * (3 << 20)}}
    reply = await api.call("POST", CONFIG_MAPS, body)
    assert (reply.status, reply.reason) == (413, "RequestEntityTooLarge")


async def test_a_dry_run_answers_and_keeps_nothing(api: Api) -> None:
    before = api.server.store.version
    made = await api.call("POST", f"{CONFIG_MAPS}?dryRun=All", config_map("a"))
    assert made.status == 201
    assert made.body["metadata"]["uid"]
    await api.create(CONFIG_MAPS, config_map("b"))
    changed = await api.call("PATCH", f"{CONFIG_MAPS}/b?dryRun=All", {"data": {"x": "y"}}, MERGE)
    assert changed.body["data"] == {"x": "y"}
    gone = await api.call("DELETE", f"{CONFIG_MAPS}/b?dryRun=All")
    assert gone.status == 200
    kept = await api.get(f"{CONFIG_MAPS}/b")
    assert "data" not in kept
    assert api.server.store.version == before + 1
    assert (await api.call("POST", f"{CONFIG_MAPS}?dryRun=Some", config_map("a"))).status == 400


async def test_generated_names_differ(api: Api) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "g-"}}
    names = {(await api.create(CONFIG_MAPS, body))["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("g-") and len(name) == 7 for name in names)


async def test_what_the_server_decides_is_not_the_clients(api: Api) -> None:
    mine = {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "selfLink": "/x"}
    created = await api.create(CONFIG_MAPS, config_map("a", **mine))
    assert created["metadata"]["uid"] != "mine"
    assert created["metadata"]["creationTimestamp"] > "2020"
    assert "selfLink" not in created["metadata"]
    reply = await api.call("POST", CONFIG_MAPS, config_map("b", resourceVersion="5"))
    assert "resourceVersion should not be set" in reply.message


async def test_a_stale_replacement_is_a_conflict(api: Api) -> None:
    first = await api.create(CONFIG_MAPS, config_map("a"))
    await api.merge(f"{CONFIG_MAPS}/a", {"data": {"x": "y"}})
    stale = await api.call("PUT", f"{CONFIG_MAPS}/a", first)
    assert (stale.status, stale.reason) == (409, "Conflict")
    blind = await api.call("PUT", f"{CONFIG_MAPS}/a", config_map("a"))
    assert blind.status == 200
    version = blind.body["metadata"]["resourceVersion"]
    lock = {"metadata": {"resourceVersion": "1"}, "data": {"x": "z"}}
    assert (await api.call("PATCH", f"{CONFIG_MAPS}/a", lock, MERGE)).status == 409
    other = {"metadata": {"resourceVersion": version, "uid": "other"}}
    assert (await api.call("PATCH", f"{CONFIG_MAPS}/a", other, MERGE)).status == 409


async def test_an_update_that_changes_nothing_is_no_new_version(api: Api) -> None:
    made = await api.create(PODS, pod("p"))
    same = await api.call("PUT", f"{PODS}/p", made)
    assert same.body == made


async def test_the_name_and_namespace_of_the_url_count(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    other = await api.call("PUT", f"{CONFIG_MAPS}/a", config_map("b"))
    assert (other.status, "does not match the name on the URL" in other.message) == (400, True)
    elsewhere = await api.call("POST", CONFIG_MAPS, config_map("c", namespace="kube-system"))
    assert "does not match the namespace" in elsewhere.message
    nowhere = await api.call("POST", "/api/v1/namespaces/none/configmaps", config_map("a"))
    assert (nowhere.status, nowhere.message) == (404, 'namespaces "none" not found')


async def test_the_status_is_written_through_its_own_path_only(api: Api) -> None:
    made = await api.create(PODS, pod("p"))
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    plain = await api.merge(f"{PODS}/p", {"status": {"phase": "Running"}})
    assert plain["status"] == made["status"]
    both = {"status": {"phase": "Running"}, "spec": {"activeDeadlineSeconds": 5}}
    reported = await api.merge(f"{PODS}/p/status", both)
    assert reported["status"]["phase"] == "Running"
    assert "activeDeadlineSeconds" not in reported["spec"]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/api/v1/nonsense", 404, "could not find the requested resource"),
        ("GET", "/api/v2/pods", 404, ""),
        ("GET", "/apis/example.com/v1/things", 404, ""),
        ("GET", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", 501, "autosc"),
        ("GET", "/nonsense", 404, ""),
        ("POST", f"{PODS}/p", 405, "does not allow this method"),
        ("PUT", PODS, 405, "does not allow this method"),
        ("POST", f"{PODS}/p/exec", 501, "pods/exec"),
        ("GET", "/api/v1/namespaces/default/services/s/proxy", 501, "proxy"),
        ("POST", "/apis/apps/v1/namespaces/default/deployments", 501, "Deployment controller"),
        (
            "POST",
            "/api/v1/namespaces/default/replicationcontrollers",
            501,
            "replication controller",
        ),
    ],
)
async def test_what_is_not_there_and_what_is_not_served(
    api: Api, method: str, path: str, status: int, words: str
) -> None:
    reply = await api.call(method, path, {} if method != "GET" else None)
    assert reply.status == status, reply.text
    assert words in reply.text


async def test_unserved_kinds_can_be_listed(api: Api) -> None:
    assert await api.names("/apis/apps/v1/deployments") == []


async def test_a_request_that_breaks_the_server_is_a_500_and_is_logged(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(type(api.server.store), "list_records")
    reply = await api.call("GET", PODS)
    assert (reply.status, reply.reason) == (500, "InternalError")
    assert "GET /api/v1/namespaces/default/pods failed" in caplog.text


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "Table"),
        ("application/json;as=Table;v=v0;g=meta.k8s.io,application/json", "PodList"),
        (
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            "PartialObjectMetadataList",
        ),
        ("application/vnd.kubernetes.protobuf, application/json", "PodList"),
        ("*/*", "PodList"),
    ],
)
async def test_answers_in_the_form_asked_for(api: Api, accept: str, kind: str) -> None:
    await api.create(PODS, pod("p"))
    reply = await api.call("GET", PODS, headers={"Accept": accept})
    assert reply.body["kind"] == kind
    if kind == "Table":
        titles = [column["name"] for column in reply.body["columnDefinitions"]]
        assert titles[:5] == ["Name", "Ready", "Status", "Restarts", "Age"]
        assert reply.body["rows"][0]["cells"][:4] == ["p", "0/1", "Pending", "0"]


async def test_a_form_nobody_can_write_is_406(api: Api) -> None:
    reply = await api.call("GET", PODS, headers={"Accept": "text/html"})
    assert reply.status == 406


async def test_lists_and_objects_agree(api: Api) -> None:
    made = await api.create(PODS, pod("p"))
    (item,) = (await api.get(PODS))["items"]
    assert {"kind": "Pod", "apiVersion": "v1", **item} == made
    assert json.dumps(await api.get(f"{PODS}/p")) == json.dumps(made)


async def test_a_pod_of_an_account_that_is_not_there_is_refused(api: Api) -> None:
    manifest = pod("p")
    manifest["spec"]["serviceAccountName"] = "nobodys"
    reply = await api.call("POST", PODS, manifest)
    assert (reply.status, reply.reason) == (403, "Forbidden")
    assert reply.message == (
        'pods "p" is forbidden: error looking up service account default/nobodys: '
        'serviceaccount "nobodys" not found'
    )
    await api.create(
        "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "nobodys"}}
    )
    assert (await api.call("POST", PODS, manifest)).status == 201
