"""The shapes in which the Kubernetes API sends nodes and pods, reduced to the fields we decide by.

Decides only what is read off the wire: unknown fields are skipped without building objects, null
counts as absent, resource lists stay raw bytes so that equal ones are parsed once
(``pod_resources``). What the fields mean is for
``objects`` and :mod:`gpu_spawner.core.placement.pod_request`.
"""

import datetime as dt

import msgspec

__all__ = [
    "ABSENT",
    "WireAffinity",
    "WireClaimReference",
    "WireClaimStatusReference",
    "WireCondition",
    "WireContainer",
    "WireContainerStatus",
    "WireLabelSelector",
    "WireListMeta",
    "WireMeta",
    "WireNode",
    "WireNodeSelectorTerm",
    "WirePod",
    "WirePodAffinityTerm",
    "WirePodSpec",
    "WirePort",
    "WireRequestAnnotations",
    "WireRequestMeta",
    "WireRequirement",
]

ABSENT = msgspec.Raw(b"")
"""What a raw field holds when the API did not send it."""


class _Wire(msgspec.Struct, kw_only=True, rename="camel", gc=False):
    """What every shape has in common: camelCase names, unknown fields ignored."""


class WireAnnotations(_Wire):
    """The annotations that are read: KubeSpawner's, and those by which cards are divided.

    Of nodes these are what HAMi and Volcano register there, of pods what they and KAI gave.
    """

    username: str | None = msgspec.field(name="hub.jupyter.org/username", default=None)
    servername: str | None = msgspec.field(name="hub.jupyter.org/servername", default=None)
    hami_register: str | None = msgspec.field(name="hami.io/node-nvidia-register", default=None)
    hami_cordon: str | None = msgspec.field(name="hami.io/device-cordon", default=None)
    hami_held: str | None = msgspec.field(name="hami.io/vgpu-devices-allocated", default=None)
    hami_mig: str | None = msgspec.field(name="hami.io/vgpu-mig-allocations", default=None)
    volcano_register: str | None = msgspec.field(name="volcano.sh/node-vgpu-register", default=None)
    volcano_held: str | None = msgspec.field(name="volcano.sh/vgpu-ids-new", default=None)
    gpu_fraction: str | None = msgspec.field(name="gpu-fraction", default=None)
    gpu_memory: str | None = msgspec.field(name="gpu-memory", default=None)


class WireMeta(_Wire):
    """``metadata`` of an object."""

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    labels: dict[str, str] | None = None
    annotations: WireAnnotations | None = None
    creation_timestamp: dt.datetime | None = None
    deletion_timestamp: dt.datetime | None = None


class WireListMeta(_Wire):
    """``metadata`` of a list."""

    resource_version: str | None = None
    continue_: str | None = msgspec.field(name="continue", default=None)


class WireCondition(_Wire):
    """An entry of ``status.conditions``."""

    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None


class WireTaint(_Wire):
    """An entry of a node's ``spec.taints``."""

    key: str | None = None
    value: str | None = None
    effect: str | None = None


class WireNodeSpec(_Wire):
    """``spec`` of a node."""

    taints: list[WireTaint] | None = None
    unschedulable: bool | None = None


class WireImage(_Wire):
    """An entry of a node's ``status.images``."""

    names: list[str] | None = None
    size_bytes: int | None = None


class WireNodeInfo(_Wire):
    """``status.nodeInfo`` of a node."""

    architecture: str | None = None


class WireNodeStatus(_Wire):
    """``status`` of a node."""

    allocatable: msgspec.Raw = ABSENT
    capacity: msgspec.Raw = ABSENT
    conditions: list[WireCondition] | None = None
    images: list[WireImage] | None = None
    node_info: WireNodeInfo | None = None


class WireNode(_Wire):
    """A node."""

    metadata: WireMeta | None = None
    spec: WireNodeSpec | None = None
    status: WireNodeStatus | None = None


class WirePort(_Wire):
    """A container's port."""

    host_port: int | None = None
    container_port: int | None = None
    host_ip: str | None = msgspec.field(name="hostIP", default=None)
    protocol: str | None = None


class WireContainer(_Wire):
    """A container or an init container."""

    name: str | None = None
    restart_policy: str | None = None
    resources: msgspec.Raw = ABSENT
    ports: list[WirePort] | None = None


class WireRequirement(_Wire):
    """A requirement of a selector."""

    key: str | None = None
    operator: str | None = None
    values: list[str] | None = None


class WireLabelSelector(_Wire):
    """A label selector."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[WireRequirement] | None = None


class WireNodeSelectorTerm(_Wire):
    """A term of a node selector."""

    match_expressions: list[WireRequirement] | None = None
    match_fields: list[WireRequirement] | None = None


class WireNodeSelector(_Wire):
    """Terms, one of which must match."""

    node_selector_terms: list[WireNodeSelectorTerm] | None = None


class WirePreferredTerm(_Wire):
    """A preference with its weight."""

    weight: int | None = None
    preference: WireNodeSelectorTerm | None = None


class WireNodeAffinity(_Wire):
    """``affinity.nodeAffinity``."""

    required: WireNodeSelector | None = msgspec.field(
        name="requiredDuringSchedulingIgnoredDuringExecution", default=None
    )
    preferred: list[WirePreferredTerm] | None = msgspec.field(
        name="preferredDuringSchedulingIgnoredDuringExecution", default=None
    )


class WirePodAffinityTerm(_Wire):
    """A required term of pod affinity or anti-affinity."""

    label_selector: WireLabelSelector | None = None
    namespaces: list[str] | None = None
    namespace_selector: WireLabelSelector | None = None
    topology_key: str | None = None
    match_label_keys: list[str] | None = None
    mismatch_label_keys: list[str] | None = None


class WirePodAffinity(_Wire):
    """``affinity.podAffinity`` or ``affinity.podAntiAffinity``; preferences do not refuse."""

    required: list[WirePodAffinityTerm] | None = msgspec.field(
        name="requiredDuringSchedulingIgnoredDuringExecution", default=None
    )


class WireAffinity(_Wire):
    """``spec.affinity`` of a pod."""

    node_affinity: WireNodeAffinity | None = None
    pod_affinity: WirePodAffinity | None = None
    pod_anti_affinity: WirePodAffinity | None = None


class WireToleration(_Wire):
    """An entry of ``spec.tolerations``."""

    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None


class WireSchedulingGate(_Wire):
    """An entry of ``spec.schedulingGates``."""

    name: str | None = None


class WireSpread(_Wire):
    """An entry of ``spec.topologySpreadConstraints``."""

    when_unsatisfiable: str | None = None


class WireVolumeClaim(_Wire):
    """A volume's ``persistentVolumeClaim``."""

    claim_name: str | None = None


class WireVolume(_Wire):
    """A volume, as far as it can tie a pod to nodes."""

    name: str | None = None
    persistent_volume_claim: WireVolumeClaim | None = None
    ephemeral: msgspec.Raw = ABSENT


class WireClaimReference(_Wire):
    """An entry of ``spec.resourceClaims``."""

    name: str | None = None
    resource_claim_name: str | None = None
    resource_claim_template_name: str | None = None


class WireClaimStatusReference(_Wire):
    """An entry of ``status.resourceClaimStatuses``."""

    name: str | None = None
    resource_claim_name: str | None = None


class WirePodSpec(_Wire):
    """``spec`` of a pod that is placed or running."""

    node_name: str | None = None
    containers: list[WireContainer] | None = None
    init_containers: list[WireContainer] | None = None
    resources: msgspec.Raw = ABSENT
    overhead: msgspec.Raw = ABSENT
    host_network: bool | None = None
    priority: int | None = None
    scheduler_name: str | None = None
    scheduling_gates: list[WireSchedulingGate] | None = None
    affinity: msgspec.Raw = ABSENT


class WireRequestSpec(WirePodSpec):
    """``spec`` of a pod that is to be placed, with everything that narrows where it may run."""

    node_selector: dict[str, str] | None = None
    tolerations: list[WireToleration] | None = None
    preemption_policy: str | None = None
    resource_claims: list[WireClaimReference] | None = None
    topology_spread_constraints: list[WireSpread] | None = None
    volumes: list[WireVolume] | None = None


class WireContainerStatus(_Wire):
    """A container's status, as far as an in-place resize shows in it."""

    name: str | None = None
    resources: msgspec.Raw = ABSENT
    allocated_resources: msgspec.Raw = ABSENT


class WirePodStatus(_Wire):
    """``status`` of a pod."""

    phase: str | None = None
    conditions: list[WireCondition] | None = None
    nominated_node_name: str | None = None
    container_statuses: list[WireContainerStatus] | None = None
    init_container_statuses: list[WireContainerStatus] | None = None
    resources: msgspec.Raw = ABSENT
    allocated_resources: msgspec.Raw = ABSENT


class WirePod(_Wire):
    """A pod as the cluster shows it."""

    metadata: WireMeta | None = None
    spec: WirePodSpec | None = None
    status: WirePodStatus | None = None


class WireRequestStatus(_Wire):
    """``status`` of a pod that is to be placed: the claims that were made for it."""

    resource_claim_statuses: list[WireClaimStatusReference] | None = None


class WireRequestAnnotations(WireAnnotations):
    """Annotations by which a pod asks for parts of cards, beside those it was given them by."""

    gpu_fraction_num_devices: str | None = msgspec.field(
        name="gpu-fraction-num-devices", default=None
    )
    use_type: str | None = msgspec.field(name="nvidia.com/use-gputype", default=None)
    nouse_type: str | None = msgspec.field(name="nvidia.com/nouse-gputype", default=None)
    use_uuid: str | None = msgspec.field(name="nvidia.com/use-gpuuuid", default=None)
    nouse_uuid: str | None = msgspec.field(name="nvidia.com/nouse-gpuuuid", default=None)
    numa_bind: str | None = msgspec.field(name="nvidia.com/numa-bind", default=None)
    hami_mode: str | None = msgspec.field(name="nvidia.com/vgpu-mode", default=None)
    hami_policy: str | None = msgspec.field(name="hami.io/gpu-scheduler-policy", default=None)
    volcano_mode: str | None = msgspec.field(name="volcano.sh/vgpu-mode", default=None)
    volcano_use_uuid: str | None = msgspec.field(name="volcano.sh/vgpu-use-gpuuuid", default=None)
    volcano_nouse_uuid: str | None = msgspec.field(
        name="volcano.sh/vgpu-nouse-gpuuuid", default=None
    )


class WireRequestMeta(WireMeta):
    """``metadata`` of a pod that is to be placed."""

    annotations: WireRequestAnnotations | None = None


class WireRequest(_Wire):
    """A pod manifest whose seats are counted."""

    metadata: WireRequestMeta | None = None
    spec: WireRequestSpec | None = None
    status: WireRequestStatus | None = None
