"""Parts of GPUs by HAMi: memory and compute that a library in the container keeps to.

HAMi's webhook gives the pod to its scheduler, unless the pod names another one: under
zero-to-jupyterhub that is the user-scheduler, so the name is taken off. It refuses privileged
containers.
"""

from typing import Final

from gpu_spawner.core.catalog.flavors import Flavor, HamiLayout
from gpu_spawner.core.catalog.mechanisms import parts
from gpu_spawner.core.catalog.mechanisms.base import (
    Mistake,
    PodSide,
    ShareFacts,
    product_labels,
    vendor_toleration,
)
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.catalog.shares import fraction_of
from gpu_spawner.core.devices.fractions.request import CardAsk, FractionRequest
from gpu_spawner.core.messages import gettext

__all__ = ["MATURITY", "NAME", "describe", "mistake", "pod_side"]

NAME: Final = "hami"
MATURITY: Final = "beta"

_USE_TYPE: Final = "nvidia.com/use-gputype"
_MODE: Final = "nvidia.com/vgpu-mode"
_ALL: Final = 100


def mistake(flavor: Flavor, share: Share, count: int) -> Mistake | None:
    """Refuse flavors that HAMi does not divide, and wishes for more than a GPU has."""
    return parts.refusal(flavor, share, count, NAME, is_declared=flavor.hami is not None)


def pod_side(flavor: Flavor, share: Share, count: int) -> PodSide | None:
    """Ask for a part of each of ``count`` GPUs of one node.

    A whole GPU asks for all of its memory and compute, which keeps others off; HAMi would add the
    same where nothing is said.
    """
    layout = flavor.hami
    if layout is None or mistake(flavor, share, count) is not None:
        return None
    ask = _ask(flavor, layout, share, count)
    resources = {layout.resource: count}
    if ask.memory_mib:
        resources[layout.memory_resource] = ask.memory_mib
    else:
        resources[layout.percent_resource] = ask.percent
    if ask.cores:
        resources[layout.cores_resource] = ask.cores
    annotations = {}
    if layout.gpu_types:
        annotations[_USE_TYPE] = ",".join(layout.gpu_types)
    if layout.mode:
        annotations[_MODE] = layout.mode
    return PodSide(
        resources=resources,
        annotations=annotations,
        node_labels=product_labels(flavor),
        tolerations=(vendor_toleration(flavor), *flavor.tolerations),
        scheduler_name=layout.scheduler_name,
        fraction=FractionRequest(
            scheme=NAME,
            asks=(ask,),
            models=layout.gpu_types,
            mode=layout.mode,
            resource=layout.resource,
            uncounted=(layout.memory_resource, layout.percent_resource, layout.cores_resource),
        ),
    )


def _ask(flavor: Flavor, layout: HamiLayout, share: Share, count: int) -> CardAsk:
    part = fraction_of(share)
    if share.kind == "whole":
        return CardAsk(cards=count, percent=_ALL, cores=_ALL)
    cores = layout.cores_percent or 0
    if part is not None:
        return CardAsk(cards=count, percent=int(part * 100), cores=cores)
    return CardAsk(cards=count, memory_mib=parts.wanted_mib(flavor, share) or 0, cores=cores)


def describe(flavor: Flavor, share: Share) -> ShareFacts:
    """Say who keeps neighbours apart: the hardware in mode ``mig``, else a library."""
    if share.kind == "whole":
        return parts.whole_facts(flavor)
    mode = flavor.hami.mode if flavor.hami is not None else ""
    if mode == "mig":
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
