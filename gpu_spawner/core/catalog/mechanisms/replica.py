"""Replicas: one GPU handed to several pods in turns (time-slicing) or side by side (MPS).

The NVIDIA device plugin multiplies the resource: a T4 with four replicas is four ``nvidia.com/gpu``
on a node whose product label ends in ``-SHARED``, or, where the plugin renames, four
``nvidia.com/gpu.shared`` under the plain product.
"""

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

__all__ = ["NAME", "describe", "json_schema", "mistake", "parse", "pod_side"]

NAME: Final = "replica"


def parse(value: object) -> tuple[Share, ...]:
    """Read ``{replica: 1}``."""
    if type(value) is not int or value != 1:  # True and 1.0 equal 1, but are not it
        raise ValueError(
            f"got {value!r:.60}; only 1 is allowed: "
            "two replicas may be the same GPU and buy no extra compute"
        )
    return (Share(mechanism=NAME),)


def json_schema() -> dict[str, Any]:
    """Return the schema of ``{replica: 1}``."""
    return {
        "type": "object",
        "description": "One replica of a GPU that the device plugin shares between servers.",
        "properties": {NAME: {"const": 1}},
        "required": [NAME],
        "additionalProperties": False,
    }


def mistake(flavor: Flavor, _share: Share, count: int) -> Mistake | None:
    """Refuse a flavor that is not shared, and more than one replica for a server.

    With ``failRequestsGreaterThanOne`` (the default for MPS) a request of two is scheduled and then
    ends as ``UnexpectedAdmissionError``.
    """
    if flavor.sharing is None:
        return Mistake(
            part="share",
            message=f"got 'replica', but flavor '{flavor.name}' says nothing about sharing",
            cure="Add sharing: {strategy: time-slicing, replicas: 4} to the flavor.",
        )
    if count != 1:
        return Mistake(
            part="count",
            message=(
                f"got {count}; a server gets one replica: "
                "two may be the same GPU and buy no extra compute"
            ),
            cure="Write count: [1].",
        )
    return None


def pod_side(flavor: Flavor, _share: Share, count: int) -> PodSide:
    """Ask for one replica on a node that shares this GPU model."""
    is_renamed = flavor.sharing is not None and flavor.sharing.is_renamed
    return PodSide(
        resources={f"{flavor.resource}.shared" if is_renamed else flavor.resource: count},
        node_labels=product_labels(flavor, is_shared=not is_renamed),
        tolerations=(vendor_toleration(flavor), *flavor.tolerations),
    )


def describe(flavor: Flavor, _share: Share) -> ShareFacts:
    """Say with how many one shares, and whether a neighbour can use the memory up."""
    replicas = flavor.sharing.replicas if flavor.sharing else 1
    title = f"Shared GPU, with up to {replicas - 1} other{'s' if replicas > 2 else ''}"
    if flavor.sharing is not None and flavor.sharing.strategy == "mps":
        return ShareFacts(
            title=title,
            unit="share",
            units="shares",
            memory_bytes=flavor.memory_bytes // replicas if flavor.memory_bytes else None,
            isolation=f"Memory and compute are capped at 1/{replicas} of the GPU by software; "
            "a neighbour's crash can end your work.",
        )
    return ShareFacts(
        title=title,
        unit="share",
        units="shares",
        memory_bytes=flavor.memory_bytes,
        isolation="All share one memory and take turns: "
        "a neighbour can use the memory up, and its crash can end your work.",
        advice="Good for learning and debugging, not for measuring speed.",
    )
