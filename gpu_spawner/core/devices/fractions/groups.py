"""Cards that KAI and Run:ai divide: which are shared already, and how many are still whole.

A pod with a part of a card belongs to the card's group, and one more pod, the reservation, takes
the whole card in the eyes of Kubernetes. Decides how many more pods fit into the groups of a node
and onto its whole cards. The rules are those of KAI 0.17 (pkg/scheduler/api/node_info). What the
queue of a pod may still have is not looked at: seats are at most as many as are said here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from gpu_spawner.core.cluster.card_shares import KAI, HeldShare
from gpu_spawner.core.cluster.objects import Node, Pod
from gpu_spawner.core.cluster.snapshot import NodeLoad
from gpu_spawner.core.devices.fractions.request import BINPACK, CardAsk, FractionRequest
from gpu_spawner.core.resources import PODS

__all__ = ["GroupedCards", "choose_groups", "grouped_cards", "mib_of", "seats_in_groups"]

_MEMORY_LABEL: Final = "nvidia.com/gpu.memory"
_MIG_ENABLED_LABEL: Final = "node-role.kubernetes.io/mig-enabled"
_MIG_STRATEGY_LABEL: Final = "nvidia.com/mig.strategy"
_MIG_RESOURCE: Final = "nvidia.com/mig-"
_TIB_IN_MIB: Final = 2**20
_MIB: Final = 2**20
_STEP_MIB: Final = 100
_UNKNOWN_MEMORY: Final = 100


@dataclass(slots=True, kw_only=True)
class GroupedCards:
    """The cards of a node as KAI sees them.

    Attributes:
        card_mib: memory of each card, rounded down to hundreds as KAI does; 100, with which parts
            are percent, where the node does not say.
        is_memory_known: whether the node says it.
        whole: cards nobody holds.
        free_mib: what is left of each card that is shared, by group. Groups that nobody may join,
            because all their pods are ending, are not among them.
        pods_left: how many more pods the node takes, reservations included.
        takes_parts: False on nodes with MIG, where KAI places no parts of cards.
    """

    card_mib: int
    is_memory_known: bool = True
    whole: int = 0
    free_mib: dict[str, int] = field(default_factory=dict)
    pods_left: int = 0
    takes_parts: bool = True


@dataclass(slots=True)
class _Group:
    used_mib: int = 0
    is_joinable: bool = False


def grouped_cards(request: FractionRequest, node: Node, load: NodeLoad) -> GroupedCards:
    """Work out what a load leaves of a node's cards."""
    card_mib = _card_mib(node)
    cards = GroupedCards(
        card_mib=card_mib or _UNKNOWN_MEMORY,
        is_memory_known=bool(card_mib),
        pods_left=node.allocatable.amount(PODS) - len(load.holders),
        takes_parts=not _refuses_parts(node),
    )
    groups: dict[str, _Group] = {}
    taken = 0
    for pod in load.holders:
        held = pod.held_share
        asked = pod.requests.amount(request.resource)
        if held is None or held.scheme != KAI:
            taken += asked
            continue
        # The cards of reservations are those of the groups, which are counted once each.
        taken += 0 if held.is_reservation else asked - held.own_cards
        _join(groups, held, pod, cards.card_mib)
    cards.whole = max(node.allocatable.amount(request.resource) - taken - len(groups), 0)
    cards.free_mib = {
        name: cards.card_mib - group.used_mib for name, group in groups.items() if group.is_joinable
    }
    return cards


def mib_of(ask: CardAsk | HeldShare, card_mib: int) -> int:
    """Return how much of a card is meant, in MiB; at least one."""
    return max(ask.memory_mib or int(ask.portion * card_mib), 1)


def seats_in_groups(cards: GroupedCards, request: FractionRequest, most: int) -> int:
    """Return how many such pods are served one after another, at most ``most``."""
    ask = request.asks[0]
    if not _is_servable(cards, ask):
        return 0
    mib = mib_of(ask, cards.card_mib)
    per_card = cards.card_mib // mib
    if ask.cards > 1:
        orders = (True, False) if not request.policy else (request.policy == BINPACK,)
        return min(_serve(cards, ask, most, is_packing=order) for order in orders)
    joining = sum(max(free, 0) // mib for free in cards.free_mib.values())
    if joining >= cards.pods_left:
        return max(min(joining, cards.pods_left, most), 0)
    # Every card that is opened takes the place of one pod for its reservation.
    left = cards.pods_left - joining
    opened = min(cards.whole, left // (per_card + 1)) if per_card else 0
    seats = joining + opened * per_card
    if opened < cards.whole and per_card:
        seats += max(left - opened * (per_card + 1) - 1, 0)
    return min(seats, most)


def choose_groups(
    cards: GroupedCards, request: FractionRequest, new_names: Iterable[str]
) -> tuple[tuple[str, ...], int] | None:
    """Choose the groups of one pod; None where it is not served.

    Args:
        cards: what there is.
        request: what it asks for.
        new_names: what to call the groups of cards that were whole.

    Returns:
        The groups, and how many of them are new.
    """
    ask = request.asks[0]
    if not _is_servable(cards, ask):
        return None
    mib = mib_of(ask, cards.card_mib)
    joined = sorted(
        (free, name) for name, free in cards.free_mib.items() if free >= mib
    )  # the fullest first: KAI packs the cards of a node by default
    if request.policy and request.policy != BINPACK:
        joined.reverse()
    names = [name for _, name in joined[: ask.cards]]
    missing = ask.cards - len(names)
    if missing > cards.whole or mib > cards.card_mib or missing + 1 > cards.pods_left:
        return None
    fresh = [name for _, name in zip(range(missing), new_names, strict=False)]
    return (*names, *fresh), missing


def _serve(cards: GroupedCards, ask: CardAsk, most: int, *, is_packing: bool) -> int:
    """Count pods with parts of several cards, served one after another."""
    mib = mib_of(ask, cards.card_mib)
    rooms = [free // mib for free in cards.free_mib.values() if free >= mib]
    whole, pods_left = cards.whole, cards.pods_left
    per_card = cards.card_mib // mib
    for count in range(most):
        rooms.sort(reverse=not is_packing)
        chosen = min(len(rooms), ask.cards) if is_packing else 0
        missing = ask.cards - chosen
        if not is_packing:
            missing = min(whole, ask.cards)
            chosen = ask.cards - missing
        if missing > whole or chosen > len(rooms) or not per_card or missing + 1 > pods_left:
            return count
        rooms = [room - 1 for room in rooms[:chosen]] + rooms[chosen:] + [per_card - 1] * missing
        rooms = [room for room in rooms if room]
        whole -= missing
        pods_left -= missing + 1
    return most


def _is_servable(cards: GroupedCards, ask: CardAsk) -> bool:
    return cards.takes_parts and (cards.is_memory_known or not ask.memory_mib)


def _join(groups: dict[str, _Group], held: HeldShare, pod: Pod, card_mib: int) -> None:
    for name in held.groups:
        group = groups.setdefault(name, _Group())
        if not held.is_reservation:
            group.used_mib += mib_of(held, card_mib)
            group.is_joinable = group.is_joinable or not pod.is_terminating


def _card_mib(node: Node) -> int:
    """Return the memory of each card, 0 where the node does not say; old labellers said bytes."""
    text = node.labels.get(_MEMORY_LABEL, "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        return 0
    amount = int(text)
    mib = amount if amount < _TIB_IN_MIB else amount // _MIB
    return mib - mib % _STEP_MIB


def _refuses_parts(node: Node) -> bool:
    marked = node.labels.get(_MIG_ENABLED_LABEL)
    has_mig = (
        marked.lower() in ("1", "t", "true")
        if marked is not None
        else any(name.startswith(_MIG_RESOURCE) for name in node.allocatable)
    )
    return has_mig and node.labels.get(_MIG_STRATEGY_LABEL) in ("single", "mixed")
