"""What is particular to each kind when it is created and changed, as one table.

The rules themselves are in the ``*_rules`` modules; :mod:`registry` applies them in order.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gpu_spawner.sim.apiserver.field_errors import FieldError
from gpu_spawner.sim.apiserver.kinds import Resource
from gpu_spawner.sim.apiserver.names import (
    dns_label_problems,
    dns_subdomain_problems,
    service_name_problems,
)
from gpu_spawner.sim.apiserver.rules import (
    allocation_rules,
    cluster_rules,
    config_rules,
    device_rules,
    limit_rules,
    node_rules,
    pod_defaults,
    pod_rules,
    role_rules,
    service_rules,
    slice_rules,
    storage_rules,
    workload_rules,
)

__all__ = ["Strategy", "strategy_for"]

Obj = dict[str, Any]


def _leave(obj: Obj) -> None:
    """Change nothing."""
    del obj


def _leave_pair(new: Obj, old: Mapping[str, Any]) -> None:
    """Change nothing."""
    del new, old


def _leave_dates(obj: Obj, now: str) -> None:
    """Date nothing."""
    del obj, now


def _accept(obj: Mapping[str, Any]) -> Iterable[FieldError]:
    """Refuse nothing."""
    del obj
    return ()


def _accept_pair(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterable[FieldError]:
    """Refuse nothing."""
    del new, old
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One kind's rules.

    Attributes:
        default: fills in what a client left out; runs on everything a client sends.
        prepare: sets what a client may not choose, when an object is created.
        prepare_update: the same when it is changed.
        prepare_status: the same when its status is reported.
        stamp: dates what a client left undated; it gets the time.
        check: refuses a new object.
        check_update: refuses a change of the object.
        check_status_update: refuses a change through the status subresource.
        name_problems: the rule for names.
        counts_generations: ``metadata.generation`` counts changes of the spec.
        keeps_status: a status sent with a new object is kept.
    """

    default: Callable[[Obj], None] = _leave
    prepare: Callable[[Obj], None] = _leave
    prepare_update: Callable[[Obj, Mapping[str, Any]], None] = _leave_pair
    prepare_status: Callable[[Obj, Mapping[str, Any]], None] = _leave_pair
    stamp: Callable[[Obj, str], None] = _leave_dates
    check: Callable[[Mapping[str, Any]], Iterable[FieldError]] = _accept
    check_update: Callable[[Mapping[str, Any], Mapping[str, Any]], Iterable[FieldError]] = (
        _accept_pair
    )
    check_status_update: Callable[[Mapping[str, Any], Mapping[str, Any]], Iterable[FieldError]] = (
        _accept_pair
    )
    name_problems: Callable[[str], list[str]] = dns_subdomain_problems
    counts_generations: bool = False
    keeps_status: bool = False


def _again(
    check: Callable[[Mapping[str, Any]], Iterable[FieldError]],
) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Iterable[FieldError]]:
    """Check a changed object as if it were new."""
    return lambda new, _: check(new)


def _prepare_pod(pod: Obj) -> None:
    pod["status"] = {"phase": "Pending", "qosClass": pod_defaults.qos_class(pod["spec"])}
    if pod["spec"].get("schedulingGates"):
        pod["status"]["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": None,
                "lastTransitionTime": None,
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]


_COUNTING: Final = Strategy(counts_generations=True)

_STRATEGIES: Final[dict[str, Strategy]] = {
    "clusterrolebindings.rbac.authorization.k8s.io": Strategy(
        default=role_rules.default_binding,
        check=role_rules.check_binding,
        check_update=role_rules.check_binding_update,
        name_problems=role_rules.path_segment_problems,
    ),
    "clusterroles.rbac.authorization.k8s.io": Strategy(
        check=role_rules.check_role,
        check_update=_again(role_rules.check_role),
        name_problems=role_rules.path_segment_problems,
    ),
    "configmaps": Strategy(
        check=config_rules.check_config_map, check_update=config_rules.check_config_map_update
    ),
    "daemonsets.apps": Strategy(
        default=workload_rules.default_daemon_set,
        prepare=workload_rules.prepare_daemon_set,
        prepare_update=workload_rules.prepare_daemon_set_update,
        check=workload_rules.check_daemon_set,
        check_update=workload_rules.check_daemon_set_update,
        counts_generations=True,
    ),
    "deviceclasses.resource.k8s.io": Strategy(
        check=device_rules.check_device_class,
        check_update=_again(device_rules.check_device_class),
        counts_generations=True,
    ),
    "events": Strategy(
        check=cluster_rules.check_event, check_update=_again(cluster_rules.check_event)
    ),
    "ingressclasses.networking.k8s.io": _COUNTING,
    "ingresses.networking.k8s.io": _COUNTING,
    "leases.coordination.k8s.io": Strategy(
        check=cluster_rules.check_lease, check_update=_again(cluster_rules.check_lease)
    ),
    "limitranges": Strategy(
        default=limit_rules.default_limit_range,
        check=limit_rules.check_limit_range,
        check_update=_again(limit_rules.check_limit_range),
    ),
    "namespaces": Strategy(
        default=cluster_rules.default_namespace,
        prepare=cluster_rules.prepare_namespace,
        name_problems=dns_label_problems,
    ),
    "networkpolicies.networking.k8s.io": _COUNTING,
    "nodes": Strategy(
        default=node_rules.default_node,
        prepare=node_rules.prepare_node,
        check=node_rules.check_node,
        check_update=node_rules.check_node_update,
        check_status_update=node_rules.check_node_update,
        keeps_status=True,
    ),
    "persistentvolumeclaims": Strategy(
        default=storage_rules.default_claim,
        prepare=storage_rules.prepare_claim,
        check=storage_rules.check_claim,
        check_update=storage_rules.check_claim_update,
    ),
    "persistentvolumes": Strategy(
        default=storage_rules.default_volume,
        prepare=storage_rules.prepare_volume,
        check=storage_rules.check_volume,
        check_update=_again(storage_rules.check_volume),
    ),
    "poddisruptionbudgets.policy": Strategy(
        check=workload_rules.check_budget,
        check_update=_again(workload_rules.check_budget),
        counts_generations=True,
    ),
    "pods": Strategy(
        default=pod_defaults.default_pod,
        prepare=_prepare_pod,
        check=pod_rules.check_pod,
        check_update=pod_rules.check_pod_update,
        check_status_update=pod_rules.check_pod_status_update,
        counts_generations=True,
    ),
    "podtemplates": Strategy(
        default=lambda obj: pod_defaults.default_template(obj["template"]),
        counts_generations=True,
    ),
    "priorityclasses.scheduling.k8s.io": Strategy(
        default=cluster_rules.default_priority_class,
        check=cluster_rules.check_priority_class,
        check_update=cluster_rules.check_priority_class_update,
        counts_generations=True,
    ),
    "resourceclaims.resource.k8s.io": Strategy(
        default=device_rules.default_claim,
        check=device_rules.check_claim,
        check_update=device_rules.check_claim_update,
        prepare_status=allocation_rules.forget_freed_devices,
        check_status_update=allocation_rules.check_claim_status_update,
    ),
    "resourceclaimtemplates.resource.k8s.io": Strategy(
        default=device_rules.default_template_claim,
        check=device_rules.check_template,
        check_update=device_rules.check_template_update,
    ),
    "resourcequotas": Strategy(
        check=cluster_rules.check_quota, check_update=_again(cluster_rules.check_quota)
    ),
    "resourceslices.resource.k8s.io": Strategy(
        stamp=slice_rules.stamp_taints,
        check=slice_rules.check_slice,
        check_update=slice_rules.check_slice_update,
        counts_generations=True,
    ),
    "rolebindings.rbac.authorization.k8s.io": Strategy(
        default=role_rules.default_binding,
        check=role_rules.check_binding,
        check_update=role_rules.check_binding_update,
        name_problems=role_rules.path_segment_problems,
    ),
    "roles.rbac.authorization.k8s.io": Strategy(
        check=role_rules.check_role,
        check_update=_again(role_rules.check_role),
        name_problems=role_rules.path_segment_problems,
    ),
    "secrets": Strategy(
        default=config_rules.default_secret,
        check=config_rules.check_secret,
        check_update=config_rules.check_secret_update,
    ),
    "services": Strategy(
        default=service_rules.default_service,
        check=service_rules.check_service,
        check_update=service_rules.check_service_update,
        name_problems=service_name_problems,
    ),
    "storageclasses.storage.k8s.io": Strategy(
        default=storage_rules.default_storage_class,
        check=storage_rules.check_storage_class,
        check_update=storage_rules.check_storage_class_update,
    ),
}
_PLAIN: Final = Strategy()


def strategy_for(resource: Resource) -> Strategy:
    """Return a kind's rules; kinds that need none get plain ones."""
    return _STRATEGIES.get(resource.group_resource, _PLAIN)
