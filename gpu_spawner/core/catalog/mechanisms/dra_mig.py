"""MIG slices by claim: existing ones, and such as the driver makes when they are asked for.

The claim is the same for both. Where slices are made on demand, the driver publishes every slice
that could be made, with counters that say which of them exclude each other.
"""

from dataclasses import replace
from typing import Final

from gpu_spawner.core.catalog.device_selectors import attribute_selector
from gpu_spawner.core.catalog.flavors import DeviceConstraint, Flavor
from gpu_spawner.core.catalog.mechanisms import dra, mig
from gpu_spawner.core.catalog.mechanisms.base import Mistake, PodSide, ShareFacts
from gpu_spawner.core.catalog.model import Share

__all__ = ["MATURITY", "NAME", "describe", "mistake", "pod_side"]

NAME: Final = "dra-mig"
MATURITY: Final = "beta"

_PROFILE: Final = "profile"
_PARENT: Final = "parentUUID"


def mistake(flavor: Flavor, share: Share, count: int) -> Mistake | None:
    """Refuse flavors without slices, and slices that the flavor says it does not have."""
    if flavor.dra is None or not flavor.dra.mig_device_class:
        return dra.undeclared(
            flavor, "dra.mig_device_class", "Add dra: {mig_device_class: mig.nvidia.com} to it."
        )
    return mig.wrong_slice(flavor, share) or dra.too_many(count)


def pod_side(flavor: Flavor, share: Share, count: int) -> PodSide | None:
    """Claim ``count`` slices of one profile.

    Attributes of the flavor hold for slices too: a slice tells the product it is a part of.
    """
    layout, profile = flavor.dra, mig.smallest_slice(flavor, share)
    if layout is None or profile is None or mistake(flavor, share, count) is not None:
        return None
    wish = dra.device_wish(flavor, layout, count, is_whole=False)
    parent = DeviceConstraint(attribute=f"{layout.driver}/{_PARENT}")
    wish = replace(
        wish,
        device_class=layout.mig_device_class,
        selectors=(attribute_selector(layout.driver, _PROFILE, [profile]), *wish.selectors),
        constraints=(parent,) if layout.is_mig_of_one_gpu else (),
        configs=(),  # they are about whole GPUs: drivers refuse them for slices
    )
    return dra.side_with(flavor, layout, wish)


def describe(flavor: Flavor, share: Share) -> ShareFacts:
    """Say that hardware keeps neighbours out, and that slices do not add up."""
    return mig.describe_slice(mig.smallest_slice(flavor, share) or share.value)
