"""Graphics cards that are divided between pods, and the parts that pods hold of them.

The schedulers that divide cards (HAMi, Volcano, KAI, Run:ai) note both in annotations and labels;
``card_annotations`` reads those. How much is left of a card is for
:mod:`gpu_spawner.core.devices.fractions`.
"""

from typing import Final

import msgspec

__all__ = [
    "HAMI",
    "KAI",
    "VOLCANO",
    "Card",
    "CardPart",
    "CardRegister",
    "HeldShare",
    "MigPlace",
    "MigProfile",
]

HAMI: Final = "hami"
VOLCANO: Final = "volcano"
KAI: Final = "kai"
"""KAI and Run:ai, which note what pods hold in the same way."""

MigPlace = tuple[int, int]
"""Start and size of a MIG slice on its card, in memory slices."""


class MigProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A MIG profile that HAMi may cut a card into, and where on the card."""

    name: str = ""
    memory_mib: int = 0
    cores: int = 0
    slices: int = 0
    places: tuple[MigPlace, ...] = ()


class Card(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """A card of a node.

    Attributes:
        uuid: NVIDIA's name of the card.
        slots: how many containers may hold a part of it.
        memory_mib: what may be promised, which is more than it has where the site scales memory.
        cores: percent of compute that may be promised; 100 unless the site scales it.
        model: as the driver calls it.
        mode: ``hami-core``, ``mig`` or ``mps``; empty where it was not said.
        mig_profiles: what it can be cut into, for mode ``mig``.
    """

    uuid: str
    slots: int
    memory_mib: int
    cores: int = 100
    model: str = ""
    mode: str = ""
    is_healthy: bool = True
    mig_profiles: tuple[MigProfile, ...] = ()


class CardRegister(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """The cards of a node that one scheduler divides.

    Attributes:
        scheme: ``hami`` or ``volcano``.
        cordoned: uuids of cards that take nobody new.
        unreadable: what is wrong with the annotation; then there are no cards, which means unknown.
    """

    scheme: str
    cards: tuple[Card, ...] = ()
    cordoned: frozenset[str] = frozenset()
    unreadable: str = ""


class CardPart(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a pod holds of one card; ``slots`` counts its containers there."""

    uuid: str
    memory_mib: int = 0
    cores: int = 0
    slots: int = 1
    mig_place: MigPlace | None = None


class HeldShare(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What a pod holds of divided cards.

    Attributes:
        scheme: ``hami``, ``volcano`` or ``kai``.
        parts: of cards named by uuid (HAMi, Volcano).
        groups: the cards it shares, by the names of their groups (KAI).
        portion: the part of each of them, if that is how it was asked for; else 0.
        memory_mib: the memory of each of them, if that is how it was asked for; else 0.
        is_reservation: whether it is the pod with which KAI keeps a whole card from others.
        own_cards: whole cards among the pod's requests that stand for reservations of its own.
    """

    scheme: str
    parts: tuple[CardPart, ...] = ()
    groups: tuple[str, ...] = ()
    portion: float = 0.0
    memory_mib: int = 0
    is_reservation: bool = False
    own_cards: int = 0
