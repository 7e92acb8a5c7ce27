"""Defaults and refusals for RBAC roles and bindings; what they permit is :mod:`rbac`'s business."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    invalid_value,
    not_supported,
    required,
)
from gpu_spawner.sim.apiserver.names import dns_subdomain_problems

__all__ = [
    "check_binding",
    "check_binding_update",
    "check_role",
    "default_binding",
    "path_segment_problems",
]

Obj = Mapping[str, Any]

_GROUP: Final = "rbac.authorization.k8s.io"
_SUBJECTS: Final = ("ServiceAccount", "User", "Group")


def path_segment_problems(name: str) -> list[str]:
    """Check a name that only has to fit into a URL, as those of roles do."""
    if name in {".", ".."}:
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in ("/", "%") if char in name]


def default_binding(binding: dict[str, Any]) -> None:
    """Fill in the API groups that are implied."""
    if not binding["roleRef"]["apiGroup"]:
        binding["roleRef"]["apiGroup"] = _GROUP
    for subject in binding.get("subjects", ()):
        if subject["kind"] in {"User", "Group"}:
            subject.setdefault("apiGroup", _GROUP)


def check_role(role: Obj) -> Iterator[FieldError]:
    """Check a Role or ClusterRole."""
    is_namespaced = role["kind"] == "Role"
    for index, rule in enumerate(role.get("rules") or ()):
        here = f"rules[{index}]"
        if not rule.get("verbs"):
            yield required(f"{here}.verbs", "verbs must contain at least one value")
        paths = rule.get("nonResourceURLs")
        if paths:
            if is_namespaced:
                detail = "namespaced rules cannot apply to non-resource URLs"
                yield invalid_value(f"{here}.nonResourceURLs", paths, detail)
            if any(rule.get(key) for key in ("apiGroups", "resources", "resourceNames")):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                yield invalid_value(f"{here}.nonResourceURLs", paths, detail)
            continue
        for key, word in (("apiGroups", "api group"), ("resources", "resource")):
            if not rule.get(key):
                yield required(f"{here}.{key}", f"resource rules must supply at least one {word}")


def check_binding(binding: Obj) -> Iterator[FieldError]:
    """Check a RoleBinding or ClusterRoleBinding."""
    is_namespaced = binding["kind"] == "RoleBinding"
    reference = binding["roleRef"]
    if reference["apiGroup"] != _GROUP:
        yield not_supported("roleRef.apiGroup", reference["apiGroup"], (_GROUP,))
    kinds = ("Role", "ClusterRole") if is_namespaced else ("ClusterRole",)
    if reference["kind"] not in kinds:
        yield not_supported("roleRef.kind", reference["kind"], kinds)
    if not reference["name"]:
        yield required("roleRef.name")
    for problem in path_segment_problems(reference["name"]):
        yield invalid_value("roleRef.name", reference["name"], problem)
    for index, subject in enumerate(binding.get("subjects", ())):
        yield from _check_subject(subject, f"subjects[{index}]", is_namespaced=is_namespaced)


def check_binding_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """Check a change of a binding: the role it grants stays."""
    yield from check_binding(new)
    if new["roleRef"] != old["roleRef"]:
        reference = new["roleRef"]
        shown = {
            "APIGroup": reference["apiGroup"],
            "Kind": reference["kind"],
            "Name": reference["name"],
        }
        yield invalid_value("roleRef", shown, "cannot change roleRef")


def _check_subject(subject: Obj, path: str, *, is_namespaced: bool) -> Iterator[FieldError]:
    name, group = subject["name"], subject.get("apiGroup", "")
    if not name:
        yield required(f"{path}.name")
    match subject["kind"]:
        case "ServiceAccount":
            for problem in dns_subdomain_problems(name) if name else ():
                yield invalid_value(f"{path}.name", name, problem)
            if group:
                yield not_supported(f"{path}.apiGroup", group, ("",))
            if not is_namespaced and not subject.get("namespace"):
                yield required(f"{path}.namespace")
        case "User" | "Group":
            if group != _GROUP:
                yield not_supported(f"{path}.apiGroup", group, (_GROUP,))
        case kind:
            yield not_supported(f"{path}.kind", kind, _SUBJECTS)
