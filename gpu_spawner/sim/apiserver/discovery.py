"""Telling clients which kinds there are: discovery, version, and as much OpenAPI as kubectl asks.

kubectl reads the OpenAPI document to learn whether the server checks fields itself, and does so
from the parameters of PATCH; that is what is served. Types are not described.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final

from gpu_spawner.sim.apiserver.kinds import Resource, group_versions, resources_of

__all__ = ["find_document"]

Obj = dict[str, Any]

_MINOR: Final = "36"
_VERSION: Final[Obj] = {
    "major": "1",
    "minor": _MINOR,
    "emulationMajor": "1",
    "emulationMinor": _MINOR,
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": f"v1.{_MINOR}.2+gpu-spawner-sim",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}


def find_document(parts: list[str], host: str) -> Obj | None:
    """Find what answers a path that is not about objects, or None.

    Args:
        parts: the path split at slashes.
        host: the address by which the client reached the server.
    """
    answer = _DOCUMENTS.get((parts[0], len(parts)))
    return answer(parts, host) if answer is not None else None


def _api_versions(address: str) -> Obj:
    """Answer ``/api``."""
    place = {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [place]}


def _api_groups() -> Obj:
    """Answer ``/apis``."""
    names = dict.fromkeys(name for name, _ in group_versions() if name)
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in names]}


def _api_group(name: str) -> Obj | None:
    """Answer ``/apis/GROUP``, or None for a group nobody knows."""
    if not any(known == name for known, _ in group_versions() if known):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name)}


def _resource_list(name: str, version: str) -> Obj | None:
    """Answer ``/api/v1`` and ``/apis/GROUP/VERSION``."""
    resources = resources_of(name, version)
    if not resources:
        return None
    entries = [entry for resource in resources for entry in _entries(resource)]
    group_version = f"{name}/{version}" if name else version
    head = {"kind": "APIResourceList", "groupVersion": group_version}
    if name:
        head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version}
    return {**head, "resources": sorted(entries, key=lambda entry: str(entry["name"]))}


def _openapi_index() -> Obj:
    """Answer ``/openapi/v3``."""
    paths = {}
    for name, version in group_versions():
        path = f"apis/{name}/{version}" if name else f"api/{version}"
        digest = hashlib.sha256(f"{path} 1.{_MINOR}".encode()).hexdigest()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def _openapi_paths(name: str, version: str) -> Obj | None:
    """Answer ``/openapi/v3/apis/GROUP/VERSION``."""
    resources = [item for item in resources_of(name, version) if "patch" in item.verbs]
    if not resources:
        return None
    prefix = f"/apis/{name}/{version}" if name else f"/api/{version}"
    paths = {}
    for item in resources:
        scope = "/namespaces/{namespace}" if item.is_namespaced else ""
        kind = {"group": item.group, "version": item.version, "kind": item.kind}
        parameters = [
            {"name": parameter, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
            for parameter in ("dryRun", "fieldValidation")
        ]
        operation = {
            "parameters": parameters,
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": kind,
        }
        paths[f"{prefix}{scope}/{item.plural}/{{name}}"] = {"patch": operation}
    info = {"title": "Kubernetes", "version": f"v1.{_MINOR}"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}


def _group(name: str) -> Obj:
    versions = [
        {"groupVersion": f"{name}/{version}", "version": version}
        for known, version in group_versions()
        if known == name
    ]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _entries(resource: Resource) -> list[Obj]:
    entry: Obj = {
        "name": resource.plural,
        "singularName": resource.singular_name,
        "namespaced": resource.is_namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.is_stored:
        entry["storageVersionHash"] = resource.storage_version_hash
    entries = [entry]
    for subresource in resource.subresources:
        below: Obj = {
            "name": f"{resource.plural}/{subresource.name}",
            "singularName": "",
            "namespaced": resource.is_namespaced,
            "kind": subresource.kind,
            "verbs": list(subresource.verbs),
        }
        if subresource.group:
            below["group"] = subresource.group
            below["version"] = subresource.version
        entries.append(below)
    return entries


_DOCUMENTS: Final[dict[tuple[str, int], Callable[[list[str], str], Obj | None]]] = {
    ("version", 1): lambda _parts, _host: _VERSION,
    ("api", 1): lambda _parts, host: _api_versions(host),
    ("api", 2): lambda parts, _host: _resource_list("", parts[1]),
    ("apis", 1): lambda _parts, _host: _api_groups(),
    ("apis", 2): lambda parts, _host: _api_group(parts[1]),
    ("apis", 3): lambda parts, _host: _resource_list(parts[1], parts[2]),
    ("openapi", 2): lambda parts, _host: _openapi_index() if parts[1] == "v3" else None,
    ("openapi", 4): lambda parts, _host: _openapi_paths("", parts[3]),
    ("openapi", 5): lambda parts, _host: _openapi_paths(parts[3], parts[4]),
}
