"""What one share of a choice means to whoever gets it, of whichever flavor and however obtained.

A choice of several flavors, or of a flavor that is had in several ways, may mean several things:
which one it is, is known when the server has its GPU. Nothing is said of all that is true of some.
"""

from collections.abc import Sequence
from typing import Final

from gpu_spawner.core.catalog.candidates import candidates
from gpu_spawner.core.catalog.mechanisms import ShareFacts, describe_share
from gpu_spawner.core.catalog.model import Catalog, Choice
from gpu_spawner.core.messages import gettext

__all__ = ["had_by", "in_common", "meanings"]

_KNOWN_MOST: Final = 4096
_PARTS: Final = frozenset({"share", "slice"})

_HadBy = tuple[tuple[str, str], ...]
_known: Final[dict[tuple[int, Choice], tuple[Catalog, _HadBy]]] = {}


def had_by(catalog: Catalog, choice: Choice) -> _HadBy:
    """Return what can serve a choice, as flavors with a mechanism each, in the order of trying.

    A mechanism that the profile rules out, by its scheduler or its queue, is not among them; of a
    flavor without any, the mechanism is empty. Without GPUs there is nothing.
    """
    key = (id(catalog), choice)  # a page asks for each tile
    known = _known.get(key)
    if known is None:
        if len(_known) >= _KNOWN_MOST:
            _known.clear()
        # With its catalog, so that no other one can be at the same address.
        known = _known[key] = catalog, _had_by(catalog, choice)
    return known[1]


def _had_by(catalog: Catalog, choice: Choice) -> _HadBy:
    profile, share = catalog.profile(choice.profile), choice.share
    if share is None:
        return ()
    found = []
    for name in choice.flavors:
        able = (
            candidates(profile, catalog.flavors[name], share, choice.count)
            if profile is not None
            else ()
        )
        mechanisms = [one.mechanism for one in able]
        found += [(name, mechanism) for mechanism in mechanisms or [""]]
    return tuple(found)


def meanings(catalog: Catalog, choice: Choice) -> tuple[ShareFacts, ...]:
    """Return what one share may mean, by the first way first; nothing without GPUs."""
    share = choice.share
    if share is None:
        return ()
    ways = had_by(catalog, choice)
    return tuple(
        dict.fromkeys(describe_share(catalog.flavors[name], share, by) for name, by in ways)
    )


def in_common(facts: Sequence[ShareFacts]) -> ShareFacts:
    """Return what is true of each of several; what they differ in is left out.

    Their unit is the first one's, unless they are different parts of GPUs.
    """
    first = facts[0]
    if len(facts) == 1:
        return first
    units = {one.unit for one in facts}
    is_mixed = len(units) > 1 and units <= _PARTS
    return ShareFacts(
        title=first.title if _is_same(facts, "title") else gettext("Part of a GPU"),
        unit="share" if is_mixed else first.unit,
        memory_bytes=first.memory_bytes if _is_same(facts, "memory_bytes") else None,
        isolation=first.isolation if _is_same(facts, "isolation") else "",
        advice=first.advice if _is_same(facts, "advice") else "",
    )


def _is_same(facts: Sequence[ShareFacts], name: str) -> bool:
    return len({getattr(one, name) for one in facts}) == 1
