"""Parts of GPUs by the KAI scheduler.

Sharing is off in KAI until the site turns it on (``global.gpuSharing``), and nothing but the
optional isolator keeps a server to its part of the memory.
"""

from typing import Final

from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.mechanisms import parts
from gpu_spawner.core.catalog.mechanisms.base import Mistake, PodSide, ShareFacts
from gpu_spawner.core.catalog.mechanisms.queues import QUOTA_ADVICE, queued_side
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.messages import gettext

__all__ = ["MATURITY", "NAME", "describe", "mistake", "pod_side"]

NAME: Final = "kai"
MATURITY: Final = "beta"


def mistake(flavor: Flavor, share: Share, count: int) -> Mistake | None:
    """Refuse flavors that KAI does not divide, and wishes for more than a GPU has."""
    return parts.refusal(flavor, share, count, NAME, is_declared=flavor.kai is not None)


def pod_side(flavor: Flavor, share: Share, count: int) -> PodSide | None:
    """Ask for a part of each of ``count`` GPUs of one node, or for whole ones."""
    if flavor.kai is None or mistake(flavor, share, count) is not None:
        return None
    return queued_side(flavor, flavor.kai, share, count, NAME)


def describe(flavor: Flavor, share: Share) -> ShareFacts:
    """Say how much is set aside, and whether anything enforces it."""
    if share.kind == "whole":
        return parts.whole_facts(flavor)
    if flavor.kai is not None and flavor.kai.is_memory_enforced:
        isolation = gettext(
            "A library keeps every program to its part of the memory, but a program can get "
            "around it, and a neighbour's crash can end your work."
        )
    else:
        isolation = gettext(
            "This part of the memory is set aside for you, but nothing keeps a neighbour from "
            "using more, and its crash can end your work."
        )
    return parts.facts(flavor, share, isolation=isolation, advice=QUOTA_ADVICE)
