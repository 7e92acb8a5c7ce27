"""What the mechanisms have in common that leave the dividing of GPUs to another scheduler.

Decides which shares such a mechanism is asked for at all, and how much memory one of them is.
"""

from typing import Final

from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.mechanisms.base import Mistake, ShareFacts, vendor_of
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.catalog.shares import memory_wanted
from gpu_spawner.core.messages import gettext
from gpu_spawner.core.wording import say_bytes

__all__ = ["MAX_CARDS", "facts", "refusal", "wanted_mib", "whole_facts"]

MAX_CARDS: Final = 64
"""More GPUs than any node has."""

_MIB: Final = 2**20
_KINDS: Final = ("whole", "memory", "fraction")


def refusal(
    flavor: Flavor, share: Share, count: int, name: str, *, is_declared: bool
) -> Mistake | None:
    """Return why a scheduler for parts of GPUs cannot give a share, or None.

    Args:
        flavor: the kind of GPU.
        share: what is wished.
        count: of how many GPUs.
        name: the key of the mechanism in a flavor.
        is_declared: whether the flavor has that key.
    """
    if share.kind not in _KINDS:
        return Mistake(
            part="share",
            message=f"got '{share.label}', which {name} does not give",
            cure="Use share: {memory: [10Gi]} or {fraction: [0.5]}.",
            is_declared=False,
        )
    if not is_declared:
        return Mistake(
            part="share",
            message=f"got '{share.label}', but flavor '{flavor.name}' says nothing about {name}",
            cure=f"Add {name}: {{}} with its settings to the flavor.",
            is_declared=False,
        )
    if vendor_of(flavor.resource) != "nvidia.com":
        return Mistake(
            part="flavors",
            message=f"flavor '{flavor.name}' is {flavor.resource}; {name} divides NVIDIA's here",
            cure=f"Take {name} out of the flavor.",
        )
    wanted = memory_wanted(share, flavor.memory_bytes)
    if wanted is not None and flavor.memory_bytes is not None and wanted > flavor.memory_bytes:
        return Mistake(
            part=f"share.{share.kind}",
            message=f"got {say_bytes(wanted)}; a GPU of flavor '{flavor.name}' has "
            f"{say_bytes(flavor.memory_bytes)}",
            cure="Ask for less.",
        )
    if count > MAX_CARDS:
        return Mistake(
            part="count",
            message=f"got {count}; no node has so many GPUs",
            cure=f"Write at most {MAX_CARDS}.",
        )
    return None


def wanted_mib(flavor: Flavor, share: Share) -> int | None:
    """Return the memory of one share in MiB, never less than what was wished; None if unknown."""
    wanted = memory_wanted(share, flavor.memory_bytes)
    return None if wanted is None else -(-wanted // _MIB)


def whole_facts(flavor: Flavor) -> ShareFacts:
    """Say that it is all yours."""
    return ShareFacts(
        title=gettext("Whole GPU"),
        unit="GPU",
        memory_bytes=flavor.memory_bytes,
        isolation=gettext("The GPU and all of its memory are yours alone."),
    )


def facts(flavor: Flavor, share: Share, *, isolation: str, advice: str) -> ShareFacts:
    """Describe a part of a GPU."""
    return ShareFacts(
        title=gettext("Part of a GPU"),
        unit="share",
        memory_bytes=memory_wanted(share, flavor.memory_bytes),
        isolation=isolation,
        advice=advice,
    )
