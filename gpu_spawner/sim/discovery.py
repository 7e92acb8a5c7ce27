"""Telling clients which kinds there are: discovery, version, and as much OpenAPI as kubectl asks.

kubectl reads the OpenAPI document to learn whether the server checks fields itself, and does so
from the parameters of PATCH; that is what is served. Types are not described.
"""

import hashlib
from typing import Any, Final

from gpu_spawner.sim.kinds import Resource, group_versions, resources_of

__all__ = [
    "VERSION",
    "api_groups",
    "api_versions",
    "group",
    "openapi_index",
    "openapi_paths",
    "resource_list",
]

Obj = dict[str, Any]

_MINOR: Final = "36"
VERSION: Final[Obj] = {
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


def api_versions(address: str) -> Obj:
    """Answer ``/api``."""
    place = {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [place]}


def api_groups() -> Obj:
    """Answer ``/apis``."""
    names = dict.fromkeys(name for name, _ in group_versions() if name)
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in names]}


def group(name: str) -> Obj | None:
    """Answer ``/apis/GROUP``, or None for a group nobody knows."""
    if not any(known == name for known, _ in group_versions() if known):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name)}


def resource_list(name: str, version: str) -> Obj | None:
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


def openapi_index() -> Obj:
    """Answer ``/openapi/v3``."""
    paths = {}
    for name, version in group_versions():
        path = f"apis/{name}/{version}" if name else f"api/{version}"
        digest = hashlib.sha256(f"{path} 1.{_MINOR}".encode()).hexdigest()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def openapi_paths(name: str, version: str) -> Obj | None:
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
