"""What a cluster's own controllers do around every object, done within the request that caused it.

New namespaces get their service account and certificate bundle, and those that go take their
content with them. Claims for storage are bound at once. Protection finalizers go when nobody uses
the object any more. Quotas count. Nodes get their annotation. Old events disappear.

Scheduling, device claims, DaemonSets and node conditions belong to real clients of the API and live
in their own modules.
"""

from collections import deque
from datetime import datetime
from typing import Any, Final

from gpu_spawner.sim.apiserver.deletion import DeleteOptions, delete
from gpu_spawner.sim.apiserver.garbage import GarbageCollector
from gpu_spawner.sim.apiserver.kinds import RESOURCES, Resource
from gpu_spawner.sim.apiserver.quotas import QUOTAS, quota_status
from gpu_spawner.sim.apiserver.registry import Registry, Target
from gpu_spawner.sim.apiserver.storage_binding import StorageBinder
from gpu_spawner.sim.apiserver.store import Change, ChangeKind, Record

__all__ = ["Housekeeping"]

Obj = dict[str, Any]

_KINDS: Final = {item.kind: item for item in RESOURCES}
_NAMESPACES: Final = _KINDS["Namespace"]
_NODES: Final = _KINDS["Node"]
_EVENTS: Final = _KINDS["Event"]
_CONFIG_MAPS: Final = _KINDS["ConfigMap"]
_SERVICE_ACCOUNTS: Final = _KINDS["ServiceAccount"]
_CONTENT: Final = tuple(item for item in RESOURCES if item.is_stored and item.is_namespaced)
_TTL_ANNOTATION: Final = "node.alpha.kubernetes.io/ttl"
_EVENT_SECONDS: Final = 3600.0
_ROOT_CERTIFICATES: Final = "kube-root-ca.crt"
_ROOT_DESCRIPTION: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)


class Housekeeping:
    """Follows every change; ``settle()`` does everything that follows from the changes so far."""

    def __init__(self, registry: Registry, authority: str = "") -> None:
        """Begin to follow a cluster.

        Args:
            registry: the cluster.
            authority: the certificate that pods trust the server by, where it speaks TLS.
        """
        self._registry = registry
        self._authority = authority
        self._store = registry.store
        self._garbage = GarbageCollector(registry)
        self._storage = StorageBinder(registry)
        self._changes: deque[Change] = deque()
        self._events: deque[Record] = deque(self._store.list_records(_EVENTS))
        self._unsubscribe = self._store.subscribe(self._changes.append)

    def close(self) -> None:
        """Look away: the store may go on under another server."""
        self._unsubscribe()
        self._garbage.close()

    def settle(self) -> None:
        """Work until nothing is left to do."""
        while self._changes or self._garbage.drain():
            while self._changes:
                self._attend(self._changes.popleft())

    def _attend(self, change: Change) -> None:
        record = change.record
        match record.resource.kind:
            case "Namespace":
                self._keep_namespace(change)
            case "Node" if change.kind is not ChangeKind.DELETED:
                self._annotate_node(record)
            case "Event" if change.kind is ChangeKind.ADDED:
                self._expire_events(record)
            case "PersistentVolumeClaim" | "PersistentVolume" | "StorageClass" | "Pod":
                self._storage.attend(change)
        if record.namespace:
            self._count_quotas(record.resource, record.namespace)
            if change.kind is ChangeKind.DELETED:
                self._empty_namespace(record.namespace)

    def _keep_namespace(self, change: Change) -> None:
        if change.kind is ChangeKind.DELETED:
            return
        namespace = change.record.decode()
        name = change.record.name
        if "deletionTimestamp" in namespace["metadata"]:
            self._empty_namespace(name)
            return
        if self._store.get(_SERVICE_ACCOUNTS, name, "default") is None:
            self._create(_SERVICE_ACCOUNTS, name, {"metadata": {"name": "default"}})
        if self._store.get(_CONFIG_MAPS, name, _ROOT_CERTIFICATES) is None:
            metadata = {
                "name": _ROOT_CERTIFICATES,
                "annotations": {"kubernetes.io/description": _ROOT_DESCRIPTION},
            }
            data = {"ca.crt": self._authority}
            self._create(_CONFIG_MAPS, name, {"metadata": metadata, "data": data})

    def _empty_namespace(self, name: str) -> None:
        """Delete the content of a namespace that goes; when there is none, let it go."""
        record = self._store.get(_NAMESPACES, "", name)
        if record is None or record.fields[0] != "Terminating":
            return
        is_empty = True
        for resource in _CONTENT:
            for item in self._store.list_records(resource, name):
                is_empty = False
                if b'"deletionTimestamp"' not in item.raw:
                    target = Target(resource=resource, namespace=name, name=item.name)
                    delete(self._registry, target, DeleteOptions(policy="Background"))
        if is_empty or not any(self._store.list_records(item, name) for item in _CONTENT):
            self._finish_namespace(record)

    def _finish_namespace(self, record: Record) -> None:
        namespace = record.decode()
        if namespace["metadata"].get("finalizers"):
            return
        namespace["spec"].pop("finalizers", None)
        self._store.remove(record, final=namespace)

    def _annotate_node(self, record: Record) -> None:
        if _TTL_ANNOTATION.encode() in record.raw:
            return
        node = record.decode()
        node["metadata"].setdefault("annotations", {})[_TTL_ANNOTATION] = "0"
        self._store.put(_NODES, node)

    def _expire_events(self, newest: Record) -> None:
        self._events.append(newest)
        horizon = self._registry.clock() - _EVENT_SECONDS
        while self._events:
            oldest = self._events[0]
            current = self._store.get(_EVENTS, oldest.namespace, oldest.name)
            if current is not None and current.uid == oldest.uid:
                created = oldest.decode()["metadata"]["creationTimestamp"]
                if datetime.fromisoformat(created).timestamp() > horizon:
                    return
                self._store.remove(current)
            self._events.popleft()

    def _count_quotas(self, resource: Resource, namespace: str) -> None:
        if resource is _EVENTS:
            return
        for record in self._store.list_records(QUOTAS, namespace):
            quota = record.decode()
            status = quota_status(self._store, quota)
            if quota["status"] != status:
                self._store.put(QUOTAS, {**quota, "status": status})

    def _create(self, resource: Resource, namespace: str, obj: Obj) -> None:
        head = {"kind": resource.kind, "apiVersion": resource.api_version}
        target = Target(resource=resource, namespace=namespace)
        self._registry.create(target, {**head, **obj})
