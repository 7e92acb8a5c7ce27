"""What a user may do: Roles, ClusterRoles and their bindings, as Kubernetes evaluates them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gpu_spawner.sim.apiserver.access import User
from gpu_spawner.sim.apiserver.api_errors import ApiError
from gpu_spawner.sim.apiserver.kinds import RESOURCES
from gpu_spawner.sim.apiserver.store import Change, Store

__all__ = ["Attributes", "Authorizer", "denial"]

Rule = Mapping[str, Any]

_KINDS: Final = {item.kind: item for item in RESOURCES}
_OPEN_PATHS: Final = ("/healthz", "/livez", "/readyz", "/version")
_DISCOVERY_PATHS: Final = ("/api", "/apis", "/openapi", "/version")
# Everybody who is somebody may ask what they may do and who they are.
_SELF_REVIEWS: Final = frozenset(
    {"selfsubjectaccessreviews", "selfsubjectreviews", "selfsubjectrulesreviews"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What is asked for, in the words of RBAC; ``path`` is set for what is no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """The resource with its subresource, as rules name it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Authorizer:
    """Answers from the roles and bindings in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: dict[str, list[dict[str, Any]]] = {}
        for kind in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
            store.subscribe(self._forget, _KINDS[kind])

    def allows(self, user: User, asked: Attributes) -> bool:
        """Whether a user may do something."""
        if user.is_master:
            return True
        is_known = "system:authenticated" in user.groups
        if asked.path:
            open_paths = (*_OPEN_PATHS, *(_DISCOVERY_PATHS if is_known else ()))
            if asked.verb == "get" and any(_is_below(asked.path, path) for path in open_paths):
                return True
        elif is_known and asked.resource in _SELF_REVIEWS:
            return True
        return any(_covers(rule, asked) for rule in self.rules(user, asked.namespace))

    def rules(self, user: User, namespace: str) -> Iterator[Rule]:
        """Return every rule that holds for a user in a namespace (or cluster-wide)."""
        for binding in self._objects("ClusterRoleBinding"):
            if _names(binding, user, ""):
                yield from self._role_rules(binding["roleRef"], "")
        if not namespace:
            return
        for binding in self._objects("RoleBinding"):
            if binding["metadata"]["namespace"] == namespace and _names(binding, user, namespace):
                yield from self._role_rules(binding["roleRef"], namespace)

    def _role_rules(self, reference: Mapping[str, str], namespace: str) -> Iterator[Rule]:
        kind, name = reference["kind"], reference["name"]
        for role in self._objects(kind):
            metadata = role["metadata"]
            is_there = kind == "ClusterRole" or metadata.get("namespace") == namespace
            if metadata["name"] == name and is_there:
                yield from role.get("rules") or ()

    def _objects(self, kind: str) -> list[dict[str, Any]]:
        if kind not in self._cache:
            records = self._store.list_records(_KINDS[kind])
            self._cache[kind] = [record.decode() for record in records]
        return self._cache[kind]

    def _forget(self, change: Change) -> None:
        self._cache.pop(change.record.resource.kind, None)


def denial(user: User, asked: Attributes) -> ApiError:
    """Word the refusal."""
    if asked.path:
        message = f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"'
        return ApiError(403, "Forbidden", message, {})
    qualified = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    subject = f'{qualified} "{asked.name}"' if asked.name else qualified
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    message = (
        f'{subject} is forbidden: User "{user.name}" cannot {asked.verb} resource '
        f'"{asked.full_resource}" in API group "{asked.group}" {where}'
    )
    details = {"name": asked.name, "group": asked.group, "kind": asked.resource}
    shown = {key: value for key, value in details.items() if value}
    return ApiError(403, "Forbidden", message, shown)


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def _names(binding: Mapping[str, Any], user: User, namespace: str) -> bool:
    return any(_is_subject(subject, user, namespace) for subject in binding.get("subjects") or ())


def _is_subject(subject: Mapping[str, str], user: User, namespace: str) -> bool:
    match subject["kind"]:
        case "User":
            return subject["name"] == user.name
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            home = subject.get("namespace") or namespace
            return user.name == f"system:serviceaccount:{home}:{subject['name']}"
    return False


def _covers(rule: Rule, asked: Attributes) -> bool:
    if not _matches(rule.get("verbs"), asked.verb):
        return False
    if asked.path:
        return any(_path_matches(path, asked.path) for path in rule.get("nonResourceURLs") or ())
    names = rule.get("resourceNames") or ()
    return (
        _matches(rule.get("apiGroups"), asked.group)
        and _resource_matches(rule.get("resources") or (), asked)
        and (not names or asked.name in names)
    )


def _matches(allowed: Sequence[str] | None, wanted: str) -> bool:
    return allowed is not None and ("*" in allowed or wanted in allowed)


def _resource_matches(allowed: Sequence[str], asked: Attributes) -> bool:
    return (
        "*" in allowed
        or asked.full_resource in allowed
        or (bool(asked.subresource) and f"*/{asked.subresource}" in allowed)
    )


def _path_matches(allowed: str, path: str) -> bool:
    if allowed.endswith("*"):
        return path.startswith(allowed.removesuffix("*"))
    return allowed == path
