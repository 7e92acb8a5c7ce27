"""MIG slices counted as an extended resource: parts of a GPU that the hardware keeps apart.

With the device plugin's strategy ``mixed`` every MIG profile is a resource of its own
(``nvidia.com/mig-1g.10gb``). With ``single`` the plain GPU resource means one slice, and the
product label ends in ``-MIG-<profile>``; on GKE a label of the node pool names the profile. The
slices a GPU model can have are not listed here: nodes advertise what they were cut into, and the
flavor may say so too.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from gpu_spawner.core.catalog.flavors import Flavor, LabelIn, MigLayout
from gpu_spawner.core.catalog.mechanisms.base import (
    GKE_PARTITION,
    Mistake,
    PodSide,
    ShareFacts,
    is_gke,
    product_labels,
    vendor_of,
    vendor_toleration,
)
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.catalog.shares import memory_wanted
from gpu_spawner.core.messages import gettext
from gpu_spawner.core.wording import gigabytes, say_bytes

__all__ = [
    "MATURITY",
    "NAME",
    "describe",
    "describe_slice",
    "mistake",
    "pod_side",
    "slice_memory",
    "smallest_slice",
    "wrong_slice",
]

NAME: Final = "mig"
MATURITY: Final = "stable"

_SIZE: Final = re.compile(r"(?P<compute>[1-9])g\.(?P<memory>[0-9]+)gb", re.ASCII)

_MOST_OF_NOMINAL: Final = 1.1


def mistake(flavor: Flavor, share: Share, _count: int) -> Mistake | None:
    """Refuse other vendors' GPUs, and slices that the flavor says it does not have."""
    is_declared = flavor.mig is not None
    if vendor_of(flavor.resource) != "nvidia.com":
        return Mistake(
            part="share",
            message=f"got '{share.kind}', but flavor '{flavor.name}' is {flavor.resource}; "
            "MIG is NVIDIA's",
            cure="Use share: whole, or a flavor of NVIDIA GPUs.",
            is_declared=share.kind == "mig",
        )
    if not flavor.node_labels:
        return Mistake(
            part="flavors",
            message=f"flavor '{flavor.name}' has no node_labels to find its slices by",
            cure="Add node_labels, or dra.mig_device_class to have slices by claims.",
            is_declared=is_declared and flavor.dra is None,
        )
    return wrong_slice(flavor, share)


def wrong_slice(flavor: Flavor, share: Share) -> Mistake | None:
    """Return why no slice of the flavor can serve a share, however slices are obtained."""
    offered = flavor.mig.profiles if flavor.mig else ()
    if share.kind in ("memory", "fraction"):
        return _too_small(flavor, share, offered)
    if share.kind != "mig":
        return Mistake(
            part="share",
            message=f"got '{share.label}', which is not a slice",
            cure="Use share: {mig: [...]}.",
            is_declared=False,
        )
    if offered and share.value not in offered:
        return Mistake(
            part="share.mig",
            message=f"got '{share.value}'; flavor '{flavor.name}' has {', '.join(offered)}",
            cure="Name one of these, or add it to the flavor's mig.profiles.",
        )
    had, whole = slice_memory(share.value), flavor.memory_bytes
    # Both are nominal, and not rounded alike.
    if had is not None and whole is not None and had > whole * _MOST_OF_NOMINAL:
        return Mistake(
            part="share.mig",
            message=f"got '{share.value}'; a GPU of flavor '{flavor.name}' has "
            f"{gigabytes(whole)} of memory",
            cure="Name a slice that such a GPU can be cut into.",
        )
    return None


def _too_small(flavor: Flavor, share: Share, offered: Sequence[str]) -> Mistake | None:
    """Return why no slice has the memory that was wished."""
    if not offered:
        return Mistake(
            part="share",
            message=f"got '{share.label}', but flavor '{flavor.name}' does not say which MIG "
            "slices it has",
            cure="List them in the flavor's mig.profiles.",
            is_declared=flavor.mig is not None,
        )
    wanted = memory_wanted(share, flavor.memory_bytes)
    if wanted is None:
        return Mistake(
            part="share",
            message=f"got '{share.label}', but flavor '{flavor.name}' does not say its memory",
            cure="Add memory to the flavor.",
        )
    if smallest_slice(flavor, share) is None:
        return Mistake(
            part=f"share.{share.kind}",
            message=f"got {say_bytes(wanted)}; the slices of flavor '{flavor.name}' are "
            f"{', '.join(offered)}",
            cure="Ask for less, or add a larger slice to the flavor's mig.profiles.",
        )
    return None


def smallest_slice(flavor: Flavor, share: Share) -> str | None:
    """Return the MIG profile that serves a share: the named one, or the smallest large enough.

    The number in a profile's name is nominal, in decimal gigabytes; the memory a program sees is a
    little more than that (1g.10gb has 9,728 MiB).
    """
    if share.kind == "mig":
        return share.value
    wanted = memory_wanted(share, flavor.memory_bytes)
    if wanted is None or flavor.mig is None:
        return None
    enough = [profile for profile in flavor.mig.profiles if (slice_memory(profile) or 0) >= wanted]
    return min(enough, key=_size, default=None)


def slice_memory(profile: str) -> int | None:
    """Return the nominal memory of a MIG profile in bytes: 10 GB of 1g.10gb."""
    size = _SIZE.match(profile)
    return int(size["memory"]) * 10**9 if size else None


def _size(profile: str) -> tuple[int, int, int]:
    """Order profiles by memory, then compute; those with media engines come after those without."""
    size = _SIZE.match(profile)
    return (int(size["memory"]), int(size["compute"]), len(profile)) if size else (0, 0, 0)


def pod_side(flavor: Flavor, share: Share, count: int) -> PodSide | None:
    """Ask for ``count`` slices on a node with this GPU model.

    The model stays in the request, because a profile's name does not tell it: 1g.10gb exists on the
    A100 40GB, the A100 80GB and the H100, with different compute. The device plugin writes a
    profile's ``+`` as ``.``: ``1g.10gb+me`` is ``nvidia.com/mig-1g.10gb.me``.
    """
    profile = smallest_slice(flavor, share)
    if profile is None or mistake(flavor, share, count) is not None:
        return None
    written = profile.replace("+", ".")
    is_single = _layout(flavor).strategy == "single" or is_gke(flavor)
    resource = flavor.resource if is_single else f"{vendor_of(flavor.resource)}/mig-{written}"
    labels: Iterable[LabelIn] = product_labels(flavor, mig=written if is_single else "")
    if is_gke(flavor):
        labels = (*labels, LabelIn(key=GKE_PARTITION, values=(profile,)))
    return PodSide(
        resources={resource: count},
        node_labels=tuple(labels),
        tolerations=(vendor_toleration(flavor), *flavor.tolerations),
    )


def describe(flavor: Flavor, share: Share) -> ShareFacts:
    """Say that hardware keeps neighbours out, and that slices do not add up."""
    return describe_slice(smallest_slice(flavor, share) or share.value)


def describe_slice(profile: str) -> ShareFacts:
    """Say what a slice of a profile is, however it is obtained."""
    return ShareFacts(
        title=gettext("MIG slice {profile}", profile=profile),
        unit="slice",
        memory_bytes=slice_memory(profile),
        isolation=gettext(
            "Hardware keeps its memory and compute apart from the other slices of the GPU."
        ),
        advice=gettext("One program can use one slice: two slices do not join for a bigger job."),
    )


def _layout(flavor: Flavor) -> MigLayout:
    return flavor.mig or MigLayout()
