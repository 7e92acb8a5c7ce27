"""Whole GPUs by claim: Dynamic Resource Allocation finds devices that match a selector."""

from typing import Final

from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.mechanisms import dra
from gpu_spawner.core.catalog.mechanisms.base import Mistake, PodSide, ShareFacts
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.messages import gettext

__all__ = ["MATURITY", "NAME", "describe", "mistake", "pod_side"]

NAME: Final = "dra-whole"
MATURITY: Final = "stable"


def mistake(flavor: Flavor, share: Share, count: int) -> Mistake | None:
    """Refuse parts, flavors without a device class, and more than a claim can hold."""
    if share.kind != "whole":
        return Mistake(
            part="share",
            message=f"got '{share.label}', which is not a whole GPU",
            cure="Use share: whole.",
            is_declared=False,
        )
    if flavor.dra is None:
        return dra.undeclared(flavor, "dra", "Add dra: {device_class: gpu.nvidia.com} to it.")
    if flavor.dra.share_capacity:
        return Mistake(
            part="share",
            message=f"got 'whole', but the GPUs of flavor '{flavor.name}' are handed out in "
            "shares: a claim for a device is given one of them",
            cure="Use share: {replica: 1}, or take share_capacity out of the flavor.",
        )
    return dra.too_many(count)


def pod_side(flavor: Flavor, share: Share, count: int) -> PodSide | None:
    """Claim ``count`` GPUs."""
    layout = flavor.dra
    if layout is None or mistake(flavor, share, count) is not None:
        return None
    return dra.side_with(flavor, layout, dra.device_wish(flavor, layout, count, is_whole=True))


def describe(flavor: Flavor, _share: Share) -> ShareFacts:
    """Say that it is all yours."""
    return ShareFacts(
        title=gettext("Whole GPU"),
        unit="GPU",
        memory_bytes=flavor.memory_bytes,
        isolation=gettext("The GPU and all of its memory are yours alone."),
    )
