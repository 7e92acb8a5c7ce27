"""The shape of a profile, a flavor and an image as an operator writes them.

Only shape and single values are checked here; what must agree between files is checked by
``building``. The JSON Schemas for editors are generated from these models.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter

from gpu_spawner.core.catalog.access_schema import AccessModel, RestrictionModel
from gpu_spawner.core.catalog.device_fields import SubdomainName
from gpu_spawner.core.catalog.fields import (
    Bytes,
    Count,
    CpuMilli,
    CudaVersion,
    Duration,
    ImagePattern,
    ImageReference,
    LabelKey,
    LabelValue,
    LongText,
    Name,
    Shares,
    Text,
    Wait,
)
from gpu_spawner.core.catalog.flavor_schema import FlavorModel, TolerationModel
from gpu_spawner.core.catalog.sidecar_schema import CpuModel, MemoryModel, SidecarModel
from gpu_spawner.core.catalog.strict_model import OneOrMany, StrictModel

__all__ = [
    "GpuModel",
    "ImageModel",
    "KueueModel",
    "ProfileModel",
    "ResourcesModel",
    "render_json_schemas",
]


class ImageModel(StrictModel):
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
    renamed_from: list[Name] = Field(
        default_factory=list, max_length=20, description="Earlier keys, which still find it."
    )


class GpuModel(AccessModel):
    """Every flavor, with every share, in every count."""

    flavors: list[Name] = Field(
        min_length=1, description="Keys of flavors.yaml, in the order they are tried."
    )
    share: Shares = Field(description="How much of a GPU one unit is.")
    count: Annotated[
        list[Count],
        Field(min_length=1),
        OneOrMany(),
    ] = Field(default_factory=lambda: [1], description="How many units; the user may choose.")


class PerGpuModel(StrictModel):
    """What each GPU (or slice, or replica) adds."""

    cpu: CpuModel = CpuModel()
    memory: MemoryModel = MemoryModel()
    shm: Bytes | None = None


class CpuChoicesModel(CpuModel):
    """CPUs: what every server gets, or what users choose from."""

    choices: list[CpuMilli] = Field(
        default_factory=list,
        max_length=10,
        description="Instead of request and limit: what is chosen is both; the first is the "
        "default.",
    )


class MemoryChoicesModel(MemoryModel):
    """Memory: what every server gets, or what users choose from."""

    choices: list[Bytes] = Field(
        default_factory=list,
        max_length=10,
        description="Instead of request and limit: what is chosen is both; the first is the "
        "default.",
    )


class ResourcesModel(StrictModel):
    """What a server gets beside its GPUs; what is left out is the site's default."""

    cpu: CpuChoicesModel = CpuChoicesModel()
    memory: MemoryChoicesModel = MemoryChoicesModel()
    shm: Bytes | None = Field(
        default=None, description="Size of /dev/shm; it counts against the memory limit."
    )
    per_gpu: PerGpuModel = Field(default=PerGpuModel(), description="Added for each GPU.")


class KueueModel(StrictModel):
    """The queue of Kueue in which servers wait for quota, instead of being refused."""

    queue: SubdomainName = Field(description="A LocalQueue of the servers' namespace.")
    priority_class: SubdomainName | None = Field(
        default=None, description="A WorkloadPriorityClass."
    )


class OwnImageModel(StrictModel):
    """Images that users may bring instead of the profile's."""

    allowed: list[ImagePattern] = Field(
        min_length=1,
        max_length=100,
        description="Patterns for the whole reference, with the registry in full: "
        "quay.io/jupyter/*. * is anything but a slash, ** anything; without a tag every tag and "
        "digest is meant.",
    )
    max_size: Bytes | None = Field(
        default=None,
        description="The largest compressed size, where c.GPUSpawner.own_image_check is on.",
    )


class ProfileModel(AccessModel):
    """What a user picks: an environment on some hardware."""

    display_name: Text
    description: LongText = ""
    description_html: LongText = Field(
        default="",
        description="HTML that the page shows as it is, instead of description: links, for "
        "example. Whoever writes it must be trusted with every user's session.",
    )
    images: list[Name] = Field(
        min_length=1, description="Keys of images.yaml; the first is the default."
    )
    gpu: Annotated[
        list[GpuModel],
        Field(min_length=1),
        OneOrMany(),
    ] = Field(default_factory=list, description="Leave out for a profile without GPUs.")
    resources: ResourcesModel = ResourcesModel()
    restrict: list[RestrictionModel] = Field(
        default_factory=list,
        max_length=50,
        description="Who may pick some of the choices or images; each rule narrows further.",
    )
    category: LongText = Field(
        default="", max_length=60, description="What the page groups profiles by: Teaching."
    )
    renamed_from: list[Name] = Field(
        default_factory=list, max_length=20, description="Earlier names, which still find it."
    )
    max_lifetime: Duration | None = Field(
        default=None, description="When a server is stopped, used or not; never if absent."
    )
    idle_timeout: Duration | None = Field(
        default=None, description="How long a server may be unused; for ever if absent."
    )
    own_image: OwnImageModel | None = Field(
        default=None, description="Leave out where users may not bring images."
    )
    default: bool = Field(default=False, description="Started when nobody says which.")
    preload: Literal["always", "on-demand", "never"] = Field(
        default="on-demand",
        description=(
            "When the images go to the nodes that fit. always: before anybody comes. on-demand: "
            "once somebody has started one, and for a while after the last has stopped. never: "
            "only where a server starts."
        ),
    )
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    tolerations: list[TolerationModel] = Field(default_factory=list)
    scheduler_name: LongText | None = Field(
        default=None,
        description="Empty for the cluster's default scheduler; absent: what the GPUs need, else "
        "the site's.",
    )
    service_account: SubdomainName | None = Field(
        default=None,
        description="The servers' service account, with whose rights notebooks can act; the site's "
        "if absent.",
    )
    start_timeout_seconds: int | None = Field(
        default=None,
        ge=30,
        le=86400,
        description="How long a start may take, sidecars included; the site's if absent.",
    )
    max_wait: Wait = Field(
        default=0,
        description="How long a server may wait for a free place, where its user asks for that; "
        "0 or absent: what is full is refused.",
    )
    kueue: KueueModel | None = Field(
        default=None, description="Leave out for servers that are not queued."
    )
    sidecars: list[SidecarModel] = Field(
        default_factory=list,
        max_length=8,
        description="Containers beside the notebook server, such as a model server. A server is "
        "ready when all of them are.",
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
