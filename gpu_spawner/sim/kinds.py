"""The kinds of object the embedded cluster serves, as one table.

Everything that differs from kind to kind by data alone is here: names, scope, subresources, which
fields a field selector may name. What differs by behaviour lives in :mod:`defaults` and
:mod:`validation`. Names and verbs follow Kubernetes 1.36's own discovery documents.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

__all__ = [
    "RESOURCES",
    "Resource",
    "Subresource",
    "find_resource",
    "group_versions",
    "is_known_group",
    "resource_for_kind",
    "resources_of",
]

_ALL_VERBS: Final = (
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
)
_STATUS_VERBS: Final = ("get", "patch", "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """One path under an object, such as ``pods/NAME/binding``."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One served kind.

    Attributes:
        fields: dotted paths a field selector may use, in the order :class:`store.Record` keeps
            their values; ``metadata.name`` and ``metadata.namespace`` are always understood.
        is_stored: False for kinds that only answer a POST (reviews, bindings).
        missing_controller: what the embedded cluster does not run for this kind; creating such an
            object is refused, because nothing would ever act on it.
        returns_deleted: whether DELETE answers with the object rather than with a Status.
    """

    group: str = ""
    version: str = "v1"
    plural: str
    kind: str
    singular: str = ""
    is_namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = _ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    fields: tuple[str, ...] = ()
    is_stored: bool = True
    missing_controller: str = ""
    returns_deleted: bool = False
    creates_on_update: bool = False
    by_subresource: Mapping[str, Subresource] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {subresource.name: subresource for subresource in self.subresources}
        object.__setattr__(self, "by_subresource", MappingProxyType(index))

    @property
    def api_version(self) -> str:
        """The value of ``apiVersion`` in objects of this kind."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """The resource as error texts name it: ``pods``, ``daemonsets.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def group_kind(self) -> str:
        """The kind as error texts name it: ``Pod``, ``DaemonSet.apps``."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def list_kind(self) -> str:
        """The kind of a list of these."""
        return f"{self.kind}List"

    @property
    def singular_name(self) -> str:
        """The singular as discovery shows it."""
        return self.singular or self.kind.lower()

    @property
    def storage_version_hash(self) -> str:
        """Discovery's opaque hash: the first bytes of SHA-256 over ``group/version/kind``."""
        digest = hashlib.sha256(f"{self.group}/{self.version}/{self.kind}".encode()).digest()
        return base64.b64encode(digest[:8]).decode()

    @property
    def has_status(self) -> bool:
        """Whether status is written through its own subresource."""
        return "status" in self.by_subresource


def _status(kind: str) -> Subresource:
    return Subresource(name="status", kind=kind, verbs=_STATUS_VERBS)


def _scale() -> Subresource:
    return Subresource(
        name="scale", kind="Scale", verbs=_STATUS_VERBS, group="autoscaling", version="v1"
    )


def _proxy(kind: str) -> Subresource:
    verbs = ("create", "delete", "get", "patch", "update")
    return Subresource(name="proxy", kind=kind, verbs=verbs)


_POD_FIELDS: Final = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
)
_EVENT_FIELDS: Final = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)


def _core() -> Iterable[Resource]:
    yield Resource(plural="bindings", kind="Binding", verbs=("create",), is_stored=False)
    yield Resource(
        plural="componentstatuses",
        kind="ComponentStatus",
        is_namespaced=False,
        short_names=("cs",),
        verbs=("get", "list"),
        is_stored=False,
    )
    yield Resource(plural="configmaps", kind="ConfigMap", short_names=("cm",))
    yield Resource(
        plural="endpoints", kind="Endpoints", short_names=("ep",), creates_on_update=True
    )
    yield Resource(
        plural="events",
        kind="Event",
        short_names=("ev",),
        fields=_EVENT_FIELDS,
        creates_on_update=True,
    )
    yield Resource(
        plural="limitranges", kind="LimitRange", short_names=("limits",), creates_on_update=True
    )
    yield Resource(
        plural="namespaces",
        kind="Namespace",
        is_namespaced=False,
        short_names=("ns",),
        verbs=tuple(verb for verb in _ALL_VERBS if verb != "deletecollection"),
        subresources=(
            Subresource(name="finalize", kind="Namespace", verbs=("update",)),
            _status("Namespace"),
        ),
        fields=("status.phase",),
        returns_deleted=True,
    )
    yield Resource(
        plural="nodes",
        kind="Node",
        is_namespaced=False,
        short_names=("no",),
        subresources=(_proxy("NodeProxyOptions"), _status("Node")),
        fields=("spec.unschedulable",),
    )
    yield Resource(
        plural="persistentvolumeclaims",
        kind="PersistentVolumeClaim",
        short_names=("pvc",),
        subresources=(_status("PersistentVolumeClaim"),),
        returns_deleted=True,
    )
    yield Resource(
        plural="persistentvolumes",
        kind="PersistentVolume",
        is_namespaced=False,
        short_names=("pv",),
        subresources=(_status("PersistentVolume"),),
        returns_deleted=True,
    )
    yield Resource(
        plural="pods",
        kind="Pod",
        short_names=("po",),
        categories=("all",),
        subresources=(
            Subresource(name="attach", kind="PodAttachOptions", verbs=("create", "get")),
            Subresource(name="binding", kind="Binding", verbs=("create",)),
            Subresource(name="ephemeralcontainers", kind="Pod", verbs=_STATUS_VERBS),
            Subresource(
                name="eviction", kind="Eviction", verbs=("create",), group="policy", version="v1"
            ),
            Subresource(name="exec", kind="PodExecOptions", verbs=("create", "get")),
            Subresource(name="log", kind="Pod", verbs=("get",)),
            Subresource(name="portforward", kind="PodPortForwardOptions", verbs=("create", "get")),
            _proxy("PodProxyOptions"),
            Subresource(name="resize", kind="Pod", verbs=_STATUS_VERBS),
            _status("Pod"),
        ),
        fields=_POD_FIELDS,
        returns_deleted=True,
    )
    yield Resource(plural="podtemplates", kind="PodTemplate", returns_deleted=True)
    yield Resource(
        plural="replicationcontrollers",
        kind="ReplicationController",
        short_names=("rc",),
        categories=("all",),
        subresources=(_scale(), _status("ReplicationController")),
        fields=("status.replicas",),
        missing_controller="replication controller",
    )
    yield Resource(
        plural="resourcequotas",
        kind="ResourceQuota",
        short_names=("quota",),
        subresources=(_status("ResourceQuota"),),
        returns_deleted=True,
    )
    yield Resource(plural="secrets", kind="Secret", fields=("type",))
    yield Resource(
        plural="serviceaccounts",
        kind="ServiceAccount",
        short_names=("sa",),
        subresources=(
            Subresource(
                name="token",
                kind="TokenRequest",
                verbs=("create",),
                group="authentication.k8s.io",
                version="v1",
            ),
        ),
        returns_deleted=True,
    )
    yield Resource(
        plural="services",
        kind="Service",
        short_names=("svc",),
        categories=("all",),
        subresources=(_proxy("ServiceProxyOptions"), _status("Service")),
        fields=("spec.clusterIP", "spec.type"),
        returns_deleted=True,
        creates_on_update=True,
    )


def _workloads() -> Iterable[Resource]:
    yield Resource(group="apps", plural="controllerrevisions", kind="ControllerRevision")
    yield Resource(
        group="apps",
        plural="daemonsets",
        kind="DaemonSet",
        short_names=("ds",),
        categories=("all",),
        subresources=(_status("DaemonSet"),),
    )
    for plural, kind, short in (
        ("deployments", "Deployment", "deploy"),
        ("replicasets", "ReplicaSet", "rs"),
        ("statefulsets", "StatefulSet", "sts"),
    ):
        yield Resource(
            group="apps",
            plural=plural,
            kind=kind,
            short_names=(short,),
            categories=("all",),
            subresources=(_scale(), _status(kind)),
            missing_controller=f"{kind} controller",
        )
    for plural, kind, short in (("cronjobs", "CronJob", "cj"), ("jobs", "Job", "")):
        yield Resource(
            group="batch",
            plural=plural,
            kind=kind,
            short_names=(short,) if short else (),
            categories=("all",),
            subresources=(_status(kind),),
            fields=("status.successful",) if kind == "Job" else (),
            missing_controller=f"{kind} controller",
        )


def _reviews() -> Iterable[Resource]:
    for group, plural, kind, is_namespaced in (
        ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview", False),
        ("authentication.k8s.io", "tokenreviews", "TokenReview", False),
        ("authorization.k8s.io", "localsubjectaccessreviews", "LocalSubjectAccessReview", True),
        ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False),
        ("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False),
        ("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", False),
    ):
        yield Resource(
            group=group,
            plural=plural,
            kind=kind,
            is_namespaced=is_namespaced,
            verbs=("create",),
            is_stored=False,
        )


def _policies() -> Iterable[Resource]:
    rbac = "rbac.authorization.k8s.io"
    for plural, kind, is_namespaced in (
        ("clusterrolebindings", "ClusterRoleBinding", False),
        ("clusterroles", "ClusterRole", False),
        ("rolebindings", "RoleBinding", True),
        ("roles", "Role", True),
    ):
        yield Resource(
            group=rbac,
            plural=plural,
            kind=kind,
            is_namespaced=is_namespaced,
            creates_on_update=True,
        )
    yield Resource(
        group="policy",
        plural="poddisruptionbudgets",
        kind="PodDisruptionBudget",
        short_names=("pdb",),
        subresources=(_status("PodDisruptionBudget"),),
    )
    yield Resource(
        group="networking.k8s.io",
        plural="networkpolicies",
        kind="NetworkPolicy",
        short_names=("netpol",),
    )
    yield Resource(
        group="networking.k8s.io",
        plural="ingressclasses",
        kind="IngressClass",
        is_namespaced=False,
    )
    yield Resource(
        group="networking.k8s.io",
        plural="ingresses",
        kind="Ingress",
        short_names=("ing",),
        subresources=(_status("Ingress"),),
    )


def _infrastructure() -> Iterable[Resource]:
    yield Resource(
        group="coordination.k8s.io", plural="leases", kind="Lease", creates_on_update=True
    )
    yield Resource(
        group="node.k8s.io", plural="runtimeclasses", kind="RuntimeClass", is_namespaced=False
    )
    yield Resource(
        group="scheduling.k8s.io",
        plural="priorityclasses",
        kind="PriorityClass",
        is_namespaced=False,
        short_names=("pc",),
    )
    yield Resource(
        group="storage.k8s.io", plural="csidrivers", kind="CSIDriver", is_namespaced=False
    )
    yield Resource(group="storage.k8s.io", plural="csinodes", kind="CSINode", is_namespaced=False)
    yield Resource(
        group="storage.k8s.io",
        plural="storageclasses",
        kind="StorageClass",
        is_namespaced=False,
        short_names=("sc",),
    )


def _devices() -> Iterable[Resource]:
    group = "resource.k8s.io"
    yield Resource(
        group=group,
        plural="deviceclasses",
        kind="DeviceClass",
        is_namespaced=False,
        returns_deleted=True,
    )
    yield Resource(
        group=group,
        plural="resourceclaims",
        kind="ResourceClaim",
        subresources=(_status("ResourceClaim"),),
        returns_deleted=True,
    )
    yield Resource(
        group=group,
        plural="resourceclaimtemplates",
        kind="ResourceClaimTemplate",
        returns_deleted=True,
    )
    yield Resource(
        group=group,
        plural="resourceslices",
        kind="ResourceSlice",
        is_namespaced=False,
        fields=("spec.nodeName", "spec.driver"),
        returns_deleted=True,
    )


RESOURCES: Final[tuple[Resource, ...]] = (
    *_core(),
    *_workloads(),
    *_reviews(),
    *_policies(),
    *_infrastructure(),
    *_devices(),
)
_BY_PATH: Final = {(item.group, item.version, item.plural): item for item in RESOURCES}
_BY_KIND: Final = {(item.api_version, item.kind): item for item in RESOURCES}

# Groups a Kubernetes 1.36 API server has and this one does not: asking for them is a 501 with a
# sentence, not the 404 of a group nobody knows.
_UNSERVED_GROUPS: Final = frozenset(
    {
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "autoscaling",
        "certificates.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "internal.apiserver.k8s.io",
        "storagemigration.k8s.io",
    }
)


def find_resource(group: str, version: str, plural: str) -> Resource | None:
    """Look a resource up by its place in a URL."""
    return _BY_PATH.get((group, version, plural))


def resource_for_kind(api_version: str, kind: str) -> Resource | None:
    """Look a resource up as objects name it (owner references, bodies)."""
    return _BY_KIND.get((api_version, kind))


def group_versions() -> tuple[tuple[str, str], ...]:
    """Every served (group, version), the core group first."""
    return tuple(dict.fromkeys((item.group, item.version) for item in RESOURCES))


def resources_of(group: str, version: str) -> tuple[Resource, ...]:
    """The resources of one group version, by name as discovery lists them."""
    found = (item for item in RESOURCES if (item.group, item.version) == (group, version))
    return tuple(sorted(found, key=lambda item: item.plural))


def is_known_group(group: str) -> bool:
    """Whether Kubernetes has such a group although this server does not serve it."""
    return group in _UNSERVED_GROUPS
