"""What can start now, for every choice of a catalog: states, seats, and the reason in a sentence.

An ``OfferBoard`` belongs to a catalog and a site, and follows the cluster from snapshot to
snapshot. Requests that are equal are counted once, whoever asks; what a change does not touch is
not computed again. It decides nothing about a node itself: seats come from ``core.placement``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from gpu_spawner.core.availability import (
    Availability,
    ChoiceOffer,
    FlavorCount,
    ImageReadiness,
    ProfileOffer,
)
from gpu_spawner.core.catalog import ANY, Catalog, Choice, Profile, Selection
from gpu_spawner.core.compile import PodFragment, compile_selection, variants
from gpu_spawner.core.image_places import ImagePlaces
from gpu_spawner.core.mechanisms import describe_share
from gpu_spawner.core.placement import PodRequest, Seats, count_seats
from gpu_spawner.core.pools import Pool, Pools
from gpu_spawner.core.resources import PODS
from gpu_spawner.core.selectors import NodeSelectorTerm, Requirement
from gpu_spawner.core.sentences import Situation, Spread, explain
from gpu_spawner.core.site_pod import SitePod, request_of
from gpu_spawner.core.snapshot import Snapshot

__all__ = ["PULL_BYTES_PER_SECOND", "OfferBoard"]

PULL_BYTES_PER_SECOND: Final = 100_000_000.0
"""What a node is expected to pull until something was learnt: a registry over 1 Gbit/s."""

_NOTHING_READ: Final = Snapshot()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One pod that a selection can be served with, and the nodes it is about."""

    selection: Selection
    fragment: PodFragment
    request: PodRequest
    pool: Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sum:
    """The seats of all ways of a selection together."""

    free: int | None
    total: int | None
    unknown: str | None


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
        self._pools = Pools()
        self._places = ImagePlaces()
        self._ways: dict[Selection, tuple[_Way, ...]] = {}
        self._seats: dict[PodRequest, Seats] = {}
        self._made: dict[tuple[Selection, tuple[str, ...]], tuple[object, ChoiceOffer]] = {}
        for profile in catalog.profiles:
            for choice in profile.choices:
                for image in profile.images:
                    self._ways_of(_select(choice, image))

    def update(self, snapshot: Snapshot) -> tuple[ProfileOffer, ...]:
        """Follow the cluster to a snapshot, and return the offers of the whole catalog."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._seats.clear()
            self._pools.update(snapshot)
            if snapshot.nodes is not None:
                self._places.learn(state.node for state in snapshot.nodes.values())
        return self.offers(self._catalog)

    def offers(self, view: Catalog) -> tuple[ProfileOffer, ...]:
        """Return the offers of a part of the catalog, as ``visible_to`` makes it."""
        return tuple(self._profile_offer(profile) for profile in view.profiles)

    def offer_of(self, selection: Selection) -> ChoiceOffer:
        """Return the offer of exactly this selection, its image included."""
        return self._choice_offer(selection, (selection.image,))

    def resolve(self, selection: Selection) -> Selection:
        """Settle which flavors "whichever is free first" takes, where one pod cannot stand for all.

        The first flavors with a free seat win; without one, the first whose seats are unknown, and
        else the first.
        """
        ways = self._ways_of(selection)
        for is_wanted in (lambda seats: seats.free, lambda seats: seats.free is None):
            for way in ways:
                if is_wanted(self._count(way.request)):
                    return way.selection
        return ways[0].selection

    def alternative_for(self, key: str, view: Catalog) -> ChoiceOffer | None:
        """Return the nearest choice of the view that would start now, if any would.

        Nearest is: in the same profile; with the same kind of share; as many, or else fewer, or
        else more; of the same flavor. Of equals, the one whose image is there comes first.
        """
        offers = [offer for profile in self.offers(view) for offer in profile.choices]
        wanted = next((offer for offer in offers if offer.key == key), None)
        if wanted is None:
            return None
        starting = [
            offer
            for offer in offers
            if offer.starts_now and offer.flavor != ANY and offer.key != key
        ]
        return min(starting, key=lambda offer: _distance(wanted, offer), default=None)

    def _ways_of(self, selection: Selection) -> tuple[_Way, ...]:
        ways = self._ways.get(selection)
        if ways is None:
            ways = tuple(self._way(variant) for variant in variants(self._catalog, selection))
            self._ways[selection] = ways
        return ways

    def _way(self, selection: Selection) -> _Way:
        fragment = compile_selection(self._catalog, selection)
        request = request_of(fragment, self._site)
        pool = self._pools.pool(request, _terms(fragment))
        return _Way(selection=selection, fragment=fragment, request=request, pool=pool)

    def _count(self, request: PodRequest) -> Seats:
        seats = self._seats.get(request)
        if seats is None:
            seats = self._seats[request] = count_seats(self._snapshot, request)
        return seats

    def _sum(self, ways: tuple[_Way, ...]) -> _Sum:
        """Add the seats of pods that ask for different resources, hence of different GPUs."""
        free = total = 0
        for way in ways:
            seats = self._count(way.request)
            if seats.free is None or seats.total is None:
                return _Sum(free=None, total=seats.total, unknown=seats.unknown)
            free += seats.free
            total += seats.total
        return _Sum(free=free, total=total, unknown=None)

    def _profile_offer(self, profile: Profile) -> ProfileOffer:
        choices = tuple(
            self._choice_offer(_select(choice, profile.images[0]), profile.images)
            for choice in profile.choices
        )
        known = [offer.state for offer in choices if offer.state is not None]
        state = max(known, default=None)
        first = next((offer for offer in choices if offer.state == state), choices[0])
        return ProfileOffer(
            slug=profile.slug,
            state=state,
            because=first.because,
            choices=choices,
            flavors=tuple(self._flavor_counts(profile)),
            as_of=self._snapshot.as_of,
        )

    def _choice_offer(self, selection: Selection, images: tuple[str, ...]) -> ChoiceOffer:
        """Return what was made before where nothing it depends on has changed."""
        by_image = {image: self._ways_of(replace(selection, image=image)) for image in images}
        ways = self._ways_of(selection)
        seats = self._sum(ways)
        versions = [way.pool.version for others in by_image.values() for way in others]
        versions += [way.pool.version for way in ways]
        state = (seats, versions, self._places.is_reported)
        made = self._made.get((selection, images))
        as_of = self._snapshot.as_of
        if made is not None and made[0] == state:
            offer = made[1]
            return offer if offer.as_of == as_of else replace(offer, as_of=as_of)
        offer = self._make_offer(selection, ways, seats, by_image)
        self._made[selection, images] = (state, offer)
        return offer

    def _make_offer(
        self,
        selection: Selection,
        ways: tuple[_Way, ...],
        seats: _Sum,
        by_image: Mapping[str, tuple[_Way, ...]],
    ) -> ChoiceOffer:
        images = (
            {image: self._readiness(image, others) for image, others in by_image.items()}
            if seats.free is not None
            else {}
        )
        share = selection.share
        return ChoiceOffer(
            key=selection.choice.key,
            profile=selection.profile,
            flavor=selection.flavor,
            share=share.label if share else "",
            count=selection.count,
            state=_state(seats, images.get(selection.image)),
            free=0 if seats.total == 0 else seats.free,
            total=seats.total,
            because=explain(self._situation(selection, ways, seats)),
            images=MappingProxyType(images),
            as_of=self._snapshot.as_of,
        )

    def _readiness(self, image: str, ways: tuple[_Way, ...]) -> ImageReadiness:
        facts = self._catalog.images[image]
        pull_seconds = facts.size_bytes and facts.size_bytes / self._pull_bytes_per_second
        nodes = (row.node for way in ways for row in way.pool.fitting(_needs(way.request)))
        return self._places.readiness(facts.reference, nodes, pull_seconds)

    def _situation(self, selection: Selection, ways: tuple[_Way, ...], seats: _Sum) -> Situation:
        units = ("", "")
        if selection.share is not None:
            flavor = self._catalog.flavors[selection.flavors[0]]
            facts = describe_share(flavor, selection.share)
            units = (facts.unit, facts.units)
        is_stuck = seats.free == 0 or seats.total == 0
        return Situation(
            free=seats.free,
            total=seats.total,
            unknown=seats.unknown,
            count=selection.count,
            unit=units[0],
            units=units[1],
            spread=Spread.of(_columns(ways)) if selection.share is not None else None,
            usable_nodes=sum(len(way.pool.rows) for way in ways),
            barred={name: why for way in ways for name, why in way.pool.barred.items()},
            short=_short(ways, is_empty=seats.total == 0) if is_stuck else (),
        )

    def _flavor_counts(self, profile: Profile) -> Iterator[FlavorCount]:
        """Yield free and total of each flavor and share, whatever the count."""
        told = set()
        is_known = self._snapshot.nodes is not None
        for choice in profile.choices:
            share = choice.share
            if share is None or choice.flavor == ANY or (choice.flavor, share) in told:
                continue
            told.add((choice.flavor, share))
            facts = describe_share(self._catalog.flavors[choice.flavor], share)
            spread = Spread.of(_columns(self._ways_of(_select(choice, profile.images[0]))))
            yield FlavorCount(
                flavor=choice.flavor,
                share=share.label,
                unit=facts.unit,
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
                Requirement(key=label.key, operator="In", values=label.values) for label in labels
            )
        )
        for labels in fragment.hardware
    )


def _needs(request: PodRequest) -> dict[str, int]:
    return {**request.requests.amounts, PODS: 1}


def _state(seats: _Sum, readiness: ImageReadiness | None) -> Availability | None:
    if seats.total == 0:
        return Availability.IMPOSSIBLE
    if seats.free is None:
        return None
    if seats.free == 0:
        return Availability.BUSY
    is_cold = readiness is not None and readiness.is_cold
    return Availability.COLD if is_cold else Availability.READY


def _columns(ways: tuple[_Way, ...]) -> Iterator[tuple[int, int]]:
    for way in ways:
        for resource in way.fragment.extended_resources:
            yield from way.pool.column(resource)


def _short(ways: tuple[_Way, ...], *, is_empty: bool) -> frozenset[str]:
    """Return what is too little beside the GPUs, on the node that comes nearest to fitting."""
    nearest: frozenset[str] | None = None
    for way in ways:
        gpus = dict(way.fragment.extended_resources)
        others = {name: need for name, need in _needs(way.request).items() if name not in gpus}
        indexes = {name: way.pool.resources.index(name) for name in others}
        for row in way.pool.fitting(gpus, is_empty=is_empty):
            have = row.offered if is_empty else row.free
            lacking = frozenset(name for name in others if have[indexes[name]] < others[name])
            if lacking and (nearest is None or len(lacking) < len(nearest)):
                nearest = lacking
    return nearest or frozenset()


def _distance(wanted: ChoiceOffer, offer: ChoiceOffer) -> tuple[float, ...]:
    more, fewer = max(offer.count - wanted.count, 0), max(wanted.count - offer.count, 0)
    return (
        offer.profile != wanted.profile,
        (offer.count == 0) != (wanted.count == 0),
        offer.share != wanted.share,
        more > 0,
        more + fewer,
        offer.flavor != wanted.flavor,
        -(offer.state or 0),
    )
