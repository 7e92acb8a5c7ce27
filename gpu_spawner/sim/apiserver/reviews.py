"""Answering questions about identity and rights: the review kinds, and tokens on request."""

from collections.abc import Mapping
from typing import Any, Final

from gpu_spawner.sim.apiserver.access import Authenticator, User
from gpu_spawner.sim.apiserver.api_errors import bad_request
from gpu_spawner.sim.apiserver.kinds import Resource
from gpu_spawner.sim.apiserver.rbac import Attributes, Authorizer
from gpu_spawner.sim.apiserver.registry import timestamp
from gpu_spawner.sim.apiserver.store import Record

__all__ = ["answer_review", "request_token"]

Obj = dict[str, Any]

_DEFAULT_TOKEN_SECONDS: Final = 3600
_SHORTEST_TOKEN_SECONDS: Final = 600


def answer_review(
    resource: Resource,
    review: Obj,
    user: User,
    authenticator: Authenticator,
    authorizer: Authorizer,
) -> Obj:
    """Complete a review with its answer."""
    spec = review.get("spec", {})
    match resource.kind:
        case "SelfSubjectReview":
            status: Obj = {"userInfo": _user_info(user)}
        case "TokenReview":
            owner = authenticator.review(spec.get("token", ""))
            status = {"authenticated": owner is not None, "user": _user_info(owner)}
            if owner is None:
                status = {"user": {}, "error": "invalid bearer token"}
        case "SelfSubjectRulesReview":
            status = _rules_status(authorizer, user, spec.get("namespace", ""))
        case "SelfSubjectAccessReview":
            status = {"allowed": authorizer.allows(user, _asked(spec))}
        case _:
            subject = User(name=spec.get("user", ""), groups=tuple(spec.get("groups", ())))
            status = {"allowed": authorizer.allows(subject, _asked(spec))}
    return {**review, "status": status}


def request_token(account: Record, request: Obj, authenticator: Authenticator, now: float) -> Obj:
    """Issue a token for a service account."""
    spec = request.get("spec", {})
    seconds = spec.get("expirationSeconds", _DEFAULT_TOKEN_SECONDS)
    if seconds < _SHORTEST_TOKEN_SECONDS:
        raise bad_request("may not specify a duration less than 10 minutes")
    token = authenticator.issue(account.namespace, account.name, account.uid, seconds)
    audiences = spec.get("audiences") or ["https://kubernetes.default.svc.cluster.local"]
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": account.name,
            "namespace": account.namespace,
            "creationTimestamp": timestamp(now),
        },
        "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": None},
        "status": {"token": token, "expirationTimestamp": timestamp(now + seconds)},
    }


def _user_info(user: User | None) -> Obj:
    if user is None:
        return {}
    info = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    return {key: value for key, value in info.items() if value}


def _asked(spec: Mapping[str, Any]) -> Attributes:
    wanted = spec.get("resourceAttributes")
    if wanted is None:
        path = spec.get("nonResourceAttributes") or {}
        return Attributes(verb=path.get("verb", ""), path=path.get("path", "/"))
    return Attributes(
        verb=wanted.get("verb", ""),
        group=wanted.get("group", ""),
        resource=wanted.get("resource", ""),
        subresource=wanted.get("subresource", ""),
        namespace=wanted.get("namespace", ""),
        name=wanted.get("name", ""),
    )


def _rules_status(authorizer: Authorizer, user: User, namespace: str) -> Obj:
    if user.is_master:
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        paths = {"verbs": ["*"], "nonResourceURLs": ["*"]}
        return {"resourceRules": [everything], "nonResourceRules": [paths], "incomplete": False}
    rules = list(authorizer.rules(user, namespace))
    return {
        "resourceRules": [dict(rule) for rule in rules if rule.get("resources")],
        "nonResourceRules": [dict(rule) for rule in rules if rule.get("nonResourceURLs")],
        "incomplete": False,
    }
