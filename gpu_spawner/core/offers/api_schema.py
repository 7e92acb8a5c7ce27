"""The shape of the HTTP API's answers; their JSON Schemas are generated from these models.

Nothing is made from them: the hub writes plain values, and tests hold its answers to the schemas.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter

from gpu_spawner.core.catalog.strict_model import StrictModel

__all__ = ["render_api_schemas"]

UnixTime = Annotated[float, Field(ge=0, description="Unix time, in seconds.")]
Count = Annotated[int, Field(ge=0)]
State = Literal["ready", "cold", "scale_up", "busy", "impossible"]


class ImageFacts(StrictModel):
    """An environment of a profile; null where nobody said."""

    image: str = Field(description="Its key.")
    display_name: str
    python: str | None
    pytorch: str | None
    cuda: str | None
    packages: dict[str, str] = Field(description="Versions by name.")
    size_bytes: Count | None = Field(description="Compressed, as it is pulled.")


class FlavorCount(StrictModel):
    """How many there are of one flavor and share, whatever CPU and memory are left beside them."""

    flavor: str
    share: str
    unit: str = Field(description="What one is called.")
    free: Count | None = Field(description="Null where unknown.")
    total: Count | None


class ImageOutlook(StrictModel):
    """A choice with one image; null where unknown."""

    state: State | None
    free: Count | None
    total: Count | None
    because: str
    ready_nodes: Count | None = Field(description="Nodes with room that have the image.")
    fitting_nodes: Count = Field(description="Nodes with room.")
    pull_seconds: float | None = Field(ge=0, description="Expected, where all must pull.")
    pull_seconds_is_least: bool


class ChoiceOptions(StrictModel):
    """What to send as `user_options` to start a choice; without GPUs, the profile alone."""

    profile: str
    flavor: str | None = None
    share: str | None = None
    count: Annotated[int, Field(ge=1)] | None = None


class Choice(StrictModel):
    """What can be picked of a profile."""

    key: str = Field(description="Also the value of the form's radio button.")
    name: str
    options: ChoiceOptions = Field(description="Send these as `user_options` to start it.")
    state: State | None = Field(description="Null while it is unknown.")
    starts_now: bool | None = Field(description="Null while it is unknown.")
    free: Count | None = Field(description="Seats: servers of this choice that would start.")
    total: Count | None = Field(description="Seats on the empty cluster.")
    because: str = Field(description="The reason for the state, in a sentence.")
    expected_at: UnixTime | None = Field(
        description="When a place of a busy choice should come free, by the lifetimes and idle "
        "rules of the servers that hold it; null where no rule says."
    )
    node_start_seconds: float | None = Field(
        ge=0,
        description="In state `scale_up`, how long the node takes that is started first; null "
        "where nobody said.",
    )
    over_limit: str | None = Field(description="Why it is more than the user may hold.")
    alternative: str | None = Field(
        description="The key of the nearest choice that would start, if this would not."
    )
    images: dict[str, ImageOutlook] = Field(description="By the image's key.")


class DeniedPart(StrictModel):
    """What of a profile is not for this user: one choice, one image or one option."""

    choice: str | None
    image: str | None
    option: str | None = Field(description="`own_image`, `cpu` or `memory`.")
    because: str = Field(description="The admin's words.")


class Profile(StrictModel):
    """A profile that this user may pick from."""

    profile: str = Field(description="Its slug.")
    display_name: str
    description: str
    default: bool
    category: str | None
    max_wait_seconds: Count = Field(description="0: what is full is not waited for.")
    max_lifetime_seconds: Count | None
    idle_timeout_seconds: Count | None
    cpu_choices: list[float] = Field(description="Cores.")
    memory_choices: list[str] = Field(description="As quantities: 16Gi.")
    own_image: list[str] | None = Field(description="Patterns; null where none may be brought.")
    state: State | None = Field(description="Of its best choice.")
    because: str
    denied: list[DeniedPart]
    images: list[ImageFacts]
    flavors: list[FlavorCount]
    choices: list[Choice]


class DeniedProfile(StrictModel):
    """A profile that is there, but not for this user."""

    profile: str
    display_name: str
    because: str = Field(description="The admin's words.")


class RunningServer(StrictModel):
    """A running server of the user that is to be stopped."""

    server: str = Field(description="Its name; empty for the default one.")
    stops_at: UnixTime
    unless_used: bool = Field(description="Whether using it puts that off.")
    because: str


class OffersAnswer(StrictModel):
    """`GET /hub/api/gpu-spawner/offers`."""

    as_of: UnixTime | None = Field(
        description="When the cluster was last seen to be so; null where nothing is known."
    )
    age_seconds: Count | None
    holding: str | None = Field(
        description="How much of the user's limits is used, in a sentence; null without limits."
    )
    running: list[RunningServer]
    profiles: list[Profile]
    denied: list[DeniedProfile]


class Devices(StrictModel):
    """One kind of device on one node."""

    resource: str = Field(
        description="An extended resource; of devices for claims, product and profile."
    )
    total: Count
    used: Count | None = Field(description="Null while it is unknown.")
    free: Count | None
    is_up_to: bool = Field(
        description="Whether the total is what the node can be cut into at most, instead of "
        "other slices."
    )


class Holder(StrictModel):
    """A pod with devices."""

    namespace: str
    pod: str
    user: str = Field(description="Empty for a pod that is no server.")
    server: str = Field(description="Empty for the default one.")
    profile: str
    devices: dict[str, Count]
    since: UnixTime = Field(description="When the pod was made.")
    last_activity: UnixTime | None = Field(description="Null for what is no server of this hub.")
    terminating: bool


class GpuHolder(StrictModel):
    """Who holds a GPU, or a part of it."""

    namespace: str
    pod: str | None = Field(description="Null where a claim holds it that no pod uses now.")
    user: str
    server: str
    claim: str | None = Field(description="By which it is held; null where it was no claim.")
    since: UnixTime | None = Field(description="When the pod was made; null without a pod.")
    terminating: bool
    part: dict[str, float] = Field(
        description="How much of which capacity, where others may hold the rest: `memory` in "
        "bytes, `portion` of one, `cores` in percent, others in the driver's units. Empty: all."
    )


class Gpu(StrictModel):
    """A GPU, a slice of one, or one of the shares that it is offered as."""

    resource: str | None = Field(description="Of a device plugin.")
    driver: str | None = Field(
        description="Of a device for claims; `hami` or `volcano` of a card that they divide."
    )
    pool: str | None = Field(description="Of a device for claims.")
    device: str | None = Field(
        description="Its name, or the card's UUID. Null for a unit of a device plugin's: "
        "Kubernetes does not say which of them a pod has, so that the holder is true of the "
        "number of units only, and the place in the list is no identity."
    )
    uuid: str | None
    product: str | None
    profile: str | None = Field(description="Of a MIG slice.")
    memory_bytes: Count | None
    part_of: str | None = Field(description="Which GPU it is carved from: the device or its UUID.")
    replicas: int = Field(ge=1, description="How many shares the GPU behind it is offered as.")
    state: Literal["free", "held", "cut"] | None = Field(
        description="`cut`: nobody holds it as a whole, and slices of it are held. Null while it "
        "is unknown."
    )
    holders: list[GpuHolder] = Field(description="Several where it is shared.")


class Node(StrictModel):
    """A node with GPUs."""

    name: str
    flavors: list[str]
    ready: bool
    cordoned: bool
    devices: list[Devices]
    holders: list[Holder]
    gpus: list[Gpu] = Field(description="One by one; slices that could be cut only where held.")
    gpus_left_out: Count = Field(
        description="How many more there are: over 256 of a node, or 50,000 in all. "
        "`?node=NAME` lists those of one node."
    )
    images: list[str] = Field(description="Keys of the catalog's images that are there.")


class WaitingPod(StrictModel):
    """A pod that asks for GPUs and has no node."""

    namespace: str
    pod: str
    user: str
    server: str
    devices: dict[str, Count]
    since: UnixTime
    because: str = Field(description="The scheduler's reason; empty while it said nothing.")


class BlockedNodes(StrictModel):
    """Nodes on which an image cannot be, and why."""

    because: str
    nodes: list[str]


class PreloadedImage(StrictModel):
    """An image that is wanted in a pool of nodes; nodes are told by their names."""

    image: str
    profiles: list[str]
    pool: str = Field(description="The labels of its nodes in words.")
    on_demand: bool
    size_bytes: Count | None
    wanted: Count = Field(description="How many nodes should have it.")
    ready: list[str]
    pulling: list[str]
    pulling_since: UnixTime | None = Field(description="Of the first.")
    waiting: list[str] = Field(description="For a turn.")
    paused: list[str] = Field(description="Cordoned, not ready, or short of disk.")
    blocked: list[BlockedNodes]
    next_try: UnixTime | None = Field(description="When one of the blocked tries again.")
    versions: int = Field(
        ge=1, description="More than 1: the tag has moved, and nodes hold different images."
    )


class Preload(StrictModel):
    """How preloading goes."""

    images: list[PreloadedImage] = Field(description="In the order in which they matter.")
    unknown: dict[str, str] = Field(description="Why objects of the preloader cannot be read.")


class WatchedKind(StrictModel):
    """How the following of one kind of object goes."""

    kind: str
    condition: Literal["starting", "following", "failing", "forbidden", "not-served"]
    reason: str


class InventoryAnswer(StrictModel):
    """`GET /hub/api/gpu-spawner/inventory`."""

    as_of: UnixTime | None
    age_seconds: Count | None
    unknown: dict[str, str] = Field(description="Why a kind of object is not known.")
    nodes: list[Node] | None = Field(description="By name; null while nodes are unknown.")
    shared_gpus: list[Gpu] = Field(description="GPUs that no node alone can use.")
    shared_gpus_left_out: Count
    waiting: list[WaitingPod] | None = Field(
        description="The oldest first; null while pods are unknown."
    )
    preload: Preload
    problems: list[str] = Field(description="Mistakes in the profiles as they are on disk.")
    cluster_problems: list[str] = Field(
        description="What no node of the cluster as it is could ever satisfy of the profiles."
    )
    watch: list[WatchedKind]


_ANSWERS: Final[Mapping[str, tuple[str, Any]]] = MappingProxyType(
    {
        "offers.schema.json": ("Answer of /hub/api/gpu-spawner/offers", OffersAnswer),
        "inventory.schema.json": ("Answer of /hub/api/gpu-spawner/inventory", InventoryAnswer),
    }
)


def render_api_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each answer, by the schema's file name."""
    return {
        name: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **TypeAdapter(model).json_schema(),
            "title": title,
        }
        for name, (title, model) in _ANSWERS.items()
    }
