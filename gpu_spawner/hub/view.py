"""What one group of users may pick, with what is known about it at one moment."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from gpu_spawner.core.catalog.model import Catalog, Choice, Profile, Selection
from gpu_spawner.core.offers.alternatives import nearest_alternative
from gpu_spawner.core.offers.availability import ChoiceOffer, ProfileOffer

__all__ = ["View"]

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class View:
    """A catalog as some users see it, and its offers.

    Users with the same groups and the same site settings share a view, and what is derived from it
    (``memo``): a thousand open pages cost as much as one.

    Attributes:
        offer_with: from a profile and amounts of CPU (milli) and memory (bytes) to its offer; None
            where only the default amounts are counted.
    """

    catalog: Catalog
    offers: tuple[ProfileOffer, ...]
    offer_with: Callable[[Profile, int | None, int | None], ProfileOffer] | None = None
    _memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def offer(self, key: str) -> ChoiceOffer | None:
        """Return what is known about a choice."""
        slug = key.partition("/")[0]
        for offer in self.offers:
            if offer.slug == slug:
                return offer.choice(key)
        return None

    def instead(
        self, key: str, image: str = "", beyond: Callable[[Choice], str] | None = None
    ) -> str:
        """Return the key of the nearest choice that would start, or nothing.

        Args:
            key: of the choice that cannot be had.
            image: what was picked with it; empty for the profile's first.
            beyond: says why a choice is more than a user may hold; None where there are no limits.
        """
        offer = self.offer(key)
        if offer is None:
            return ""
        one = offer.with_image(image)
        is_open = one.state is None or one.starts_now
        if is_open and (beyond is None or not self._is_beyond(key, beyond)):
            return ""
        if beyond is None:
            return self.memo(f"instead of {key} with {image}", lambda: self._nearest(key, image))
        return self._nearest(key, image, lambda other: not self._is_beyond(other.key, beyond))

    def _nearest(
        self, key: str, image: str, is_permitted: Callable[[ChoiceOffer], bool] | None = None
    ) -> str:
        offers = [choice for offer in self.offers for choice in offer.choices]
        nearest = nearest_alternative(key, offers, image=image, is_permitted=is_permitted)
        return nearest.key if nearest is not None else ""

    def _is_beyond(self, key: str, beyond: Callable[[Choice], str]) -> bool:
        found = self.choice(key)
        return found is None or bool(beyond(found[1]))

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
