"""What can start now, for every choice of a catalog: states, seats, and the reason in a sentence.

An ``OfferBoard`` belongs to a catalog and a site, and follows the cluster from snapshot to
snapshot. Requests that are equal are counted once, whoever asks; what a change does not touch is
not computed again. It decides nothing about a node itself: seats come from
``core.placement.seats``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from gpu_spawner.core.catalog.model import ANY, Catalog, Choice, Profile, Selection
from gpu_spawner.core.catalog.site_pod import SitePod
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.diagnosis.expected_pull import ExpectedPull
from gpu_spawner.core.offers.availability import (
    Availability,
    ChoiceOffer,
    FlavorCount,
    ImageReadiness,
    ProfileOffer,
)
from gpu_spawner.core.offers.choice_memory import gpu_bytes
from gpu_spawner.core.offers.choosing import Choosing, choose_way
from gpu_spawner.core.offers.expectation import Expectations, Expected, ServerEnd
from gpu_spawner.core.offers.image_outlook import ImageOutlook
from gpu_spawner.core.offers.pools import Pool, Pools
from gpu_spawner.core.offers.scale_up import ScaleUp, ScaleUps
from gpu_spawner.core.offers.sentences import explain, say_scale_up
from gpu_spawner.core.offers.situations import Situations
from gpu_spawner.core.offers.way_nodes import WayNodes
from gpu_spawner.core.offers.ways import Way, Ways, WaySeats
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.preload.readiness import Readiness
from gpu_spawner.core.preload.steering import Room

__all__ = ["PULL_BYTES_PER_SECOND", "OfferBoard"]

PULL_BYTES_PER_SECOND: Final = 100_000_000.0
"""What a node is expected to pull until something was learnt: a registry over 1 Gbit/s."""

_NOTHING_READ: Final = Snapshot()


@dataclass(slots=True, kw_only=True)
class _Line:
    """A choice with the images it may be started with, and what was last said of it."""

    selection: Selection
    key: str
    gpu_bytes: int | None
    ways: tuple[Way, ...]
    by_image: dict[str, tuple[Way, ...]]
    pools: tuple[Pool, ...]
    state: object = None
    seats: WaySeats | None = None
    offer: ChoiceOffer | None = None
    made: int = 0


@dataclass(slots=True, kw_only=True)
class _Lines:
    """The lines of a profile, and what was last said of it, after how many changes."""

    lines: tuple[_Line, ...]
    made: int = -1
    offer: ProfileOffer | None = None


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
        choosing: Choosing = Choosing.FULLEST,
    ) -> None:
        """Compile every choice.

        Raises:
            ConfigError: the site's settings cannot be counted, such as an impossible quantity.
        """
        self._catalog = catalog
        self._choosing = choosing
        self._expectations = Expectations()
        self._site = site or SitePod()
        self._snapshot = _NOTHING_READ
        self._images = ImageOutlook(catalog, pull_bytes_per_second)
        self._pools = Pools(self._images.places)
        self._ways = Ways(catalog, self._site, self._pools)
        self._nodes = WayNodes(self._ways)
        self._scale_ups = ScaleUps(catalog.flavors, self._ways, self._nodes)
        self._lines: dict[object, _Lines] = {}
        self._single: dict[Selection, _Line] = {}
        self._situations = Situations(catalog, self._ways, self._nodes)
        for profile in catalog.profiles:
            self._lines_of(profile)

    @property
    def as_of(self) -> float | None:
        """Unix time of what the offers say; None when nothing is known."""
        return self._snapshot.as_of

    def update(self, snapshot: Snapshot) -> tuple[ProfileOffer, ...]:
        """Follow the cluster to a snapshot, and return the offers of the whole catalog."""
        self.follow(snapshot)
        return self.offers(self._catalog)

    def follow(self, snapshot: Snapshot) -> None:
        """Follow the cluster to a snapshot; what is asked next is counted then."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._pools.update(snapshot)
            self._ways.update(snapshot)

    def learn_images(self, readiness: Readiness) -> None:
        """Take over what the preloader knows: where images are, and how long pulls take."""
        if self._images.learn(readiness):
            self._pools.refresh_images()

    def learn_ends(self, ends: tuple[ServerEnd, ...]) -> None:
        """Take over when servers are expected to be stopped."""
        self._expectations.learn(ends)

    def offers(self, view: Catalog) -> tuple[ProfileOffer, ...]:
        """Return the offers of a part of the catalog, as ``visible_to`` makes it."""
        return tuple([self._profile_offer(profile) for profile in view.profiles])

    def offer_of(self, selection: Selection) -> ChoiceOffer:
        """Return the offer of exactly this selection, its image included."""
        line = self._single.get(selection)
        if line is None:
            line = self._single[selection] = self._line(selection, (selection.image,))
        return self._choice_offer(line)

    def resolve(self, selection: Selection) -> Selection:
        """Settle which flavors and which mechanism a selection takes, where there are several ways.

        A way with a free seat wins; without one, the first whose seats are unknown, then the first
        for which a node is started, and else the first that the cluster has at all.
        """
        ways = self._ways.of(selection)
        if self._ways.together(ways).free == 0 and (way := self._scale_ups.way_of(ways)):
            return way.fragment.selection
        return choose_way(self._ways, self._nodes, selection, self._choosing)

    def request_of(self, selection: Selection) -> PodRequest:
        """Return what a server of a settled selection asks of the cluster."""
        return self._ways.of(selection)[0].index.request

    def rooms_of(self, selection: Selection) -> list[Room]:
        """List the nodes where a server of a settled selection would start now."""
        way, own_image = self._ways.of(selection)[0], selection.own_image
        images = (
            self._images.beside(selection.profile)
            if own_image
            else self._images.images_of(selection.profile, selection.image)
        )
        return self._nodes.rooms(way, images, own_image)

    def pulls_of(self, selection: Selection) -> Mapping[str, ExpectedPull]:
        """Return what to expect of every image that such a server pulls, by reference."""
        return self._images.pulls(selection)

    def offer_with(
        self, profile: Profile, cpu_milli: int | None, memory_bytes: int | None
    ) -> ProfileOffer:
        """Return the offer of a profile of a view with amounts other than the default ones."""
        return self._profile_offer(profile, (cpu_milli, memory_bytes))

    def _lines_of(
        self, profile: Profile, amounts: tuple[int | None, int | None] = (None, None)
    ) -> _Lines:
        key = (profile.slug, profile.gpu, profile.withheld, profile.images, amounts)
        lines = self._lines.get(key)
        if lines is None:
            lines = self._lines[key] = _Lines(
                lines=tuple(
                    self._line(_select(choice, profile.images[0], *amounts), profile.images)
                    for choice in profile.choices
                )
            )
        return lines

    def _line(self, selection: Selection, images: tuple[str, ...]) -> _Line:
        by_image = {image: self._ways.of(replace(selection, image=image)) for image in images}
        if selection.own_image:  # where it is, and how long it takes to pull, nobody knows
            by_image = {}
        own = self._ways.of(selection)
        every = (own, *by_image.values())
        pools = {id(way.pool): way.pool for ways in every for way in ways}
        return _Line(
            selection=selection,
            key=selection.choice.key,
            gpu_bytes=gpu_bytes(self._catalog, selection),
            ways=own,
            by_image=by_image,
            pools=tuple(pools.values()),
        )

    def _profile_offer(
        self, profile: Profile, amounts: tuple[int | None, int | None] = (None, None)
    ) -> ProfileOffer:
        group = self._lines_of(profile, amounts)
        lines = group.lines
        choices = tuple([self._choice_offer(line) for line in lines])
        made = sum([line.made for line in lines])
        if group.offer is None or made != group.made:
            group.offer = self._make_profile_offer(profile, lines, choices)
            group.made = made
        return group.offer

    def _make_profile_offer(
        self, profile: Profile, lines: tuple[_Line, ...], choices: tuple[ChoiceOffer, ...]
    ) -> ProfileOffer:
        known = [offer.state for offer in choices if offer.state is not None]
        state = max(known, default=None)
        first = next((offer for offer in choices if offer.state is state), choices[0])
        return ProfileOffer(
            slug=profile.slug,
            state=state,
            because=first.because,
            choices=choices,
            flavors=tuple(self._flavor_counts(lines)),
        )

    def _choice_offer(self, line: _Line) -> ChoiceOffer:
        """Return what was said before where nothing it depends on has changed."""
        places = self._images.places
        state = (
            [pool.version for pool in line.pools],
            self._ways.version(line.ways),
            places.is_reported,
            places.managed,
            self._images.serial,
            self._expectations.serial,
        )
        offer, seats = line.offer, line.seats
        is_same = line.state == state
        if is_same and seats is not None and self._ways.is_kept(line.ways, seats):
            self._ways.keep(line.ways)
        else:
            seats = self._ways.together(line.ways)
        if offer is None or not is_same or line.seats != seats:
            line.state, line.seats = state, seats
            offer = line.offer = self._make_offer(line, seats)
            line.made += 1
        return offer

    def _make_offer(self, line: _Line, seats: WaySeats) -> ChoiceOffer:
        selection, share = line.selection, line.selection.share
        scale_up = self._scale_ups.of(line.ways, seats)
        images: dict[str, ImageReadiness] = {}
        if seats.free is not None:
            images = {
                image: self._with_seats(line, (seats, scale_up), image, ways)
                for image, ways in line.by_image.items()
            }
        return ChoiceOffer(
            key=line.key,
            profile=selection.profile,
            flavor=selection.flavor,
            share=share.label if share else "",
            count=selection.count,
            state=_state(seats, scale_up, images.get(selection.image)),
            free=0 if seats.total == 0 else seats.free,
            total=seats.total,
            because=self._explain(selection, line.ways, seats, scale_up),
            images=MappingProxyType(images),
            gpu_bytes=line.gpu_bytes,
            expected=self._expected(line, seats),
            scale_up=scale_up,
        )

    def _explain(
        self,
        selection: Selection,
        ways: tuple[Way, ...],
        seats: WaySeats,
        scale_up: ScaleUp | None,
    ) -> str:
        because = explain(self._situations.of(selection, self._ways.offered(ways), seats))
        return because if scale_up is None else say_scale_up(because, scale_up.seconds)

    def _expected(self, line: _Line, seats: WaySeats) -> Expected | None:
        if seats.free != 0 or not seats.total:
            return None
        requests = [way.index.request for way in self._ways.offered(line.ways)]
        return self._expectations.of(self._snapshot, requests)

    def _with_seats(
        self,
        line: _Line,
        own: tuple[WaySeats, ScaleUp | None],
        image: str,
        ways: tuple[Way, ...],
    ) -> ImageReadiness:
        """Judge one image of a choice, of which it is known how it stands with its first image."""
        seats = self._ways.together(ways)
        scale_up = self._scale_ups.of(ways, seats)
        is_alike = (seats.free, seats.total, scale_up) == (own[0].free, own[0].total, own[1])
        images = self._images.images_of(line.selection.profile, image)
        return self._images.readiness(
            images,
            self._nodes.places(images, ways),
            line.selection.flavors,
            free=0 if seats.total == 0 else seats.free,
            total=seats.total,
            scale_up=scale_up,
            because="" if is_alike else self._explain(line.selection, ways, seats, scale_up),
        )

    def _flavor_counts(self, lines: tuple[_Line, ...]) -> Iterator[FlavorCount]:
        """Yield free and total of each flavor and share, whatever the count."""
        told = set()
        is_known = self._snapshot.nodes is not None
        for line in lines:
            flavor, share = line.selection.flavor, line.selection.share
            if share is None or flavor == ANY or (flavor, share) in told:
                continue
            told.add((flavor, share))
            ways = self._ways.offered(line.ways)
            facts = self._situations.facts(line.selection, ways)
            free, total = self._units(ways)
            yield FlavorCount(
                flavor=flavor,
                share=share.label,
                unit=facts.unit if facts else "",
                free=free if is_known and self._snapshot.pods is not None else None,
                total=total if is_known else None,
            )

    def _units(self, ways: Sequence[Way]) -> tuple[int | None, int | None]:
        """Return how many shares are free and how many there are, over all ways."""
        seats = self._ways.units_together(ways)
        if seats is None:
            spread = self._situations.spread(ways)
            return spread.free, spread.total
        return seats.free, seats.total


def _select(
    choice: Choice, image: str, cpu_milli: int | None = None, memory_bytes: int | None = None
) -> Selection:
    return Selection(
        profile=choice.profile,
        flavor=choice.flavor,
        flavors=choice.flavors,
        share=choice.share,
        count=choice.count,
        image=image,
        cpu_milli=cpu_milli,
        memory_bytes=memory_bytes,
    )


def _state(
    seats: WaySeats, scale_up: ScaleUp | None, readiness: ImageReadiness | None
) -> Availability | None:
    if scale_up is not None:
        return Availability.SCALE_UP
    if seats.total == 0:
        return Availability.IMPOSSIBLE
    if seats.free is None:
        return None
    if seats.free == 0:
        return Availability.BUSY
    is_cold = readiness is not None and readiness.is_cold
    return Availability.COLD if is_cold else Availability.READY
