"""What one group of users may pick, with what is known about it at one moment."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gpu_spawner.core.availability import ChoiceOffer, ProfileOffer
from gpu_spawner.core.catalog import Catalog, Choice, Profile

__all__ = ["View"]

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class View:
    """A catalog as some users see it, and its offers.

    Users with the same groups and the same site settings share a view, and what is derived from it
    (``memo``): a thousand open pages cost as much as one.

    Attributes:
        instead: from a choice's key to the key of the nearest one that would start, or "".
        as_of: Unix time of the oldest number; None when nothing is known.
    """

    catalog: Catalog
    offers: tuple[ProfileOffer, ...]
    instead: Callable[[str], str]
    as_of: float | None
    _memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def offer(self, key: str) -> ChoiceOffer | None:
        """Return what is known about a choice."""
        slug = key.partition("/")[0]
        for offer in self.offers:
            if offer.slug == slug:
                return offer.choice(key)
        return None

    def choice(self, key: str) -> tuple[Profile, Choice] | None:
        """Return the choice with this key and its profile, if these users may pick it."""
        profile = self.catalog.profile(key.partition("/")[0])
        for choice in profile.choices if profile else ():
            if profile is not None and choice.key == key:
                return profile, choice
        return None

    def age_seconds(self, now: float) -> int | None:
        """Return how old the oldest number is."""
        return None if self.as_of is None else max(0, round(now - self.as_of))

    def memo(self, name: str, make: Callable[[], _T]) -> _T:
        """Return what was derived from this view under a name, making it on first use."""
        if name not in self._memo:
            self._memo[name] = make()
        made: _T = self._memo[name]
        return made
