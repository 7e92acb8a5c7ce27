"""JupyterHub's own pages with what we add.

That is when servers stop, a way to cancel a start, and for admins the way to their page of GPUs.
"""

import time
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, Template
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.handlers.pages import AdminHandler, HomeHandler, SpawnPendingHandler
from jupyterhub.utils import url_path_join

from gpu_spawner.hub.live import Live
from gpu_spawner.hub.readable_requests import ReadableSpawnHandler
from gpu_spawner.hub.reader import reader
from gpu_spawner.hub.script_words import PENDING_WORDS
from gpu_spawner.hub.static_files import static_url

__all__ = [
    "HomePageHandler",
    "PendingPageHandler",
    "SpawnPageHandler",
    "UsersPageHandler",
    "page_template",
]

_TEMPLATES_KEPT: Final = 32


@lru_cache(maxsize=_TEMPLATES_KEPT)
def page_template(environment: Environment, ours: str, theirs: str = "") -> Template:
    """Return a template that extends one of JupyterHub's pages, with the link for admins.

    It is compiled once; a page of theirs that changes is read anew all the same.

    Args:
        environment: JupyterHub's.
        ours: the name of our template; empty to add nothing but the link.
        theirs: what is extended then.
    """
    templates = files("gpu_spawner.hub").joinpath("templates")
    start = templates.joinpath(ours).read_text("utf-8") if ours else f'{{% extends "{theirs}" %}}\n'
    return environment.from_string(start + templates.joinpath("admin_link.html").read_text("utf-8"))


class _ExtendedPage(BaseHandler):
    """Renders ``ours``, which extends ``theirs``, wherever the site has that from."""

    theirs: str
    ours: str = ""

    def get_template(self, name: str, sync: bool = False) -> Any:  # noqa: FBT001, FBT002 - JupyterHub's signature
        """Extend that one page; leave every other alone."""
        if name != self.theirs:
            return super().get_template(name, sync)
        environment = self.settings["jinja2_env_sync" if sync else "jinja2_env"]
        return page_template(environment, self.ours, self.theirs)

    def render_template(self, name: str, sync: bool = False, **names: Any) -> Any:  # noqa: FBT001, FBT002 - as above
        """Give that page what it shows."""
        if name == self.theirs:
            names |= self.names_for(names.get("user"), names.get("spawner"))
        return super().render_template(name, sync, **names)

    def names_for(self, user: Any, spawner: Any) -> dict[str, Any]:
        """Return what the template needs besides what JupyterHub gives it: here, nothing."""
        del user, spawner
        return {}


class PendingPageHandler(_ExtendedPage, SpawnPendingHandler):
    """``GET /hub/spawn-pending/USER[/SERVER]``; what is decided there is JupyterHub's part."""

    theirs = "spawn_pending.html"
    ours = "pending.html"

    def names_for(self, user: Any, spawner: Any) -> dict[str, Any]:
        """Return the addresses of the script and of the page to choose anew on, and its words."""
        back = url_path_join(
            self.hub.base_url, "spawn", user.escaped_name, quote(spawner.name, safe="")
        )
        language = reader()
        return {
            "spawn_url": back,
            "js_url": static_url(self.hub.base_url, "pending.js"),
            "lang": language.tag,
            "words": {name: language.say(text) for name, text in PENDING_WORDS.items()},
        }


class SpawnPageHandler(_ExtendedPage, ReadableSpawnHandler):
    """``/hub/spawn``; what is in the form is made by the spawner."""

    theirs = "spawn.html"


class UsersPageHandler(_ExtendedPage, AdminHandler):
    """``GET /hub/admin``: JupyterHub's page of users and servers."""

    theirs = "admin.html"


class HomePageHandler(_ExtendedPage, HomeHandler):
    """``GET /hub/home``: JupyterHub's, and when the user's servers stop."""

    theirs = "home.html"
    ours = "home.html"

    def initialize(self, live: Live) -> None:
        """Take what the route carries."""
        self.live = live

    def names_for(self, user: Any, spawner: Any) -> dict[str, Any]:
        """Return the sentences."""
        del spawner
        now, language = time.time(), reader()
        return {
            "running": [language.say(one.words(now)) for one in self.live.running_of(user)],
            "running_title": language.gettext("When servers stop"),
            "lang": language.tag,
        }
