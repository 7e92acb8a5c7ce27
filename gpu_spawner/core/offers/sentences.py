"""The sentences of an offer: why a choice can or cannot start now, at a glance.

The one place where counts and rejections become words that a researcher reads. What the scheduler
says about a pod that already waits is put into words by ``core.diagnosis.unschedulable``.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gpu_spawner.core.diagnosis.unschedulable import resource_word
from gpu_spawner.core.placement.fitting import Reason, Rejection
from gpu_spawner.core.wording import counted, listed

__all__ = ["Situation", "Spread", "explain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How the GPUs (slices, shares) of a choice's usable nodes are spread.

    Attributes:
        free, total: over all of the nodes.
        free_nodes: on how many nodes at least one is free.
        most_free, most_offered: on one node.
    """

    free: int
    total: int
    free_nodes: int
    most_free: int
    most_offered: int

    @classmethod
    def of(cls, column: Iterable[tuple[int, int]]) -> "Spread":
        """Sum up (free, offered) pairs of nodes; an overcommitted node has nothing free."""
        pairs = [(max(free, 0), offered) for free, offered in column]
        return cls(
            free=sum([free for free, _ in pairs]),
            total=sum([offered for _, offered in pairs]),
            free_nodes=sum([1 for free, _ in pairs if free]),
            most_free=max([free for free, _ in pairs], default=0),
            most_offered=max([offered for _, offered in pairs], default=0),
        )

    @classmethod
    def together(cls, spreads: Sequence["Spread"]) -> "Spread":
        """Sum up spreads over different nodes."""
        if len(spreads) == 1:
            return spreads[0]
        return cls(
            free=sum(spread.free for spread in spreads),
            total=sum(spread.total for spread in spreads),
            free_nodes=sum(spread.free_nodes for spread in spreads),
            most_free=max((spread.most_free for spread in spreads), default=0),
            most_offered=max((spread.most_offered for spread in spreads), default=0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that the sentence about one choice is made from.

    Attributes:
        free, total: seats; None where unknown.
        is_least: whether there may be more seats than that.
        unknown: why, where they are unknown.
        count: how many GPUs (slices, shares) one server has; 0 without GPUs.
        unit, units: what to call them.
        spread: how they are spread; None without GPUs.
        usable_nodes: nodes that have the hardware and could be used.
        barred: the reasons of each node that has the hardware and cannot be used.
        short: resources beside the GPUs that are too little on every node that has enough GPUs:
            now where some seat exists on empty nodes, else even there.
    """

    free: int | None
    total: int | None
    is_least: bool
    unknown: str | None
    count: int
    unit: str
    units: str
    spread: Spread | None
    usable_nodes: int
    barred: Mapping[str, tuple[Rejection, ...]]
    short: Collection[str]


def explain(situation: Situation) -> str:
    """Say in one sentence how a choice stands."""
    if situation.total == 0:
        return _impossible(situation)
    if situation.free is None or situation.total is None:
        return f"Unknown: {_say_unknown(situation.unknown)}"
    if situation.free > 0:
        return _free(situation, situation.free, situation.total)
    notes = _barred_notes(situation.barred)
    return "; ".join(filter(None, [_busy(situation), notes]))


def _say_unknown(reason: str | None) -> str:
    """Drop the kind in front ("nodes: ...") where the reason names it again."""
    kind, separator, rest = (reason or "").partition(": ")
    if not reason or rest in ("unknown", "not read yet"):
        return "the cluster has not been read yet"
    if not separator or kind not in ("nodes", "pods"):
        return reason
    return rest if kind in rest else f"{kind}: {rest}"


def _free(situation: Situation, free: int, total: int) -> str:
    if situation.count == 0:
        least = "at least " if situation.is_least else ""
        return f"Room for {least}{counted(free, 'more server')}"
    tail = f", with {situation.count} {situation.units} each" if situation.count > 1 else ""
    if situation.is_least:
        return f"At least {free:,} free{tail}"
    if free >= total > 1:
        return f"All {total:,} free{tail}"
    return f"{free:,} of {total:,} free{tail}"


def _busy(situation: Situation) -> str:
    spread, count = situation.spread, situation.count
    if spread is None:
        return f"No node has enough {_shortage(situation.short)} free"
    if spread.free == 0:
        return _all_in_use(spread.total)
    free = f"{counted(spread.free, situation.unit, situation.units)} {_are(spread.free)} free"
    if spread.most_free < count <= spread.free:
        if spread.most_free == 1:
            places = counted(spread.free_nodes, "different node", in_words=True)
            return f"{free}, but on {places}"
        return f"{free}, but no more than {spread.most_free} on one node"
    if spread.free < count:
        return f"Only {spread.free:,} of {spread.total:,} {_are(spread.free)} free"
    lacking = _shortage(situation.short)
    return f"{free}, but not enough {lacking} beside {'it' if spread.free == 1 else 'them'}"


def _all_in_use(total: int) -> str:
    if total == 1:
        return "The only one is in use"
    return "Both are in use" if total == 2 else f"All {total:,} are in use"


def _impossible(situation: Situation) -> str:
    spread, units = situation.spread, situation.units
    notes = _barred_notes(situation.barred)
    if situation.usable_nodes == 0:
        if not situation.barred:
            return "No node has this GPU" if spread is not None else "There is no node"
        return _all_barred(situation.barred)
    if spread is not None and spread.total == 0:
        said = f"No node offers such {units}"
    elif spread is not None and spread.most_offered < situation.count:
        said = f"No node has {situation.count} of these; the most is {spread.most_offered}"
    else:
        said = f"No node has enough {_shortage(situation.short)}"
    return "; ".join(filter(None, [said, notes]))


_NOTES: Final = (
    (Reason.CORDONED, "{are} cordoned"),
    (Reason.NOT_READY, "{are} not ready"),
    (Reason.DRIVER, "{have} too old a driver for this image"),
    (Reason.ARCHITECTURE, "{have} a processor this image is not built for"),
    (Reason.TAINT, "{are} reserved for other work"),
)
"""What to say of a barred node, by its first reason in this order."""

_OTHERWISE: Final = "{are} not for this profile"


def _barred_groups(barred: Mapping[str, tuple[Rejection, ...]]) -> dict[str, int]:
    """Count the nodes by what to say of them, in the order of ``_NOTES``."""
    groups = dict.fromkeys([*(note for _, note in _NOTES), _OTHERWISE], 0)
    for rejections in barred.values():
        reasons = {rejection.reason for rejection in rejections}
        groups[next((note for reason, note in _NOTES if reason in reasons), _OTHERWISE)] += 1
    return {note: number for note, number in groups.items() if number}


def _all_barred(barred: Mapping[str, tuple[Rejection, ...]]) -> str:
    groups = _barred_groups(barred)
    if len(groups) > 1:
        return f"None of its {len(barred):,} nodes can be used: {_barred_notes(barred)}"
    note = next(iter(groups))
    if len(barred) == 1:
        return f"Its only node {_agree(note, 1)}"
    which = "Both of its" if len(barred) == 2 else f"All {len(barred):,} of its"
    return f"{which} nodes {_agree(note, len(barred))}"


def _barred_notes(barred: Mapping[str, tuple[Rejection, ...]]) -> str:
    groups = _barred_groups(barred)
    return listed(
        f"{counted(number, 'node')} {_agree(note, number)}" for note, number in groups.items()
    )


def _agree(note: str, number: int) -> str:
    return note.format(are=_are(number), have="has" if number == 1 else "have")


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _shortage(resources: Collection[str]) -> str:
    return listed(resource_word(name) for name in sorted(resources)) or "room"
