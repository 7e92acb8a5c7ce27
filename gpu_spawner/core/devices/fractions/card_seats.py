"""How many pods the listed cards of a node serve, one after another.

Decides nothing that ``cards`` does not decide: it counts without handing out part after part where
that comes to the same, and it counts cards once that look alike, on whichever nodes they are.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

import msgspec

from gpu_spawner.core.cluster.card_shares import Card, CardRegister, HeldShare, MigPlace
from gpu_spawner.core.devices.fractions.cards import (
    CardState,
    capacity,
    cards_beside,
    eagerness,
    fill,
    is_any_cut,
)
from gpu_spawner.core.devices.fractions.request import BINPACK, SPREAD, CardAsk, FractionRequest

__all__ = ["seats_beside", "seats_on"]

_LOOKS_KEPT: Final = 16_384
_COUNTS_KEPT: Final = 65_536
_LEAST_LIMIT: Final = 128  # about as many as a node runs; limits beyond it are powers of two


class _Look(NamedTuple):
    """A card with what is held of it; its ``uuid`` is its place on the node."""

    card: Card
    is_cordoned: bool
    slots: int
    memory_mib: int
    cores: int
    places: tuple[MigPlace, ...]
    has_lost_places: bool


def seats_beside(
    register: CardRegister, held: Iterable[HeldShare], request: FractionRequest, most: int
) -> int:
    """Return how many such pods get parts of a node's cards, at most ``most``.

    Args:
        register: the cards.
        held: what pods hold of them.
        request: what each pod asks for.
        most: where to stop counting.
    """
    if most <= 0:
        return 0
    limit = max(1 << (most - 1).bit_length(), _LEAST_LIMIT)
    return min(most, _seats(request, _looks(register, tuple(held)), limit))


def seats_on(states: Sequence[CardState], request: FractionRequest, most: int) -> int:
    """Return how many such pods are served one after another, at most ``most``."""
    is_simple = len(request.asks) == 1 and not is_any_cut(states)
    if is_simple and request.asks[0].cards == 1:
        ask = request.asks[0]
        return min(most, sum([capacity(state, request, ask) for state in states]))
    policies = (request.policy,) if request.policy else (BINPACK, SPREAD)
    for policy in policies:  # the one with fewer seats decides
        wish = msgspec.structs.replace(request, policy=policy)
        most = _serve_simply(states, wish, most) if is_simple else fill(states, wish, most)[0]
    return most


@lru_cache(maxsize=_LOOKS_KEPT)
def _looks(register: CardRegister, held: tuple[HeldShare, ...]) -> tuple[_Look, ...]:
    return tuple(
        [
            _Look(
                card=_at_place(state.card, place),
                is_cordoned=state.is_cordoned,
                slots=state.slots,
                memory_mib=state.memory_mib,
                cores=state.cores,
                places=tuple(state.places),
                has_lost_places=state.has_lost_places,
            )
            for place, state in enumerate(cards_beside(register, held))
        ]
    )


@lru_cache(maxsize=_LOOKS_KEPT)
def _at_place(card: Card, place: int) -> Card:
    return msgspec.structs.replace(card, uuid=str(place))


@lru_cache(maxsize=_COUNTS_KEPT)
def _seats(request: FractionRequest, looks: tuple[_Look, ...], limit: int) -> int:
    states = [
        CardState(
            card=look.card,
            is_cordoned=look.is_cordoned,
            slots=look.slots,
            memory_mib=look.memory_mib,
            cores=look.cores,
            places=list(look.places),
            has_lost_places=look.has_lost_places,
        )
        for look in looks
    ]
    return seats_on(states, request, limit)


class _Room:
    """A card that takes so many containers more."""

    __slots__ = ("ask", "left", "request", "state")

    def __init__(self, state: CardState, request: FractionRequest, ask: CardAsk, left: int) -> None:
        self.state = state
        self.request = request
        self.ask = ask
        self.left = left

    def take(self, count: int) -> None:
        """Take containers."""
        self.state.add_many(self.request, self.ask, count)
        self.left -= count

    @property
    def eagerness(self) -> float:
        """How late the card is tried."""
        return eagerness(self.state, self.request, self.ask)


def _serve_simply(states: Sequence[CardState], request: FractionRequest, most: int) -> int:
    """Serve pods of one container, in which each gets parts of several cards that are not cut."""
    ask = request.asks[0]
    rooms = [
        _Room(state.copy(), request, ask, left)
        for state in states
        if (left := capacity(state, request, ask)) > 0
    ]
    if request.policy == BINPACK:
        return _pack(rooms, ask.cards, most)
    return _spread(rooms, ask.cards, most)


def _pack(rooms: list[_Room], cards: int, most: int) -> int:
    """Fill the fullest cards first; taking more, they stay the fullest until one is full."""
    served = 0
    while len(rooms) >= cards and served < most:
        rooms_by_load = sorted(rooms, key=lambda room: room.eagerness)
        chosen = rooms_by_load[:cards]
        count = min(most - served, *[room.left for room in chosen])
        for room in chosen:
            room.take(count)
        served += count
        rooms = [room for room in rooms if room.left]
    return served


def _spread(rooms: list[_Room], cards: int, most: int) -> int:
    """Take the emptiest cards for each pod."""
    queue = [(room.eagerness, place) for place, room in enumerate(rooms)]
    heapify(queue)
    for served in range(most):
        if len(queue) < cards:
            return served
        for _, place in [heappop(queue) for _ in range(cards)]:
            room = rooms[place]
            room.take(1)
            if room.left:
                heappush(queue, (room.eagerness, place))
    return most
