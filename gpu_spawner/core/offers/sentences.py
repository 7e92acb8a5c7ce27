"""The sentences of an offer: why a choice can or cannot start now, at a glance.

The one place where counts and rejections become words that a researcher reads. What the scheduler
says about a pod that already waits is put into words by ``core.diagnosis.unschedulable``.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gpu_spawner.core.diagnosis.unschedulable import resource_word
from gpu_spawner.core.offers.device_look import DeviceLook
from gpu_spawner.core.offers.expectation import Expected
from gpu_spawner.core.placement.fitting import Reason, Rejection
from gpu_spawner.core.wording import counted, gigabytes, listed, say_duration

__all__ = ["Situation", "Spread", "explain", "say_expected", "say_scale_up"]


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
        look: of the devices; None where they are counted as plain numbers.
        unit_bytes: memory of one share; None where nobody said.
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
    look: DeviceLook | None = None
    unit_bytes: int | None = None


_CAUSES: Final = {"idle": "idle", "lifetime": "its time is over"}


def say_expected(expected: Expected, now: float) -> str:
    """Say when a seat is expected: "One is expected free in about 25 min (idle)"."""
    left = max(expected.at - now, 0.0)
    when = "any moment" if left < 60 else f"in about {say_duration(left)}"
    return f"One is expected free {when} ({_CAUSES[expected.cause]})"


def say_scale_up(because: str, start_seconds: int | None) -> str:
    """Say that a node is started first, after why no node that is there will do.

    >>> say_scale_up("All 8 are in use", 480)
    'All 8 are in use; a node is started first, which takes about 8 min'
    """
    takes = "a few minutes" if start_seconds is None else f"about {say_duration(start_seconds)}"
    return f"{because}; a node is started first, which takes {takes}"


_UNEVALUATED: Final = "the selector cannot be evaluated"


def explain(situation: Situation) -> str:
    """Say in one sentence how a choice stands."""
    if situation.total == 0:
        return _impossible(situation)
    if situation.free is None or situation.total is None:
        return f"Unknown: {_say_unknown(situation.unknown)}"
    if situation.free > 0:
        return _free(situation, situation.free, situation.total)
    return "; ".join(filter(None, [_busy(situation), _notes(situation)]))


def _say_unknown(reason: str | None) -> str:
    """Drop the kind in front ("nodes: ...") where the reason names it again."""
    kind, separator, rest = (reason or "").partition(": ")
    if not reason or rest in ("unknown", "not read yet"):
        return "the cluster has not been read yet"
    if _UNEVALUATED in reason:
        why = reason.partition(_UNEVALUATED)[2].removeprefix(": ")
        return f"a selector of these GPUs cannot be evaluated{f' ({why})' if why else ''}"
    if not separator or " " in kind:
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
        return _none_left(situation, spread.total)
    free = f"{counted(spread.free, situation.unit, situation.units)} {_are(spread.free)} free"
    if spread.most_free < count <= spread.free:
        if spread.most_free == 1:
            places = counted(spread.free_nodes, "different node", in_words=True)
            return f"{free}, but on {places}"
        return f"{free}, but no more than {spread.most_free} on one node"
    if spread.free < count:
        return _too_few(situation, spread)
    lacking = _shortage(situation.short)
    return f"{free}, but not enough {lacking} beside {'it' if spread.free == 1 else 'them'}"


def _too_few(situation: Situation, spread: Spread) -> str:
    """Say that there are some, and fewer than one server wants."""
    if _is_cut(situation):
        return f"Only {spread.free:,} of this size can still be cut"
    return f"Only {spread.free:,} of {spread.total:,} {_are(spread.free)} free"


def _is_cut(situation: Situation) -> bool:
    """Tell whether it is about slices that are cut when somebody asks for one."""
    return situation.look is not None and situation.look.is_cut and situation.unit == "slice"


def _none_left(situation: Situation, total: int) -> str:
    """Say why not even a single share is left."""
    look = situation.look
    is_cut = _is_cut(situation)
    if look is None or not (is_cut or look.is_shared):
        return _all_in_use(total)
    if is_cut:
        return "No slice of this size can still be cut"
    if look.most_left is None:
        return "No GPU can be shared by one more server"
    if not look.most_left:
        return "All of the GPUs' memory is given out"
    if situation.unit_bytes is not None and look.most_left < situation.unit_bytes:
        return f"{_at_least(look.most_left)} is the most that is left on one GPU"
    return _all_in_use(total)


def _at_least(size_bytes: int) -> str:
    """Write a size, rounded down: what is left must not look like enough."""
    tenth = 2**30 // 10
    return f"{size_bytes // tenth / 10:g} GB" if size_bytes >= 5 * tenth else gigabytes(size_bytes)


def _all_in_use(total: int) -> str:
    if total == 1:
        return "The only one is in use"
    return "Both are in use" if total == 2 else f"All {total:,} are in use"


def _impossible(situation: Situation) -> str:
    spread, units, look = situation.spread, situation.units, situation.look
    if look is not None and look.missing_class:
        return f"No driver offers such {units}: there is no device class {look.missing_class}"
    if look is not None and look.trouble:
        return "A selector of these GPUs fails, so that the scheduler gives the server up"
    is_empty = spread is None or spread.total == 0
    if look is not None and look.out_of_service and is_empty and situation.unit == "GPU":
        return _all_out_of_service(look.out_of_service)
    notes = _notes(situation)
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


def _all_out_of_service(number: int) -> str:
    if number == 1:
        return "The only one is out of service"
    return "Both are out of service" if number == 2 else f"All {number:,} are out of service"


def _notes(situation: Situation) -> str:
    """Say what else stands in the way, on nodes and on devices."""
    ill = situation.look.out_of_service if situation.look is not None else 0
    said = ""
    if ill:
        # Of one GPU there are many places for slices, which nobody counts.
        is_counted = situation.unit in ("GPU", "share")
        said = f"{counted(ill, 'GPU')} {_are(ill)}" if is_counted else "some GPUs are"
        said = f"{said} out of service"
    return "; ".join(filter(None, [said, _barred_notes(situation.barred)]))


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
