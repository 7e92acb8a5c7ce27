"""The paths under a pod that do something: binding it to a node, evicting it."""

from collections.abc import Mapping
from typing import Any, Final

from gpu_spawner.sim.apiserver.api_errors import (
    ApiError,
    bad_request,
    conflict,
    not_found,
    success,
    too_many_requests,
)
from gpu_spawner.sim.apiserver.deletion import DeleteOptions, delete, parse_delete_options
from gpu_spawner.sim.apiserver.kinds import RESOURCES
from gpu_spawner.sim.apiserver.registry import Registry, Target
from gpu_spawner.sim.apiserver.selectors import matches_labels
from gpu_spawner.sim.apiserver.store import Store

__all__ = ["bind", "evict"]

Obj = dict[str, Any]

_KINDS: Final = {item.kind: item for item in RESOURCES}
_PODS: Final = _KINDS["Pod"]
_NODES: Final = _KINDS["Node"]
_BUDGETS: Final = _KINDS["PodDisruptionBudget"]
_TOPOLOGY_LABELS: Final = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")


def bind(registry: Registry, target: Target, binding: Mapping[str, Any]) -> Obj:
    """Assign a pod to a node, as a scheduler asks."""
    metadata, wanted = binding.get("metadata", {}), binding.get("target", {})
    name = metadata.get("name") or target.name
    if target.name and name != target.name:
        raise bad_request("name in URL does not match name in Binding object")
    if wanted.get("kind", "Node") not in {"", "Node"}:
        raise _plain_failure(
            f'target.kind: Unsupported value: "{wanted["kind"]}": supported values: "Node", ""'
        )
    node = wanted.get("name", "")
    if not node:
        raise _plain_failure("target.name: Required value")
    record = registry.store.get(_PODS, target.namespace, name)
    if record is None:
        raise not_found(_PODS, name)
    pod = record.decode()
    why = _why_not_bindable(pod, metadata, name)
    if why:
        raise conflict("pods/binding", name, why, group="", kind="pods/binding")
    pod["spec"]["nodeName"] = node
    _copy_metadata(pod["metadata"], metadata, _labels_of(registry.store, node))
    _set_scheduled(pod["status"], registry.now())
    pod["status"].pop("nominatedNodeName", None)
    if not target.is_dry_run:
        registry.store.put(_PODS, pod)
    return success(201)


def evict(registry: Registry, target: Target, eviction: Mapping[str, Any]) -> Obj:
    """Delete a pod, unless a disruption budget forbids it."""
    name = eviction.get("metadata", {}).get("name") or target.name
    if name != target.name:
        raise bad_request("name in URL does not match name in Eviction object")
    record = registry.get(Target(resource=_PODS, namespace=target.namespace, name=name))
    pod = record.decode()
    if pod["status"].get("phase") not in {"Failed", "Pending", "Succeeded"}:
        _check_budgets(registry.store, pod)
    options = parse_delete_options(eviction.get("deleteOptions", {}), {})
    if target.is_dry_run:
        options = DeleteOptions(is_dry_run=True)
    delete(registry, Target(resource=_PODS, namespace=target.namespace, name=name), options)
    return success(201)


def _why_not_bindable(pod: Obj, metadata: Mapping[str, Any], name: str) -> str:
    """Say why a pod cannot be bound, or nothing."""
    uid, version = metadata.get("uid", ""), metadata.get("resourceVersion", "")
    if uid and uid != pod["metadata"]["uid"]:
        return (
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
            f"{pod['metadata']['uid']}"
        )
    if version and version != pod["metadata"]["resourceVersion"]:
        return (
            f"Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in "
            f"object meta: {pod['metadata']['resourceVersion']}"
        )
    if "deletionTimestamp" in pod["metadata"]:
        return f"pod {name} is being deleted, cannot be assigned to a host"
    if pod["spec"].get("nodeName"):
        return f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
    if pod["spec"].get("schedulingGates"):
        return f"pod {name} has non-empty .spec.schedulingGates"
    return ""


def _labels_of(store: Store, node: str) -> Mapping[str, str]:
    record = store.get(_NODES, "", node)
    return {} if record is None else record.labels


def _copy_metadata(pod: Obj, binding: Mapping[str, Any], node_labels: Mapping[str, str]) -> None:
    """Take over what the scheduler notes on the pod, and where its node stands."""
    annotations = binding.get("annotations", {})
    if annotations:
        pod["annotations"] = {**pod.get("annotations", {}), **annotations}
    labels = {key: node_labels[key] for key in _TOPOLOGY_LABELS if key in node_labels}
    labels |= binding.get("labels", {})
    if labels:
        pod["labels"] = {**pod.get("labels", {}), **labels}


def _set_scheduled(status: Obj, now: str) -> None:
    condition = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": now,
    }
    conditions = status.get("conditions", [])
    for index, present in enumerate(conditions):
        if present["type"] == "PodScheduled":
            if present["status"] == "True":
                condition["lastTransitionTime"] = present["lastTransitionTime"]
            conditions[index] = condition
            break
    else:
        conditions = [*conditions, condition]
    status["conditions"] = conditions


def _check_budgets(store: Store, pod: Obj) -> None:
    namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels", {})
    for record in store.list_records(_BUDGETS, namespace):
        budget = record.decode()
        selector = budget["spec"].get("selector")
        if not matches_labels(selector, labels):
            continue
        members = [
            item.decode()
            for item in store.list_records(_PODS, namespace)
            if matches_labels(selector, item.labels)
        ]
        healthy = sum(_is_ready(member) for member in members)
        needed = _needed(budget["spec"], len(members))
        if healthy - 1 < needed:
            error = too_many_requests(
                "Cannot evict pod as it would violate the pod's disruption budget.",
                retry_after=0,
            )
            message = (
                f"The disruption budget {record.name} needs {needed} healthy pods and has "
                f"{healthy} currently"
            )
            error.details = {"causes": [{"reason": "DisruptionBudget", "message": message}]}
            raise error


def _is_ready(pod: Obj) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _needed(spec: Obj, expected: int) -> int:
    """Return how many pods must stay healthy; percentages are rounded up."""

    def amount(value: int | str) -> int:
        if isinstance(value, int):
            return value
        return -(-int(value.removesuffix("%")) * expected // 100)

    if "minAvailable" in spec:
        return amount(spec["minAvailable"])
    return max(0, expected - amount(spec.get("maxUnavailable", 1)))


def _plain_failure(message: str) -> ApiError:
    """An error that Kubernetes lets through without a reason of its own."""
    return ApiError(500, "", message)
