"""Parts of a GPU by claim: the driver lets several claims consume one device's capacity.

The scheduler keeps account of the memory (or the shares) that claims consume; nothing enforces it
on the node.
"""

from dataclasses import replace
from typing import Final

from gpu_spawner.core.catalog.device_selectors import capacity_selector
from gpu_spawner.core.catalog.flavors import DraLayout, Flavor
from gpu_spawner.core.catalog.mechanisms import dra
from gpu_spawner.core.catalog.mechanisms.base import Mistake, PodSide, ShareFacts
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.catalog.shares import memory_wanted
from gpu_spawner.core.messages import gettext, ngettext
from gpu_spawner.core.quantity import format_bytes
from gpu_spawner.core.wording import say_bytes

__all__ = ["MATURITY", "NAME", "describe", "mistake", "pod_side"]

NAME: Final = "dra-capacity"
MATURITY: Final = "alpha"

_MIB: Final = 2**20


def mistake(flavor: Flavor, share: Share, count: int) -> Mistake | None:
    """Refuse flavors whose devices are not divided, and wishes for more than one GPU has."""
    kind = share.kind
    if kind not in ("memory", "fraction", "replica"):
        return Mistake(
            part="share",
            message=f"got '{share.label}', which is not a part of a device's capacity",
            cure="Use share: {memory: [10Gi]}.",
            is_declared=False,
        )
    layout = flavor.dra
    key = "share_capacity" if kind == "replica" else "memory_capacity"
    if layout is None or not getattr(layout, key):
        return dra.undeclared(flavor, f"dra.{key}", f"Add dra: {{{key}: ...}} to it.")
    if kind != "replica":
        wanted = memory_wanted(share, flavor.memory_bytes)
        if wanted is None:
            return Mistake(
                part="share",
                message=f"got '{share.label}', but flavor '{flavor.name}' does not say its memory",
                cure="Add memory to the flavor.",
            )
        if flavor.memory_bytes is not None and wanted > flavor.memory_bytes:
            return Mistake(
                part=f"share.{kind}",
                message=f"got {say_bytes(wanted)}; a GPU of flavor '{flavor.name}' has "
                f"{say_bytes(flavor.memory_bytes)}",
                cure="Ask for less.",
            )
    if count > 1 and not any(one.is_distinct for one in layout.constraints):
        return Mistake(
            part="count",
            message=f"got {count}; without a distinct_attribute all of them may be of one GPU",
            cure="Write count: [1], or add dra.constraints: [{distinct_attribute: uuid}].",
        )
    return dra.too_many(count)


def pod_side(flavor: Flavor, share: Share, count: int) -> PodSide | None:
    """Claim a part of ``count`` GPUs.

    ``capacity.requests`` is looked up literally in a device, so the name stands as the driver
    writes it, without its domain unless it has one there.
    """
    layout = flavor.dra
    if layout is None or mistake(flavor, share, count) is not None:
        return None
    wish = dra.device_wish(flavor, layout, count, is_whole=True)
    return dra.side_with(
        flavor,
        layout,
        replace(
            wish,
            selectors=(*wish.selectors, *_divided(layout, share)),
            capacity=(_consumed(flavor, layout, share),),
        ),
    )


def _consumed(flavor: Flavor, layout: DraLayout, share: Share) -> tuple[str, str]:
    if share.kind == "replica":
        return layout.share_capacity, "1"
    wanted = memory_wanted(share, flavor.memory_bytes) or 0
    return layout.memory_capacity, format_bytes(-(-wanted // _MIB) * _MIB)


def _divided(layout: DraLayout, share: Share) -> tuple[str, ...]:
    """Keep to devices that several claims may hold: of another, a small part is all of it."""
    divided = "device.allowMultipleAllocations"
    if share.kind == "replica":
        return (divided, capacity_selector(layout.driver, layout.share_capacity, 1))
    return (divided,)


def describe(flavor: Flavor, share: Share) -> ShareFacts:
    """Say how much is meant for you, and that only the scheduler keeps account of it."""
    wanted = memory_wanted(share, flavor.memory_bytes)
    if share.kind == "replica":
        shares = flavor.dra.shares if flavor.dra is not None else None
        return ShareFacts(
            title=ngettext("Shared GPU, {number} share", "Shared GPU, 1 of {number} shares", shares)
            if shares
            else gettext("Shared GPU"),
            unit="share",
            memory_bytes=flavor.memory_bytes,
            isolation=gettext(
                "All share one memory and take turns: a neighbour can use the memory up, and its "
                "crash can end your work."
            ),
            advice=gettext("Good for learning and debugging, not for measuring speed."),
        )
    return ShareFacts(
        title=gettext("Part of a GPU"),
        unit="share",
        memory_bytes=wanted,
        isolation=gettext(
            "This part of its memory is set aside for you, but nothing keeps a neighbour from "
            "using more, and its crash can end your work."
        ),
        advice=gettext("The GPU computes for its users in turns."),
    )
