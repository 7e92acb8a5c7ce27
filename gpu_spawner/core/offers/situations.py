"""What the sentence about a choice is made from, gathered from its ways and their nodes."""

from collections.abc import Sequence
from typing import Final

from gpu_spawner.core.catalog.mechanisms import ShareFacts, describe_share
from gpu_spawner.core.catalog.model import Catalog, Selection, Share
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
        facts = self.facts(selection, ways)
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
            look=self._look(ways) if is_stuck else None,
            unit_bytes=facts.memory_bytes if facts else None,
        )

    def _look(self, ways: Sequence[Way]) -> DeviceLook | None:
        looks = [look_at(self._ways.snapshot, way, self._ways.count(way)) for way in ways]
        found = [look for look in looks if look is not None]
        return DeviceLook.together(found) if len(found) == len(looks) else None

    def facts(self, selection: Selection, ways: Sequence[Way]) -> ShareFacts | None:
        """Return what one share of a choice is; None without GPUs."""
        if selection.share is None:
            return None
        chosen = ways[0].fragment.selection
        key = (chosen.flavors[0], selection.share, chosen.mechanism)
        facts = self._facts_of.get(key)
        if facts is None:
            flavor = self._catalog.flavors[chosen.flavors[0]]
            facts = describe_share(flavor, selection.share, chosen.mechanism)
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
