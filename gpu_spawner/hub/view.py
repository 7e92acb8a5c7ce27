"""What one group of users may pick, with what is known about it at one moment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, TypeVar

from gpu_spawner.core.catalog.model import Catalog, Choice, Profile, Selection
from gpu_spawner.core.offers.alternatives import nearest_alternative
from gpu_spawner.core.offers.availability import ChoiceOffer, ProfileOffer

__all__ = ["View"]

_NO_LIMITS: Final[Mapping[str, str]] = MappingProxyType({})
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class View:
    """A catalog as some users see it, and its offers.

    Users with the same groups and the same site settings share a view, and what is derived from it
    (``memo``): a thousand open pages cost as much as one. What is derived from a part of it that
    seldom changes outlives it (``kept``): an event makes one card anew, and not all of them.

    Attributes:
        as_of: Unix time of what the offers say; None when nothing is known.
        offer_with: from a profile and amounts of CPU (milli) and memory (bytes) to its offer; None
            where only the default amounts are counted.
        shelf: what outlives the view, to be passed on to the next one of the same catalog.
    """

    catalog: Catalog
    offers: tuple[ProfileOffer, ...]
    as_of: float | None = None
    offer_with: Callable[[Profile, int | None, int | None], ProfileOffer] | None = None
    shelf: dict[str, tuple[object, Any]] = field(default_factory=dict, compare=False, repr=False)
    _memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def offer(self, key: str) -> ChoiceOffer | None:
        """Return what is known about a choice."""
        slug = key.partition("/")[0]
        for offer in self.offers:
            if offer.slug == slug:
                return offer.choice(key)
        return None

    def instead(self, key: str, image: str = "", beyond: Mapping[str, str] = _NO_LIMITS) -> str:
        """Return the key of the nearest choice that would start, or nothing.

        Args:
            key: of the choice that cannot be had.
            image: what was picked with it; empty for the profile's first.
            beyond: why choices are more than a user may hold, by their keys.
        """
        offer = self.offer(key)
        if offer is None:
            return ""
        one = offer.with_image(image)
        if (one.state is None or one.starts_now) and key not in beyond:
            return ""
        if not beyond:
            return self.memo(f"instead of {key} with {image}", lambda: self._nearest(key, image))
        return self._nearest(key, image, beyond)

    def _nearest(self, key: str, image: str, beyond: Mapping[str, str] = _NO_LIMITS) -> str:
        offers = [choice for offer in self.offers for choice in offer.choices]
        nearest = nearest_alternative(
            key, offers, image=image, is_permitted=lambda other: other.key not in beyond
        )
        return nearest.key if nearest is not None else ""

    def choice(self, key: str) -> tuple[Profile, Choice] | None:
        """Return the choice with this key and its profile, if these users may pick it."""
        profile = self.catalog.profile(key.partition("/")[0])
        for choice in profile.choices if profile else ():
            if profile is not None and choice.key == key:
                return profile, choice
        return None

    def with_amounts(self, selection: Selection) -> "View":
        """Return the same view, with one profile counted with the amounts that were selected."""
        profile = self.catalog.profile(selection.profile)
        amounts = (selection.cpu_milli, selection.memory_bytes)
        make = self.offer_with
        if profile is None or make is None or amounts == (None, None):
            return self
        return self.memo(
            f"{profile.slug} with {amounts}", lambda: self._with(make(profile, *amounts))
        )

    def _with(self, offer: ProfileOffer) -> "View":
        offers = tuple(offer if one.slug == offer.slug else one for one in self.offers)
        return replace(self, offers=offers, _memo={})

    def memo(self, name: str, make: Callable[[], _T]) -> _T:
        """Return what was derived from this view under a name, making it on first use."""
        if name not in self._memo:
            self._memo[name] = make()
        made: _T = self._memo[name]
        return made

    def kept(self, name: str, basis: object, make: Callable[[], _T]) -> _T:
        """Return what was derived under a name, also by an earlier view, from an equal basis.

        Args:
            name: one of a bounded number.
            basis: all that it depends on, beside the catalog.
            make: makes it.
        """
        known = self.shelf.get(name)
        if known is None or known[0] != basis:
            known = self.shelf[name] = (basis, make())
        made: _T = known[1]
        return made

    @property
    def states(self) -> tuple[object, ...]:
        """What decides which choice would start instead of which, as one value."""
        return self.memo("states", self._states)

    def _states(self) -> tuple[object, ...]:
        return tuple(
            [
                (choice.state, *[readiness.state for readiness in choice.images.values()])
                for offer in self.offers
                for choice in offer.choices
            ]
        )
