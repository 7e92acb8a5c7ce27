"""Defaults and refusals for namespaces, events, quotas, leases and priority classes."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gpu_spawner.core.quantity import parse_nano
from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from gpu_spawner.sim.apiserver.names import qualified_name_problems
from gpu_spawner.sim.apiserver.rules.resource_rules import is_native

__all__ = [
    "check_event",
    "check_lease",
    "check_priority_class",
    "check_priority_class_update",
    "check_quota",
    "default_namespace",
    "default_priority_class",
    "prepare_namespace",
]

Obj = Mapping[str, Any]

_NAME_LABEL: Final = "kubernetes.io/metadata.name"
_HIGHEST_USER_PRIORITY: Final = 1_000_000_000
_SYSTEM_PRIORITIES: Final = {
    "system-cluster-critical": 2_000_000_000,
    "system-node-critical": 2_000_001_000,
}
_QUOTA_RESOURCES: Final = frozenset(
    {
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "services.nodeports",
        "services.loadbalancers",
        "replicationcontrollers",
        "secrets",
        "persistentvolumeclaims",
        "configmaps",
    }
)


def default_namespace(namespace: dict[str, Any]) -> None:
    """Label a namespace with its own name, so that selectors can find it."""
    name = namespace["metadata"].get("name")
    if name:
        namespace["metadata"].setdefault("labels", {})[_NAME_LABEL] = name
    namespace["status"].setdefault("phase", "Active")


def prepare_namespace(namespace: dict[str, Any]) -> None:
    """Start a namespace; its content must be gone before it goes."""
    namespace["status"] = {"phase": "Active"}
    finalizers = namespace["spec"].setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")
    default_namespace(namespace)


def check_event(event: Obj) -> Iterator[FieldError]:
    """Check an Event; those with an ``eventTime`` are of the newer kind and say more."""
    namespace = event["metadata"].get("namespace", "")
    about = event["involvedObject"].get("namespace", "")
    mismatch = invalid_value("involvedObject.namespace", about, "does not match event.namespace")
    if event["eventTime"] is None:
        if about != namespace and (about or namespace != "default"):
            yield mismatch
        return
    if not about and namespace not in {"default", "kube-system"}:
        yield mismatch
    reporter = event["reportingComponent"]
    if not reporter:
        yield required("reportingComponent")
    for problem in qualified_name_problems(reporter):
        yield invalid_value("reportingComponent", reporter, problem)
    for key, limit in (
        ("reportingInstance", 128),
        ("action", 128),
        ("reason", 128),
        ("message", 1024),
    ):
        value = event.get(key, "")
        if not value and key != "message":
            yield required(key)
        if len(value) > limit:
            yield invalid_value(key, "", f"can have at most {limit} characters")


def check_lease(lease: Obj) -> Iterator[FieldError]:
    """Check a Lease."""
    spec = lease["spec"]
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if seconds is not None and seconds <= 0:
        yield invalid_value("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    if transitions is not None and transitions < 0:
        detail = "must be greater than or equal to 0"
        yield invalid_value("spec.leaseTransitions", transitions, detail)
    if spec.get("preferredHolder") and not spec.get("strategy"):
        detail = "may only be specified if `strategy` is defined"
        yield forbidden_field("spec.preferredHolder", detail)


def check_quota(quota: Obj) -> Iterator[FieldError]:
    """Check a ResourceQuota."""
    hard = quota["spec"].get("hard", {})
    for name in sorted(hard):
        where = f"spec.hard[{name}]"
        problems = qualified_name_problems(name)
        for problem in problems:
            yield invalid_value(where, name, problem)
        is_known = name in _QUOTA_RESOURCES or name.startswith(
            ("requests.", "limits.", "count/", "hugepages-")
        )
        if not problems and "/" not in name and not is_known:
            yield invalid_value(where, name, "must be a standard resource for quota")
        if is_native(name) and parse_nano(hard[name]) < 0:
            detail = "must be greater than or equal to 0"
            yield invalid_value(where, hard[name], detail)


def default_priority_class(priority_class: dict[str, Any]) -> None:
    """Fill in what a PriorityClass leaves out."""
    priority_class.setdefault("preemptionPolicy", "PreemptLowerPriority")


def check_priority_class(priority_class: Obj) -> Iterator[FieldError]:
    """Check a PriorityClass; the highest priorities are the system's."""
    name, value = priority_class["metadata"].get("name", ""), priority_class["value"]
    if name.startswith("system-"):
        if _SYSTEM_PRIORITIES.get(name) != value:
            detail = (
                "priority class names with 'system-' prefix are reserved for system use only. "
                f"error: {name} is not a known system priority class"
            )
            yield forbidden_field("metadata.name", detail)
    elif value > _HIGHEST_USER_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {_HIGHEST_USER_PRIORITY}"
        yield forbidden_field("value", detail)
    policy = priority_class["preemptionPolicy"]
    words = ("PreemptLowerPriority", "Never")
    if policy not in words:
        yield not_supported("preemptionPolicy", policy, words)


def check_priority_class_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """Check a change of a PriorityClass: what pods already carry stays."""
    if new["value"] != old["value"]:
        yield forbidden_field("value", "may not be changed in an update.")
    if new["preemptionPolicy"] != old["preemptionPolicy"]:
        yield invalid_value("preemptionPolicy", new["preemptionPolicy"], "field is immutable")
