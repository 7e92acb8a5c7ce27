"""The page that watches a start: JupyterHub's own, with a way to cancel that very start."""

from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from jupyterhub.handlers.pages import SpawnPendingHandler
from jupyterhub.utils import url_path_join

from gpu_spawner.hub.static_files import static_url

__all__ = ["PendingPageHandler"]

_REPLACED: Final = "spawn_pending.html"


class PendingPageHandler(SpawnPendingHandler):
    """``GET /hub/spawn-pending/USER[/SERVER]``; what is decided there is JupyterHub's part."""

    def get_template(self, name: str, sync: bool = False) -> Any:  # noqa: FBT001, FBT002 - JupyterHub's signature
        """Extend the page of a start, wherever the site has it from; leave every other alone."""
        if name != _REPLACED:
            return super().get_template(name, sync)
        text = files("gpu_spawner.hub").joinpath("templates", "pending.html").read_text("utf-8")
        return self.settings["jinja2_env_sync" if sync else "jinja2_env"].from_string(text)

    def render_template(self, name: str, sync: bool = False, **names: Any) -> Any:  # noqa: FBT001, FBT002 - as above
        """Give that page the addresses it needs."""
        if name == _REPLACED:
            user, spawner = names["user"], names["spawner"]
            names["spawn_url"] = url_path_join(
                self.hub.base_url, "spawn", user.escaped_name, quote(spawner.name, safe="")
            )
            names["js_url"] = static_url(self.hub.base_url, "pending.js")
        return super().render_template(name, sync, **names)
