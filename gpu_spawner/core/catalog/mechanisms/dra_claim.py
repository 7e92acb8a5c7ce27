"""Whatever a claim of the admin's own gives: ``share: {claim: NAME}``.

For what no share describes, such as a GPU and a network card of one PCIe root.
"""

import json
from typing import Final

from gpu_spawner.core.catalog.claims import DeviceWish
from gpu_spawner.core.catalog.flavors import Flavor, NamedClaim
from gpu_spawner.core.catalog.mechanisms import dra
from gpu_spawner.core.catalog.mechanisms.base import Mistake, PodSide, ShareFacts
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.messages import gettext

__all__ = ["MATURITY", "NAME", "describe", "mistake", "pod_side"]

NAME: Final = "dra-claim"
MATURITY: Final = "stable"


def mistake(flavor: Flavor, share: Share, count: int) -> Mistake | None:
    """Refuse claims that the flavor does not have, and more than one of them."""
    if share.kind != "claim":
        return Mistake(
            part="share",
            message=f"got '{share.label}', which is not a claim of the flavor's",
            cure="Use share: {claim: NAME}.",
            is_declared=False,
        )
    if _claim(flavor, share) is None:
        names = ", ".join(one.name for one in flavor.dra.claims) if flavor.dra else ""
        return Mistake(
            part="share.claim",
            message=f"got '{share.value}'; flavor '{flavor.name}' has {names or 'no dra.claims'}",
            cure="Name one of these, or add it to the flavor's dra.claims.",
        )
    if count != 1:
        return Mistake(
            part="count",
            message=f"got {count}; how many devices there are is written in the claim",
            cure="Write count: [1].",
        )
    return None


def pod_side(flavor: Flavor, share: Share, count: int) -> PodSide | None:
    """Claim what the admin wrote."""
    layout, claim = flavor.dra, _claim(flavor, share)
    if layout is None or claim is None or mistake(flavor, share, count) is not None:
        return None
    wish = DeviceWish(name=flavor.name, spec=json.loads(claim.spec))
    return dra.side_with(flavor, layout, wish)


def describe(flavor: Flavor, share: Share) -> ShareFacts:
    """Repeat the admin's words."""
    claim = _claim(flavor, share)
    return ShareFacts(
        title=(claim.display_name if claim else "") or share.value,
        unit="set of devices",
        memory_bytes=claim.memory_bytes if claim else None,
        isolation=(claim.description if claim else "")
        or gettext("The devices of the claim are yours."),
    )


def _claim(flavor: Flavor, share: Share) -> NamedClaim | None:
    claims = flavor.dra.claims if flavor.dra is not None else ()
    return next((one for one in claims if one.name == share.value), None)
