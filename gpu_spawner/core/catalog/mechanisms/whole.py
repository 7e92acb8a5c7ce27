"""Whole GPUs from a device plugin: ``nvidia.com/gpu: 2``, of any vendor."""

from typing import Any, Final

from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.mechanisms.base import (
    Mistake,
    PodSide,
    ShareFacts,
    product_labels,
    vendor_toleration,
)
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.catalog.products import PRODUCT_LABEL, parse_product

__all__ = ["NAME", "describe", "json_schema", "mistake", "parse", "pod_side"]

NAME: Final = "whole"


def parse(value: object) -> tuple[Share, ...]:
    """Read ``share: whole``, which has no value of its own."""
    if value is not None:
        raise ValueError("a whole GPU takes no value; write share: whole")
    return (Share(mechanism=NAME),)


def json_schema() -> dict[str, Any]:
    """Return the schema of ``whole``."""
    return {"const": NAME, "description": "Whole GPUs, nobody else on them."}


def mistake(flavor: Flavor, _share: Share, _count: int) -> Mistake | None:
    """Refuse a flavor whose nodes are described as handing out parts only."""
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


def pod_side(flavor: Flavor, _share: Share, count: int) -> PodSide:
    """Ask for ``count`` GPUs on a node that hands out whole ones."""
    return PodSide(
        resources={flavor.resource: count},
        node_labels=product_labels(flavor),
        tolerations=(vendor_toleration(flavor), *flavor.tolerations),
    )


def describe(flavor: Flavor, _share: Share) -> ShareFacts:
    """Say that it is all yours."""
    return ShareFacts(
        title="Whole GPU",
        unit="GPU",
        units="GPUs",
        memory_bytes=flavor.memory_bytes,
        isolation="The GPU and all of its memory are yours alone.",
    )
