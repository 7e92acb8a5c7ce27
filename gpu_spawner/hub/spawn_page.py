"""Show the spawn page to a user: gather what is known, preselect, render."""

import json
import time
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from jupyterhub.utils import url_path_join
from tornado.httputil import url_concat

from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.catalog.renames import find_renamed, visible_renames
from gpu_spawner.core.errors import OptionError
from gpu_spawner.hub.allowance import Allowance
from gpu_spawner.hub.asked import asked
from gpu_spawner.hub.form import render_form
from gpu_spawner.hub.offers_document import age_of, page_shape
from gpu_spawner.hub.page_layout import build_page
from gpu_spawner.hub.reader import reader
from gpu_spawner.hub.static_files import static_url

__all__ = ["spawn_page"]

_FIRST_READING_SECONDS: Final = 3.0
"""How long a page waits for the first reading of the cluster, just after the hub's start."""


async def spawn_page(spawner: Any) -> str:
    """Return the inside of JupyterHub's form, for the owner of this spawner."""
    live = spawner.live
    await live.wait_first_reading(_FIRST_READING_SECONDS)
    view = live.view_for(spawner)
    selected, notes = _preselected(live.catalog, view.catalog, spawner)
    language = reader()
    page = build_page(
        view.with_amounts(selected) if selected is not None else view,
        selected=selected,
        age_seconds=age_of(live.as_of, time.time()),
        allowance=Allowance(live, spawner),
        language=language,
    )
    base_url = spawner.hub.base_url
    stream_url = url_concat(
        f"{base_url}api/gpu-spawner/offers/stream",
        {"user": spawner.user.name, "server": spawner.name, "shape": page_shape(view)},
    )
    return render_form(
        replace(
            page,
            notes=tuple([language.say(note) for note in notes]),
            failure=language.say(live.failures.sentence((spawner.user.name, spawner.name))),
            link_url=url_path_join(base_url, "spawn", *_named(spawner)),
            renamed=json.dumps(visible_renames(view.catalog)),
        ),
        css_url=static_url(base_url, "page.css"),
        js_url=static_url(base_url, "page.js"),
        stream_url=stream_url,
        language=language,
    )


def _named(spawner: Any) -> tuple[str, ...]:
    """Return what follows in the address of a server's page; nothing for the default server.

    The address without a user is everybody's, so that a link to it can be passed on.
    """
    return (spawner.user.escaped_name, quote(spawner.name, safe="")) if spawner.name else ()


def _preselected(
    catalog: Catalog, view: Catalog, spawner: Any
) -> tuple[Selection | None, tuple[str, ...]]:
    """Return what this request asked for, else the last choice, else the default.

    What of it has another name now is told beside it. A choice that this user may not pick (any
    more) is passed over.
    """
    for options in (asked() or {}, spawner.user_options, None):
        if options or options is None:
            try:
                selected = parse_options(
                    catalog, options, groups=spawner.group_names, username=spawner.user.name
                )
            except OptionError:
                continue
            return selected, tuple(find_renamed(view, options))
    return None, ()
