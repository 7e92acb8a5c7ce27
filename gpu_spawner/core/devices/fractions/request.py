"""What a pod asks of a scheduler that divides cards: HAMi, Volcano, KAI or Run:ai.

Decides what belongs to such a request; ``counting`` says how many of them a node takes.
"""

from typing import Final

import msgspec

from gpu_spawner.core.cluster.card_shares import HAMI, KAI, VOLCANO
from gpu_spawner.core.resources import ResourceVector

__all__ = ["BINPACK", "GPU", "RUNAI", "SPREAD", "CardAsk", "FractionRequest", "whole_cards"]

RUNAI: Final = "runai"
GPU: Final = "nvidia.com/gpu"
BINPACK: Final = "binpack"
SPREAD: Final = "spread"


class CardAsk(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What one container asks of cards.

    Attributes:
        cards: of how many cards it wants a part, each on another card.
        memory_mib: of each card's memory; 0 where it is not asked for in MiB.
        percent: of each card's memory, 1 to 100; 0 where it is not asked for so.
        portion: of each card, more than 0 and less than 1 (KAI, Run:ai); 0 where it is not.
        cores: percent of each card's compute; 100 keeps others off the card, 0 asks for none.
    """

    cards: int = 1
    memory_mib: int = 0
    percent: int = 0
    portion: float = 0.0
    cores: int = 0


class FractionRequest(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """Parts of cards one pod asks for; hashable, so that equal requests are counted once.

    Attributes:
        scheme: ``hami``, ``volcano``, ``kai`` or ``runai``.
        asks: one for each container that asks for any, in the order of the containers. KAI and
            Run:ai know one a pod.
        models: of which a card's model must contain one, whatever the case; empty for any.
        other_models: of which it may contain none.
        mode: ``hami-core``, ``mig`` or ``mps``; empty for any.
        policy: ``spread`` or ``binpack``: which cards of a node are taken first. Empty where only
            the scheduler's own settings say; then the policy with fewer seats is assumed.
        resource: the extended resource of the scheme's cards; a node without any has no seats.
        uncounted: extended resources that only the scheme's own scheduler looks at. No node offers
            them, so they must not be compared with what nodes offer.
    """

    scheme: str
    asks: tuple[CardAsk, ...]
    models: tuple[str, ...] = ()
    other_models: tuple[str, ...] = ()
    mode: str = ""
    policy: str = ""
    resource: str = GPU
    uncounted: tuple[str, ...] = ()

    @property
    def held_scheme(self) -> str:
        """Under which scheme pods note what they hold (``HeldShare.scheme``)."""
        return KAI if self.scheme == RUNAI else self.scheme

    @property
    def has_register(self) -> bool:
        """Whether nodes list the cards it is cut from."""
        return self.scheme in (HAMI, VOLCANO)

    def without_uncounted(self, requests: ResourceVector) -> ResourceVector:
        """Return what of a pod's requests Kubernetes' own rules look at."""
        if not any(name in requests for name in self.uncounted):
            return requests
        return ResourceVector(
            {name: amount for name, amount in requests.items() if name not in self.uncounted}
        )


def whole_cards(count: int, resource: str = GPU) -> FractionRequest:
    """Return what HAMi makes of a pod that asks for cards and says nothing of their memory.

    Its webhook adds all of the compute, which keeps others off the cards
    (``defaultExclusiveCoreIfNeeded`` in pkg/device/nvidia/device.go).
    """
    asks = (CardAsk(cards=count, percent=100, cores=100),)
    return FractionRequest(scheme=HAMI, asks=asks, resource=resource)
