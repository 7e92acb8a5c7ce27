"""Cards that are listed one by one, as HAMi and Volcano divide them between containers.

Decides whether a card takes a container, and which cards a pod is given, one pod after another. The
rules are those of ``Fit`` in HAMi 2.10 (pkg/device/nvidia/device.go) and of
``checkNodeGPUSharingPredicateAndScore`` in Volcano 1.15
(pkg/scheduler/api/devices/nvidia/vgpu/utils.go), which descend from each other. Quotas of
namespaces are not looked at. Volcano takes unhealthy cards too, where no container would start;
here nobody does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from gpu_spawner.core.cluster.card_shares import (
    HAMI,
    VOLCANO,
    Card,
    CardPart,
    CardRegister,
    HeldShare,
    MigPlace,
)
from gpu_spawner.core.devices.fractions.request import BINPACK, CardAsk, FractionRequest

__all__ = [
    "CardState",
    "Lack",
    "capacity",
    "cards_beside",
    "choose_parts",
    "eagerness",
    "fill",
    "find_lack",
    "is_any_cut",
]

_MIG: Final = "mig"
_WHOLE: Final = 100


class Lack(StrEnum):
    """Why a card does not take a container (more)."""

    UNHEALTHY = "unhealthy"
    CORDONED = "cordoned"
    MODEL = "model"
    MODE = "mode"
    SLOTS = "slots"
    MEMORY = "memory"
    CORES = "cores"
    SHARED = "shared"
    TAKEN_WHOLE = "taken whole"
    PLACE = "place"


@dataclass(slots=True, kw_only=True)
class CardState:
    """A card with what containers hold of it."""

    card: Card
    is_cordoned: bool = False
    slots: int = 0
    memory_mib: int = 0
    cores: int = 0
    places: list[MigPlace] = field(default_factory=list)
    has_lost_places: bool = False

    def add(self, part: CardPart) -> None:
        """Take a container's part."""
        self.slots += part.slots
        self.memory_mib += part.memory_mib
        self.cores += part.cores
        if part.mig_place is not None:
            self.places.append(part.mig_place)
        elif self.card.mode == _MIG:
            self.has_lost_places = True

    def add_many(self, request: FractionRequest, ask: CardAsk, count: int) -> None:
        """Take so many containers; the card is not cut into slices."""
        self.slots += count
        self.memory_mib += count * _memory_on(self.card, request, ask)
        self.cores += count * min(ask.cores, _WHOLE)

    def copy(self) -> "CardState":
        """Return one that can be changed by itself."""
        return replace(self, places=list(self.places))


def cards_beside(register: CardRegister, held: Iterable[HeldShare]) -> list[CardState]:
    """Return a node's cards with what its pods hold; parts of cards it has no more are ignored."""
    states = {
        card.uuid: CardState(card=card, is_cordoned=card.uuid in register.cordoned)
        for card in register.cards
    }
    for share in held:
        for part in share.parts if share.scheme == register.scheme else ():
            if part.uuid in states:
                states[part.uuid].add(part)
    return list(states.values())


def fill(
    states: Sequence[CardState], request: FractionRequest, most: int
) -> tuple[int, list[CardState]]:
    """Serve pods until one is not served or ``most`` are; return how many, and the cards then."""
    present = [state.copy() for state in states]
    for count in range(most):
        if choose_parts(present, request) is None:
            return count, present
    return most, present


def choose_parts(
    states: Sequence[CardState], request: FractionRequest
) -> tuple[CardPart, ...] | None:
    """Serve one pod and return its parts; None, and nothing is changed, where it is not served."""
    if len(request.asks) == 1 and not is_any_cut(states):
        chosen = _choose_for(states, request, request.asks[0])
        return None if chosen is None else tuple(chosen)
    trial = [state.copy() for state in states]
    parts: list[CardPart] = []
    for ask in request.asks:
        chosen = _choose_for(trial, request, ask)
        if chosen is None:
            return None
        parts += chosen
    by_uuid = {state.card.uuid: state for state in states}
    for part in parts:
        by_uuid[part.uuid].add(part)
    return tuple(parts)


def find_lack(state: CardState, request: FractionRequest, ask: CardAsk) -> Lack | None:
    """Return the first rule by which a card does not take a container, or None."""
    return _find_mismatch(state, request) or _find_shortage(state, request, ask)


def _find_mismatch(state: CardState, request: FractionRequest) -> Lack | None:
    """Return what is wrong with a card whatever is held of it."""
    card = state.card
    if not card.is_healthy:
        return Lack.UNHEALTHY
    if state.is_cordoned:
        return Lack.CORDONED
    if not _is_wanted_model(card, request):
        return Lack.MODEL
    return Lack.MODE if request.mode and card.mode not in request.mode else None


def _find_shortage(state: CardState, request: FractionRequest, ask: CardAsk) -> Lack | None:
    """Return what a card has too little of."""
    card = state.card
    total = _WHOLE if request.scheme == VOLCANO else card.cores
    cores = min(ask.cores, _WHOLE)
    memory = _memory_on(card, request, ask)
    lack: Lack | None = None
    if state.slots >= card.slots:
        lack = Lack.SLOTS
    elif card.memory_mib - state.memory_mib < memory:
        lack = Lack.MEMORY
    elif total - state.cores < cores:
        lack = Lack.CORES
    elif cores == total == _WHOLE and state.slots:
        lack = Lack.SHARED
    elif not cores and total and state.cores == total:
        lack = Lack.TAKEN_WHOLE
    elif card.mode == _MIG and _find_slice(state, memory) is None:
        lack = Lack.PLACE
    return lack


def _choose_for(
    states: Sequence[CardState], request: FractionRequest, ask: CardAsk
) -> list[CardPart] | None:
    """Serve one container on cards in the order of the policy, each card once unless it is cut.

    Where it is not served, cards that are not cut into slices are left as they were.
    """
    fitting = [state for state in states if find_lack(state, request, ask) is None]
    is_cut = is_any_cut(fitting)
    if len(fitting) < ask.cards and not is_cut:
        return None
    chosen: list[CardPart] = []
    for state in sorted(fitting, key=lambda state: eagerness(state, request, ask)):
        while len(chosen) < ask.cards and find_lack(state, request, ask) is None:
            part = _part(state, request, ask)
            state.add(part)
            chosen.append(part)
            if state.card.mode != _MIG:
                break
    return chosen if len(chosen) == ask.cards else None


def eagerness(state: CardState, request: FractionRequest, ask: CardAsk) -> float:
    """Return how late a card is tried: the emptiest first (spread) or last (binpack)."""
    card = state.card
    if not (card.slots and card.cores and card.memory_mib):
        return 0.0
    memory = _memory_on(card, request, ask)
    load = (
        (state.slots + 1) / card.slots
        + (state.cores + ask.cores) / card.cores
        + (state.memory_mib + memory) / card.memory_mib
    )
    return -load if request.policy == BINPACK else load


def _part(state: CardState, request: FractionRequest, ask: CardAsk) -> CardPart:
    card = state.card
    memory, cores = _memory_on(card, request, ask), min(ask.cores, _WHOLE)
    found = _find_slice(state, memory) if card.mode == _MIG else None
    if found is None:
        return CardPart(uuid=card.uuid, memory_mib=memory, cores=cores)
    profile_memory, profile_cores, place = found
    return CardPart(uuid=card.uuid, memory_mib=profile_memory, cores=profile_cores, mig_place=place)


def _memory_on(card: Card, request: FractionRequest, ask: CardAsk) -> int:
    """Return the MiB an ask means on a card: with both forms HAMi takes MiB, Volcano percent."""
    if ask.memory_mib and (request.scheme == HAMI or not ask.percent):
        return ask.memory_mib
    return card.memory_mib * (ask.percent or _WHOLE) // 100


def capacity(state: CardState, request: FractionRequest, ask: CardAsk) -> int:
    """Return how many containers a card takes one after another; it is not cut into slices."""
    if find_lack(state, request, ask) is not None:
        return 0
    card = state.card
    total = _WHOLE if request.scheme == VOLCANO else card.cores
    cores = min(ask.cores, _WHOLE)
    room = card.slots - state.slots
    memory = _memory_on(card, request, ask)
    if memory:
        room = min(room, (card.memory_mib - state.memory_mib) // memory)
    if cores:
        room = min(room, (total - state.cores) // cores)
    return min(room, 1) if cores == total == _WHOLE else room


def _is_wanted_model(card: Card, request: FractionRequest) -> bool:
    model = card.model.upper()
    if request.models and not any(name.upper() in model for name in request.models):
        return False
    return not any(name.upper() in model for name in request.other_models)


def is_any_cut(states: Iterable[CardState]) -> bool:
    """Tell whether a card is cut into slices by MIG."""
    return any(state.card.mode == _MIG for state in states)


def _find_slice(state: CardState, memory_mib: int) -> tuple[int, int, MigPlace] | None:
    """Return memory, compute and place of the smallest slice that is big enough and has a place."""
    if state.has_lost_places:  # HAMi holds a card back once it does not know what lies where
        return None
    profiles = sorted(
        state.card.mig_profiles, key=lambda profile: (profile.memory_mib, profile.slices)
    )
    for profile in profiles:
        if profile.memory_mib < memory_mib:
            continue
        from_the_end = profile.name.startswith(("1g.", "3g."))
        for start, size in sorted(profile.places, reverse=from_the_end):
            if not any(
                start < other + length and other < start + size for other, length in state.places
            ):
                return profile.memory_mib, profile.cores, (start, size)
    return None
