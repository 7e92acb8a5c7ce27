"""Parts of GPUs by Run:ai, whose runtime keeps servers to their part of the memory."""

from typing import Final

from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.mechanisms import parts
from gpu_spawner.core.catalog.mechanisms.base import Mistake, PodSide, ShareFacts
from gpu_spawner.core.catalog.mechanisms.queues import QUOTA_ADVICE, queued_side
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.messages import gettext

__all__ = ["MATURITY", "NAME", "describe", "mistake", "pod_side"]

NAME: Final = "runai"
MATURITY: Final = "alpha"


def mistake(flavor: Flavor, share: Share, count: int) -> Mistake | None:
    """Refuse flavors that Run:ai does not divide, and wishes for more than a GPU has."""
    return parts.refusal(flavor, share, count, NAME, is_declared=flavor.runai is not None)


def pod_side(flavor: Flavor, share: Share, count: int) -> PodSide | None:
    """Ask for a part of each of ``count`` GPUs of one node, or for whole ones."""
    if flavor.runai is None or mistake(flavor, share, count) is not None:
        return None
    return queued_side(flavor, flavor.runai, share, count, NAME)


def describe(flavor: Flavor, share: Share) -> ShareFacts:
    """Say how much is set aside, and whether anything enforces it."""
    if share.kind == "whole":
        return parts.whole_facts(flavor)
    if flavor.runai is not None and flavor.runai.is_memory_enforced:
        isolation = gettext(
            "Run:ai keeps every program to its part of the memory, but a neighbour's crash can "
            "end your work."
        )
    else:
        isolation = gettext(
            "This part of the memory is set aside for you, but nothing keeps a neighbour from "
            "using more, and its crash can end your work."
        )
    return parts.facts(flavor, share, isolation=isolation, advice=QUOTA_ADVICE)
