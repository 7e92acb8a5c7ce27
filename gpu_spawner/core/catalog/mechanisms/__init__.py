"""The ways of obtaining a share of a GPU, one module each, and the table that names them.

Another mechanism is one more module and one more line in ``MECHANISMS``.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.mechanisms import (
    dra_capacity,
    dra_claim,
    dra_mig,
    dra_whole,
    hami,
    kai,
    mig,
    replica,
    runai,
    volcano,
    whole,
)
from gpu_spawner.core.catalog.mechanisms.base import Mechanism, Mistake, PodSide, ShareFacts
from gpu_spawner.core.catalog.model import Share

__all__ = [
    "MECHANISMS",
    "Mechanism",
    "Mistake",
    "PodSide",
    "ShareFacts",
    "describe_share",
    "find_mistake",
    "pod_sides",
]

MECHANISMS: Final[Mapping[str, Mechanism]] = MappingProxyType(
    {
        module.NAME: module
        for module in (
            whole,
            mig,
            dra_whole,
            dra_mig,
            dra_capacity,
            dra_claim,
            hami,
            volcano,
            kai,
            runai,
            replica,
        )
    }
)
"""By name, in the order in which they are tried where a flavor does not say: what the hardware
keeps apart comes first, then what a scheduler keeps account of, last what nobody does."""

_OBVIOUS: Final[Mapping[str, str]] = MappingProxyType(
    {"whole": "whole", "mig": "mig", "replica": "replica", "claim": "dra-claim"}
)
"""What a share was probably meant to be obtained by, where nothing can give it."""


def pod_sides(flavor: Flavor, share: Share, count: int) -> Iterator[tuple[str, PodSide]]:
    """Yield every mechanism that can give a share of a flavor, with what it puts into the pod."""
    for mechanism in _candidates(flavor):
        side = mechanism.pod_side(flavor, share, count)
        if side is not None:
            yield mechanism.NAME, side


def find_mistake(flavor: Flavor, share: Share, count: int) -> Mistake | None:
    """Return why no mechanism can ever give this share of this flavor, or None where one can."""
    found = {}
    for mechanism in _candidates(flavor):
        mistake = mechanism.mistake(flavor, share, count)
        if mistake is None:
            return None
        found[mechanism.NAME] = mistake
    for mistake in found.values():
        if mistake.is_declared:
            return mistake
    if flavor.mechanisms:
        return Mistake(
            part="share",
            message=f"got '{share.label}', but flavor '{flavor.name}' is only had by "
            f"{', '.join(flavor.mechanisms)}",
            cure="Use another share, or add to the flavor's mechanisms.",
        )
    if share.kind in _OBVIOUS:
        return found[_OBVIOUS[share.kind]]
    return Mistake(
        part="share",
        message=f"got '{share.label}', but flavor '{flavor.name}' declares no way to divide its "
        "GPUs by memory",
        cure="Declare one in the flavor: mig.profiles, dra.memory_capacity, hami, volcano, kai, "
        "runai, or sharing with strategy mps.",
    )


_DESCRIBED_MOST: Final = 4096
_described: Final[dict[tuple[int, Share, str], tuple[Flavor, ShareFacts]]] = {}


def describe_share(flavor: Flavor, share: Share, mechanism: str = "") -> ShareFacts:
    """Say what one of a share means, obtained by one mechanism or by the first there is."""
    # By identity: a page asks a thousand times, and hashing a flavor costs as much as the answer.
    key = (id(flavor), share, mechanism)
    known = _described.get(key)
    if known is None:
        if len(_described) >= _DESCRIBED_MOST:
            _described.clear()
        # With its flavor, so that no other one can be at the same address.
        known = _described[key] = flavor, _describe(flavor, share, mechanism)
    return known[1]


def _describe(flavor: Flavor, share: Share, mechanism: str) -> ShareFacts:
    for candidate in _candidates(flavor):
        is_meant = mechanism in ("", candidate.NAME)
        if is_meant and candidate.mistake(flavor, share, 1) is None:
            return candidate.describe(flavor, share)
    return MECHANISMS[_OBVIOUS.get(share.kind, "replica")].describe(flavor, share)


def _candidates(flavor: Flavor) -> Iterator[Mechanism]:
    for name in flavor.mechanisms or MECHANISMS:
        mechanism = MECHANISMS.get(name)
        if mechanism is not None:
            yield mechanism
