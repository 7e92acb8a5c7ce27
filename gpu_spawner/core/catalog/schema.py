"""The shape of a profile, a flavor and an image as an operator writes them.

Only shape and single values are checked here; what must agree between files is checked by
``building``. The JSON Schemas for editors are generated from these models.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
)
from pydantic_core.core_schema import CoreSchema, no_info_before_validator_function

from gpu_spawner.core.catalog.fields import (
    Bytes,
    Count,
    CpuMilli,
    CudaVersion,
    GroupName,
    ImageReference,
    LabelKey,
    LabelValue,
    LongText,
    Name,
    ResourceName,
    Shares,
    Text,
)
from gpu_spawner.core.catalog.shares import MIG_PROFILE_PATTERN

__all__ = [
    "FlavorModel",
    "GpuModel",
    "ImageModel",
    "MigModel",
    "ProfileModel",
    "ResourcesModel",
    "SharingModel",
    "TolerationModel",
    "render_json_schemas",
]


class _OneOrMany:
    """Let a single thing stand where a list of one is meant, also in the JSON Schema."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_before_validator_function(
            lambda value: value if isinstance(value, list) else [value], handler(source)
        )

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        many = handler(core_schema)
        return {"anyOf": [many["items"], many]}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TolerationModel(_Model):
    """A Kubernetes toleration; leave out ``effect`` to tolerate every effect."""

    key: LabelKey | None = None
    operator: Literal["Exists", "Equal"] = "Equal"
    value: LabelValue = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = Field(default=None, alias="tolerationSeconds")


class SharingModel(_Model):
    """How the device plugin shares one GPU between several pods."""

    strategy: Literal["time-slicing", "mps"] = Field(
        description="time-slicing: in turns, one memory; mps: side by side, memory capped."
    )
    replicas: int = Field(ge=2, le=128, description="How many pods share one GPU.")
    renamed: bool = Field(
        default=False,
        description="Whether the plugin's renameByDefault is on: <resource>.shared.",
    )


class MigModel(_Model):
    """How the GPUs of this flavor are cut into MIG slices."""

    strategy: Literal["mixed", "single"] = Field(
        default="mixed",
        description="mixed: a resource per MIG profile; single: every GPU of a node cut alike.",
    )
    profiles: list[Annotated[str, Field(pattern=MIG_PROFILE_PATTERN)]] = Field(
        default_factory=list,
        description="The MIG profiles in use; leave out to read them from the nodes.",
    )


class FlavorModel(_Model):
    """A kind of GPU as the cluster shows it."""

    display_name: Text = Field(description="What users read: NVIDIA H100.")
    description: LongText = ""
    architecture: LongText = Field(default="", description="For example Hopper; shown only.")
    memory: Bytes | None = Field(default=None, description="Memory of one whole GPU.")
    node_labels: dict[
        LabelKey,
        Annotated[
            list[LabelValue],
            Field(min_length=1),
            _OneOrMany(),
        ],
    ] = Field(
        min_length=1,
        description="Labels a node with this GPU carries, all of them; several values mean any.",
    )
    resource: ResourceName = Field(
        default="nvidia.com/gpu", description="The extended resource of a whole GPU."
    )
    tolerations: list[TolerationModel] = Field(
        default_factory=list, description="Beside the vendor's taint, which is always tolerated."
    )
    sharing: SharingModel | None = None
    mig: MigModel | None = None


class ImageModel(_Model):
    """An environment and its facts."""

    image: ImageReference = Field(description="What is pulled.")
    display_name: Text
    description: LongText = ""
    size: Bytes | None = Field(default=None, description="Compressed, as it is pulled: 9.8GB.")
    python: LongText = Field(default="", description="In quotes: '3.12'.")
    pytorch: LongText = ""
    cuda: CudaVersion | None = Field(default=None, description="In quotes: '12.4'.")
    min_cuda: CudaVersion | None = Field(
        default=None,
        description="What the node's driver must support; the first release of cuda if absent.",
    )
    architectures: list[Name] = Field(
        default_factory=list, description="kubernetes.io/arch values; any if absent."
    )
    packages: dict[str, LongText] = Field(
        default_factory=dict, description="Package versions worth showing, in quotes."
    )
    default_url: LongText = Field(default="", description="Where users land, for example /lab.")
    cmd: list[Text] = Field(default_factory=list, description="How the server starts.")


class GpuModel(_Model):
    """Every flavor, with every share, in every count."""

    flavors: list[Name] = Field(
        min_length=1, description="Keys of flavors.yaml, in the order they are tried."
    )
    share: Shares = Field(description="How much of a GPU one unit is.")
    count: Annotated[
        list[Count],
        Field(min_length=1),
        _OneOrMany(),
    ] = Field(default_factory=lambda: [1], description="How many units; the user may choose.")
    allowed_groups: list[GroupName] | None = Field(
        default=None, description="Who may pick these; everyone who sees the profile if absent."
    )


class CpuModel(_Model):
    """CPUs: what is kept for the server, and what it may use at most."""

    request: CpuMilli | None = None
    limit: CpuMilli | None = None


class MemoryModel(_Model):
    """Memory: what is kept for the server, and what it may use at most."""

    request: Bytes | None = None
    limit: Bytes | None = None


class PerGpuModel(_Model):
    """What each GPU (or slice, or replica) adds."""

    cpu: CpuModel = CpuModel()
    memory: MemoryModel = MemoryModel()
    shm: Bytes | None = None


class ResourcesModel(_Model):
    """What a server gets beside its GPUs; what is left out is the site's default."""

    cpu: CpuModel = CpuModel()
    memory: MemoryModel = MemoryModel()
    shm: Bytes | None = Field(
        default=None, description="Size of /dev/shm; it counts against the memory limit."
    )
    per_gpu: PerGpuModel = Field(default=PerGpuModel(), description="Added for each GPU.")


class ProfileModel(_Model):
    """What a user picks: an environment on some hardware."""

    display_name: Text
    description: LongText = ""
    images: list[Name] = Field(
        min_length=1, description="Keys of images.yaml; the first is the default."
    )
    gpu: Annotated[
        list[GpuModel],
        Field(min_length=1),
        _OneOrMany(),
    ] = Field(default_factory=list, description="Leave out for a profile without GPUs.")
    resources: ResourcesModel = ResourcesModel()
    allowed_groups: list[GroupName] | None = Field(
        default=None, description="Who sees the profile; everyone if absent."
    )
    default: bool = Field(default=False, description="Started when nobody says which.")
    preload: Literal["always", "on-demand", "never"] = "on-demand"
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    tolerations: list[TolerationModel] = Field(default_factory=list)
    scheduler_name: LongText | None = Field(
        default=None, description="Empty for the cluster's default scheduler; absent: the site's."
    )
    kubespawner_override: dict[str, Any] = Field(
        default_factory=dict,
        description="KubeSpawner settings, merged last; may not touch what the profile owns.",
    )


_FILES: Final[Mapping[str, tuple[str, Any]]] = MappingProxyType(
    {
        "profile.schema.json": ("A profile of gpu_spawner", ProfileModel),
        "flavors.schema.json": ("flavors.yaml of gpu_spawner", dict[Name, FlavorModel]),
        "images.schema.json": ("images.yaml of gpu_spawner", dict[Name, ImageModel]),
    }
)


def render_json_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each kind of catalog file, by the schema's file name."""
    return {
        name: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            # Names that have not the form of one are refused, as every unknown key is.
            "additionalProperties": False,
            **TypeAdapter(model).json_schema(by_alias=True),
            "title": title,
        }
        for name, (title, model) in _FILES.items()
    }
