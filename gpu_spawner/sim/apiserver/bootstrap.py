"""What is in a cluster before anybody has put anything there."""

from typing import Any, Final

from gpu_spawner.sim.apiserver.kinds import RESOURCES, Resource
from gpu_spawner.sim.apiserver.registry import Registry, Target

__all__ = ["bootstrap"]

Obj = dict[str, Any]

_KINDS: Final = {item.kind: item for item in RESOURCES}
_NAMESPACES: Final = ("default", "kube-node-lease", "kube-public", "kube-system")
_PRIORITIES: Final = {
    "system-cluster-critical": (2_000_000_000, "For pods that the cluster needs on some node."),
    "system-node-critical": (2_000_001_000, "For pods that a node needs on itself."),
}
_EVERYTHING: Final[list[Obj]] = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
]
_READ_NAMESPACED: Final[list[Obj]] = [
    {
        "apiGroups": ["", "apps", "networking.k8s.io", "policy", "resource.k8s.io"],
        "resources": ["*"],
        "verbs": ["get", "list", "watch"],
    }
]
_WRITE_NAMESPACED: Final[list[Obj]] = [
    {
        "apiGroups": ["", "apps", "networking.k8s.io", "policy", "resource.k8s.io"],
        "resources": ["*"],
        "verbs": ["*"],
    }
]
_ROLES: Final = {
    "admin": _WRITE_NAMESPACED,
    "cluster-admin": _EVERYTHING,
    "edit": _WRITE_NAMESPACED,
    "view": _READ_NAMESPACED,
}


def bootstrap(registry: Registry) -> None:
    """Create what is missing; what is there stays as it is."""
    for name in _NAMESPACES:
        _ensure(registry, "Namespace", {"metadata": {"name": name}, "spec": {}, "status": {}})
    for name, (value, description) in _PRIORITIES.items():
        _ensure(
            registry,
            "PriorityClass",
            {
                "metadata": {"name": name},
                "value": value,
                "description": description,
                "preemptionPolicy": "PreemptLowerPriority",
            },
        )
    for name, rules in _ROLES.items():
        _ensure(registry, "ClusterRole", {"metadata": {"name": name}, "rules": rules})
    group = "rbac.authorization.k8s.io"
    _ensure(
        registry,
        "ClusterRoleBinding",
        {
            "metadata": {"name": "cluster-admin"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "Group", "apiGroup": group, "name": "system:masters"}],
        },
    )


def _ensure(registry: Registry, kind: str, obj: Obj) -> None:
    resource: Resource = _KINDS[kind]
    name = obj["metadata"]["name"]
    if registry.store.get(resource, "", name) is None:
        head = {"kind": resource.kind, "apiVersion": resource.api_version}
        registry.create(Target(resource=resource), {**head, **obj})
