"""What the sentence about a choice is made from, gathered from its ways and their nodes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gpu_spawner.core.catalog.mechanisms import ShareFacts, describe_share
from gpu_spawner.core.catalog.model import Catalog, Selection, Share
from gpu_spawner.core.catalog.share_meaning import in_common
from gpu_spawner.core.offers.device_look import DeviceLook, look_at
from gpu_spawner.core.offers.sentences import Situation, Spread
from gpu_spawner.core.offers.way_nodes import WayNodes
from gpu_spawner.core.offers.ways import Way, Ways, WaySeats

__all__ = ["Situations"]


class Situations:
    """Gathers situations, over ways that are counted elsewhere."""

    def __init__(self, catalog: Catalog, ways: Ways, nodes: WayNodes) -> None:
        self._catalog: Final = catalog
        self._ways: Final = ways
        self._nodes: Final = nodes
        self._spreads: dict[tuple[int, str], tuple[object, Spread]] = {}
        self._facts_of: dict[tuple[str, Share, str], ShareFacts] = {}

    def of(self, selection: Selection, ways: Sequence[Way], seats: WaySeats) -> Situation:
        """Gather what the sentence about a choice is made from.

        Args:
            selection: the choice with its image.
            ways: those that the cluster has.
            seats: of all of them; the nodes are looked at only where there is none.
        """
        each = self._each(selection, ways)
        facts = in_common(each) if each else None
        sizes = [one.memory_bytes for one in each]
        is_stuck = seats.free == 0 or seats.total == 0
        barred = (
            {name: why for way in ways for name, why in self._nodes.barred(way).items()}
            if is_stuck
            else {}
        )
        return Situation(
            free=seats.free,
            total=seats.total,
            is_least=seats.is_least,
            unknown=seats.unknown,
            count=ways[0].fragment.unit_count,
            unit=facts.unit if facts else "",
            spread=self.spread(ways) if facts and is_stuck else None,
            usable_nodes=sum(way.pool.row_count for way in ways),
            barred=barred,
            short=self._nodes.short(ways, is_empty=seats.total == 0) if is_stuck else (),
            look=self._look(ways, each) if is_stuck else None,
            unit_bytes=None if None in sizes else min((one or 0 for one in sizes), default=None),
        )

    def _look(self, ways: Sequence[Way], facts: Sequence[ShareFacts]) -> DeviceLook | None:
        looks = [look_at(self._ways.snapshot, way, self._ways.count(way)) for way in ways]
        found = [look for look in looks if look is not None]
        if len(found) != len(looks):
            return None
        look = DeviceLook.together(found)
        if len({one.unit for one in facts}) == 1:
            return look
        # What is left of devices that are shared says nothing of slices, and the other way round.
        return replace(look, is_cut=False, is_shared=False, most_left=None)

    def facts(self, selection: Selection, ways: Sequence[Way]) -> ShareFacts | None:
        """Return what one share of a choice is, as far as its ways agree; None without GPUs."""
        each = self._each(selection, ways)
        return in_common(each) if each else None

    def _each(self, selection: Selection, ways: Sequence[Way]) -> tuple[ShareFacts, ...]:
        """Return what one share is by each way, of each flavor."""
        share = selection.share
        if share is None:
            return ()
        chosen = [way.fragment.selection for way in ways]
        return tuple(
            dict.fromkeys(
                self._facts(flavor, share, mechanism)
                for one in chosen
                for flavor, mechanism in zip(one.flavors, one.mechanisms, strict=True)
            )
        )

    def _facts(self, name: str, share: Share, mechanism: str) -> ShareFacts:
        key = (name, share, mechanism)
        facts = self._facts_of.get(key)
        if facts is None:
            facts = describe_share(self._catalog.flavors[name], share, mechanism)
            self._facts_of[key] = facts
        return facts

    def spread(self, ways: Sequence[Way]) -> Spread:
        """Return how the devices are spread over the nodes of all ways."""
        found = []
        for way in ways:
            if self._ways.is_beyond_columns(way):
                found.append(Spread.of(self._nodes.units_by_node(way)))
                continue
            for resource in way.fragment.devices:
                key = (id(way.pool), resource)
                version, spread = self._spreads.get(key, (None, None))
                if spread is None or version != way.pool.version:
                    spread = Spread.of(way.pool.column(resource))
                    self._spreads[key] = (way.pool.version, spread)
                found.append(spread)
        return Spread.together(found)
