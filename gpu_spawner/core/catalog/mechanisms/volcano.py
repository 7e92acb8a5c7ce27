"""Parts of GPUs by Volcano's scheduler and its vGPU device plugin.

The number of GPUs and the memory and compute on each are extended resources that nodes offer as
totals; which card has how much left stands in an annotation.
"""

from typing import Final

from gpu_spawner.core.catalog.flavors import Flavor, VolcanoLayout
from gpu_spawner.core.catalog.mechanisms import parts
from gpu_spawner.core.catalog.mechanisms.base import (
    Mistake,
    PodSide,
    ShareFacts,
    product_labels,
    vendor_toleration,
)
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.devices.fractions.request import CardAsk, FractionRequest
from gpu_spawner.core.messages import gettext

__all__ = ["MATURITY", "NAME", "describe", "mistake", "pod_side"]

NAME: Final = "volcano"
MATURITY: Final = "beta"

_MODE: Final = "volcano.sh/vgpu-mode"
_ALL: Final = 100


def mistake(flavor: Flavor, share: Share, count: int) -> Mistake | None:
    """Refuse flavors that Volcano does not divide, and wishes for more than a GPU has."""
    found = parts.refusal(flavor, share, count, NAME, is_declared=flavor.volcano is not None)
    if found is not None:
        return found
    if share.kind != "whole" and parts.wanted_mib(flavor, share) is None:
        return Mistake(
            part="share.fraction",
            message=f"got '{share.label}', but flavor '{flavor.name}' does not say its memory",
            cure="Add memory to the flavor: Volcano is asked in MiB.",
        )
    return None


def pod_side(flavor: Flavor, share: Share, count: int) -> PodSide | None:
    """Ask for a part of each of ``count`` GPUs of one node."""
    layout = flavor.volcano
    if layout is None or mistake(flavor, share, count) is not None:
        return None
    ask = _ask(flavor, layout, share, count)
    resources = {layout.number_resource: count}
    if ask.memory_mib:
        resources[layout.memory_resource] = ask.memory_mib
    if ask.cores:
        resources[layout.cores_resource] = ask.cores
    return PodSide(
        resources=resources,
        annotations={_MODE: layout.mode} if layout.mode else {},
        node_labels=product_labels(flavor),
        tolerations=(vendor_toleration(flavor), *flavor.tolerations),
        scheduler_name=layout.scheduler_name,
        fraction=FractionRequest(
            scheme=NAME, asks=(ask,), mode=layout.mode, resource=layout.number_resource
        ),
    )


def _ask(flavor: Flavor, layout: VolcanoLayout, share: Share, count: int) -> CardAsk:
    if share.kind == "whole":
        return CardAsk(cards=count, percent=_ALL, cores=_ALL)
    memory = parts.wanted_mib(flavor, share) or 0
    return CardAsk(cards=count, memory_mib=memory, cores=layout.cores_percent or 0)


def describe(flavor: Flavor, share: Share) -> ShareFacts:
    """Say who keeps neighbours apart: the hardware in mode ``mig``, else a library."""
    if share.kind == "whole":
        return parts.whole_facts(flavor)
    if flavor.volcano is not None and flavor.volcano.mode == "mig":
        return parts.facts(
            flavor,
            share,
            isolation=gettext(
                "Hardware keeps its memory and compute apart from the rest of the GPU."
            ),
            advice=gettext("It is a MIG slice of at least this size."),
        )
    return parts.facts(
        flavor,
        share,
        isolation=gettext(
            "A library keeps every program to its part of the memory, but a program can get "
            "around it, and a neighbour's crash can end your work."
        ),
        advice=gettext("The GPU computes for its users in turns."),
    )
