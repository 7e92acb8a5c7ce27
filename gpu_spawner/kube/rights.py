"""The rights that each feature needs, no more, as RBAC rules.

The hub works with none of them beyond what spawning itself takes: a feature without its rights says
that it does not know, or does nothing, and begins when the rights are granted.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from gpu_spawner.kube.conditions import KINDS

__all__ = ["BESIDE_THE_CHART", "FEATURES", "Feature", "Rule", "manifests"]

_READ: Final = ("list", "watch")
_LABELS: Final = MappingProxyType({"app.kubernetes.io/name": "gpu-spawner"})


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be done with some kinds of one API group."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]

    def as_manifest(self) -> dict[str, Any]:
        """Return the rule as Kubernetes writes it."""
        return {
            "apiGroups": [self.group],
            "resources": list(self.resources),
            "verbs": list(self.verbs),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Something that needs rights.

    Attributes:
        purpose: what it is for, and what happens without it, for an admin.
        api_group: without which in a cluster there is nothing that it could do; empty for none.
        in_cluster: for the whole cluster.
        in_namespace: in the namespace of the servers.
    """

    name: str
    purpose: str
    api_group: str = ""
    in_cluster: tuple[Rule, ...] = ()
    in_namespace: tuple[Rule, ...] = ()


def _watched() -> Iterator[Rule]:
    """Return the right to follow what offers are counted from, one rule for each API group."""
    by_group: dict[str, list[str]] = {}
    for kind in KINDS:
        parts = kind.path.split("/")
        group = parts[2] if parts[1] == "apis" else ""
        by_group.setdefault(group, []).append(kind.name)
    for group, names in by_group.items():
        yield Rule(group, tuple(names), _READ)


FEATURES: Final[Mapping[str, Feature]] = MappingProxyType(
    {
        feature.name: feature
        for feature in (
            Feature(
                name="spawn",
                purpose="start servers. The zero-to-jupyterhub chart grants it already.",
                in_namespace=(
                    Rule(
                        "",
                        ("pods", "persistentvolumeclaims", "secrets", "services"),
                        ("get", "list", "watch", "create", "delete"),
                    ),
                    Rule("", ("events",), ("get", "list", "watch")),
                ),
            ),
            Feature(
                name="availability",
                purpose="know what is free. Without it the page says that it does not know.",
                in_cluster=tuple(_watched()),
            ),
            Feature(
                name="claims",
                purpose="make ResourceClaimTemplates, for choices that are served by Dynamic "
                "Resource Allocation. Without it such choices cannot start.",
                api_group="resource.k8s.io",
                in_namespace=(
                    Rule(
                        "resource.k8s.io",
                        ("resourceclaimtemplates",),
                        ("get", "list", "create", "delete"),
                    ),
                    Rule("", ("pods",), ("list",)),
                ),
            ),
            Feature(
                name="queues",
                purpose="tell users their place in a queue of Kueue, and why they wait. Without "
                "it the page says only that they do.",
                api_group="kueue.x-k8s.io",
                in_namespace=(
                    Rule("visibility.kueue.x-k8s.io", ("localqueues/pendingworkloads",), ("get",)),
                    Rule("kueue.x-k8s.io", ("workloads",), ("list",)),
                ),
            ),
            Feature(
                name="preload",
                purpose="keep images on the nodes, by DaemonSets. Without it images are pulled "
                "when the first server needs them.",
                in_namespace=(
                    Rule(
                        "apps",
                        ("daemonsets",),
                        ("list", "watch", "create", "update", "patch", "delete"),
                    ),
                    Rule("", ("pods", "events"), _READ),
                    Rule("", ("secrets",), ("get",)),
                    Rule("coordination.k8s.io", ("leases",), ("get", "create", "update")),
                ),
            ),
        )
    }
)
"""By name; ``spawn`` is for hubs that no chart has given its rights."""

BESIDE_THE_CHART: Final = ("availability", "claims", "preload")
"""What is granted where nobody says which features; Kueue is not on every cluster."""


def manifests(
    features: Iterable[str], *, namespace: str, service_account: str, release: str
) -> list[dict[str, Any]]:
    """Return what grants these features to a service account, for ``kubectl apply``.

    Each feature has objects of its own, so that to grant one takes nothing back of another.

    Args:
        features: names of ``FEATURES``.
        namespace: of the hub and its servers.
        service_account: the hub's.
        release: tells several hubs of one namespace apart in the names of the objects.
    """
    subject = {"kind": "ServiceAccount", "name": service_account, "namespace": namespace}
    found: list[dict[str, Any]] = []
    for feature in (FEATURES[name] for name in features):
        name = f"{release}-gpu-spawner-{feature.name}"
        if feature.in_cluster:
            # No namespace has a dot in its name: no two hubs of the cluster share this one.
            metadata = {"name": f"{namespace}.{name}"}
            found += _granted("ClusterRole", metadata, feature.in_cluster, subject)
        if feature.in_namespace:
            metadata = {"name": name, "namespace": namespace}
            found += _granted("Role", metadata, feature.in_namespace, subject)
    return found


def _granted(
    kind: str, metadata: dict[str, str], rules: Iterable[Rule], subject: dict[str, str]
) -> list[dict[str, Any]]:
    labelled = {**metadata, "labels": dict(_LABELS)}
    group = "rbac.authorization.k8s.io"
    role = {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": labelled,
        "rules": [rule.as_manifest() for rule in rules],
    }
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": f"{kind}Binding",
        "metadata": labelled,
        "roleRef": {"apiGroup": group, "kind": kind, "name": metadata["name"]},
        "subjects": [subject],
    }
    return [role, binding]
