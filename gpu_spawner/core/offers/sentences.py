"""The sentences of an offer: why a choice can or cannot start now, at a glance.

The one place where counts and rejections become words that a researcher reads. What the scheduler
says about a pod that already waits is put into words by ``core.diagnosis.unschedulable``.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gpu_spawner.core.diagnosis.unschedulable import resource_word
from gpu_spawner.core.messages import Joined, Message, figure, gettext, joined, ngettext
from gpu_spawner.core.offers.device_look import DeviceLook
from gpu_spawner.core.offers.expectation import Expected
from gpu_spawner.core.placement.fitting import Reason, Rejection
from gpu_spawner.core.units import counted_units, counted_units_of, units_word
from gpu_spawner.core.wording import gigabytes, listed, say_duration, spelled

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
        unit: what to call one of them (``core.units``).
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
    spread: Spread | None
    usable_nodes: int
    barred: Mapping[str, tuple[Rejection, ...]]
    short: Collection[str]
    look: DeviceLook | None = None
    unit_bytes: int | None = None


_CAUSES: Final = {"idle": gettext("idle"), "lifetime": gettext("its time is over")}


def say_expected(expected: Expected, now: float) -> str:
    """Say when a seat is expected: "One is expected free in about 25 min (idle)"."""
    left = max(expected.at - now, 0.0)
    cause = _CAUSES[expected.cause]
    if left < 60:
        return gettext("One is expected free any moment ({cause})", cause=cause)
    time = say_duration(left)
    return gettext("One is expected free in about {time} ({cause})", time=time, cause=cause)


def say_scale_up(because: str, start_seconds: int | None) -> str:
    """Say that a node is started first, after why no node that is there will do.

    >>> say_scale_up("All 8 are in use", 480)
    'All 8 are in use; a node is started first, which takes about 8 min'
    """
    if start_seconds is None:
        takes = gettext("a node is started first, which takes a few minutes")
    else:
        time = say_duration(start_seconds)
        takes = gettext("a node is started first, which takes about {time}", time=time)
    return joined("; ", [because, takes])


_UNEVALUATED: Final = "the selector cannot be evaluated"


def explain(situation: Situation) -> str:
    """Say in one sentence how a choice stands."""
    if situation.total == 0:
        return _impossible(situation)
    if situation.free is None or situation.total is None:
        return gettext("Unknown: {reason}", reason=_say_unknown(situation.unknown))
    if situation.free > 0:
        return _free(situation, situation.free, situation.total)
    return joined("; ", [_busy(situation), _notes(situation)])


def _say_unknown(reason: str | None) -> str:
    """Drop the kind in front ("nodes: ...") where the reason names it again."""
    kind, rest = _kind_and_rest(reason or "")
    if not reason or rest in ("unknown", "not read yet"):
        return gettext("the cluster has not been read yet")
    if _UNEVALUATED in reason:
        why = reason.partition(_UNEVALUATED)[2].removeprefix(": ")
        if not why:
            return gettext("a selector of these GPUs cannot be evaluated")
        return gettext("a selector of these GPUs cannot be evaluated ({reason})", reason=why)
    if not kind or " " in kind:
        return reason
    return rest if kind in rest else joined(": ", (kind, rest))


def _kind_and_rest(reason: str) -> tuple[str, str]:
    if isinstance(reason, Joined) and len(reason.parts) == 2:
        return reason.parts[0], reason.parts[1]
    kind, separator, rest = reason.partition(": ")
    return (kind, rest) if separator else ("", reason)


def _free(situation: Situation, free: int, total: int) -> str:
    if situation.count == 0:
        if situation.is_least:
            return ngettext(
                "Room for at least {number} more server",
                "Room for at least {number} more servers",
                free,
            )
        return ngettext("Room for {number} more server", "Room for {number} more servers", free)
    if situation.is_least:
        said = gettext("At least {free} free", free=free)
    elif free >= total > 1:
        said = gettext("All {free} free", free=free)
    else:
        said = gettext("{free} of {total} free", free=free, total=total)
    if situation.count == 1:
        return said
    units = counted_units_of(situation.count, situation.unit)
    return gettext("{free}, with {units} each", free=said, units=units)


def _busy(situation: Situation) -> str:
    spread, count = situation.spread, situation.count
    if spread is None:
        return gettext("No node has enough {what} free", what=_shortage(situation.short))
    if spread.free == 0:
        return _none_left(situation, spread.total)
    if spread.most_free < count <= spread.free:
        return _scattered(situation, spread)
    if spread.free < count:
        return _too_few(situation, spread)
    return ngettext(
        "{units} is free, but not enough {what} beside it",
        "{units} are free, but not enough {what} beside them",
        spread.free,
        units=counted_units(spread.free, situation.unit),
        what=_shortage(situation.short),
    )


def _scattered(situation: Situation, spread: Spread) -> str:
    """Say that there are enough, though not on one node."""
    units = counted_units(spread.free, situation.unit)
    if spread.most_free == 1:
        nodes = spelled(spread.free_nodes)
        return gettext("{units} are free, but on {nodes} different nodes", units=units, nodes=nodes)
    return gettext(
        "{units} are free, but no more than {most} on one node", units=units, most=spread.most_free
    )


def _too_few(situation: Situation, spread: Spread) -> str:
    """Say that there are some, and fewer than one server wants."""
    if _is_cut(situation):
        return gettext("Only {free} of this size can still be cut", free=spread.free)
    return ngettext(
        "Only {number} of {total} is free",
        "Only {number} of {total} are free",
        spread.free,
        total=spread.total,
    )


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
        return gettext("No slice of this size can still be cut")
    if look.most_left is None:
        return gettext("No GPU can be shared by one more server")
    if not look.most_left:
        return gettext("All of the GPUs' memory is given out")
    if situation.unit_bytes is not None and look.most_left < situation.unit_bytes:
        left = _at_least(look.most_left)
        return gettext("{memory} is the most that is left on one GPU", memory=left)
    return _all_in_use(total)


def _at_least(size_bytes: int) -> str:
    """Write a size, rounded down: what is left must not look like enough."""
    tenth = 2**30 // 10
    if size_bytes < 5 * tenth:
        return gigabytes(size_bytes)
    return gettext("{number} GB", number=figure(size_bytes // tenth / 10, "g"))


def _all_in_use(total: int) -> str:
    if total == 1:
        return gettext("The only one is in use")
    if total == 2:
        return gettext("Both are in use")
    return gettext("All {number} are in use", number=total)


def _impossible(situation: Situation) -> str:
    spread, look = situation.spread, situation.look
    units = units_word(situation.unit)
    if look is not None and look.missing_class:
        return gettext(
            "No driver offers such {units}: there is no device class {name}",
            units=units,
            name=look.missing_class,
        )
    if look is not None and look.trouble:
        return gettext("A selector of these GPUs fails, so that the scheduler gives the server up")
    is_empty = spread is None or spread.total == 0
    if look is not None and look.out_of_service and is_empty and situation.unit == "GPU":
        return _all_out_of_service(look.out_of_service)
    notes = _notes(situation)
    if situation.usable_nodes == 0:
        if not situation.barred:
            no_gpu, no_node = gettext("No node has this GPU"), gettext("There is no node")
            return no_gpu if spread is not None else no_node
        return _all_barred(situation.barred)
    if spread is not None and spread.total == 0:
        said = gettext("No node offers such {units}", units=units)
    elif spread is not None and spread.most_offered < situation.count:
        said = gettext(
            "No node has {number} of these; the most is {most}",
            number=situation.count,
            most=spread.most_offered,
        )
    else:
        said = gettext("No node has enough {what}", what=_shortage(situation.short))
    return joined("; ", [said, notes])


def _all_out_of_service(number: int) -> str:
    if number == 1:
        return gettext("The only one is out of service")
    if number == 2:
        return gettext("Both are out of service")
    return gettext("All {number} are out of service", number=number)


def _notes(situation: Situation) -> str:
    """Say what else stands in the way, on nodes and on devices."""
    ill = situation.look.out_of_service if situation.look is not None else 0
    said = ""
    if ill:
        # Of one GPU there are many places for slices, which nobody counts.
        is_counted = situation.unit in ("GPU", "share")
        said = (
            ngettext("{number} GPU is out of service", "{number} GPUs are out of service", ill)
            if is_counted
            else gettext("some GPUs are out of service")
        )
    return joined("; ", [said, _barred_notes(situation.barred)])


_NOTES: Final = (
    (Reason.CORDONED, ngettext("is cordoned", "are cordoned", 1)),
    (Reason.NOT_READY, ngettext("is not ready", "are not ready", 1)),
    (
        Reason.DRIVER,
        ngettext("has too old a driver for this image", "have too old a driver for this image", 1),
    ),
    (
        Reason.ARCHITECTURE,
        ngettext(
            "has a processor this image is not built for",
            "have a processor this image is not built for",
            1,
        ),
    ),
    (
        Reason.TAINT,
        ngettext("is reserved for other work", "are reserved for other work", 1),
    ),
)
"""What to say of a barred node, by its first reason in this order."""

_OTHERWISE: Final = ngettext("is not for this profile", "are not for this profile", 1)


def _barred_groups(barred: Mapping[str, tuple[Rejection, ...]]) -> dict[Message, int]:
    """Count the nodes by what to say of them, in the order of ``_NOTES``."""
    groups = dict.fromkeys([*(note for _, note in _NOTES), _OTHERWISE], 0)
    for rejections in barred.values():
        reasons = {rejection.reason for rejection in rejections}
        groups[next((note for reason, note in _NOTES if reason in reasons), _OTHERWISE)] += 1
    return {note: number for note, number in groups.items() if number}


def _all_barred(barred: Mapping[str, tuple[Rejection, ...]]) -> str:
    groups = _barred_groups(barred)
    number = len(barred)
    if len(groups) > 1:
        return gettext(
            "None of its {number} nodes can be used: {reasons}",
            number=number,
            reasons=_barred_notes(barred),
        )
    if number == 1:
        which = gettext("Its only node")
    elif number == 2:
        which = gettext("Both of its nodes")
    else:
        which = gettext("All {number} of its nodes", number=number)
    return _agree(which, next(iter(groups)), number)


def _barred_notes(barred: Mapping[str, tuple[Rejection, ...]]) -> str:
    groups = _barred_groups(barred)
    return listed(
        _agree(ngettext("{number} node", "{number} nodes", number), note, number)
        for note, number in groups.items()
    )


def _agree(nodes: str, note: Message, number: int) -> str:
    return gettext("{nodes} {are_so}", nodes=nodes, are_so=note.about(number))


def _shortage(resources: Collection[str]) -> str:
    return listed(resource_word(name) for name in sorted(resources)) or gettext("room")
