"""Whole GPUs counted as an extended resource, of any vendor: ``nvidia.com/gpu: 2``.

The resource comes from a device plugin, or is backed by claims (a DeviceClass with an
``extendedResourceName``): the pod is the same for both.
"""

import re
from typing import Final

from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.mechanisms import parts
from gpu_spawner.core.catalog.mechanisms.base import (
    Mistake,
    PodSide,
    ShareFacts,
    product_labels,
    unshared_labels,
    vendor_toleration,
)
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.catalog.products import PRODUCT_LABEL, parse_product
from gpu_spawner.core.messages import gettext
from gpu_spawner.core.units import unit_word

__all__ = ["MATURITY", "NAME", "describe", "mistake", "pod_side"]

NAME: Final = "whole"
MATURITY: Final = "stable"

_PARTITION: Final = re.compile(r"amd\.com/(?P<compute>[a-z]+)_(?P<memory>nps[0-9])", re.ASCII)
"""What AMD's device plugin calls a partition with its naming strategy ``mixed``."""

_UNITS: Final = (
    ("google.com/", "TPU chip"),
    ("aws.amazon.com/neuroncore", "Neuron core"),
    ("aws.amazon.com/", "Neuron device"),
    ("habana.ai/", "accelerator"),
)
"""What to call one of a resource that is not a GPU, by how its name begins."""


def mistake(flavor: Flavor, share: Share, _count: int) -> Mistake | None:
    """Refuse parts, and flavors whose nodes hand out parts only or are not told from others."""
    if share.kind != "whole":
        return Mistake(
            part="share",
            message=f"got '{share.label}', which the resource {flavor.resource} does not count",
            cure="Use share: whole.",
            is_declared=False,
        )
    manager = next(
        (name for name in ("hami", "volcano", "kai", "runai") if getattr(flavor, name)), ""
    )
    if manager and NAME not in flavor.mechanisms:
        return Mistake(
            part="share",
            message=f"the GPUs of flavor '{flavor.name}' are handed out by {manager}",
            cure=f"Add '{NAME}' to the flavor's mechanisms if some are whole.",
            is_declared=False,
        )
    if not flavor.node_labels and not flavor.has_own_resource:
        return Mistake(
            part="flavors",
            message=f"flavor '{flavor.name}' has neither node_labels nor a resource of its own",
            cure="Add node_labels, so that its nodes are told from others.",
            is_declared=flavor.dra is None,
        )
    for label in flavor.node_labels:
        if label.key != PRODUCT_LABEL:
            continue
        partial = [value for value in label.values if not parse_product(value).is_plain]
        if partial:
            return Mistake(
                part="share",
                message=(
                    f"got 'whole', but flavor '{flavor.name}' is recognised by the product "
                    f"'{partial[0]}', whose nodes hand out parts of a GPU"
                ),
                cure=(
                    f"Write '{parse_product(partial[0]).model}' in the flavor, "
                    "or use share: {replica: 1} or {mig: [...]}."
                ),
            )
    return None


def pod_side(flavor: Flavor, share: Share, count: int) -> PodSide | None:
    """Ask for ``count`` GPUs on a node that hands out whole ones."""
    if mistake(flavor, share, count) is not None:
        return None
    return PodSide(
        resources={
            flavor.resource: count,
            **{name: amount * count for name, amount in flavor.extra_resources},
        },
        node_labels=unshared_labels(flavor, product_labels(flavor)),
        tolerations=(vendor_toleration(flavor), *flavor.tolerations),
    )


def describe(flavor: Flavor, _share: Share) -> ShareFacts:
    """Say that it is all yours."""
    partition = _PARTITION.fullmatch(flavor.resource)
    if partition is not None:
        return ShareFacts(
            title=gettext(
                "GPU partition {compute}/{memory}",
                compute=partition["compute"].upper(),
                memory=partition["memory"].upper(),
            ),
            unit="partition",
            memory_bytes=flavor.memory_bytes,
            isolation=gettext(
                "Hardware keeps its compute and memory apart from the other partitions."
            ),
        )
    unit = next((one for start, one in _UNITS if flavor.resource.startswith(start)), "")
    if not unit:
        return parts.whole_facts(flavor)
    return ShareFacts(
        title=gettext("Whole {unit}", unit=unit_word(unit)),
        unit=unit,
        memory_bytes=flavor.memory_bytes,
        isolation=gettext(
            "The {unit} and all of its memory are yours alone.", unit=unit_word(unit)
        ),
    )
