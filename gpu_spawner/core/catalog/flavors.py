"""What a kind of GPU is: how its nodes are recognised, and how they hand it out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "Autoscaling",
    "DeviceConfig",
    "DeviceConstraint",
    "DraLayout",
    "Flavor",
    "HamiLayout",
    "LabelIn",
    "MigLayout",
    "NamedClaim",
    "QueueLayout",
    "Sharing",
    "Toleration",
    "VolcanoLayout",
    "has_hardware",
]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class LabelIn:
    """A node label that must have one of these values; without values, it must not be there."""

    key: str
    values: tuple[str, ...]

    def as_manifest(self) -> dict[str, Any]:
        """Return the expression of a node selector term."""
        if not self.values:
            return {"key": self.key, "operator": "DoesNotExist"}
        return {"key": self.key, "operator": "In", "values": list(self.values)}

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a node with these labels is meant."""
        if not self.values:
            return self.key not in labels
        return labels.get(self.key) in self.values


def has_hardware(groups: tuple[tuple[LabelIn, ...], ...], labels: Mapping[str, str]) -> bool:
    """Tell whether a node has the labels of one of several groups; of none, every node has them."""
    return not groups or any(all(label.admits(labels) for label in group) for group in groups)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Toleration:
    """A Kubernetes toleration; an empty ``effect`` tolerates every effect."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None

    def as_manifest(self) -> dict[str, Any]:
        """Return the Kubernetes object, without the fields that are at their default."""
        manifest: dict[str, Any] = {}
        if self.key:
            manifest["key"] = self.key
        manifest["operator"] = self.operator
        if self.value:
            manifest["value"] = self.value
        if self.effect:
            manifest["effect"] = self.effect
        if self.toleration_seconds is not None:
            manifest["tolerationSeconds"] = self.toleration_seconds
        return manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How the nodes of a flavor hand one GPU to several pods.

    Attributes:
        strategy: ``time-slicing`` or ``mps``, the NVIDIA device plugin's two ways.
        replicas: how many pods share one GPU.
        is_renamed: whether the plugin offers replicas as ``<resource>.shared`` (its
            ``renameByDefault``); otherwise the product label carries ``-SHARED``.
    """

    strategy: str
    replicas: int
    is_renamed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MigLayout:
    """How the nodes of a flavor offer MIG slices.

    Attributes:
        strategy: ``mixed`` (a resource name per MIG profile) or ``single`` (the plain GPU resource
            name means one slice, and the product label says which).
        profiles: the MIG profiles the site's GPUs are cut into; empty when only the nodes know.
    """

    strategy: str = "mixed"
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConstraint:
    """What the devices of one request must have in common, or must not.

    Attributes:
        attribute: with its domain: ``resource.kubernetes.io/pcieRoot``.
        is_distinct: whether every device must have another value (``distinctAttribute``), not the
            same (``matchAttribute``).
    """

    attribute: str
    is_distinct: bool = False

    def as_manifest(self, requests: Sequence[str]) -> dict[str, Any]:
        """Return the entry of a claim's ``constraints`` for these requests."""
        kind = "distinctAttribute" if self.is_distinct else "matchAttribute"
        return {"requests": list(requests), kind: self.attribute}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """Parameters that are passed to a driver unread; ``parameters`` is JSON."""

    driver: str
    parameters: str

    def as_manifest(self, requests: Sequence[str]) -> dict[str, Any]:
        """Return the entry of a claim's ``config`` for these requests."""
        opaque = {"driver": self.driver, "parameters": json.loads(self.parameters)}
        return {"requests": list(requests), "opaque": opaque}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedClaim:
    """A claim as an admin wrote it; ``spec`` is a ResourceClaimSpec in JSON."""

    name: str
    spec: str
    display_name: str = ""
    description: str = ""
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DraLayout:
    """How a flavor is had by claims (Dynamic Resource Allocation).

    Attributes:
        driver: whose attributes are meant where an attribute names no domain.
        device_class: of whole GPUs.
        mig_device_class: of MIG slices, existing ones or made on demand; empty for none.
        attributes: (attribute, allowed values) pairs by which a device is recognised, all of them.
        selectors: CEL expressions, for what attributes cannot say.
        min_memory_bytes: the least memory of a whole GPU.
        memory_capacity: the capacity of a device that its driver divides by memory
            (``--consumable-shares=memory``); empty where it does not.
        share_capacity: the capacity of which one unit is one share (``--consumable-shares=<N>``).
        shares: how many shares one GPU has there.
        tolerations: of device taints.
        constraints: where a server gets several devices.
        configs: for drivers.
        is_mig_of_one_gpu: whether several slices of one server must come from one GPU.
        claims: for ``share: {claim: NAME}``.
    """

    driver: str = "gpu.nvidia.com"
    device_class: str = "gpu.nvidia.com"
    mig_device_class: str = ""
    attributes: tuple[tuple[str, tuple[str | int | bool, ...]], ...] = ()
    selectors: tuple[str, ...] = ()
    min_memory_bytes: int | None = None
    memory_capacity: str = ""
    share_capacity: str = ""
    shares: int | None = None
    tolerations: tuple[Toleration, ...] = ()
    constraints: tuple[DeviceConstraint, ...] = ()
    configs: tuple[DeviceConfig, ...] = ()
    is_mig_of_one_gpu: bool = False
    claims: tuple[NamedClaim, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HamiLayout:
    """How HAMi divides the GPUs of a flavor; the names are values of its chart.

    Attributes:
        resource, memory_resource, percent_resource, cores_resource: number of GPUs, MiB on each,
            percent of memory on each, percent of compute on each.
        scheduler_name: empty to leave it to HAMi's webhook, which wants no other name there.
        gpu_types: models the annotation ``nvidia.com/use-gputype`` asks for; empty for any.
        mode: ``hami-core``, ``mig`` or ``mps``; empty leaves it to the nodes.
        cores_percent: of compute for each share; None does not limit it.
    """

    resource: str = "nvidia.com/gpu"
    memory_resource: str = "nvidia.com/gpumem"
    percent_resource: str = "nvidia.com/gpumem-percentage"
    cores_resource: str = "nvidia.com/gpucores"
    scheduler_name: str = ""
    gpu_types: tuple[str, ...] = ()
    mode: str = ""
    cores_percent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VolcanoLayout:
    """How Volcano's vGPU plugin divides the GPUs of a flavor.

    Attributes:
        number_resource, memory_resource, cores_resource: number of GPUs, MiB, percent of compute.
        scheduler_name: Volcano's scheduler.
        mode: ``hami-core`` or ``mig``; empty leaves it to the nodes.
        cores_percent: of compute for each share; None does not limit it.
    """

    number_resource: str = "volcano.sh/vgpu-number"
    memory_resource: str = "volcano.sh/vgpu-memory"
    cores_resource: str = "volcano.sh/vgpu-cores"
    scheduler_name: str = "volcano"
    mode: str = ""
    cores_percent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLayout:
    """How a scheduler with queues (KAI, Run:ai) divides the GPUs of a flavor.

    Attributes:
        queue: the leaf queue (KAI) or project (Run:ai) that servers count against.
        scheduler_name: of that scheduler.
        is_memory_enforced: whether something on the nodes keeps a server to its part.
    """

    queue: str
    scheduler_name: str
    is_memory_enforced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaling:
    """How an autoscaler starts nodes of a flavor.

    Attributes:
        gpus_per_node: of a new node; None where nobody said.
        max_nodes: how many nodes of the flavor there may be; None for any number.
        start_seconds: how long a node takes until servers can start on it; None where nobody said.
    """

    gpus_per_node: int | None = None
    max_nodes: int | None = None
    start_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """A kind of GPU: how its nodes are recognised, and what one GPU is.

    Attributes:
        name: the key in ``flavors.yaml``.
        memory_bytes: of one whole GPU; None where the admin did not say.
        node_labels: what a node must carry to have this GPU, all of them; may be empty where claims
            or a resource of its own tell it from others.
        resource: the extended resource of a whole GPU.
        has_own_resource: whether the admin named the resource.
        extra_resources: (name, amount) pairs that each GPU needs beside it, such as huge pages.
        mechanisms: the only ways to be used, in this order; empty for all that are declared.
        tolerations: beside the vendor's taint, which is always tolerated.
        autoscaling: as the admin declared it; None leaves it to what the nodes tell.
        renamed_from: earlier names.
        origin, line: where it was read, for problems found later; line 0 where there are no lines.
    """

    name: str
    display_name: str
    description: str = ""
    architecture: str = ""
    memory_bytes: int | None = None
    node_labels: tuple[LabelIn, ...] = ()
    resource: str = "nvidia.com/gpu"
    has_own_resource: bool = False
    extra_resources: tuple[tuple[str, int], ...] = ()
    mechanisms: tuple[str, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    autoscaling: Autoscaling | None = None
    sharing: Sharing | None = None
    mig: MigLayout | None = None
    dra: DraLayout | None = None
    hami: HamiLayout | None = None
    volcano: VolcanoLayout | None = None
    kai: QueueLayout | None = None
    runai: QueueLayout | None = None
    renamed_from: tuple[str, ...] = ()
    origin: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)

    def may_grow_for(self, count: int) -> bool:
        """Tell whether nodes that do not exist yet may come, with so many whole GPUs."""
        declared = self.autoscaling
        if declared is None or declared.max_nodes == 0:
            return False
        return declared.gpus_per_node is None or count <= declared.gpus_per_node
