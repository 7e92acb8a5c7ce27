"""Set a choice's KubeSpawner settings on a spawner, and take them back before the next choice."""

from collections.abc import Mapping
from typing import Any

__all__ = ["AppliedSettings"]


class AppliedSettings:
    """What a choice has changed on one spawner.

    A spawner can live on from one start to the next (after a failed start, for example). Everything
    a choice set is put back to what it was, so that nothing of it reaches the next start: not a
    GPU, not a toleration, not a variable. What the site's own hooks have set in the meantime stays,
    as it does with KubeSpawner.
    """

    def __init__(self, spawner: Any) -> None:
        self._spawner = spawner
        self._before: dict[str, Any] = {}

    def site_value(self, name: str) -> Any:
        """Return a setting as the site has it, whatever choice is applied now."""
        if name in self._before:
            return self._before[name]
        return getattr(self._spawner, name)

    def apply(self, settings: Mapping[str, Any]) -> None:
        """Set these traits; those of an earlier choice are taken back first."""
        self.undo()
        for name, value in settings.items():
            self._before[name] = getattr(self._spawner, name)
            setattr(self._spawner, name, value)

    def undo(self) -> None:
        """Put every trait back to what it was before ``apply``."""
        while self._before:
            name, value = self._before.popitem()
            setattr(self._spawner, name, value)
