"""Show the spawn page to a user: gather what is known, preselect, render."""

import time
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from jupyterhub.utils import url_path_join
from tornado.httputil import url_concat

from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.options import parse_visible_options
from gpu_spawner.core.catalog.own_images import MAX_LENGTH
from gpu_spawner.core.catalog.remaining_options import remaining_options
from gpu_spawner.core.catalog.renames import find_renamed, visible_renames
from gpu_spawner.core.errors import OptionError
from gpu_spawner.hub.allowance import Allowance
from gpu_spawner.hub.asked import Asked, asked
from gpu_spawner.hub.form import render_form
from gpu_spawner.hub.offers_document import age_of, page_shape
from gpu_spawner.hub.page_layout import build_page
from gpu_spawner.hub.page_model import Correction
from gpu_spawner.hub.reader import reader
from gpu_spawner.hub.static_files import static_url

__all__ = ["spawn_page"]

_FIRST_READING_SECONDS: Final = 3.0
"""How long a page waits for the first reading of the cluster, just after the hub's start."""


async def spawn_page(spawner: Any) -> str:
    """Return the inside of JupyterHub's form, for the owner of this spawner."""
    request = asked(spawner.user.name)
    if request is not None:
        spawner = request.spawner  # JupyterHub may ask another server's for it
    live = spawner.live
    await live.wait_first_reading(_FIRST_READING_SECONDS)
    view = live.view_for(spawner)
    picked = _picked(live.catalog, view.catalog, spawner, request)
    language = reader()
    now = time.time()
    page = build_page(
        view.with_amounts(picked.selection) if picked.selection is not None else view,
        selected=picked.selection,
        age_seconds=age_of(live.as_of, now),
        allowance=Allowance(live, spawner),
        correction=picked.correction,
        language=language,
    )
    base_url = spawner.hub.base_url
    key = (spawner.user.name, spawner.name)
    stream_url = url_concat(
        f"{base_url}api/gpu-spawner/offers/stream",
        {"user": spawner.user.name, "server": spawner.name, "shape": page_shape(view)},
    )
    return render_form(
        replace(
            page,
            notes=tuple([language.say(note) for note in picked.notes]),
            running=tuple([language.say(one.words(now)) for one in live.running_of(spawner.user)]),
            # What this very request came to is told by JupyterHub, above the form.
            failure="" if request else language.say(live.failures.sentence(key)),
            link_url=url_path_join(base_url, "spawn", *_named(spawner)),
            renamed=view.kept("renamed", None, lambda: visible_renames(view.catalog)),
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


@dataclass(frozen=True, slots=True)
class _Picked:
    """What is preselected, what is told beside it, and what of it has to be corrected."""

    selection: Selection | None
    notes: tuple[str, ...] = ()
    correction: Correction | None = None


def _picked(catalog: Catalog, view: Catalog, spawner: Any, request: Asked | None) -> _Picked:
    """Return what this request asked for, else the last choice, else the default.

    What of it has another name now is told beside it. Of what was refused the rest is kept; a last
    choice that this user may not pick any more is passed over.
    """
    if request is not None and request.error is not None:
        left = remaining_options(
            catalog, request.options, groups=spawner.group_names, username=spawner.user.name
        )
        if left is not None:
            return _Picked(left, correction=_correction(left.profile, request))
    wanted = request.options if request is not None else {}
    for options in (wanted, spawner.user_options, None):
        if options or options is None:
            try:
                selected = parse_visible_options(catalog, view, options)
            except OptionError:
                continue
            return _Picked(selected, tuple(find_renamed(view, options)))
    return _Picked(None)


def _correction(profile: str, request: Asked) -> Correction | None:
    if request.error is None:
        return None
    typed = request.options.get("own_image")
    return Correction(
        profile=profile,
        field=request.error.field,
        message=request.error.message,
        text=typed[:MAX_LENGTH] if isinstance(typed, str) else "",
    )
