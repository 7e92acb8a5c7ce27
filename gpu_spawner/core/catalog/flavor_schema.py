"""The shape of a flavor as an operator writes it.

It says how the nodes or devices of a kind of GPU are recognised, and how they are handed out.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from gpu_spawner.core.catalog.claim_schema import ClaimSpecModel
from gpu_spawner.core.catalog.device_fields import (
    AttributeScalar,
    CapacityName,
    DeviceAttribute,
    DriverName,
    ExtraAmount,
    ExtraName,
    MechanismName,
    Selector,
    SubdomainName,
)
from gpu_spawner.core.catalog.fields import (
    Bytes,
    LabelKey,
    LabelValue,
    LongText,
    Name,
    ResourceName,
    Text,
    Wait,
)
from gpu_spawner.core.catalog.shares import CLAIM_PATTERN, MIG_PROFILE_PATTERN
from gpu_spawner.core.catalog.strict_model import OneOrMany, StrictModel

__all__ = [
    "AutoscaleModel",
    "ClaimModel",
    "DraModel",
    "FlavorModel",
    "HamiModel",
    "KaiModel",
    "MigModel",
    "RunaiModel",
    "SharingModel",
    "TolerationModel",
    "VolcanoModel",
]

Percent = Annotated[int, Field(ge=1, le=100)]


class TolerationModel(StrictModel):
    """A Kubernetes toleration; leave out ``effect`` to tolerate every effect."""

    key: LabelKey | None = None
    operator: Literal["Exists", "Equal"] = "Equal"
    value: LabelValue = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = Field(default=None, alias="tolerationSeconds")


class SharingModel(StrictModel):
    """How the device plugin shares one GPU between several pods."""

    strategy: Literal["time-slicing", "mps"] = Field(
        description="time-slicing: in turns, one memory; mps: side by side, memory capped."
    )
    replicas: int = Field(ge=2, le=128, description="How many pods share one GPU.")
    renamed: bool = Field(
        default=False,
        description="Whether the plugin's renameByDefault is on: <resource>.shared.",
    )


class MigModel(StrictModel):
    """How the GPUs of this flavor are cut into MIG slices."""

    strategy: Literal["mixed", "single"] = Field(
        default="mixed",
        description="mixed: a resource per MIG profile; single: every GPU of a node cut alike.",
    )
    profiles: list[Annotated[str, Field(pattern=MIG_PROFILE_PATTERN)]] = Field(
        default_factory=list,
        description="The MIG profiles in use, or, where slices are made on demand, those that may "
        "be asked for. Leave out to read them from the nodes; a share of memory needs them.",
    )


class ConstraintModel(StrictModel):
    """What the devices of one server must have in common, or must not; one of the two."""

    match_attribute: DeviceAttribute | None = Field(
        default=None, description="Equal for all of them: resource.kubernetes.io/pcieRoot."
    )
    distinct_attribute: DeviceAttribute | None = Field(
        default=None, description="Different for each of them: gpu.nvidia.com/uuid."
    )


class DeviceConfigModel(StrictModel):
    """Parameters for a driver, which reads them when it prepares a device."""

    driver: DriverName | None = Field(default=None, description="The flavor's driver if absent.")
    parameters: dict[str, Any] = Field(
        min_length=1,
        description="As the driver documents them, with apiVersion and kind: a GpuConfig with a "
        "sharing strategy, for example.",
    )


class ClaimModel(StrictModel):
    """A claim of the admin's own, for what no share describes."""

    display_name: Text | None = Field(default=None, description="What users read.")
    description: LongText = Field(default="", description="What it means to users, a sentence.")
    memory: Bytes | None = Field(default=None, description="GPU memory it comes with, if known.")
    spec: ClaimSpecModel = Field(
        description="A ResourceClaimSpec of resource.k8s.io/v1, as in a template's spec.spec."
    )


class DraModel(StrictModel):
    """How the GPUs are had by claims: Dynamic Resource Allocation, Kubernetes 1.34 and newer."""

    driver: DriverName = Field(
        default="gpu.nvidia.com",
        description="The driver; attributes without a domain are its own.",
    )
    device_class: SubdomainName | None = Field(
        default=None,
        description="The DeviceClass of whole GPUs; named as the driver is if absent.",
    )
    mig_device_class: SubdomainName | None = Field(
        default=None,
        description="The DeviceClass of MIG slices (mig.nvidia.com), existing ones or made on "
        "demand; without it, slices are not had by claims.",
    )
    attributes: dict[
        DeviceAttribute,
        Annotated[list[AttributeScalar], Field(min_length=1, max_length=32), OneOrMany()],
    ] = Field(
        default_factory=dict,
        description="Attributes by which a device is recognised, all of them; several values mean "
        "any: productName: [NVIDIA H200]. See kubectl get resourceslices -o yaml.",
    )
    selectors: list[Selector] = Field(
        default_factory=list,
        max_length=24,
        description="CEL expressions a device must satisfy, all of them. Ask whether an attribute "
        "is there before you read it: a missing one stops the pod's allocation.",
    )
    min_memory: Bytes | None = Field(
        default=None, description="The least memory of a whole GPU, where attributes do not tell."
    )
    memory_capacity: CapacityName | None = Field(
        default=None,
        description="The capacity that the driver divides among servers by memory (NVIDIA: memory, "
        "with --consumable-shares=memory); a share of memory then consumes a part of it.",
    )
    share_capacity: CapacityName | None = Field(
        default=None,
        description="The capacity of which one unit is one share (NVIDIA: shares, with "
        "--consumable-shares=<N>); share: {replica: 1} then consumes one.",
    )
    shares: int | None = Field(
        default=None, ge=2, le=1024, description="How many shares one GPU has; shown only."
    )
    tolerations: list[TolerationModel] = Field(
        default_factory=list,
        max_length=16,
        description="Of device taints. Health taints are usually better not tolerated.",
    )
    constraints: list[ConstraintModel] = Field(
        default_factory=list,
        max_length=32,
        description="Where one server gets several GPUs: what they must have in common, or not.",
    )
    config: list[DeviceConfigModel] = Field(
        default_factory=list,
        max_length=32,
        description="Passed to the driver as it is, for whole GPUs and parts of their capacity.",
    )
    slices_of_one_gpu: bool = Field(
        default=False, description="Whether several slices of one server must be of one GPU."
    )
    claims: dict[Annotated[str, Field(pattern=CLAIM_PATTERN)], ClaimModel] = Field(
        default_factory=dict, description="For share: {claim: NAME}."
    )


class HamiModel(StrictModel):
    """How HAMi divides the GPUs; resource names are values of its chart."""

    resource: ResourceName = Field(
        default="nvidia.com/gpu", description="How many GPUs to take a part of."
    )
    memory_resource: ResourceName = Field(
        default="nvidia.com/gpumem", description="Memory on each, in MiB."
    )
    percent_resource: ResourceName = Field(
        default="nvidia.com/gpumem-percentage", description="Memory on each, in percent."
    )
    cores_resource: ResourceName = Field(
        default="nvidia.com/gpucores", description="Compute on each, in percent."
    )
    scheduler_name: LongText = Field(
        default="",
        description="Empty where HAMi's webhook sets it, which skips pods that name another.",
    )
    gpu_types: list[Text] = Field(
        default_factory=list, description="Models to keep to, as HAMi calls them; any if absent."
    )
    mode: Literal["hami-core", "mig", "mps"] | None = Field(
        default=None, description="How parts are made; left to the nodes if absent."
    )
    cores_percent: Percent | None = Field(
        default=None, description="Compute of each share; not limited if absent."
    )


class VolcanoModel(StrictModel):
    """How Volcano's vGPU device plugin divides the GPUs."""

    number_resource: ResourceName = Field(
        default="volcano.sh/vgpu-number", description="How many GPUs to take a part of."
    )
    memory_resource: ResourceName = Field(
        default="volcano.sh/vgpu-memory", description="Memory on each, in MiB."
    )
    cores_resource: ResourceName = Field(
        default="volcano.sh/vgpu-cores", description="Compute on each, in percent."
    )
    scheduler_name: Text = "volcano"
    mode: Literal["hami-core", "mig"] | None = Field(
        default=None, description="How parts are made; left to the nodes if absent."
    )
    cores_percent: Percent | None = Field(
        default=None, description="Compute of each share; not limited if absent."
    )


class KaiModel(StrictModel):
    """How the KAI scheduler divides the GPUs; sharing must be on there (global.gpuSharing)."""

    queue: LabelValue = Field(min_length=1, description="The leaf queue servers count against.")
    scheduler_name: Text = "kai-scheduler"
    memory_enforced: bool = Field(
        default=False, description="Whether an isolator keeps servers to their part of the memory."
    )


class RunaiModel(StrictModel):
    """How Run:ai divides the GPUs."""

    project: LabelValue = Field(min_length=1, description="The project servers count against.")
    scheduler_name: Text = "runai-scheduler"
    memory_enforced: bool = Field(
        default=True, description="Whether its runtime keeps servers to their part of the memory."
    )


class AutoscaleModel(StrictModel):
    """That an autoscaler starts nodes with these GPUs when a server waits for one."""

    gpus_per_node: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="How many GPUs a new node has; more of them in one server start no node.",
    )
    max_nodes: int | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="How many such nodes there may be; 0 where no node is ever started.",
    )
    start_time: Wait = Field(
        default=0,
        description="How long a node takes until servers can start on it; 0 or absent: not known.",
    )


class FlavorModel(StrictModel):
    """A kind of GPU as the cluster shows it."""

    display_name: Text = Field(description="What users read: NVIDIA H100.")
    description: LongText = ""
    renamed_from: list[Name] = Field(
        default_factory=list, max_length=20, description="Earlier keys, which still find it."
    )
    architecture: LongText = Field(default="", description="For example Hopper; shown only.")
    memory: Bytes | None = Field(default=None, description="Memory of one whole GPU.")
    node_labels: dict[
        LabelKey,
        Annotated[
            list[LabelValue],
            Field(min_length=1),
            OneOrMany(),
        ],
    ] = Field(
        default_factory=dict,
        description="Labels a node with this GPU carries, all of them; several values mean any. "
        "May be absent where dra, or a resource of its own, tells this GPU from others.",
    )
    resource: ResourceName | None = Field(
        default=None,
        description="The extended resource of a whole GPU: nvidia.com/gpu if absent. "
        "deviceclass.resource.kubernetes.io/<class> asks a DeviceClass without a claim.",
    )
    extra_resources: dict[ExtraName, ExtraAmount] = Field(
        default_factory=dict,
        description="What each GPU needs beside it in the container, such as "
        "hugepages-2Mi: 9500Mi for Gaudi.",
    )
    tolerations: list[TolerationModel] = Field(
        default_factory=list, description="Beside the vendor's taint, which is always tolerated."
    )
    mechanisms: list[MechanismName] = Field(
        default_factory=list,
        description="The only ways to obtain these GPUs, in the order to try them; all that are "
        "declared below if absent.",
    )
    autoscale: AutoscaleModel | None = Field(
        default=None,
        description="Where an autoscaler starts nodes with this GPU, also from none: autoscale: {} "
        "if nothing more is known. Absent: as Karpenter's label on the nodes says.",
    )
    sharing: SharingModel | None = Field(default=None, description="Replicas of whole GPUs.")
    mig: MigModel | None = Field(default=None, description="MIG slices.")
    dra: DraModel | None = Field(default=None, description="Claims for devices.")
    hami: HamiModel | None = Field(default=None, description="Parts of GPUs by HAMi.")
    volcano: VolcanoModel | None = Field(default=None, description="Parts of GPUs by Volcano.")
    kai: KaiModel | None = Field(default=None, description="Parts of GPUs by KAI.")
    runai: RunaiModel | None = Field(default=None, description="Parts of GPUs by Run:ai.")
