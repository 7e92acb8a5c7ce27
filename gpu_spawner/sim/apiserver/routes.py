"""Reading a URL: which kind, namespace, object and subresource a request is about."""

from dataclasses import dataclass
from typing import Final

from gpu_spawner.sim.apiserver.api_errors import not_implemented, route_not_found
from gpu_spawner.sim.apiserver.kinds import Resource, find_resource, group_versions, is_known_group

__all__ = ["Route", "UnknownGroupError", "parse_route", "verb_of"]

_GROUP_VERSIONS: Final = frozenset(group_versions())


class UnknownGroupError(Exception):
    """No such API group: answered in plain text, outside of Kubernetes' own error format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A parsed path.

    Attributes:
        namespace: None for cluster-wide kinds and for lists across namespaces.
    """

    resource: Resource
    namespace: str | None = None
    name: str = ""
    subresource: str = ""


def parse_route(parts: list[str]) -> Route:
    """Parse the path of an object or a collection.

    Args:
        parts: the path split at slashes, unquoted, without the leading empty part.

    Raises:
        UnknownGroupError: the group or version does not exist.
        ApiError: 404 for an unknown kind, 501 for one that Kubernetes has and this server not.
    """
    if parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    else:
        group, version, rest = parts[1], parts[2], parts[3:]
    if (group, version) not in _GROUP_VERSIONS:
        if is_known_group(group):
            raise not_implemented(f"the API group {group}")
        raise UnknownGroupError
    namespace = None
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in {"finalize", "status"}:
        namespace, rest = rest[1], rest[2:]
    resource = find_resource(group, version, rest[0])
    if resource is None or len(rest) > 3 or (namespace is not None) > resource.is_namespaced:
        raise route_not_found()
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if name and resource.is_namespaced and namespace is None:
        raise route_not_found()
    if subresource and subresource not in resource.by_subresource:
        raise route_not_found()
    return Route(resource=resource, namespace=namespace, name=name, subresource=subresource)


def verb_of(method: str, route: Route, *, is_watch: bool) -> str:
    """Name what is asked in the words of RBAC."""
    if method in {"GET", "HEAD"}:
        if is_watch:
            return "watch"
        return "get" if route.name else "list"
    if method == "DELETE" and not route.name:
        return "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(
        method, method.lower()
    )
