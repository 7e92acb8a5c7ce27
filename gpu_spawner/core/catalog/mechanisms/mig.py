"""MIG slices: a part of an NVIDIA GPU that the hardware keeps apart from the other parts.

With the device plugin's strategy ``mixed`` every MIG profile is a resource of its own
(``nvidia.com/mig-1g.10gb``). With ``single`` the plain GPU resource means one slice, and the
product label ends in ``-MIG-<profile>``. The slices a GPU model can have are not listed here:
nodes advertise what they were cut into, and the flavor may say so too.
"""

import re
from typing import Any, Final

from gpu_spawner.core.catalog.flavors import Flavor, MigLayout
from gpu_spawner.core.catalog.mechanisms.base import (
    Mistake,
    PodSide,
    ShareFacts,
    product_labels,
    vendor_of,
    vendor_toleration,
)
from gpu_spawner.core.catalog.model import Share

__all__ = [
    "MIG_PROFILE_PATTERN",
    "NAME",
    "describe",
    "json_schema",
    "mistake",
    "parse",
    "pod_side",
    "resource_name",
]

NAME: Final = "mig"

MIG_PROFILE_PATTERN: Final = r"^[1-9]g\.[1-9][0-9]{0,3}gb([+-](me|gfx)(\.all)?)?$"
"""``1g.10gb``, ``1g.10gb+me``, ``1g.24gb+me.all``, ``1g.24gb-me`` (NVIDIA's MIG user guide)."""

_MIG_PROFILE: Final = re.compile(MIG_PROFILE_PATTERN, re.ASCII)
_MEMORY: Final = re.compile(r"\.([0-9]+)gb", re.ASCII)


def parse(value: object) -> tuple[Share, ...]:
    """Read one MIG profile or a list of them."""
    profiles = value if isinstance(value, list) else [value]
    if not profiles:
        raise ValueError("the list is empty; name at least one MIG profile, such as 1g.10gb")
    shares: list[Share] = []
    for profile in profiles:
        if not isinstance(profile, str) or not _MIG_PROFILE.fullmatch(profile):
            raise ValueError(f"got {profile!r:.60}; a MIG profile looks like 1g.10gb or 3g.40gb")
        share = Share(mechanism=NAME, value=profile)
        if share in shares:
            raise ValueError(f"'{profile}' is listed twice")
        shares.append(share)
    return tuple(shares)


def json_schema() -> dict[str, Any]:
    """Return the schema of ``{mig: [...]}``."""
    profile = {"type": "string", "pattern": MIG_PROFILE_PATTERN}
    return {
        "type": "object",
        "description": "MIG slices of these profiles; the hardware keeps neighbours apart.",
        "properties": {
            NAME: {
                "anyOf": [
                    profile,
                    {"type": "array", "items": profile, "minItems": 1, "uniqueItems": True},
                ]
            }
        },
        "required": [NAME],
        "additionalProperties": False,
    }


def mistake(flavor: Flavor, share: Share, _count: int) -> Mistake | None:
    """Refuse other vendors' GPUs, and slices that the flavor says it does not have."""
    if vendor_of(flavor.resource) != "nvidia.com":
        return Mistake(
            part="share",
            message=f"got 'mig', but flavor '{flavor.name}' is {flavor.resource}; MIG is NVIDIA's",
            cure="Use share: whole, or a flavor of NVIDIA GPUs.",
        )
    offered = flavor.mig.profiles if flavor.mig else ()
    if offered and share.value not in offered:
        return Mistake(
            part="share.mig",
            message=f"got '{share.value}'; flavor '{flavor.name}' has {', '.join(offered)}",
            cure="Name one of these, or add it to the flavor's mig.profiles.",
        )
    return None


def resource_name(flavor: Flavor, share: Share) -> str:
    """Return the extended resource of one slice.

    The device plugin writes a profile's ``+`` as ``.``: ``1g.10gb+me`` is
    ``nvidia.com/mig-1g.10gb.me``.
    """
    if _layout(flavor).strategy == "single":
        return flavor.resource
    return f"{vendor_of(flavor.resource)}/mig-{share.value.replace('+', '.')}"


def pod_side(flavor: Flavor, share: Share, count: int) -> PodSide:
    """Ask for ``count`` slices on a node with this GPU model.

    The model stays in the request, because a profile's name does not tell it: 1g.10gb exists on the
    A100 40GB, the A100 80GB and the H100, with different compute.
    """
    is_single = _layout(flavor).strategy == "single"
    return PodSide(
        resources={resource_name(flavor, share): count},
        node_labels=product_labels(flavor, mig=share.value.replace("+", ".") if is_single else ""),
        tolerations=(vendor_toleration(flavor), *flavor.tolerations),
    )


def describe(_flavor: Flavor, share: Share) -> ShareFacts:
    """Say that hardware keeps neighbours out, and that slices do not add up."""
    memory = _MEMORY.search(share.value)
    return ShareFacts(
        title=f"MIG slice {share.value}",
        unit="slice",
        units="slices",
        memory_bytes=int(memory.group(1)) * 10**9 if memory else None,
        isolation="Hardware keeps its memory and compute apart from the other slices of the GPU.",
        advice="One program can use one slice: two slices do not join for a bigger job.",
    )


def _layout(flavor: Flavor) -> MigLayout:
    return flavor.mig or MigLayout()
