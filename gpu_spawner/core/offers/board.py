"""What can start now, for every choice of a catalog: states, seats, and the reason in a sentence.

An ``OfferBoard`` belongs to a catalog and a site, and follows the cluster from snapshot to
snapshot. Requests that are equal are counted once, whoever asks; what a change does not touch is
not computed again. It decides nothing about a node itself: seats come from
``core.placement.seats``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, NamedTuple

from gpu_spawner.core.catalog.compile import PodFragment, compile_ways
from gpu_spawner.core.catalog.mechanisms import describe_share
from gpu_spawner.core.catalog.model import ANY, Catalog, Choice, Profile, Selection
from gpu_spawner.core.catalog.site_pod import SitePod, request_of
from gpu_spawner.core.cluster.selectors import NodeSelectorTerm, Requirement
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.offers.alternatives import nearest_alternative
from gpu_spawner.core.offers.availability import (
    Availability,
    ChoiceOffer,
    FlavorCount,
    ImageReadiness,
    ProfileOffer,
)
from gpu_spawner.core.offers.image_places import ImagePlaces
from gpu_spawner.core.offers.pools import Fitting, Pool, Pools, rows_with
from gpu_spawner.core.offers.sentences import Situation, Spread, explain
from gpu_spawner.core.placement.seats import PodRequest, SeatIndex, Seats
from gpu_spawner.core.resources import PODS

__all__ = ["PULL_BYTES_PER_SECOND", "OfferBoard"]

PULL_BYTES_PER_SECOND: Final = 100_000_000.0
"""What a node is expected to pull until something was learnt: a registry over 1 Gbit/s."""

_NOTHING_READ: Final = Snapshot()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One pod that a selection can be served with, and the nodes it is about."""

    fragment: PodFragment
    pool: Pool
    fitting: Fitting
    index: SeatIndex


class _Seats(NamedTuple):
    """The seats of all ways of a selection together."""

    free: int | None
    total: int | None
    unknown: str | None


@dataclass(slots=True, kw_only=True)
class _Line:
    """A choice with the images it may be started with, and what was last said of it."""

    selection: Selection
    ways: tuple[_Way, ...]
    by_image: dict[str, tuple[_Way, ...]]
    pools: tuple[Pool, ...]
    state: object = None
    offer: ChoiceOffer | None = None


class OfferBoard:
    """The offers of a catalog on a site, over a cluster that changes.

    Not thread-safe; give it snapshots of one cluster, in the order in which they were taken.
    """

    def __init__(
        self,
        catalog: Catalog,
        site: SitePod | None = None,
        *,
        pull_bytes_per_second: float = PULL_BYTES_PER_SECOND,
    ) -> None:
        """Compile every choice.

        Raises:
            ConfigError: the site's settings cannot be counted, such as an impossible quantity.
        """
        self._catalog = catalog
        self._site = site or SitePod()
        self._pull_bytes_per_second = pull_bytes_per_second
        self._snapshot = _NOTHING_READ
        self._places = ImagePlaces(
            {name: image.reference for name, image in catalog.images.items()}
        )
        self._pools = Pools(self._places)
        self._ways: dict[Selection, tuple[_Way, ...]] = {}
        self._indexes: dict[PodRequest, SeatIndex] = {}
        self._fittings: dict[tuple[int, PodRequest], Fitting] = {}
        self._lines: dict[object, tuple[_Line, ...]] = {}
        self._seats: dict[int, tuple[Snapshot, object, Seats]] = {}
        self._spreads: dict[tuple[int, str], tuple[object, Spread]] = {}
        for profile in catalog.profiles:
            self._lines_of(profile)

    def update(self, snapshot: Snapshot) -> tuple[ProfileOffer, ...]:
        """Follow the cluster to a snapshot, and return the offers of the whole catalog."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._pools.update(snapshot)
        return self.offers(self._catalog)

    def offers(self, view: Catalog) -> tuple[ProfileOffer, ...]:
        """Return the offers of a part of the catalog, as ``visible_to`` makes it."""
        return tuple([self._profile_offer(profile) for profile in view.profiles])

    def offer_of(self, selection: Selection) -> ChoiceOffer:
        """Return the offer of exactly this selection, its image included."""
        lines = self._lines.get(selection)
        if lines is None:
            lines = self._lines[selection] = (self._line(selection, (selection.image,)),)
        return self._choice_offer(lines[0])

    def resolve(self, selection: Selection) -> Selection:
        """Settle which flavors "whichever is free first" takes, where one pod cannot stand for all.

        The first flavors with a free seat win; without one, the first whose seats are unknown, and
        else the first.
        """
        ways = self._ways_of(selection)
        found = [(way, self._count(way).free) for way in ways]
        free = next((way for way, seats in found if seats), None)
        unknown = next((way for way, seats in found if seats is None), None)
        return (free or unknown or ways[0]).fragment.selection

    def alternative_for(self, key: str, view: Catalog) -> ChoiceOffer | None:
        """Return the nearest choice of the view that would start now, if any would."""
        offers = [offer for profile in self.offers(view) for offer in profile.choices]
        return nearest_alternative(key, offers)

    def _ways_of(self, selection: Selection) -> tuple[_Way, ...]:
        ways = self._ways.get(selection)
        if ways is None:
            ways = tuple(self._way(fragment) for fragment in compile_ways(self._catalog, selection))
            self._ways[selection] = ways
        return ways

    def _way(self, fragment: PodFragment) -> _Way:
        request = request_of(fragment, self._site)
        pool = self._pools.pool(request, _terms(fragment))
        fitting = self._fittings.get((id(pool), request))
        if fitting is None:
            fitting = self._fittings[id(pool), request] = Fitting(pool, _needs(request))
        index = self._indexes.get(request)
        if index is None:
            index = self._indexes[request] = SeatIndex(request)
        return _Way(fragment=fragment, pool=pool, fitting=fitting, index=index)

    def _count(self, way: _Way) -> Seats:
        """Count the seats of one pod; nothing can have changed them while its pool is the same."""
        seen = (way.pool.version, self._snapshot.claimable)
        known = self._seats.get(id(way.index))
        if known is not None and (known[0] is self._snapshot or self._may_keep(way, known, seen)):
            return known[2]
        seats = way.index.update(self._snapshot)
        self._seats[id(way.index)] = (self._snapshot, seen, seats)
        return seats

    def _may_keep(self, way: _Way, known: tuple[Snapshot, object, Seats], seen: object) -> bool:
        return (
            known[1] == seen
            and known[2].unknown is None
            and self._pools.is_local
            and not way.index.request.anti_affinity
        )

    def _sum(self, ways: tuple[_Way, ...]) -> _Seats:
        """Add the seats of pods that ask for different resources, hence of different GPUs."""
        free = total = 0
        for way in ways:
            seats = self._count(way)
            if seats.free is None or seats.total is None:
                return _Seats(None, seats.total, seats.unknown)
            free += seats.free
            total += seats.total
        return _Seats(free, total, None)

    def _lines_of(self, profile: Profile) -> tuple[_Line, ...]:
        key = (profile.slug, profile.gpu)
        lines = self._lines.get(key)
        if lines is None:
            lines = self._lines[key] = tuple(
                self._line(_select(choice, profile.images[0]), profile.images)
                for choice in profile.choices
            )
        return lines

    def _line(self, selection: Selection, images: tuple[str, ...]) -> _Line:
        by_image = {image: self._ways_of(replace(selection, image=image)) for image in images}
        pools = {id(way.pool): way.pool for ways in by_image.values() for way in ways}
        return _Line(
            selection=selection,
            ways=self._ways_of(selection),
            by_image=by_image,
            pools=tuple(pools.values()),
        )

    def _profile_offer(self, profile: Profile) -> ProfileOffer:
        lines = self._lines_of(profile)
        choices = tuple([self._choice_offer(line) for line in lines])
        known = [offer.state for offer in choices if offer.state is not None]
        state = max(known, default=None)
        first = next((offer for offer in choices if offer.state is state), choices[0])
        return ProfileOffer(
            slug=profile.slug,
            state=state,
            because=first.because,
            choices=choices,
            flavors=tuple(self._flavor_counts(lines)),
            as_of=self._snapshot.as_of,
        )

    def _choice_offer(self, line: _Line) -> ChoiceOffer:
        """Return what was said before where nothing it depends on has changed."""
        seats = self._sum(line.ways)
        state = (seats, [pool.version for pool in line.pools], self._places.is_reported)
        as_of = self._snapshot.as_of
        offer = line.offer
        if offer is None or line.state != state:
            line.state = state
            offer = line.offer = self._make_offer(line, seats)
        elif offer.as_of != as_of:
            offer = line.offer = replace(offer, as_of=as_of)
        return offer

    def _make_offer(self, line: _Line, seats: _Seats) -> ChoiceOffer:
        selection, share = line.selection, line.selection.share
        images: dict[str, ImageReadiness] = {}
        if seats.free is not None:
            images = {image: self._readiness(image, ways) for image, ways in line.by_image.items()}
        return ChoiceOffer(
            key=selection.choice.key,
            profile=selection.profile,
            flavor=selection.flavor,
            share=share.label if share else "",
            count=selection.count,
            state=_state(seats, images.get(selection.image)),
            free=0 if seats.total == 0 else seats.free,
            total=seats.total,
            because=explain(self._situation(line, seats)),
            images=MappingProxyType(images),
            as_of=self._snapshot.as_of,
        )

    def _readiness(self, image: str, ways: tuple[_Way, ...]) -> ImageReadiness:
        size_bytes = self._catalog.images[image].size_bytes
        for way in ways:
            way.fitting.refresh()
        return ImageReadiness(
            ready_nodes=sum([way.fitting.count_ready(image) for way in ways]),
            fitting_nodes=sum([len(way.fitting.rows) for way in ways]),
            is_known=self._places.is_reported
            and not any(way.fitting.count_unsure(image) for way in ways),
            pull_seconds=size_bytes and size_bytes / self._pull_bytes_per_second,
        )

    def _situation(self, line: _Line, seats: _Seats) -> Situation:
        """Gather what the sentence is made from; the nodes are looked at only where it says no."""
        selection, ways = line.selection, line.ways
        facts = None
        if selection.share is not None:
            facts = describe_share(self._catalog.flavors[selection.flavors[0]], selection.share)
        is_stuck = seats.free == 0 or seats.total == 0
        barred = {name: why for way in ways for name, why in way.pool.barred.items()}
        return Situation(
            free=seats.free,
            total=seats.total,
            unknown=seats.unknown,
            count=selection.count,
            unit=facts.unit if facts else "",
            units=facts.units if facts else "",
            spread=self._spread(ways) if facts and is_stuck else None,
            usable_nodes=sum(way.pool.row_count for way in ways),
            barred=barred if is_stuck else {},
            short=_short(ways, is_empty=seats.total == 0) if is_stuck else (),
        )

    def _spread(self, ways: tuple[_Way, ...]) -> Spread:
        """Return how the devices are spread over the nodes of all ways."""
        found = []
        for way in ways:
            for resource in way.fragment.devices:
                key = (id(way.pool), resource)
                version, spread = self._spreads.get(key, (None, None))
                if spread is None or version != way.pool.version:
                    spread = Spread.of(way.pool.column(resource))
                    self._spreads[key] = (way.pool.version, spread)
                found.append(spread)
        return Spread.together(found)

    def _flavor_counts(self, lines: tuple[_Line, ...]) -> Iterator[FlavorCount]:
        """Yield free and total of each flavor and share, whatever the count."""
        told = set()
        is_known = self._snapshot.nodes is not None
        for line in lines:
            flavor, share = line.selection.flavor, line.selection.share
            if share is None or flavor == ANY or (flavor, share) in told:
                continue
            told.add((flavor, share))
            spread = self._spread(line.ways)
            yield FlavorCount(
                flavor=flavor,
                share=share.label,
                unit=describe_share(self._catalog.flavors[flavor], share).unit,
                free=spread.free if is_known and self._snapshot.pods is not None else None,
                total=spread.total if is_known else None,
            )


def _select(choice: Choice, image: str) -> Selection:
    return Selection(
        profile=choice.profile,
        flavor=choice.flavor,
        flavors=choice.flavors,
        share=choice.share,
        count=choice.count,
        image=image,
    )


def _terms(fragment: PodFragment) -> tuple[NodeSelectorTerm, ...] | None:
    if not fragment.hardware:
        return None
    return tuple(
        NodeSelectorTerm(
            match_expressions=tuple(
                Requirement(
                    key=label.key,
                    operator="In" if label.values else "DoesNotExist",
                    values=label.values,
                )
                for label in labels
            )
        )
        for labels in fragment.hardware
    )


def _needs(request: PodRequest) -> dict[str, int]:
    return {**request.requests.amounts, PODS: 1}


def _state(seats: _Seats, readiness: ImageReadiness | None) -> Availability | None:
    if seats.total == 0:
        return Availability.IMPOSSIBLE
    if seats.free is None:
        return None
    if seats.free == 0:
        return Availability.BUSY
    is_cold = readiness is not None and readiness.is_cold
    return Availability.COLD if is_cold else Availability.READY


def _short(ways: tuple[_Way, ...], *, is_empty: bool) -> frozenset[str]:
    """Return what is too little beside the GPUs, on the node that comes nearest to fitting."""
    nearest: frozenset[str] | None = None
    for way in ways:
        pool, devices = way.pool, way.fragment.devices
        column_of = pool.offered_of if is_empty else pool.free_of
        others = [
            (name, column_of(name), need)
            for name, need in _needs(way.index.request).items()
            if name not in devices
        ]
        enough = [(column_of(name), need) for name, need in devices.items()]
        for row in rows_with(pool.row_count, enough):
            lacking = frozenset([name for name, column, need in others if column[row] < need])
            if lacking and (nearest is None or len(lacking) < len(nearest)):
                nearest = lacking
    return nearest or frozenset()
