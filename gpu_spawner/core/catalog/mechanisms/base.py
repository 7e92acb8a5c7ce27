"""What every mechanism answers, and the vendor facts that several of them share.

A mechanism is a module with one way of obtaining shares of a GPU. It knows three things: what goes
into the pod (``pod_side``, which is also how it is counted: seats are seats of that pod), which
shares of which flavors it cannot give and why (``mistake``), and what a share means in words when
it is obtained so (``describe``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from gpu_spawner.core.catalog.claims import DeviceWish
from gpu_spawner.core.catalog.flavors import Flavor, LabelIn, Toleration
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.catalog.products import PRODUCT_LABEL, Product, parse_product
from gpu_spawner.core.devices.fractions.request import FractionRequest

__all__ = [
    "GKE_CLIENTS",
    "GKE_PARTITION",
    "GKE_SHARING",
    "Mechanism",
    "Mistake",
    "PodSide",
    "ShareFacts",
    "is_gke",
    "product_labels",
    "unshared_labels",
    "vendor_of",
    "vendor_toleration",
]

_GKE: Final = "cloud.google.com/gke-"
GKE_SHARING: Final = "cloud.google.com/gke-gpu-sharing-strategy"
GKE_CLIENTS: Final = "cloud.google.com/gke-max-shared-clients-per-gpu"
GKE_PARTITION: Final = "cloud.google.com/gke-gpu-partition-size"
"""Labels of a GKE node pool that hands out parts of GPUs; other pools do not carry them."""

VENDOR_TAINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "nvidia.com": "nvidia.com/gpu",
        "amd.com": "amd.com/gpu",
        "aws.amazon.com": "aws.amazon.com/neuron",
        "google.com": "google.com/tpu",
        "habana.ai": "habana.ai/gaudi",
    }
)
"""The taint key that a vendor's nodes usually carry, by the domain of the resource name.

It is not always the resource's own name: a node with ``nvidia.com/mig-1g.10gb`` is tainted
``nvidia.com/gpu``, so the API server's ExtendedResourceToleration does not help there.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """Why a mechanism cannot give a share of a flavor: the part at fault, what is wrong, the cure.

    Attributes:
        part: ``share``, ``flavors`` or ``count``: where the profile's ``gpu`` block is wrong.
        is_declared: whether the flavor says that its GPUs are had by this mechanism. Where it does
            not, the mistake is told only if nothing else could have been meant.
    """

    part: str
    message: str
    cure: str
    is_declared: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSide:
    """What a mechanism puts into the pod.

    Attributes:
        resources: extended resources of the notebook container; written to requests and limits.
        devices: what the notebook container's claim asks for; None without a claim. Flavors that
            differ in nothing else are made into one claim that takes whichever is free first.
        node_labels: what a node must carry, all of them.
        tolerations: the vendor's taint, and the flavor's own.
        annotations, pod_labels: of the pod.
        environment: of the notebook container.
        scheduler_name: the scheduler the mechanism needs, empty for the cluster's default; None
            leaves the profile's or the site's.
        may_change_scheduler: whether a profile may name another one all the same.
        fraction: the part of a GPU as its own scheduler counts it; None where Kubernetes counts.
    """

    resources: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    devices: DeviceWish | None = None
    node_labels: tuple[LabelIn, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    pod_labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    scheduler_name: str | None = None
    may_change_scheduler: bool = False
    fraction: FractionRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareFacts:
    """What a share means to the person who gets it, in plain words.

    Attributes:
        title: what to call it, "Whole GPU".
        unit: what one of it is in a count, "GPU" (``core.units`` has how it is said).
        memory_bytes: GPU memory of one unit (nominal); None where nobody said.
        isolation: one sentence on what separates neighbours.
        advice: one more sentence where people are often caught out; may be empty.
    """

    title: str
    unit: str
    memory_bytes: int | None
    isolation: str
    advice: str = ""


class Mechanism(Protocol):
    """One way of obtaining shares of a GPU; the modules of this package implement it."""

    NAME: str
    """The name in a flavor's ``mechanisms``."""

    MATURITY: str
    """``stable``, ``beta`` or ``alpha``: of what it builds on, not of our part."""

    def mistake(self, flavor: Flavor, share: Share, count: int, /) -> Mistake | None:
        """Return why it cannot give ``count`` of this share, or None where it can."""
        ...

    def pod_side(self, flavor: Flavor, share: Share, count: int, /) -> PodSide | None:
        """Return what goes into the pod for ``count`` of this share; None where it cannot."""
        ...

    def describe(self, flavor: Flavor, share: Share, /) -> ShareFacts:
        """Say what one of this share means; only asked where it can be given."""
        ...


def vendor_of(resource: str) -> str:
    """Return the domain of a resource name: ``nvidia.com`` of ``nvidia.com/gpu``."""
    return resource.partition("/")[0]


def vendor_toleration(flavor: Flavor) -> Toleration:
    """Tolerate the vendor's taint, whatever its value (empty, ``present``, ``true``) and effect."""
    key = VENDOR_TAINTS.get(vendor_of(flavor.resource), flavor.resource)
    return Toleration(key=key, operator="Exists")


def product_labels(
    flavor: Flavor, *, mig: str = "", is_shared: bool = False
) -> tuple[LabelIn, ...]:
    """Return the flavor's node labels with NVIDIA's product names as sliced or shared nodes say it.

    A flavor names the GPU model; which suffix its nodes carry depends on how they hand it out. The
    other labels stay as the admin wrote them.
    """
    labels = []
    for label in flavor.node_labels:
        if label.key == PRODUCT_LABEL:
            models = dict.fromkeys(parse_product(value).model for value in label.values)
            values = (Product(model=model, mig=mig, is_shared=is_shared).label for model in models)
            labels.append(LabelIn(key=label.key, values=tuple(values)))
        else:
            labels.append(label)
    return tuple(labels)


def is_gke(flavor: Flavor) -> bool:
    """Tell whether a flavor is recognised by the labels of GKE's node pools."""
    return any(label.key.startswith(_GKE) for label in flavor.node_labels)


def unshared_labels(flavor: Flavor, labels: tuple[LabelIn, ...]) -> tuple[LabelIn, ...]:
    """Add what keeps a pod for whole GPUs away from GKE node pools that hand out parts."""
    if not is_gke(flavor):
        return labels
    pinned = {label.key for label in labels}
    absent = (LabelIn(key=key, values=()) for key in (GKE_SHARING, GKE_PARTITION))
    return (*labels, *(label for label in absent if label.key not in pinned))
