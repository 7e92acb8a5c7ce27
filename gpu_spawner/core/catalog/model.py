"""What a site offers: flavors, images and profiles, and the choices a user can make among them.

These are plain, immutable values. ``schema`` makes them from configuration, ``options``
picks one choice, ``compile`` turns it into a pod. Nothing here reads files or knows a node.

The words: a **flavor** is a kind of GPU as the cluster shows it, an **image** is an environment
with its facts, a **profile** is what a user picks, a **share** is how much of a GPU, and a
**choice** is one combination of flavor, share and count that a profile offers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from gpu_spawner.core.catalog.flavors import Flavor, Toleration

__all__ = [
    "ANY",
    "Amount",
    "Catalog",
    "Choice",
    "GpuBlock",
    "Image",
    "Preload",
    "Probe",
    "Profile",
    "Queue",
    "Resources",
    "SecretKey",
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
        flavors: names, in the order in which "whichever is free first" tries them.
        allowed_groups: who may pick these choices; None means everyone who sees the profile.
    """

    flavors: tuple[str, ...]
    shares: tuple[Share, ...]
    counts: tuple[int, ...]
    allowed_groups: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A request and a limit of cpu (milli-CPU) or memory (bytes); None means not set."""

    request: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a server gets beside its GPUs: a base, and more for each GPU.

    ``cpu`` is in milli-CPU, ``memory`` and ``shm_bytes`` in bytes. The ``*_per_gpu`` amounts are
    multiplied by the count of the choice and added.
    """

    cpu: Amount = Amount()
    memory: Amount = Amount()
    shm_bytes: int = 0
    cpu_per_gpu: Amount = Amount()
    memory_per_gpu: Amount = Amount()
    shm_bytes_per_gpu: int = 0

    def for_count(self, count: int) -> "Resources":
        """Return the same resources with the per-GPU part of ``count`` GPUs added in."""
        return Resources(
            cpu=_add(self.cpu, self.cpu_per_gpu, count),
            memory=_add(self.memory, self.memory_per_gpu, count),
            shm_bytes=self.shm_bytes + self.shm_bytes_per_gpu * count,
        )


def _add(base: Amount, per_gpu: Amount, count: int) -> Amount:
    def total(fixed: int | None, each: int | None) -> int | None:
        if each is None or count == 0:
            return fixed
        return (fixed or 0) + each * count

    return Amount(
        request=total(base.request, per_gpu.request), limit=total(base.limit, per_gpu.limit)
    )


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
class SecretKey:
    """Where the value of an environment variable is; the value itself is never known here."""

    variable: str
    secret: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How Kubernetes asks a sidecar whether it is ready: HTTP, or a connection without a path.

    ``patience_seconds`` is how long it may take to become ready before it is called failed.
    """

    path: str = ""
    port: int
    period_seconds: int = 10
    patience_seconds: int = 600


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
    cpu: Amount = Amount()
    memory: Amount = Amount()
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
        flavors: the flavors it may land on, in the order in which they are tried.
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
class Profile:
    """What a user picks: an environment on some hardware.

    Attributes:
        slug: stable name, from the file's name without its number.
        order: the number in the file's name; it orders the page.
        images: names, the first is the default.
        gpu: the blocks; empty for a profile without GPUs.
        allowed_groups: who sees it; None means everyone.
        scheduler_name: None leaves the site's; empty is the cluster's default.
        service_account: the servers' service account; None leaves the site's.
        start_timeout_seconds: None leaves the site's.
        queue: None where servers are not queued.
        override: KubeSpawner settings of the escape hatch ``kubespawner_override``.
        origin: the file (or trait and key) it was read from, for problems found later.
        lines: the line of each key there; empty where the source has no lines.
        choices: every combination, in page order; the first is the default. "Whichever is free
            first" comes first where a share and count can be had of several flavors.
    """

    slug: str
    order: int = 0
    display_name: str
    description: str = ""
    images: tuple[str, ...]
    gpu: tuple[GpuBlock, ...] = ()
    resources: Resources = Resources()
    allowed_groups: frozenset[str] | None = None
    is_default: bool = False
    preload: Preload = Preload.ON_DEMAND
    node_selector: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tolerations: tuple[Toleration, ...] = ()
    scheduler_name: str | None = None
    sidecars: tuple[Sidecar, ...] = ()
    service_account: str | None = None
    start_timeout_seconds: int | None = None
    queue: Queue | None = None
    override: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    origin: str = field(default="", compare=False)
    lines: Mapping[tuple[str | int, ...], int] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )
    choices: tuple[Choice, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", _choices(self.slug, self.gpu))


def _choices(slug: str, blocks: Iterable[GpuBlock]) -> tuple[Choice, ...]:
    """List every combination of the blocks, "any" first, then flavor by flavor."""
    # A dict as an ordered set: the same (share, count) may come from several blocks.
    flavors_of: dict[tuple[Share, int], dict[str, None]] = {}
    flavor_order: dict[str, None] = {}
    for block in blocks:
        for flavor in block.flavors:
            flavor_order.setdefault(flavor)
        for share in block.shares:
            for count in block.counts:
                flavors_of.setdefault((share, count), {}).update(dict.fromkeys(block.flavors))
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
    """Everything a site offers; ``profiles`` is in page order and never empty."""

    profiles: tuple[Profile, ...]
    flavors: Mapping[str, Flavor]
    images: Mapping[str, Image]

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
    """A valid choice with its image: all that is needed to compile a pod.

    Attributes:
        flavors: where ``flavor`` is ``any``, the flavors *this* user may land on, in order.
        mechanism: how the share is to be obtained; empty for the first way there is.
    """

    profile: str
    flavor: str = ""
    flavors: tuple[str, ...] = ()
    share: Share | None = None
    count: int = 0
    image: str
    mechanism: str = ""

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
        options["image"] = self.image
        return options
