"""How many pods with parts of cards a node takes, and what the next one would hold.

Decides only who counts: cards that a node lists (``cards``), or groups of pods (``groups``). A node
whose annotations or labels say too little is unknown, which is not the same as full. Nothing here
looks at CPUs, memory or the number of pods, except that KAI's reservations are pods too.

HAMi drops a node's cards when its device plugin has been silent for a minute *and* the node offers
no card any more (``CheckHealth`` in pkg/device/devices.go). Without the latter no pod fits by the
ordinary rules either, so the age of the handshake, and with it the clock, is not needed.
"""

from itertools import count
from typing import Final, NamedTuple

from gpu_spawner.core.cluster.card_shares import HAMI, KAI, VOLCANO, CardRegister, HeldShare
from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.snapshot import NO_LOAD, NodeLoad
from gpu_spawner.core.devices.fractions.card_seats import seats_beside
from gpu_spawner.core.devices.fractions.cards import (
    CardState,
    Lack,
    cards_beside,
    choose_parts,
    find_lack,
)
from gpu_spawner.core.devices.fractions.groups import (
    choose_groups,
    grouped_cards,
    seats_in_groups,
)
from gpu_spawner.core.devices.fractions.request import (
    GPU,
    FractionRequest,
    whole_cards,
)
from gpu_spawner.core.messages import gettext
from gpu_spawner.core.resources import ResourceVector

__all__ = [
    "SCHEDULER_NAMES",
    "CardsLeft",
    "cards_left",
    "count_parts",
    "fraction_asked",
    "register_for",
    "share_for",
    "states_of",
    "why_unknown",
]

SCHEDULER_NAMES: Final = {HAMI: "HAMi", VOLCANO: "Volcano"}
"""What the schedulers are called whose cards nodes list."""

_MOST: Final = 100_000  # more pods than any node runs


def fraction_asked(
    request: FractionRequest | None, requests: ResourceVector, node: Node
) -> FractionRequest | None:
    """Return what a pod asks of a node's divided cards; None where that is nothing.

    On a node whose cards HAMi divides, a pod that plainly asks for cards gets them to itself,
    though ``allocatable`` has ten of each.
    """
    if request is not None or not node.card_registers:
        return request
    cards = requests.amount(GPU)
    if cards and any(register.scheme == HAMI for register in node.card_registers):
        return whole_cards(cards)
    return None


def why_unknown(request: FractionRequest, node: Node) -> str:
    """Return why it cannot be known what is left of a node's cards; empty where it can."""
    if not request.has_register:
        cards = grouped_cards(request, node, NO_LOAD)
        if cards.whole and not cards.is_memory_known and request.asks[0].memory_mib:
            return gettext("the node does not say how much memory its GPUs have")
        return ""
    register = register_for(request, node)
    if register is None:
        return ""
    name = SCHEDULER_NAMES[register.scheme]
    if register.unreadable:
        return gettext(
            "what {name} says of the node's GPUs cannot be read: {reason}",
            name=name,
            reason=register.unreadable,
        )
    if register.scheme == VOLCANO and any(card.mode == "mig" for card in register.cards):
        return gettext("into which MIG slices Volcano would cut the node's GPUs is not known")
    return ""


def count_parts(request: FractionRequest, node: Node, load: NodeLoad, most: int = _MOST) -> int:
    """Return how many such pods get their parts beside a load, one after another.

    Args:
        request: what each of them asks for.
        node: the node; with unknown cards it takes none.
        load: what its pods hold.
        most: where to stop counting.
    """
    if most <= 0 or (request.has_register and not node.card_registers):
        return 0
    if why_unknown(request, node):
        return 0
    if not request.has_register:
        return seats_in_groups(grouped_cards(request, node, load), request, most)
    register = register_for(request, node)
    return seats_beside(register, _held(load), request, most) if register is not None else 0


class CardsLeft(NamedTuple):
    """What is left of a node's cards for one more part.

    Attributes:
        most_mib: of memory, the most on one card that may be shared further; None where there is
            no such card.
        out_of_service: cards that are ill or put aside.
    """

    most_mib: int | None
    out_of_service: int


def cards_left(request: FractionRequest, node: Node, load: NodeLoad) -> CardsLeft:
    """Look at the cards of a node one by one; a node whose cards are unknown has none."""
    if why_unknown(request, node):
        return CardsLeft(None, 0)
    if not request.has_register:
        cards = grouped_cards(request, node, load)
        if not cards.takes_parts or not cards.is_memory_known:
            return CardsLeft(None, 0)
        rooms = [max(free, 0) for free in cards.free_mib.values()]
        return CardsLeft(max([*rooms, *[cards.card_mib] * bool(cards.whole)], default=None), 0)
    states = states_of(request, node, load)
    lacks = [(state, find_lack(state, request, request.asks[0])) for state in states]
    rooms = [
        max(state.card.memory_mib - state.memory_mib, 0)
        for state, lack in lacks
        if lack in (None, Lack.MEMORY)
    ]
    ill = sum(lack in (Lack.UNHEALTHY, Lack.CORDONED) for _, lack in lacks)
    return CardsLeft(max(rooms, default=None), ill)


def share_for(
    request: FractionRequest, node: Node, load: NodeLoad, new_name: str
) -> HeldShare | None:
    """Return what one more such pod would hold; None where it gets nothing.

    Args:
        request: what it asks for.
        node: where it would run.
        load: what is held there already.
        new_name: how to begin the names of groups that do not exist yet.
    """
    if why_unknown(request, node):
        return None
    if request.has_register:
        parts = choose_parts(states_of(request, node, load), request)
        return HeldShare(scheme=request.held_scheme, parts=parts) if parts is not None else None
    names = (f"{new_name}/{number}" for number in count())
    chosen = choose_groups(grouped_cards(request, node, load), request, names)
    if chosen is None:
        return None
    groups, opened = chosen
    ask = request.asks[0]
    return HeldShare(
        scheme=KAI,
        groups=groups,
        portion=ask.portion,
        memory_mib=ask.memory_mib,
        own_cards=opened,
    )


def register_for(request: FractionRequest, node: Node) -> CardRegister | None:
    """Return the cards of a node that a request's scheduler divides; None where there are none."""
    return next((one for one in node.card_registers if one.scheme == request.scheme), None)


def states_of(request: FractionRequest, node: Node, load: NodeLoad) -> list[CardState]:
    """Return the listed cards of a node with what its pods hold of them."""
    register = register_for(request, node)
    if register is None:
        return []
    return cards_beside(register, _held(load))


def _held(load: NodeLoad) -> list[HeldShare]:
    return [pod.held_share for pod in load.holders if pod.held_share is not None]
