"""Replicas: one GPU handed to several pods in turns (time-slicing) or side by side (MPS).

The NVIDIA device plugin multiplies the resource: a T4 with four replicas is four ``nvidia.com/gpu``
on a node whose product label ends in ``-SHARED``, or, where the plugin renames, four
``nvidia.com/gpu.shared`` under the plain product. GKE does the same and labels the node pool.
"""

from typing import Final

from gpu_spawner.core.catalog.flavors import Flavor, LabelIn, Sharing
from gpu_spawner.core.catalog.mechanisms.base import (
    GKE_CLIENTS,
    GKE_SHARING,
    Mistake,
    PodSide,
    ShareFacts,
    is_gke,
    product_labels,
    vendor_toleration,
)
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.catalog.shares import fraction_of, memory_wanted
from gpu_spawner.core.messages import gettext, ngettext
from gpu_spawner.core.wording import say_bytes

__all__ = ["MATURITY", "NAME", "describe", "mistake", "pod_side"]

NAME: Final = "replica"
MATURITY: Final = "stable"


def mistake(flavor: Flavor, share: Share, count: int) -> Mistake | None:
    """Refuse a flavor that is not shared, several replicas for a server, and too little memory.

    With ``failRequestsGreaterThanOne`` (the default for MPS) a request of two is scheduled and then
    ends as ``UnexpectedAdmissionError``.
    """
    if share.kind not in ("replica", "memory", "fraction"):
        return Mistake(
            part="share",
            message=f"got '{share.label}', which is not a replica",
            cure="Use share: {replica: 1}.",
            is_declared=False,
        )
    sharing = flavor.sharing
    if sharing is None:
        return Mistake(
            part="share",
            message=f"got '{share.label}', but flavor '{flavor.name}' says nothing about sharing",
            cure="Add sharing: {strategy: time-slicing, replicas: 4} to the flavor.",
            is_declared=share.kind == "replica",
        )
    if not flavor.node_labels and not flavor.has_own_resource:
        return Mistake(
            part="flavors",
            message=f"flavor '{flavor.name}' has no node_labels to find its shared GPUs by",
            cure="Add node_labels to the flavor.",
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
    return None if share.kind == "replica" else _too_little(flavor, share, sharing)


def _too_little(flavor: Flavor, share: Share, sharing: Sharing) -> Mistake | None:
    """Refuse a wish for memory that one replica does not have, or that nothing secures."""
    if sharing.strategy != "mps" and NAME not in flavor.mechanisms:
        return Mistake(
            part="share",
            message=(
                f"got '{share.label}', but the GPUs of flavor '{flavor.name}' are shared in turns: "
                "nothing keeps a neighbour from using up the memory"
            ),
            cure=f"Add mechanisms: [{NAME}] to the flavor if that is good enough.",
        )
    part = fraction_of(share)
    if part is not None and part * sharing.replicas <= 1:
        return None
    wanted = memory_wanted(share, flavor.memory_bytes)
    if wanted is None or flavor.memory_bytes is None:
        return Mistake(
            part="share",
            message=f"got '{share.label}', but flavor '{flavor.name}' does not say its memory",
            cure="Add memory to the flavor.",
        )
    if wanted * sharing.replicas > flavor.memory_bytes:
        return Mistake(
            part=f"share.{share.kind}",
            message=f"got {say_bytes(wanted)}; one of {sharing.replicas} replicas of flavor "
            f"'{flavor.name}' has {say_bytes(flavor.memory_bytes // sharing.replicas)}",
            cure="Ask for less, or have fewer replicas.",
        )
    return None


def pod_side(flavor: Flavor, share: Share, count: int) -> PodSide | None:
    """Ask for one replica on a node that shares this GPU model."""
    sharing = flavor.sharing
    if sharing is None or mistake(flavor, share, count) is not None:
        return None
    labels = product_labels(flavor, is_shared=not sharing.is_renamed)
    if is_gke(flavor):
        strategy = "mps" if sharing.strategy == "mps" else "time-sharing"
        labels = (
            *labels,
            LabelIn(key=GKE_SHARING, values=(strategy,)),
            LabelIn(key=GKE_CLIENTS, values=(str(sharing.replicas),)),
        )
    is_renamed = sharing.is_renamed and not is_gke(flavor)
    return PodSide(
        resources={f"{flavor.resource}.shared" if is_renamed else flavor.resource: count},
        node_labels=labels,
        tolerations=(vendor_toleration(flavor), *flavor.tolerations),
    )


def describe(flavor: Flavor, share: Share) -> ShareFacts:
    """Say with how many one shares, and whether a neighbour can use the memory up."""
    replicas = flavor.sharing.replicas if flavor.sharing else 1
    title = ngettext(
        "Shared GPU, with up to {number} other",
        "Shared GPU, with up to {number} others",
        replicas - 1,
    )
    if flavor.sharing is not None and flavor.sharing.strategy == "mps":
        return ShareFacts(
            title=title,
            unit="share",
            memory_bytes=flavor.memory_bytes // replicas if flavor.memory_bytes else None,
            isolation=gettext(
                "Memory and compute are capped at 1/{replicas} of the GPU by software; a "
                "neighbour's crash can end your work.",
                replicas=replicas,
            ),
        )
    wanted = memory_wanted(share, flavor.memory_bytes)
    if wanted is None:
        isolation = gettext(
            "All share one memory and take turns: a neighbour can use the memory up, and its "
            "crash can end your work."
        )
    else:
        isolation = gettext(
            "All share one memory and take turns: this part of it is meant for you, but a "
            "neighbour can use the memory up, and its crash can end your work."
        )
    return ShareFacts(
        title=title,
        unit="share",
        memory_bytes=wanted if wanted is not None else flavor.memory_bytes,
        isolation=isolation,
        advice=gettext("Good for learning and debugging, not for measuring speed."),
    )
