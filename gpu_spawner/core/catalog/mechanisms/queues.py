"""What KAI and Run:ai have in common: one family of schedulers, asked by annotations.

A part of a GPU is an annotation, never a resource: a pod with both is refused. The first container
would get the part, so the notebook's is named.
"""

from dataclasses import replace
from typing import Final

from gpu_spawner.core.catalog.claims import NOTEBOOK
from gpu_spawner.core.catalog.flavors import Flavor, QueueLayout
from gpu_spawner.core.catalog.mechanisms import parts
from gpu_spawner.core.catalog.mechanisms.base import PodSide, product_labels, vendor_toleration
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.catalog.shares import fraction_of
from gpu_spawner.core.devices.fractions.request import CardAsk, FractionRequest
from gpu_spawner.core.messages import gettext

__all__ = ["QUOTA_ADVICE", "queued_side"]

QUOTA_ADVICE: Final = gettext(
    "What the queue may still have is not counted: a server may wait though GPUs are free."
)

_QUEUE_LABELS: Final = {"kai": "kai.scheduler/queue", "runai": "runai/queue"}
_FRACTION: Final = "gpu-fraction"
_MEMORY: Final = "gpu-memory"
_CARDS: Final = "gpu-fraction-num-devices"
_CONTAINER: Final = "gpu-fraction-container-name"


def queued_side(
    flavor: Flavor, layout: QueueLayout, share: Share, count: int, scheme: str
) -> PodSide:
    """Ask for a part of each of ``count`` GPUs of one node, or for whole ones, out of a queue.

    Args:
        flavor: the kind of GPU.
        layout: the flavor's settings for this scheduler.
        share: what is wished; nothing is wrong with it.
        count: of how many GPUs.
        scheme: ``kai`` or ``runai``.
    """
    side = PodSide(
        pod_labels={_QUEUE_LABELS[scheme]: layout.queue},
        node_labels=product_labels(flavor),
        tolerations=(vendor_toleration(flavor), *flavor.tolerations),
        scheduler_name=layout.scheduler_name,
    )
    if share.kind == "whole":
        return replace(side, resources={flavor.resource: count})
    part = fraction_of(share)
    mib = parts.wanted_mib(flavor, share) or 0
    annotations = {_CONTAINER: NOTEBOOK}
    annotations |= {_FRACTION: share.value} if part is not None else {_MEMORY: str(mib)}
    if count > 1:
        annotations[_CARDS] = str(count)
    ask = (
        CardAsk(cards=count, portion=float(share.value))
        if part is not None
        else CardAsk(cards=count, memory_mib=mib)
    )
    return replace(
        side,
        annotations=annotations,
        fraction=FractionRequest(scheme=scheme, asks=(ask,), resource=flavor.resource),
    )
