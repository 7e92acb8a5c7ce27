"""Start with the hub: check the catalog, watch the cluster, add our routes.

JupyterHub gives a spawner class no hook for its start, only for each server. Without one, a hub
would learn of a mistake in its profiles from the first user, and would know nothing of the cluster
when that user comes. So this waits, inside the hub's own event loop, until the hub has made its web
application, and begins then: before the hub has answered any request.
"""

import asyncio
import os
import re
import sys
from typing import Any, Final

from jupyterhub.app import JupyterHub
from jupyterhub.utils import url_path_join
from prometheus_client import REGISTRY
from tornado.routing import Rule
from tornado.web import Application

from gpu_spawner.core.errors import ConfigError
from gpu_spawner.hub.extended_pages import (
    HomePageHandler,
    PendingPageHandler,
    SpawnPageHandler,
    UsersPageHandler,
)
from gpu_spawner.hub.handlers import OffersHandler, OffersStreamHandler
from gpu_spawner.hub.inventory_handlers import AdminPageHandler, InventoryHandler
from gpu_spawner.hub.live import Live
from gpu_spawner.hub.metrics import LiveCollector
from gpu_spawner.hub.quiet_log import RefusalsInOneLine
from gpu_spawner.hub.readable_requests import SPAWN_PATHS
from gpu_spawner.hub.reader import NoteReader
from gpu_spawner.hub.registry import ensure_live, is_live
from gpu_spawner.hub.settings import read_settings
from gpu_spawner.hub.static_files import STATIC_DIRECTORY, StaticFiles

__all__ = ["add_routes", "arrange_start"]

_LOOK_AGAIN_SECONDS: Final = 0.02


def arrange_start() -> None:
    """Begin as soon as the hub of this process, if there is one, has its web application."""
    if not JupyterHub.initialized():
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a command such as "jupyterhub token", which only reads configuration
        return
    loop.call_soon(_begin, loop, JupyterHub.instance())


def _begin(loop: asyncio.AbstractEventLoop, hub: Any) -> None:
    application: Application | None = getattr(hub, "tornado_application", None)
    if application is None:
        loop.call_later(_LOOK_AGAIN_SECONDS, _begin, loop, hub)
        return
    if not _is_ours(hub.spawner_class) or is_live(hub.tornado_settings):
        return
    settings = read_settings(hub.spawner_class, hub.config, log=hub.log)
    if not settings.has_profiles:
        return
    sections = hub.spawner_class.section_names()
    if any(hub.config.get(section, {}).get("profile_list") for section in sections):
        hub.log.warning(
            "GPUSpawner.profiles are shown; KubeSpawner.profile_list is set as well and is not."
        )
    try:
        live = ensure_live(hub.tornado_settings, settings)
    except ConfigError as error:
        for problem in error.problems:
            hub.log.critical("%s", problem)
        hub.log.critical("The profiles of this hub have mistakes (above): it cannot start.")
        # As JupyterHub itself ends from inside its loop (consecutive_failure_limit).
        sys.exit(os.EX_CONFIG)
    hub.log.addFilter(RefusalsInOneLine())
    add_routes(application, hub.hub_prefix, live)
    REGISTRY.register(LiveCollector(live))


def _is_ours(spawner_class: type) -> bool:
    from gpu_spawner.hub.spawner import GPUSpawner  # noqa: PLC0415 - it imports this module

    return issubclass(spawner_class, GPUSpawner)


def add_routes(application: Application, hub_prefix: str, live: Live) -> None:
    """Add our routes to the running web application.

    ``JupyterHub.extra_handlers`` would do the same from configuration only, and logs that it is
    deprecated. tornado asks what is added here before the handlers it was made with, the hub's
    catch-all among them.
    """
    prefix = re.escape(hub_prefix)
    base = url_path_join(prefix, "gpu-spawner")
    api = url_path_join(prefix, "api", "gpu-spawner")
    names = "|".join(re.escape(path.name) for path in STATIC_DIRECTORY.iterdir())
    application.add_handlers(
        r".*",
        [
            Rule(NoteReader(hub_prefix, live.settings.languages), None),
            (url_path_join(api, "offers"), OffersHandler, {"live": live}),
            (url_path_join(api, "offers", "stream"), OffersStreamHandler, {"live": live}),
            (url_path_join(api, "inventory"), InventoryHandler, {"live": live}),
            (url_path_join(base, "admin"), AdminPageHandler, {"live": live}),
            # Asked before JupyterHub's own handlers of the same addresses.
            (url_path_join(prefix, "home"), HomePageHandler, {"live": live}),
            (url_path_join(prefix, "admin"), UsersPageHandler),
            (url_path_join(prefix, "spawn-pending", "([^/]+)"), PendingPageHandler),
            (url_path_join(prefix, "spawn-pending", "([^/]+)", "([^/]+)"), PendingPageHandler),
            (url_path_join(base, "static", f"({names})"), StaticFiles),
            *((url_path_join(prefix, path), SpawnPageHandler) for path in SPAWN_PATHS),
        ],
    )
