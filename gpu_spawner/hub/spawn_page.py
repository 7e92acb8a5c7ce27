"""Show the spawn page to a user: gather what is known, preselect, render."""

import time
from typing import Any, Final

from tornado.httputil import url_concat

from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.errors import OptionError
from gpu_spawner.hub.allowance import Allowance
from gpu_spawner.hub.asked import asked
from gpu_spawner.hub.form import render_form
from gpu_spawner.hub.offers_document import age_of, page_shape
from gpu_spawner.hub.page_layout import build_page
from gpu_spawner.hub.static_files import static_url

__all__ = ["spawn_page"]

_FIRST_READING_SECONDS: Final = 3.0
"""How long a page waits for the first reading of the cluster, just after the hub's start."""


async def spawn_page(spawner: Any) -> str:
    """Return the inside of JupyterHub's form, for the owner of this spawner."""
    live = spawner.live
    await live.wait_first_reading(_FIRST_READING_SECONDS)
    view = live.view_for(spawner)
    page = build_page(
        view,
        selected=_preselected(view.catalog, spawner),
        age_seconds=age_of(live.as_of, time.time()),
        allowance=Allowance(live, spawner),
    )
    base_url = spawner.hub.base_url
    stream_url = url_concat(
        f"{base_url}api/gpu-spawner/offers/stream",
        {"user": spawner.user.name, "server": spawner.name, "shape": page_shape(view)},
    )
    return render_form(
        page,
        css_url=static_url(base_url, "page.css"),
        js_url=static_url(base_url, "page.js"),
        stream_url=stream_url,
    )


def _preselected(catalog: Catalog, spawner: Any) -> Selection | None:
    """Return what this request asked for, else the last choice, else the default.

    ``catalog`` is what the user may see; a choice that is not in it any more is passed over.
    """
    for options in (asked(), spawner.user_options, None):
        if options or options is None:
            try:
                return parse_options(catalog, options, groups=spawner.group_names)
            except OptionError:
                continue
    return None
