"""Who may do what: tokens, roles, impersonation, and what is kept out of the log."""

import logging
from typing import Any

import pytest
from api_caller import CONFIG_MAPS, PODS, Api, config_map, serving

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROLES = f"{RBAC}/namespaces/default/roles"
ROLE_BINDINGS = f"{RBAC}/namespaces/default/rolebindings"
ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"
ACCOUNT_SUBJECT = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
USER_SUBJECT = {"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"}


async def _role(api: Api, name: str, *rules: dict[str, Any]) -> None:
    await api.create(ROLES, {"metadata": {"name": name}, "rules": list(rules)})


async def _bind(api: Api, role: str, subject: dict[str, Any], kind: str = "Role") -> None:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
    body = {"metadata": {"name": f"b-{role}"}, "subjects": [subject], "roleRef": reference}
    await api.create(ROLE_BINDINGS, body)


async def _as(api: Api, user: str, method: str, path: str, body: Any = None) -> int:
    headers = {"Impersonate-User": user}
    return (await api.call(method, path, body, headers=headers)).status


async def _token(api: Api, **spec: Any) -> str:
    answer = await api.create(f"{ACCOUNT}/token", {"spec": spec})
    token: str = answer["status"]["token"]
    return token


@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Basic YTpi", "Bearer", "nonsense", "Bearer \u00fc"]
)
async def test_a_wrong_token_is_401(api: Api, header: str) -> None:
    reply = await api.call("GET", PODS, token="", headers={"Authorization": header})
    assert (reply.status, reply.reason) == (401, "Unauthorized")


async def test_nobody_in_particular_may_only_ask_for_health(api: Api) -> None:
    reply = await api.call("GET", PODS, token="")
    assert reply.status == 403
    assert 'User "system:anonymous" cannot list resource "pods"' in reply.message
    assert (await api.call("GET", "/readyz", token="")).text == "ok"
    assert (await api.call("GET", "/version", token="")).status == 200


async def test_a_role_allows_what_it_says_and_nothing_else(api: Api) -> None:
    await _role(
        api,
        "reader",
        {"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["*"]},
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "verbs": ["update", "patch"],
            "resourceNames": ["mine"],
        },
    )
    await _bind(api, "reader", USER_SUBJECT)
    await api.create(CONFIG_MAPS, config_map("mine"))
    await api.create(CONFIG_MAPS, config_map("other"))
    for method, path, expected in (
        ("GET", PODS, 200),
        ("GET", f"{PODS}?watch=1&timeoutSeconds=1", 403),
        ("GET", f"{PODS}/p", 404),
        ("GET", f"{PODS}/p/status", 404),
        ("GET", f"{PODS}/p/log", 403),
        ("GET", "/api/v1/pods", 403),
        ("GET", "/api/v1/namespaces/kube-system/pods", 403),
        ("GET", "/api/v1/nodes", 403),
        ("PUT", f"{CONFIG_MAPS}/mine", 200),
        ("PUT", f"{CONFIG_MAPS}/other", 403),
        ("DELETE", f"{CONFIG_MAPS}/mine", 403),
        ("DELETE", CONFIG_MAPS, 403),
    ):
        body = config_map(path.rpartition("/")[2]) if method == "PUT" else None
        assert await _as(api, "ann", method, path, body) == expected, (method, path)
    assert await _as(api, "bob", "GET", PODS) == 403


async def test_a_role_that_goes_takes_its_rights_along(api: Api) -> None:
    await _role(api, "r", {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
    await _bind(api, "r", USER_SUBJECT)
    assert await _as(api, "ann", "GET", PODS) == 200
    await api.merge(f"{ROLES}/r", {"rules": []})
    assert await _as(api, "ann", "GET", PODS) == 403


async def test_cluster_roles(api: Api) -> None:
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    paths = {"nonResourceURLs": ["/metrics", "/logs/*"], "verbs": ["get"]}
    body = {"metadata": {"name": "all"}, "rules": [rule, paths]}
    await api.create(f"{RBAC}/clusterroles", body)
    await _bind(api, "all", USER_SUBJECT, kind="ClusterRole")
    assert await _as(api, "ann", "GET", PODS) == 200
    assert await _as(api, "ann", "GET", "/api/v1/nodes") == 403
    assert await _as(api, "ann", "GET", "/metrics") == 403
    group = {"kind": "Group", "name": "ops", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "all"}
    binding = {"metadata": {"name": "ops"}, "subjects": [group], "roleRef": reference}
    await api.create(f"{RBAC}/clusterrolebindings", binding)
    headers = {"Impersonate-User": "bob", "Impersonate-Group": "ops"}
    assert (await api.call("GET", "/api/v1/nodes", headers=headers)).status == 200
    # Allowed, and not there.
    assert (await api.call("GET", "/metrics", headers=headers)).status == 404


async def test_a_service_account_has_a_token_for_a_while() -> None:
    now = [1_700_000_000.0]
    async with serving(clock=lambda: now[0]) as api:
        token = await _token(api, expirationSeconds=600)
        assert (await api.call("GET", PODS, token=token)).status == 403
        await _role(api, "r", {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
        await _bind(api, "r", ACCOUNT_SUBJECT)
        assert (await api.call("GET", PODS, token=token)).status == 200
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        who = (await api.call("POST", path, {}, token=token)).body["status"]["userInfo"]
        assert who["username"] == "system:serviceaccount:default:default"
        assert "system:serviceaccounts:default" in who["groups"]
        now[0] += 601
        assert (await api.call("GET", PODS, token=token)).status == 401


async def test_a_token_is_only_as_good_as_its_account_and_signature(api: Api) -> None:
    token = await _token(api)
    assert (await api.call("GET", PODS, token=token)).status == 403
    other = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    assert (await api.call("GET", PODS, token=other)).status == 401
    await api.delete(ACCOUNT)
    await api.create(ACCOUNT.rpartition("/")[0], {"metadata": {"name": "default"}})
    assert (await api.call("GET", PODS, token=token)).status == 401


async def test_a_token_request_is_checked(api: Api) -> None:
    short = await api.call("POST", f"{ACCOUNT}/token", {"spec": {"expirationSeconds": 5}})
    assert short.status == 400
    nobody = "/api/v1/namespaces/default/serviceaccounts/nobody/token"
    assert (await api.call("POST", nobody, {})).status == 404


async def test_only_who_may_impersonates(api: Api) -> None:
    token = await _token(api)
    headers = {"Impersonate-User": "ann"}
    reply = await api.call("GET", PODS, token=token, headers=headers)
    assert reply.status == 403
    assert 'cannot impersonate resource "users"' in reply.message
    assert (await api.call("GET", PODS, token="", headers=headers)).status in {401, 403}


async def test_an_impersonated_service_account_has_its_groups(api: Api) -> None:
    await _role(api, "r", {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
    await _bind(api, "r", ACCOUNT_SUBJECT)
    assert await _as(api, "system:serviceaccount:default:default", "GET", PODS) == 200


async def test_access_reviews_agree_with_what_is_done(api: Api) -> None:
    await _role(api, "r", {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]})
    await _bind(api, "r", USER_SUBJECT)
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    for subresource, is_allowed in {"log": True, "": False}.items():
        wanted = {
            "namespace": "default",
            "verb": "get",
            "resource": "pods",
            "subresource": subresource,
        }
        body = {"spec": {"user": "ann", "resourceAttributes": wanted}}
        assert (await api.create(path, body))["status"]["allowed"] is is_allowed
    mine = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    review = {"spec": {"resourceAttributes": {"verb": "*", "resource": "*"}}}
    assert (await api.create(mine, review))["status"]["allowed"] is True
    reply = await api.call("POST", mine, {"spec": {"resourceAttributes": {"verb": 5}}})
    assert reply.status == 400


async def test_users_are_an_argument() -> None:
    async with serving(users={"t-admin": "admin", "t-ann": "ann"}) as api:
        assert (await api.call("GET", PODS, token="t-admin")).status == 200
        assert (await api.call("GET", PODS, token="t-ann")).status == 403
        assert api.server.kubeconfig("ann")["users"][0]["user"] == {"token": "t-ann"}
        with pytest.raises(KeyError):
            api.server.kubeconfig("nobody")


async def test_no_token_is_ever_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = await _token(api)
    await api.call("GET", PODS, token=token)
    await api.call("GET", PODS, token="wrong-token")
    await api.call("POST", PODS, "{", token=token)
    for secret in (token, api.token, "wrong-token"):
        assert secret not in caplog.text


async def test_it_listens_on_the_loopback_interface(api: Api) -> None:
    assert api.server.url.startswith("http://127.0.0.1:")
