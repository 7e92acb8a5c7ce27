"""What a site offers: flavors, images and profiles, and the choices a user can make among them.

Plain, immutable values: ``schema`` makes them, ``options`` picks, ``compile`` makes a pod of them.

The words: a **flavor** is a kind of GPU as the cluster shows it, an **image** is an environment
with its facts, a **profile** is what a user picks, a **share** is how much of a GPU, and a
**choice** is one combination of flavor, share and count that a profile offers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from gpu_spawner.core.catalog.access_rules import EVERYONE, Access, Restriction
from gpu_spawner.core.catalog.amounts import NO_RESOURCES, UNSET, Amount, Resources
from gpu_spawner.core.catalog.container_parts import Probe, SecretKey
from gpu_spawner.core.catalog.flavors import Flavor, Toleration
from gpu_spawner.core.catalog.lifetime import UNLIMITED, Lifetime
from gpu_spawner.core.catalog.own_images import OwnImages
from gpu_spawner.core.quantity import format_bytes

__all__ = [
    "ANY",
    "Catalog",
    "Choice",
    "Denied",
    "GpuBlock",
    "Image",
    "Preload",
    "Profile",
    "Queue",
    "Selection",
    "Share",
    "Sidecar",
    "SidecarGpu",
]

ANY = "any"
"""The flavor of a choice that takes whichever of several flavors is free first."""


class Preload(StrEnum):
    """When the preloader puts a profile's images on the nodes that fit it."""

    ALWAYS = "always"
    ON_DEMAND = "on-demand"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An environment and its facts.

    Attributes:
        name: the key in ``images.yaml``.
        reference: what the container runtime pulls.
        size_bytes: compressed, as it travels; None where the admin did not say.
        min_cuda: the CUDA runtime version the node's driver must support, as (major, minor).
        architectures: ``kubernetes.io/arch`` values the image is built for; empty means any.
        packages: (name, version) pairs worth showing, in the admin's order.
        renamed_from: earlier names.
    """

    name: str
    reference: str
    display_name: str
    description: str = ""
    size_bytes: int | None = None
    python: str = ""
    pytorch: str = ""
    cuda: str = ""
    min_cuda: tuple[int, int] | None = None
    architectures: tuple[str, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    default_url: str = ""
    cmd: tuple[str, ...] = ()
    renamed_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much of a GPU one unit is, as it was wished: a kind and, where it needs one, a value.

    ``Share(kind="whole")``, ``Share(kind="mig", value="1g.10gb")``, ``Share(kind="replica")``,
    ``Share(kind="memory", value="10Gi")``, ``Share(kind="fraction", value="0.5")``,
    ``Share(kind="claim", value="two-of-a-switch")``. How it is obtained is for ``mechanisms``.
    """

    kind: str
    value: str = ""

    @property
    def label(self) -> str:
        """The share in option values, keys and pod labels: ``whole``, ``mig-1g.10gb``.

        A MIG profile's ``+`` becomes ``.``, as in NVIDIA's resource names, because neither a label
        nor a link carries it well.
        """
        return f"{self.kind}-{self.value.replace('+', '.')}" if self.value else self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuBlock:
    """One ``gpu`` block of a profile: every flavor with every share in every count.

    Attributes:
        flavors: names; of two that are equally full "whichever is free first" takes the first.
        access: who may pick these choices.
    """

    flavors: tuple[str, ...]
    shares: tuple[Share, ...]
    counts: tuple[int, ...]
    access: Access = EVERYONE


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarGpu:
    """What a sidecar has of the GPUs.

    Attributes:
        is_shared: whether it uses the notebook's own devices; that takes a claim.
        share: what it gets besides, of the flavor that was chosen; None for the chosen share.
        count: how many of them.
    """

    is_shared: bool = False
    share: Share | None = None
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A container that runs beside the notebook server, such as a model server.

    Attributes:
        name: of the container.
        image: the key of an image of the catalog, or a reference.
        environment: plain values.
        secrets: values that Kubernetes takes from secrets of the namespace.
        port: what it listens on; the notebook reaches it at ``localhost``.
        command, args: what it runs instead of what its image says.
        cpu, memory: as in ``Resources``.
        gpu: None for a sidecar without a GPU.
        readiness: None where nobody asks.
    """

    name: str
    image: str
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    secrets: tuple[SecretKey, ...] = ()
    port: int | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    cpu: Amount = UNSET
    memory: Amount = UNSET
    gpu: SidecarGpu | None = None
    readiness: Probe | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The Kueue queue that a profile's servers wait in."""

    name: str
    priority_class: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One combination a user can pick in a profile.

    Attributes:
        profile: the slug of the profile it belongs to.
        flavor: a flavor's name, ``any``, or empty where the profile has no GPU.
        flavors: the flavors it may land on, in the admin's order.
        share: None where the profile has no GPU.
        count: how many shares; 0 where the profile has no GPU.
        key: a stable, bounded string for form values: ``pytorch-gpus/h100-80gb/whole/2``, or
            ``data-science/cpu`` without a GPU.
    """

    profile: str
    flavor: str = ""
    flavors: tuple[str, ...] = ()
    share: Share | None = None
    count: int = 0
    key: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        tail = f"{self.flavor}/{self.share.label}/{self.count}" if self.share else "cpu"
        object.__setattr__(self, "key", f"{self.profile}/{tail}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A choice, an image or an option that a user may see but not have, and why not."""

    message: str
    choice: Choice | None = None
    image: str = ""
    option: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a user picks: an environment on some hardware.

    Attributes:
        slug: stable name, from the file's name without its number.
        order: the number in the file's name; it orders the page.
        images: names, the first is the default.
        gpu: the blocks; empty for a profile without GPUs.
        access: who may start it.
        restrictions: who may pick some of its choices and images.
        scheduler_name: None leaves the site's; empty is the cluster's default.
        service_account: the servers' service account; None leaves the site's.
        start_timeout_seconds: None leaves the site's.
        max_wait_seconds: how long a server may wait for a place; 0 for not at all.
        queue: None where servers are not queued.
        lifetime: when its servers are stopped.
        own_image: which images users may bring; None for none.
        description_html: stands instead of the description on the page, as it is.
        category: what the page groups profiles by; may be empty.
        renamed_from: earlier slugs.
        override: KubeSpawner settings of the escape hatch ``kubespawner_override``.
        origin: the file (or trait and key) it was read from, for problems found later.
        lines: the line of each key there; empty where the source has no lines.
        withheld: of a view, the (flavor, share, count) that its user may not pick.
        denied: of a view, what its user may see but not pick.
        choices: every combination, in page order; the first is the default. "Whichever is free
            first" comes first where a share and count can be had of several flavors.
    """

    slug: str
    order: int = 0
    display_name: str
    description: str = ""
    description_html: str = ""
    images: tuple[str, ...]
    gpu: tuple[GpuBlock, ...] = ()
    resources: Resources = NO_RESOURCES
    access: Access = EVERYONE
    restrictions: tuple[Restriction, ...] = ()
    is_default: bool = False
    preload: Preload = Preload.ON_DEMAND
    node_selector: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tolerations: tuple[Toleration, ...] = ()
    scheduler_name: str | None = None
    sidecars: tuple[Sidecar, ...] = ()
    service_account: str | None = None
    start_timeout_seconds: int | None = None
    max_wait_seconds: int = 0
    queue: Queue | None = None
    lifetime: Lifetime = UNLIMITED
    own_image: OwnImages | None = None
    category: str = ""
    renamed_from: tuple[str, ...] = ()
    override: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    origin: str = field(default="", compare=False)
    lines: Mapping[tuple[str | int, ...], int] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )
    withheld: frozenset[tuple[str, Share, int]] = frozenset()
    denied: tuple[Denied, ...] = ()
    choices: tuple[Choice, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", _choices(self.slug, self.gpu, self.withheld))


def _choices(
    slug: str, blocks: Iterable[GpuBlock], withheld: frozenset[tuple[str, Share, int]]
) -> tuple[Choice, ...]:
    """List every combination of the blocks, "any" first, then flavor by flavor."""
    # A dict as an ordered set: the same (share, count) may come from several blocks.
    flavors_of: dict[tuple[Share, int], dict[str, None]] = {}
    flavor_order: dict[str, None] = {}
    for block in blocks:
        for flavor in block.flavors:
            flavor_order.setdefault(flavor)
        for share in block.shares:
            for count in block.counts:
                flavors = [name for name in block.flavors if (name, share, count) not in withheld]
                flavors_of.setdefault((share, count), {}).update(dict.fromkeys(flavors))
    if not flavors_of:
        return (Choice(profile=slug),)
    whichever = [
        Choice(profile=slug, flavor=ANY, flavors=tuple(flavors), share=share, count=count)
        for (share, count), flavors in flavors_of.items()
        if len(flavors) > 1
    ]
    certain = [
        Choice(profile=slug, flavor=flavor, flavors=(flavor,), share=share, count=count)
        for flavor in flavor_order
        for (share, count), flavors in flavors_of.items()
        if flavor in flavors
    ]
    return (*whichever, *certain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything a site offers, or in a view what one user may see of it.

    Attributes:
        profiles: in page order; never empty, except in a view.
        renamed: for each of the options ``profile``, ``flavor`` and ``image``, from earlier to
            present names.
        denied: of a view, the profiles that its user may see but not start, with what the admin
            says of each.
    """

    profiles: tuple[Profile, ...]
    flavors: Mapping[str, Flavor]
    images: Mapping[str, Image]
    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    denied: tuple[tuple[Profile, str], ...] = ()

    @property
    def default_profile(self) -> Profile | None:
        """The profile started when nobody says which; None only in a view without profiles."""
        for profile in self.profiles:
            if profile.is_default:
                return profile
        return self.profiles[0] if self.profiles else None

    def profile(self, slug: str) -> Profile | None:
        """Return the profile with this slug, if there is one."""
        for profile in self.profiles:
            if profile.slug == slug:
                return profile
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A valid choice with its image: what a pod is compiled from.

    Attributes:
        flavors: where ``flavor`` is ``any``, the flavors *this* user may land on, in order.
        image: the key of an image; of a user's own image, the one that it stands in for.
        own_image: the reference of an image that the user brings; empty for none.
        cpu_milli, memory_bytes: what was chosen of them; None for the default.
        wait: whether to wait for a place where none is free.
        mechanisms: how the share is to be obtained of each of ``flavors``; empty where it is open.
    """

    profile: str
    flavor: str = ""
    flavors: tuple[str, ...] = ()
    share: Share | None = None
    count: int = 0
    image: str
    own_image: str = ""
    cpu_milli: int | None = None
    memory_bytes: int | None = None
    wait: bool = False
    mechanisms: tuple[str, ...] = ()

    @property
    def mechanism(self) -> str:
        """The mechanisms without repetition: ``dra-mig``, or ``dra-mig,dra-capacity``."""
        return ",".join(dict.fromkeys(self.mechanisms))

    def mechanism_of(self, flavor: str) -> str:
        """Return how the share is to be obtained of one flavor; empty where that is open."""
        return dict(zip(self.flavors, self.mechanisms, strict=False)).get(flavor, "")

    @property
    def choice(self) -> Choice:
        """The choice without its image."""
        return Choice(
            profile=self.profile,
            flavor=self.flavor,
            flavors=self.flavors,
            share=self.share,
            count=self.count,
        )

    def as_user_options(self) -> dict[str, str | int]:
        """Return the canonical JSON that JupyterHub stores; ``parse_options`` reads it back."""
        options: dict[str, str | int] = {"profile": self.profile}
        if self.share is not None:
            options["flavor"] = self.flavor
            options["share"] = self.share.label
            options["count"] = self.count
        if self.own_image:
            options["own_image"] = self.own_image
        else:
            options["image"] = self.image
        if self.cpu_milli is not None:
            options["cpu"] = f"{self.cpu_milli / 1000:g}"
        if self.memory_bytes is not None:
            options["memory"] = format_bytes(self.memory_bytes)
        if self.wait:
            options["wait"] = True
        return options
