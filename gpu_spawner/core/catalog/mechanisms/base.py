"""What every mechanism answers, and the vendor facts that several of them share.

A mechanism is a module with one way of getting a share of a GPU. It knows three things: what goes
into the pod (``pod_side``, which is also how it is counted: seats are seats of that pod), which
configurations cannot work (``mistake``), and what the share means in words (``describe``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

from gpu_spawner.core.catalog.flavors import Flavor, LabelIn, Toleration
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.catalog.products import PRODUCT_LABEL, Product, parse_product

__all__ = [
    "Mechanism",
    "Mistake",
    "PodSide",
    "ShareFacts",
    "product_labels",
    "vendor_of",
    "vendor_toleration",
]

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
    """A configuration that a mechanism cannot serve: the part at fault, what is wrong, the cure.

    Attributes:
        part: ``share``, ``flavors`` or ``count``: where the profile's ``gpu`` block is wrong.
    """

    part: str
    message: str
    cure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSide:
    """What a mechanism puts into the pod.

    Attributes:
        resources: extended resources of the notebook container; written to requests and limits.
        node_labels: what a node must carry, all of them.
        tolerations: the vendor's taint, and the flavor's own.
        scheduler_name: the scheduler the mechanism needs; None leaves the profile's or site's.
    """

    resources: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    node_labels: tuple[LabelIn, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    scheduler_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareFacts:
    """What a share means to the person who gets it, in plain words.

    Attributes:
        title: what to call it, "Whole GPU".
        unit: one of it in a count, "GPU"; ``units`` is the plural.
        memory_bytes: GPU memory of one unit (nominal); None where nobody said.
        isolation: one sentence on what separates neighbours.
        advice: one more sentence where people are often caught out; may be empty.
    """

    title: str
    unit: str
    units: str
    memory_bytes: int | None
    isolation: str
    advice: str = ""


class Mechanism(Protocol):
    """One way of getting a share of a GPU; the modules of this package implement it."""

    NAME: str
    """The key in a profile's ``share``."""

    def parse(self, value: object) -> tuple[Share, ...]:
        """Read what stands after the key in ``share``; ValueError with a sentence otherwise."""
        ...

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the whole ``share`` value."""
        ...

    def mistake(self, flavor: Flavor, share: Share, count: int, /) -> Mistake | None:
        """Return why this can never work on any cluster, or None."""
        ...

    def pod_side(self, flavor: Flavor, share: Share, count: int, /) -> PodSide:
        """Return what goes into the pod for ``count`` of this share."""
        ...

    def describe(self, flavor: Flavor, share: Share, /) -> ShareFacts:
        """Say what one of this share means."""
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
