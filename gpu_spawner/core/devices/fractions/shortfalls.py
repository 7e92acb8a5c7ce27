"""Why a node takes no pod with a part of a card (more): the facts, in a few words.

Decides only what is said; what is counted is decided in ``counting``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.snapshot import NO_LOAD, NodeLoad
from gpu_spawner.core.devices.fractions.cards import (
    CardState,
    Lack,
    choose_parts,
    fill,
    find_lack,
)
from gpu_spawner.core.devices.fractions.counting import (
    SCHEDULER_NAMES,
    count_parts,
    register_for,
    states_of,
    why_unknown,
)
from gpu_spawner.core.devices.fractions.groups import (
    GroupedCards,
    grouped_cards,
    mib_of,
    seats_in_groups,
)
from gpu_spawner.core.devices.fractions.request import CardAsk, FractionRequest
from gpu_spawner.core.wording import counted

__all__ = ["Shortfall", "shortfalls"]

_PERMANENT: Final = frozenset({Lack.MODEL, Lack.MODE})


class Shortfall(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a node takes no pod (more).

    Attributes:
        detail: the facts.
        is_permanent: whether it would be so even if every pod left the node.
    """

    detail: str
    is_permanent: bool = False


def shortfalls(
    request: FractionRequest, node: Node, load: NodeLoad, placed: int
) -> tuple[Shortfall, ...]:
    """Return why no pod more than ``placed`` gets its parts; empty where one does."""
    unknown = why_unknown(request, node)
    if unknown:
        return (Shortfall(detail=unknown),)
    if not request.has_register:
        return _group_shortfalls(request, grouped_cards(request, node, load), placed)
    register = register_for(request, node)
    if register is None:
        name = SCHEDULER_NAMES[request.scheme]
        return (Shortfall(detail=f"{name} lists no GPUs of this node", is_permanent=True),)
    _, states = fill(states_of(request, node, load), request, placed)
    if choose_parts([state.copy() for state in states], request) is not None:
        return ()
    is_permanent = not count_parts(request, node, NO_LOAD, 1)
    for ask in request.asks:
        details = _card_details(states, request, ask)
        if details:
            return tuple(
                Shortfall(detail=detail, is_permanent=is_permanent or lack in _PERMANENT)
                for lack, detail in details
            )
    detail = "its containers together find no GPUs with enough left"
    return (Shortfall(detail=detail, is_permanent=is_permanent),)


def _card_details(
    states: Sequence[CardState], request: FractionRequest, ask: CardAsk
) -> list[tuple[Lack, str]]:
    """Say what each card lacks for one container, equal lacks together; nothing if it is served."""
    lacks = [(state, find_lack(state, request, ask)) for state in states]
    if sum(lack is None for _, lack in lacks) >= ask.cards:
        return []
    if len(states) < ask.cards:
        have = counted(len(states), "GPU")
        return [(Lack.MODEL, f"{ask.cards} GPUs of one node asked, the node has {have}")]
    found = Counter(lack for _, lack in lacks if lack is not None)
    return [
        (lack, _sentence(lack, number, len(states), lacks, ask))
        for lack, number in sorted(found.items())
    ]


def _sentence(
    lack: Lack,
    number: int,
    total: int,
    lacks: Sequence[tuple[CardState, Lack | None]],
    ask: CardAsk,
) -> str:
    states = [state for state, found in lacks if found is lack]
    most_free = max(state.card.memory_mib - state.memory_mib for state in states)
    asked = f"{ask.memory_mib:,} MiB" if ask.memory_mib else f"{ask.percent or 100}% of its memory"
    most_cores = max(state.card.cores - state.cores for state in states)
    words = {
        Lack.UNHEALTHY: "unhealthy",
        Lack.CORDONED: "cordoned",
        Lack.MODEL: "of another model",
        Lack.MODE: "divided in another way",
        Lack.SLOTS: "shared by as many containers as it may be",
        Lack.MEMORY: f"short of memory: {asked} asked, at most {max(most_free, 0):,} MiB free",
        Lack.CORES: f"short of compute: {ask.cores}% asked, at most {max(most_cores, 0)}% free",
        Lack.SHARED: "shared already, and it is wanted alone",
        Lack.TAKEN_WHOLE: "without compute left",
        Lack.PLACE: "without a place for a MIG slice that is big enough",
    }
    return f"{number} of {counted(total, 'GPU')} {'is' if number == 1 else 'are'} {words[lack]}"


def _group_shortfalls(
    request: FractionRequest, cards: GroupedCards, placed: int
) -> tuple[Shortfall, ...]:
    if seats_in_groups(cards, request, placed + 1) > placed:
        return ()
    ask = request.asks[0]
    mib = mib_of(ask, cards.card_mib)
    if not cards.takes_parts:
        detail = "its GPUs are cut by MIG, of which no parts are placed"
        return (Shortfall(detail=detail, is_permanent=True),)
    asked = f"{ask.portion:g} of a GPU" if ask.portion else f"{ask.memory_mib:,} MiB"
    if mib > cards.card_mib:
        detail = f"{asked} asked, a GPU has {cards.card_mib:,} MiB"
        return (Shortfall(detail=detail, is_permanent=True),)
    if ask.cards > 1:
        asked = f"{asked} on each of {ask.cards} GPUs"
    if _has_room_but_for_pods(request, cards, placed):
        detail = "no place is left for one pod more beside the reservation of its GPU"
        return (Shortfall(detail=detail),)
    if not cards.whole and not cards.free_mib:
        return (Shortfall(detail=f"{asked} asked, no GPU is whole or may be shared"),)
    rooms = sorted(cards.free_mib.values(), reverse=True)
    best = f"{max(rooms[0], 0) * 100 // cards.card_mib}%" if rooms else "nothing"
    whole = counted(cards.whole, "whole GPU")
    detail = f"{asked} asked; free are {whole} and at most {best} of a shared one"
    if placed:
        detail = f"{detail}, taken by {counted(placed, 'such server')}"
    return (Shortfall(detail=detail),)


def _has_room_but_for_pods(request: FractionRequest, cards: GroupedCards, placed: int) -> bool:
    unlimited = replace(cards, pods_left=10**9)
    return seats_in_groups(unlimited, request, placed + 1) > placed
