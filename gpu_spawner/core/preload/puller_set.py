"""The DaemonSet that puts an image on the nodes of a pool and holds it there.

Its pods satisfy the *restricted* pod security standard, ask for next to nothing, see no GPU
whatever the node's default runtime hands out, and never run what the image would start. The
credentials are those of the servers, so that a kubelet that checks them lets servers use what was
pulled (KEP-2535).

It is updated ``OnDelete``: admitting one node more must not restart the pods on all the others.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import msgspec

from gpu_spawner.core.cluster.pullers import (
    COMPONENT,
    COMPONENT_LABEL,
    IMAGE_ANNOTATION,
    IMAGE_CONTAINER,
    NOTES_ANNOTATION,
    SET_LABEL,
    TEMPLATE_ANNOTATION,
    SetNotes,
)
from gpu_spawner.core.cluster.selectors import NodeSelectorTerm, Requirement, Toleration
from gpu_spawner.core.preload.policy import Policy, Strategy
from gpu_spawner.core.preload.usable import HOSTNAME_LABEL
from gpu_spawner.core.preload.wishes import Wish

__all__ = ["SetSpec", "build_set", "is_of", "policy_behind", "selector_of", "template_digest"]

_COMMON: Final[Mapping[str, str]] = MappingProxyType(
    {"app.kubernetes.io/managed-by": "gpu-spawner", COMPONENT_LABEL: COMPONENT}
)
"""The labels that the DaemonSets and pods of every hub have."""
_RELEASE_LABEL: Final = "gpu-spawner.jupyter.org/release"

_NOBODY: Final = 65534
_HOLD_SECONDS: Final = "2147483647"
_BIN: Final = "/gpu-spawner"
_ARCHITECTURE_LABEL: Final = "kubernetes.io/arch"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSpec:
    """A DaemonSet as it should be.

    Attributes:
        hosts: the host names it is confined to; None for all nodes of the pool.
        asks_registry: whether a puller asks what the tag means now, though its node has an image.
    """

    wish: Wish
    hosts: frozenset[str] | None
    notes: SetNotes = field(default_factory=SetNotes)
    asks_registry: bool = False

    @property
    def name(self) -> str:
        """The DaemonSet's name."""
        return self.wish.set_name


def selector_of(release: str) -> str:
    """Return the label selector of a hub's DaemonSets and pods.

    >>> selector_of("blue").rsplit(",", 1)[1], selector_of("").rsplit(",", 1)[1]
    ('gpu-spawner.jupyter.org/release=blue', '!gpu-spawner.jupyter.org/release')
    """
    own = f"{_RELEASE_LABEL}={release}" if release else f"!{_RELEASE_LABEL}"
    return ",".join([*(f"{key}={value}" for key, value in sorted(_COMMON.items())), own])


def is_of(release: str, labels: Mapping[str, str]) -> bool:
    """Tell the same of an object's labels."""
    is_ours = all(labels.get(key) == value for key, value in _COMMON.items())
    return is_ours and labels.get(_RELEASE_LABEL, "") == release


def policy_behind(manifest: Mapping[str, Any], policy: Policy) -> Policy:
    """Return the policy with the strategy and the owners by which one of our DaemonSets was built.

    They depend on the cluster, and a saved one tells them in no other way.
    """
    template = (manifest.get("spec") or {}).get("template") or {}
    pod = template.get("spec") or {}
    if any((volume.get("image") or {}).get("reference") for volume in pod.get("volumes") or ()):
        strategy = Strategy.VOLUME
    else:
        strategy = Strategy.HELPER if pod.get("initContainers") else Strategy.SLEEP
    owners = (manifest.get("metadata") or {}).get("ownerReferences") or ()
    return replace(policy, strategy=strategy, owners=tuple(dict(owner) for owner in owners))


def template_digest(spec: SetSpec, policy: Policy) -> str:
    """Return a digest of all that is written but the nodes and the notes."""
    written = _template(spec, policy)
    written["spec"].pop("affinity", None)
    text = msgspec.json.encode([written, list(policy.owners)], order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


def build_set(spec: SetSpec, policy: Policy, *, resource_version: str = "") -> dict[str, Any]:
    """Build the DaemonSet.

    Args:
        spec: what it should be.
        policy: the admin's decisions.
        resource_version: of the one it replaces, which must not have changed since; empty for none.
    """
    metadata: dict[str, Any] = {
        "name": spec.name,
        "namespace": policy.namespace,
        "labels": _labels(spec),
        "annotations": {
            IMAGE_ANNOTATION: spec.wish.image,
            TEMPLATE_ANNOTATION: template_digest(spec, policy),
            NOTES_ANNOTATION: spec.notes.as_annotation(),
        },
    }
    if policy.owners:
        metadata["ownerReferences"] = [dict(owner) for owner in policy.owners]
    if resource_version:
        metadata["resourceVersion"] = resource_version
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": {**_COMMON, SET_LABEL: spec.name}},
            "updateStrategy": {"type": "OnDelete"},
            "revisionHistoryLimit": 1,
            "template": _template(spec, policy),
        },
    }


def _labels(spec: SetSpec) -> dict[str, str]:
    release = spec.wish.pool.release
    own = {_RELEASE_LABEL: release} if release else {}
    return {**_COMMON, SET_LABEL: spec.name, **own}


def _template(spec: SetSpec, policy: Policy) -> dict[str, Any]:
    rules = spec.wish.pool.rules
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "runAsGroup": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": _terms(spec)
                }
            }
        },
        "tolerations": [_toleration(one) for one in rules.tolerations],
        **_containers(spec, policy),
    }
    if rules.node_selector:
        pod["nodeSelector"] = dict(rules.node_selector)
    if spec.wish.pool.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in spec.wish.pool.pull_secrets]
    if spec.wish.pool.service_account:
        pod["serviceAccountName"] = spec.wish.pool.service_account
    if policy.priority_class:
        pod["priorityClassName"] = policy.priority_class
    return {
        "metadata": {
            "labels": _labels(spec),
            "annotations": {
                IMAGE_ANNOTATION: spec.wish.image,
                # A service mesh's sidecar would be pulled as well, on every node.
                "sidecar.istio.io/inject": "false",
                "linkerd.io/inject": "disabled",
            },
        },
        "spec": pod,
    }


def _containers(spec: SetSpec, policy: Policy) -> dict[str, Any]:
    pull_policy = "Always" if spec.asks_registry else "IfNotPresent"
    image = spec.wish.image
    if policy.strategy is Strategy.VOLUME:
        hold = _container("hold", policy.pause_image, policy)
        hold["volumeMounts"] = [{"name": IMAGE_CONTAINER, "mountPath": "/image", "readOnly": True}]
        volume = {
            "name": IMAGE_CONTAINER,
            "image": {"reference": image, "pullPolicy": pull_policy},
        }
        return {"containers": [hold], "volumes": [volume]}
    runs = _container(IMAGE_CONTAINER, image, policy, pull_policy=pull_policy)
    if policy.strategy is Strategy.SLEEP:
        return {"containers": [{**runs, "command": ["sleep", _HOLD_SECONDS]}]}
    mount = {"name": "bin", "mountPath": _BIN}
    brings = _container("helper", policy.helper_image, policy)
    brings["command"] = ["/bin/cp", "/bin/busybox", f"{_BIN}/busybox"]
    brings["volumeMounts"] = [mount]
    runs["command"] = [f"{_BIN}/busybox", "sleep", _HOLD_SECONDS]
    runs["volumeMounts"] = [{**mount, "readOnly": True}]
    return {
        "initContainers": [brings],
        "containers": [runs],
        "volumes": [{"name": "bin", "emptyDir": {"sizeLimit": "8Mi"}}],
    }


def _container(
    name: str, image: str, policy: Policy, *, pull_policy: str = "IfNotPresent"
) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": pull_policy,
        # Images for GPUs set this to "all": where NVIDIA's runtime is the default one, a container
        # that only sleeps would see every GPU, or not start for want of a driver.
        "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}],
        "resources": {kind: dict(amounts) for kind, amounts in policy.resources.items()},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _terms(spec: SetSpec) -> list[dict[str, Any]]:
    """Say on which nodes; admitted nodes by name, which is all that the pool's rules say and more.

    One label selects no node at all where none is admitted: an empty list would select every node.
    """
    if spec.hosts is None:
        return [_term(term, spec.wish) for term in spec.wish.pool.rules.affinity or ()] or [
            _term(NodeSelectorTerm(), spec.wish)
        ]
    if not spec.hosts:
        return [{"matchExpressions": [{"key": SET_LABEL, "operator": "Exists"}]}]
    names = sorted(spec.hosts)
    return [{"matchExpressions": [{"key": HOSTNAME_LABEL, "operator": "In", "values": names}]}]


def _term(term: NodeSelectorTerm, wish: Wish) -> dict[str, Any]:
    expressions = [_requirement(one) for one in term.match_expressions]
    if wish.pool.rules.architectures:
        values = sorted(wish.pool.rules.architectures)
        built_for = {"key": _ARCHITECTURE_LABEL, "operator": "In", "values": values}
        if built_for not in expressions:
            expressions.append(built_for)
    written: dict[str, Any] = {}
    if expressions:
        written["matchExpressions"] = expressions
    if term.match_fields:
        written["matchFields"] = [_requirement(one) for one in term.match_fields]
    return written or {"matchExpressions": [{"key": HOSTNAME_LABEL, "operator": "Exists"}]}


def _requirement(one: Requirement) -> dict[str, Any]:
    written: dict[str, Any] = {"key": one.key, "operator": one.operator}
    if one.values:
        written["values"] = list(one.values)
    return written


def _toleration(one: Toleration) -> dict[str, Any]:
    fields: Iterable[tuple[str, str]] = (
        ("key", one.key),
        ("operator", one.operator),
        ("value", one.value),
        ("effect", one.effect),
    )
    return {name: value for name, value in fields if value}
