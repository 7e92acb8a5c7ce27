"""The admission plugins an API server has on by default, as far as they matter here.

They look at more than the object itself: whether its namespace is there, which priority its class
has, which storage class is the default, what a quota leaves.
"""

from collections.abc import Iterator
from typing import Any, Final

from gpu_spawner.sim.apiserver.api_errors import forbidden, not_found
from gpu_spawner.sim.apiserver.field_errors import FieldError, forbidden_field
from gpu_spawner.sim.apiserver.kinds import RESOURCES, Resource
from gpu_spawner.sim.apiserver.limit_ranges import (
    LIMIT_RANGES,
    limit_complaint,
    set_default_resources,
)
from gpu_spawner.sim.apiserver.quotas import quota_complaint
from gpu_spawner.sim.apiserver.rules.pod_defaults import tolerate_by_default
from gpu_spawner.sim.apiserver.rules.service_rules import allocate_address
from gpu_spawner.sim.apiserver.store import Store

__all__ = ["Admission"]

Obj = dict[str, Any]

_BY_KIND: Final = {item.kind: item for item in RESOURCES}
_NAMESPACES: Final = _BY_KIND["Namespace"]
_PRIORITY_CLASSES: Final = _BY_KIND["PriorityClass"]
_RUNTIME_CLASSES: Final = _BY_KIND["RuntimeClass"]
_SERVICE_ACCOUNTS: Final = _BY_KIND["ServiceAccount"]
_STORAGE_CLASSES: Final = _BY_KIND["StorageClass"]
_ADMIN_ACCESS: Final = "resource.kubernetes.io/admin-access"
_CLAIM_KINDS: Final = ("ResourceClaim", "ResourceClaimTemplate")
_LIMITED_KINDS: Final = ("Pod", "PersistentVolumeClaim")
_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"


class Admission:
    """Complete new objects from what else is in the cluster, or refuse them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        """Refuse an object whose namespace is missing or going away."""
        if not resource.is_namespaced:
            return
        record = self._store.get(_NAMESPACES, "", namespace)
        if record is None:
            raise not_found(_NAMESPACES, namespace)
        if record.fields[0] != "Terminating":
            return
        error = forbidden(
            resource,
            name,
            f"unable to create new content in namespace {namespace} because it is being terminated",
        )
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        error.details = {**(error.details or {}), "causes": [cause]}
        raise error

    def complete(self, resource: Resource, obj: Obj) -> None:
        """Fill in what depends on other objects."""
        if resource.kind == "Pod":
            self._check_account(resource, obj)
            self._set_priority(resource, obj)
            self._apply_runtime_class(resource, obj)
            for limit_range in self._limit_ranges(obj):
                set_default_resources(limit_range, obj)
            tolerate_by_default(obj["spec"])
        elif resource.kind == "PersistentVolumeClaim":
            self._choose_storage_class(obj["spec"])
        elif resource.kind == "Service":
            others = (record.decode() for record in self._store.list_records(resource))
            allocate_address(obj, others)

    def admin_access_problems(
        self, resource: Resource, new: Obj, old: Obj | None = None
    ) -> Iterator[FieldError]:
        """Refuse claims that look into devices of others, where the namespace is not for it."""
        if resource.kind not in _CLAIM_KINDS:
            return
        record = self._store.get(_NAMESPACES, "", new["metadata"]["namespace"])
        if record is not None and record.labels.get(_ADMIN_ACCESS) == "true":
            return
        if old is not None:
            path = "status.allocation.devices.results"
            if "allocation" in old.get("status", {}):
                return
            allocation = new.get("status", {}).get("allocation", {})
            wishes = allocation.get("devices", {}).get("results", ())
        else:
            path = "spec.devices.requests"
            spec = new["spec"]["spec"] if resource.kind == _CLAIM_KINDS[1] else new["spec"]
            requests = spec["devices"].get("requests") or ()
            wishes = [request.get("exactly", {}) for request in requests]
        for index, wish in enumerate(wishes):
            if wish.get("adminAccess"):
                detail = (
                    f"admin access to devices requires the `{_ADMIN_ACCESS}: true` label on the "
                    "containing namespace"
                )
                yield forbidden_field(f"{path}[{index}].adminAccess", detail)

    def check_limits(self, resource: Resource, new: Obj) -> None:
        """Refuse a pod or a claim that asks for more or less than its namespace lets it."""
        if resource.kind not in _LIMITED_KINDS:
            return
        for limit_range in self._limit_ranges(new):
            if complaint := limit_complaint(limit_range, new):
                raise forbidden(resource, new["metadata"]["name"], complaint)

    def check_quota(self, resource: Resource, new: Obj, old: Obj | None = None) -> None:
        """Refuse an object that exceeds a quota of its namespace."""
        if not resource.is_namespaced:
            return
        complaint = quota_complaint(self._store, resource, new, old)
        if complaint:
            raise forbidden(resource, new["metadata"]["name"], complaint)

    def _limit_ranges(self, obj: Obj) -> Iterator[Obj]:
        namespace = obj["metadata"]["namespace"]
        return (item.decode() for item in self._store.list_records(LIMIT_RANGES, namespace))

    def _check_account(self, resource: Resource, obj: Obj) -> None:
        """Refuse a pod of a service account that is not there."""
        metadata = obj["metadata"]
        account = obj["spec"].get("serviceAccountName") or "default"
        if self._store.get(_SERVICE_ACCOUNTS, metadata["namespace"], account) is None:
            where = f"{metadata['namespace']}/{account}"
            reason = f'serviceaccount "{account}" not found'
            raise forbidden(
                resource, metadata["name"], f"error looking up service account {where}: {reason}"
            )

    def _set_priority(self, resource: Resource, pod: Obj) -> None:
        spec, name = pod["spec"], pod["metadata"].get("name", "")
        class_name = spec.get("priorityClassName", "")
        classes = [record.decode() for record in self._store.list_records(_PRIORITY_CLASSES)]
        chosen: Obj = {"value": 0}
        if class_name:
            found = [item for item in classes if item["metadata"]["name"] == class_name]
            if not found:
                why = f"no PriorityClass with name {class_name} was found"
                raise forbidden(resource, name, why)
            chosen = found[0]
        else:
            defaults = [item for item in classes if item.get("globalDefault")]
            if defaults:
                chosen = min(defaults, key=lambda item: item["value"])
                spec["priorityClassName"] = chosen["metadata"]["name"]
        value = chosen["value"]
        if spec.get("priority", value) != value:
            why = (
                f"the integer value of priority ({spec['priority']}) must not be provided in pod "
                f"spec; priority admission controller computed {value} from the given "
                "PriorityClass name"
            )
            raise forbidden(resource, name, why)
        spec["priority"] = value
        spec.setdefault("preemptionPolicy", chosen.get("preemptionPolicy", "PreemptLowerPriority"))

    def _apply_runtime_class(self, resource: Resource, pod: Obj) -> None:
        spec = pod["spec"]
        class_name = spec.get("runtimeClassName", "")
        if not class_name:
            return
        record = self._store.get(_RUNTIME_CLASSES, "", class_name)
        if record is None:
            why = f'pod rejected: RuntimeClass "{class_name}" not found'
            raise forbidden(resource, pod["metadata"].get("name", ""), why)
        runtime_class = record.decode()
        overhead = runtime_class.get("overhead", {}).get("podFixed")
        if overhead:
            spec["overhead"] = overhead
        scheduling = runtime_class.get("scheduling", {})
        if "nodeSelector" in scheduling:
            spec["nodeSelector"] = {**scheduling["nodeSelector"], **spec.get("nodeSelector", {})}
        if "tolerations" in scheduling:
            spec["tolerations"] = [*spec.get("tolerations", ()), *scheduling["tolerations"]]

    def _choose_storage_class(self, spec: Obj) -> None:
        if "storageClassName" in spec:
            return
        classes = [record.decode() for record in self._store.list_records(_STORAGE_CLASSES)]
        defaults = [
            item["metadata"]
            for item in classes
            if item["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true"
        ]
        if defaults:
            newest = max(defaults, key=lambda item: (item["creationTimestamp"], item["name"]))
            spec["storageClassName"] = newest["name"]
