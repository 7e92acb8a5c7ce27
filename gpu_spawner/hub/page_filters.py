"""What a card is found by among many, and the amounts that can be chosen on it."""

from collections.abc import Iterator, Sequence
from typing import Final

from gpu_spawner.core.catalog.model import Catalog, Profile, Selection
from gpu_spawner.core.catalog.share_meaning import meanings
from gpu_spawner.core.messages import gettext
from gpu_spawner.core.quantity import format_bytes
from gpu_spawner.core.wording import gigabytes
from gpu_spawner.hub.page_model import AmountView, Card, Filters
from gpu_spawner.hub.page_words import cores_words

__all__ = ["amount_views", "filters_of", "most_memory"]

_MANY: Final = 6
"""Up to so many cards are looked through faster than a filter is set."""


def filters_of(cards: Sequence[Card], catalog: Catalog) -> Filters | None:
    """Return what the cards can be found by; None where there are few, or nothing to go by."""
    if len(cards) <= _MANY or not any(card.category or card.flavors for card in cards):
        return None
    flavors = dict.fromkeys(name for card in cards for name in card.flavors)
    return Filters(
        categories=tuple(dict.fromkeys(card.category for card in cards if card.category)),
        flavors=tuple(
            (name, catalog.flavors[name].display_name)
            for name in flavors
            if name in catalog.flavors
        ),
        memories=tuple(sorted({card.memory_gb for card in cards if card.memory_gb})),
    )


def most_memory(catalog: Catalog, profile: Profile) -> int:
    """Return how much GPU memory, in GB, the largest server of a profile has; 0 where unknown."""
    most = 0
    for choice in profile.choices:
        for facts in meanings(catalog, choice):
            most = max(most, choice.count * (facts.memory_bytes or 0))
    return round(most / 10**9)


def amount_views(profile: Profile, selection: Selection | None) -> tuple[AmountView, ...]:
    """Return what may be chosen of CPU and memory, with what is selected of it."""
    return tuple(_amount_views(profile, selection))


def _amount_views(profile: Profile, selection: Selection | None) -> Iterator[AmountView]:
    cpu, memory = profile.resources.cpu_choices, profile.resources.memory_choices
    denied = {one.option: one.message for one in profile.denied}
    if cpu:
        chosen = selection.cpu_milli if selection is not None else None
        yield AmountView(
            name="cpu",
            title=gettext("CPU"),
            values=tuple((f"{one / 1000:g}", cores_words(one)) for one in cpu),
            selected=f"{(cpu[0] if chosen is None else chosen) / 1000:g}",
            denied=denied.get("cpu", ""),
        )
    if memory:
        chosen = selection.memory_bytes if selection is not None else None
        yield AmountView(
            name="memory",
            title=gettext("Memory"),
            values=tuple((format_bytes(one), gigabytes(one)) for one in memory),
            selected=format_bytes(memory[0] if chosen is None else chosen),
            denied=denied.get("memory", ""),
        )
