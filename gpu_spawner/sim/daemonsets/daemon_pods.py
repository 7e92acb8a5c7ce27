"""The pods of a DaemonSet: how one is made for a node, and what one says of itself.

The rules are those of Kubernetes' controller (kubernetes/pkg/controller/daemon, 1.36).
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any, Final

__all__ = [
    "HASH_LABEL",
    "TEMPLATE_GENERATION",
    "allows_surge",
    "by_age",
    "controller_of",
    "is_available",
    "is_going",
    "is_ready",
    "is_terminal",
    "is_up_to_date",
    "owner_reference",
    "pod_for_node",
    "target_node",
    "tolerating_spec",
]

Obj = dict[str, Any]

HASH_LABEL: Final = "controller-revision-hash"
TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"
_GENERATION_LABEL: Final = "pod-template-generation"
_NODE: Final = "node.kubernetes.io"
# What a DaemonSet's pods always tolerate, in this order.
_TOLERATED: Final = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)
_TOLERATED_ON_HOST_NETWORK: Final = ("network-unavailable", "NoSchedule")


def tolerating_spec(spec: Mapping[str, Any]) -> Obj:
    """Return a template's pod spec with the tolerations every daemon pod gets."""
    wanted = [*_TOLERATED, *([_TOLERATED_ON_HOST_NETWORK] if spec.get("hostNetwork") else [])]
    tolerations = list(spec.get("tolerations") or ())
    for name, effect in wanted:
        added = {"key": f"{_NODE}/{name}", "operator": "Exists", "effect": effect}
        # One that says the same but for its duration is replaced where it stands.
        same = [index for index, each in enumerate(tolerations) if _is_alike(each, added)]
        for index in same:
            tolerations[index] = added
        if not same:
            tolerations.append(added)
    return {**spec, "tolerations": tolerations}


def pod_for_node(daemon_set: Mapping[str, Any], node: str, revision_hash: str) -> Obj:
    """Return the pod to create for a node."""
    metadata, template = daemon_set["metadata"], daemon_set["spec"]["template"]
    inner = template.get("metadata") or {}
    labels = {**(inner.get("labels") or {}), HASH_LABEL: revision_hash}
    if (generation := _generation(daemon_set)) is not None:
        labels[_GENERATION_LABEL] = generation
    pod_metadata: Obj = {
        "generateName": f"{metadata['name']}-",
        "namespace": metadata["namespace"],
        "labels": labels,
        "ownerReferences": [owner_reference(daemon_set)],
    }
    for key in ("annotations", "finalizers"):
        if inner.get(key):
            pod_metadata[key] = inner[key]
    spec = deepcopy(tolerating_spec(template["spec"]))
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    # It replaces what the template requires: the node was chosen by that already.
    only = {"key": "metadata.name", "operator": "In", "values": [node]}
    required = {"nodeSelectorTerms": [{"matchFields": [only]}]}
    affinity["requiredDuringSchedulingIgnoredDuringExecution"] = required
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod_metadata, "spec": spec}


def owner_reference(daemon_set: Mapping[str, Any]) -> Obj:
    """Return the reference by which a DaemonSet owns what it made."""
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "name": daemon_set["metadata"]["name"],
        "uid": daemon_set["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Mapping[str, Any]) -> Obj | None:
    """Return the reference to the controller that owns an object, None for an orphan."""
    references: Iterable[Obj] = obj["metadata"].get("ownerReferences") or ()
    return next((each for each in references if each.get("controller")), None)


def target_node(pod: Mapping[str, Any]) -> str:
    """Return the node a pod is on or meant for; empty for a pod that is meant for none."""
    spec = pod["spec"]
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == "metadata.name" and field.get("operator") == "In":
                values: Sequence[str] = field.get("values") or ()
                return values[0] if len(values) == 1 else ""
    return ""


def is_going(pod: Mapping[str, Any]) -> bool:
    """Say whether the pod is being deleted."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_terminal(pod: Mapping[str, Any]) -> bool:
    """Say whether the pod has ended for good."""
    return (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Say whether the pod reports that it is ready."""
    return (_ready_condition(pod) or {}).get("status") == "True"


def is_available(pod: Mapping[str, Any], min_ready_seconds: int, now: datetime) -> bool:
    """Say whether the pod has been ready for long enough."""
    condition = _ready_condition(pod)
    if condition is None or condition["status"] != "True":
        return False
    if not min_ready_seconds:
        return True
    since = str(condition.get("lastTransitionTime") or "")
    wait = timedelta(seconds=min_ready_seconds)
    return bool(since) and datetime.fromisoformat(since) + wait <= now


def is_up_to_date(
    pod: Mapping[str, Any], daemon_set: Mapping[str, Any], revision_hash: str
) -> bool:
    """Say whether the pod was made from the template as it is now."""
    labels = pod["metadata"].get("labels") or {}
    generation = _generation(daemon_set)
    if generation is not None and labels.get(_GENERATION_LABEL) == generation:
        return True
    return bool(revision_hash) and labels.get(HASH_LABEL) == revision_hash


def allows_surge(daemon_set: Mapping[str, Any]) -> bool:
    """Say whether a new pod may start on a node beside the old one."""
    strategy = daemon_set["spec"]["updateStrategy"]
    if strategy["type"] != "RollingUpdate":
        return False
    surge = (strategy.get("rollingUpdate") or {}).get("maxSurge") or 0
    return str(surge).rstrip("%").lstrip("0") != ""


def by_age(pods: Iterable[Obj]) -> list[Obj]:
    """Order pods: those on a node first, then the oldest first."""
    return sorted(
        pods,
        key=lambda pod: (
            not pod["spec"].get("nodeName"),
            pod["metadata"]["creationTimestamp"],
            pod["metadata"]["name"],
        ),
    )


def _is_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    keys = ("key", "operator", "value", "effect")
    return all(one.get(key, "") == other.get(key, "") for key in keys)


def _generation(daemon_set: Mapping[str, Any]) -> str | None:
    found = (daemon_set["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION)
    return str(int(found)) if found and found.lstrip("+-").isdecimal() else None


def _ready_condition(pod: Mapping[str, Any]) -> Obj | None:
    conditions: Iterable[Obj] = (pod.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == "Ready"), None)
