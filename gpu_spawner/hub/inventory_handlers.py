"""For admins: every GPU and who holds it, as JSON and as a page.

Both need JupyterHub's scope ``admin-ui``, as its own admin page does: they name nodes, users and
pods, which nobody else is shown.
"""

import time
from datetime import UTC
from typing import Any, Final

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.scopes import needs_scope

from gpu_spawner.core.offers.inventory import take_inventory
from gpu_spawner.core.wording import gigabytes, say_duration
from gpu_spawner.hub.extended_pages import page_template
from gpu_spawner.hub.inventory_document import as_json, inventory_document
from gpu_spawner.hub.live import Live
from gpu_spawner.hub.page_words import age_words
from gpu_spawner.hub.static_files import static_url

__all__ = ["AdminPageHandler", "InventoryHandler"]

_SCOPE: Final = "admin-ui"


def _document(live: Live, db: Any, node_name: str = "") -> tuple[dict[str, Any], str]:
    return inventory_document(
        take_inventory(live.snapshot(), live.catalog, node_name),
        last_activity=_last_activity(db),
        problems=live.catalog_problems,
        cluster_problems=live.cluster_problems,
        watch=live.watch_status(),
        preload=live.preloading.readiness,
        now=time.time(),
    )


def _last_activity(db: Any) -> dict[tuple[str, str], float]:
    """Return when each running server was last used, as JupyterHub's proxy and servers told it."""
    running = (
        db.query(orm.User.name, orm.Spawner.name, orm.Spawner.last_activity)
        .join(orm.Spawner, orm.Spawner.user_id == orm.User.id)
        .filter(orm.Spawner.server_id.isnot(None))
    )
    # JupyterHub stores UTC without saying so.
    return {
        (user, server): at.replace(tzinfo=UTC).timestamp()
        for user, server, at in running
        if at is not None
    }


class InventoryHandler(APIHandler):
    """``GET /hub/api/gpu-spawner/inventory[?node=NAME]``."""

    _etag = ""

    def initialize(self, live: Live) -> None:
        """Take what the route carries."""
        self.live = live

    def compute_etag(self) -> str | None:
        """Compare what is told, not when it was read."""
        return self._etag or None

    @needs_scope(_SCOPE)
    async def get(self) -> None:
        """Answer with every node, GPU, holder and waiting pod."""
        document, etag = _document(self.live, self.db, self.get_query_argument("node", ""))
        self._etag = f'W/"{etag}"'
        self.set_header("Cache-Control", "private, no-cache")
        self.finish(as_json(document))


class AdminPageHandler(BaseHandler):
    """``GET /hub/gpu-spawner/admin``: the same for people."""

    def initialize(self, live: Live) -> None:
        """Take what the route carries."""
        self.live = live

    @needs_scope(_SCOPE)
    async def get(self) -> None:
        """Show the page."""
        document, _ = _document(self.live, self.db)
        now = time.time()
        # JupyterHub's own environment: the page stands in the frame of every other page of the hub.
        template = page_template(self.settings["jinja2_env"], "admin.html")
        html = await template.render_async(
            **self.template_namespace,
            xsrf_token=self.xsrf_token.decode("ascii"),
            inventory=document,
            summary=_summary(document),
            age=age_words(document["age_seconds"]),
            ago=lambda at: say_duration(max(0.0, now - at)) if at else "",
            part=_amount_words,
            ahead=lambda at: say_duration(max(0.0, at - now)),
            css_url=static_url(self.hub.base_url, "admin.css"),
        )
        self.finish(html)


def _amount_words(name: str, amount: float) -> str:
    """Write a part of a GPU that others have the rest of."""
    return gigabytes(round(amount)) if name == "memory" else f"{amount:g}"


def _summary(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Add the nodes up by flavor and resource, in the order of their first node.

    What is free on a node that takes no pods is not free.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for node in document["nodes"] or ():
        for device in node["devices"]:
            if device["is_up_to"]:
                continue  # slices that are alternatives to each other do not add up
            flavor = ", ".join(node["flavors"]) or "other nodes"
            row = rows.setdefault(
                (flavor, device["resource"]),
                {"flavor": flavor, "resource": device["resource"], "total": 0, "free": 0},
            )
            row["total"] += device["total"]
            is_known = row["free"] is not None and device["free"] is not None
            is_open = node["ready"] and not node["cordoned"]
            row["free"] = row["free"] + is_open * device["free"] if is_known else None
    return list(rows.values())
