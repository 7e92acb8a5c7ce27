"""What one user may still take: how much of the limits is used, and which choices go beyond."""

from typing import Any, Final

from gpu_spawner.core.catalog.holdings import holding_of
from gpu_spawner.core.catalog.limits import NO_LIMITS, Held, find_excess, say_held
from gpu_spawner.core.catalog.model import Catalog, Choice
from gpu_spawner.hub.live import Live

__all__ = ["Allowance"]


class Allowance:
    """The limits of one server's owner, at one moment."""

    def __init__(self, live: Live, spawner: Any) -> None:
        self._live: Final = live
        self._username: Final = spawner.user.name
        self._groups: Final = spawner.group_names
        self._others: Final = (
            {}
            if live.limits == NO_LIMITS
            else {
                key: held
                for key, held in live.holders.held(live.catalog).items()
                # Starting a server anew does not add to what it holds.
                if key != (self._username, spawner.name)
            }
        )

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit at all."""
        return self._live.limits != NO_LIMITS

    @property
    def summary(self) -> str:
        """How much of the user's own limits is used, in a sentence; empty without limits."""
        if not self.is_limited:
            return ""
        limit = self._live.limits.for_user(self._username, self._groups)
        mine = [held for held in self._others.values() if held.username == self._username]
        return say_held(limit, mine)

    def beyond_of(self, catalog: Catalog) -> dict[str, str]:
        """Return why choices would be too much, by their keys; those that would not are absent."""
        if not self.is_limited:
            return {}
        choices = (choice for profile in catalog.profiles for choice in profile.choices)
        found = {choice.key: self.beyond(choice) for choice in choices}
        return {key: because for key, because in found.items() if because}

    def beyond(self, choice: Choice) -> str:
        """Return why a choice would be too much, in a sentence; empty where it would not."""
        if not self.is_limited:
            return ""
        asked = Held(
            username=self._username,
            groups=self._groups,
            profile=choice.profile,
            holding=holding_of(self._live.catalog, choice),
        )
        return find_excess(self._live.limits, asked, self._others.values())
