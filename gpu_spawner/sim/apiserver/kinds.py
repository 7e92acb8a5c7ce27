"""The kinds of object the embedded cluster serves, as one table.

Everything that differs from kind to kind by data alone is here: names, scope, subresources, which
fields a field selector may name. What differs by behaviour lives in :mod:`strategies`. Names and
verbs follow Kubernetes 1.36's own discovery documents.
"""

from collections.abc import Iterable
from typing import Final

from gpu_spawner.sim.apiserver.kind_types import (
    ALL_VERBS,
    STATUS_VERBS,
    Resource,
    Subresource,
    proxy_of,
    scale,
    status_of,
)

__all__ = [
    "RESOURCES",
    "Resource",
    "find_resource",
    "group_versions",
    "is_known_group",
    "resource_for_kind",
    "resources_of",
]

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
        plural="limitranges",
        kind="LimitRange",
        short_names=("limits",),
        creates_on_update=True,
    )
    yield Resource(
        plural="namespaces",
        kind="Namespace",
        is_namespaced=False,
        short_names=("ns",),
        verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
        subresources=(
            Subresource(name="finalize", kind="Namespace", verbs=("update",)),
            status_of("Namespace"),
        ),
        fields=("status.phase",),
        returns_deleted=True,
    )
    yield Resource(
        plural="nodes",
        kind="Node",
        is_namespaced=False,
        short_names=("no",),
        subresources=(proxy_of("NodeProxyOptions"), status_of("Node")),
        fields=("spec.unschedulable",),
    )
    yield Resource(
        plural="persistentvolumeclaims",
        kind="PersistentVolumeClaim",
        short_names=("pvc",),
        subresources=(status_of("PersistentVolumeClaim"),),
        returns_deleted=True,
    )
    yield Resource(
        plural="persistentvolumes",
        kind="PersistentVolume",
        is_namespaced=False,
        short_names=("pv",),
        subresources=(status_of("PersistentVolume"),),
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
            Subresource(name="ephemeralcontainers", kind="Pod", verbs=STATUS_VERBS),
            Subresource(
                name="eviction", kind="Eviction", verbs=("create",), group="policy", version="v1"
            ),
            Subresource(name="exec", kind="PodExecOptions", verbs=("create", "get")),
            Subresource(name="log", kind="Pod", verbs=("get",)),
            Subresource(name="portforward", kind="PodPortForwardOptions", verbs=("create", "get")),
            proxy_of("PodProxyOptions"),
            Subresource(name="resize", kind="Pod", verbs=STATUS_VERBS),
            status_of("Pod"),
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
        subresources=(scale(), status_of("ReplicationController")),
        fields=("status.replicas",),
        missing_controller="replication controller",
    )
    yield Resource(
        plural="resourcequotas",
        kind="ResourceQuota",
        short_names=("quota",),
        subresources=(status_of("ResourceQuota"),),
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
        subresources=(proxy_of("ServiceProxyOptions"), status_of("Service")),
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
        subresources=(status_of("DaemonSet"),),
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
            subresources=(scale(), status_of(kind)),
            missing_controller=f"{kind} controller",
        )
    for plural, kind, short in (("cronjobs", "CronJob", "cj"), ("jobs", "Job", "")):
        yield Resource(
            group="batch",
            plural=plural,
            kind=kind,
            short_names=(short,) if short else (),
            categories=("all",),
            subresources=(status_of(kind),),
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
        subresources=(status_of("PodDisruptionBudget"),),
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
        subresources=(status_of("Ingress"),),
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
        subresources=(status_of("ResourceClaim"),),
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
