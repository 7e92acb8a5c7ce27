"""What there is once for each hub, found through the settings that all of its users share."""

from collections.abc import Mapping
from typing import Any, Final

from gpu_spawner.hub.lifetimes import Lifetimes
from gpu_spawner.hub.live import Live
from gpu_spawner.hub.settings import HubSettings, read_settings
from gpu_spawner.hub.waiting import WaitingLine

__all__ = ["ensure_live", "is_live", "line_of", "live_of"]

_KEY: Final = "gpu_spawner"
_LINE_KEY: Final = "gpu_spawner_line"


def is_live(shared: Mapping[str, Any]) -> bool:
    """Tell whether there is one in these settings."""
    return _KEY in shared


def live_of(spawner: Any) -> Live:
    """Return what the hub of this spawner knows, starting it if nobody has yet.

    Raises:
        ConfigError: it is only now that the catalog is read, and it has mistakes.
    """
    shared = spawner.user.settings
    found: Live | None = shared.get(_KEY)
    if found is not None:
        return found
    return ensure_live(shared, read_settings(type(spawner), spawner.config, log=spawner.log))


def line_of(spawner: Any) -> WaitingLine:
    """Return the line of those who wait for a place in the hub of this spawner.

    Raises:
        ConfigError: as ``live_of``.
    """
    shared = spawner.user.settings
    if _LINE_KEY not in shared:
        shared[_LINE_KEY] = WaitingLine(live_of(spawner))
    found: WaitingLine = shared[_LINE_KEY]
    return found


def ensure_live(shared: dict[str, Any], settings: HubSettings) -> Live:
    """Return the one in these settings, or make and start it on the running event loop.

    Args:
        shared: the hub's tornado settings.
        settings: what ``read_settings`` read for the hub's spawner class.

    Raises:
        ConfigError: the catalog has mistakes.
    """
    if not is_live(shared):
        live = Live(settings, shared.get("db"))
        live.start()
        if "users" in shared:
            lifetimes = Lifetimes(shared, lambda: live.catalog, settings.log)
            lifetimes.on_ends = live.learn_ends
            live.lifetimes = lifetimes
            live.begin(lifetimes.run(settings.lifetime_check_seconds), "gpu_spawner lifetimes")
        shared[_KEY] = live
    found: Live = shared[_KEY]
    return found
