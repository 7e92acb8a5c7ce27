"""Why a server's last start failed, for the page that its user sees next.

JupyterHub tells a failure once, on the page that watched the start; whoever reloads it, or comes
back later, is told nothing. It is kept in memory for a while: a restart of the hub forgets it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gpu_spawner.core.messages import gettext, sentences
from gpu_spawner.core.wording import say_duration
from gpu_spawner.hub.holders import ServerKey

__all__ = ["LastFailures"]

_KEPT_SECONDS: Final = 1800.0
_MOST: Final = 10_000
_JUST_NOW_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Failed:
    message: str
    at: float


class LastFailures:
    """The last failure of each server.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._failed: dict[ServerKey, _Failed] = {}

    def remember(self, key: ServerKey, message: str) -> None:
        """Keep why a start failed, in words for the user."""
        self._failed.pop(key, None)
        while len(self._failed) >= _MOST:
            del self._failed[next(iter(self._failed))]
        self._failed[key] = _Failed(message, self._clock())

    def forget(self, key: ServerKey) -> None:
        """Forget it: a new start begins."""
        self._failed.pop(key, None)

    def sentence(self, key: ServerKey) -> str:
        """Say what happened and when; empty where nothing did lately."""
        failed = self._failed.get(key)
        if failed is None:
            return ""
        ago = self._clock() - failed.at
        if ago > _KEPT_SECONDS:
            self.forget(key)
            return ""
        if ago < _JUST_NOW_SECONDS:
            said = gettext("The last start failed just now.")
        else:
            said = gettext("The last start failed {time} ago.", time=say_duration(ago))
        return sentences(said, failed.message)
