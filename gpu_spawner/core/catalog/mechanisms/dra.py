"""What the mechanisms by claims have in common: the wish for a device, the nodes, the limits."""

from dataclasses import replace
from typing import Final

from gpu_spawner.core.catalog.claims import MAX_DEVICES, DeviceWish
from gpu_spawner.core.catalog.device_selectors import attribute_selector, capacity_selector
from gpu_spawner.core.catalog.flavors import DraLayout, Flavor, LabelIn
from gpu_spawner.core.catalog.mechanisms.base import Mistake, PodSide, vendor_toleration

__all__ = ["MEMORY", "claim_labels", "device_wish", "side_with", "too_many", "undeclared"]

MEMORY: Final = "memory"
"""The capacity that the GPU drivers call a device's memory."""

_DISCOVERED: Final = (
    "amd.com/gpu.",
    "beta.amd.com/gpu.",
    "gpu.intel.com/",
    "nvidia.com/gpu.",
    "nvidia.com/mig",
)
"""Labels of the vendors' feature discovery, which comes with the device plugin: a node whose GPUs
are handed out by claims need not have them."""


def undeclared(flavor: Flavor, key: str, cure: str) -> Mistake:
    """Say that a flavor does not declare what is needed."""
    return Mistake(
        part="flavors",
        message=f"flavor '{flavor.name}' has no {key}",
        cure=cure,
        is_declared=False,
    )


def too_many(count: int) -> Mistake | None:
    """Refuse more devices than one claim can be given."""
    if count <= MAX_DEVICES:
        return None
    return Mistake(
        part="count",
        message=f"got {count}; a claim can be given at most {MAX_DEVICES} devices",
        cure=f"Write {MAX_DEVICES} or less.",
    )


def device_wish(flavor: Flavor, dra: DraLayout, count: int, *, is_whole: bool) -> DeviceWish:
    """Return the wish for ``count`` devices by which the flavor is recognised.

    ``min_memory`` is about whole GPUs: a slice has less.
    """
    selectors = [
        attribute_selector(dra.driver, attribute, values) for attribute, values in dra.attributes
    ]
    if is_whole and dra.min_memory_bytes is not None:
        selectors.append(capacity_selector(dra.driver, MEMORY, dra.min_memory_bytes))
    return DeviceWish(
        name=flavor.name,
        device_class=dra.device_class,
        selectors=(*selectors, *dra.selectors),
        count=count,
        tolerations=dra.tolerations,
        constraints=dra.constraints,
        configs=dra.configs,
    )


def side_with(flavor: Flavor, dra: DraLayout, wish: DeviceWish) -> PodSide:
    """Return the pod's part around a wish.

    The cluster's own scheduler is asked for unless the profile names one: an older one beside it,
    such as a z2jh user scheduler, does not know claims.
    """
    # One request of a claim names its flavor only where it has to be told from others.
    return PodSide(
        devices=replace(wish, name=flavor.name),
        node_labels=claim_labels(flavor, dra),
        tolerations=(vendor_toleration(flavor), *flavor.tolerations),
        scheduler_name="",
        may_change_scheduler=True,
    )


def claim_labels(flavor: Flavor, dra: DraLayout) -> tuple[LabelIn, ...]:
    """Return the node labels to insist on beside the claim.

    Where the claim itself tells the GPU from others, labels of feature discovery are left out.
    """
    if not dra.attributes and not dra.selectors:
        return flavor.node_labels
    return tuple(label for label in flavor.node_labels if not label.key.startswith(_DISCOVERED))
