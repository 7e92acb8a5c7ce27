"""Offers as JSON: the documented answer of the API, and the news for an open page.

Both are built from one user's view, so that they say what that user's form says.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from gpu_spawner.core.catalog.model import Image, Profile
from gpu_spawner.core.offers.availability import ChoiceOffer, ProfileOffer
from gpu_spawner.core.quantity import format_bytes
from gpu_spawner.hub.allowance import Allowance
from gpu_spawner.hub.languages import ENGLISH, Language
from gpu_spawner.hub.lifetimes import RunningServer
from gpu_spawner.hub.page_layout import build_page
from gpu_spawner.hub.page_model import Row, Tile
from gpu_spawner.hub.page_words import choice_phrase
from gpu_spawner.hub.view import View

__all__ = ["age_of", "offers_document", "page_news", "page_shape"]


def offers_document(
    view: View,
    as_of: float | None,
    now: float,
    *,
    allowance: Allowance | None = None,
    running: Iterable[RunningServer] = (),
) -> tuple[dict[str, Any], str]:
    """Return the answer of ``/hub/api/gpu-spawner/offers`` and a tag of what is offered.

    ``as_of`` (Unix time) and ``age_seconds`` are null when nothing is known; so are ``state``,
    ``free`` and ``total`` of what is unknown, with the reason in ``because``. ``options`` of a
    choice is what to send as ``user_options`` to start it; ``over_limit`` says why it is more than
    the user may hold, and ``holding`` how much of the limits is used (null without limits).
    ``node_start_seconds`` says how long the node takes that is started first in state ``scale_up``;
    null in other states, and where nobody said.
    ``expected_at`` (Unix time) says when a place of a busy choice is expected to come free, by the
    rules of the servers that hold it; null where no rule says.
    ``running`` lists the user's servers that are to be stopped, with the time.
    ``denied`` lists what is there but not for this user, with the admin's words.
    """
    offers = {offer.slug: offer for offer in view.offers}
    beyond = allowance.beyond_of(view.catalog) if allowance is not None else {}
    parts = [
        view.kept(
            f"document of {profile.slug}",
            (offers[profile.slug], view.states, beyond),
            partial(_with_tag, view, profile, offers[profile.slug], beyond),
        )
        for profile in view.catalog.profiles
        if profile.slug in offers
    ]
    profiles = [part for part, _ in parts]
    holding = (allowance.summary or None) if allowance is not None else None
    denied = [
        {"profile": profile.slug, "display_name": profile.display_name, "because": message}
        for profile, message in view.catalog.denied
    ]
    ends = [
        {
            "server": one.name,
            "stops_at": one.stops_at,
            "unless_used": one.is_idle,
            "because": one.because,
        }
        for one in running
    ]
    tag = _digest([[tag for _, tag in parts], holding, denied, ends])
    document = {
        "as_of": as_of,
        "age_seconds": age_of(as_of, now),
        "holding": holding,
        "running": ends,
        "profiles": profiles,
        "denied": denied,
    }
    return document, tag


def age_of(as_of: float | None, now: float) -> int | None:
    """Return how many seconds ago something was true; None when it was not known."""
    return None if as_of is None else max(0, round(now - as_of))


def _with_tag(
    view: View, profile: Profile, offer: ProfileOffer, beyond: Mapping[str, str]
) -> tuple[dict[str, Any], str]:
    part = _profile(view, profile, offer, beyond)
    return part, _digest(part)


def _profile(
    view: View, profile: Profile, offer: ProfileOffer, beyond: Mapping[str, str]
) -> dict[str, Any]:
    choices = {choice.key: choice for choice in profile.choices}
    default = view.catalog.default_profile
    return {
        "profile": profile.slug,
        "display_name": profile.display_name,
        "description": profile.description,
        "default": default is not None and default.slug == profile.slug,
        "category": profile.category or None,
        "max_wait_seconds": profile.max_wait_seconds,
        "max_lifetime_seconds": profile.lifetime.max_seconds,
        "idle_timeout_seconds": profile.lifetime.idle_seconds,
        "cpu_choices": [one / 1000 for one in profile.resources.cpu_choices],
        "memory_choices": [format_bytes(one) for one in profile.resources.memory_choices],
        "own_image": list(profile.own_image.allowed) if profile.own_image else None,
        "state": _word(offer),
        "because": offer.because,
        "denied": [
            {
                "choice": one.choice.key if one.choice else None,
                "image": one.image or None,
                "option": one.option or None,
                "because": one.message,
            }
            for one in profile.denied
        ],
        "images": [_image(view.catalog.images[name]) for name in profile.images],
        "flavors": [
            {
                "flavor": count.flavor,
                "share": count.share,
                "unit": count.unit,
                "free": count.free,
                "total": count.total,
            }
            for count in offer.flavors
        ],
        "choices": [
            {
                **_choice(one, beyond.get(one.key, "")),
                "name": choice_phrase(view.catalog, profile, choices[one.key]),
                "alternative": view.instead(one.key, beyond=beyond) or None,
            }
            for one in offer.choices
        ],
    }


def _choice(offer: ChoiceOffer, beyond: str) -> dict[str, Any]:
    return {
        "key": offer.key,
        "options": _options(offer),
        "state": _word(offer),
        "starts_now": offer.starts_now and not beyond if offer.state is not None else None,
        "free": offer.free,
        "total": offer.total,
        "because": offer.because,
        "expected_at": offer.expected.at if offer.expected is not None else None,
        "node_start_seconds": offer.scale_up.seconds if offer.scale_up is not None else None,
        "over_limit": beyond or None,
        "images": {
            name: {
                "state": readiness.state.word if readiness.state is not None else None,
                "free": readiness.free,
                "total": readiness.total,
                "because": readiness.because or offer.because,
                "ready_nodes": readiness.ready_nodes if readiness.is_known else None,
                "fitting_nodes": readiness.fitting_nodes,
                "pull_seconds": readiness.pull_seconds,
                "pull_seconds_is_least": readiness.is_least,
            }
            for name, readiness in offer.images.items()
        },
    }


def _image(image: Image) -> dict[str, Any]:
    return {
        "image": image.name,
        "display_name": image.display_name,
        "python": image.python or None,
        "pytorch": image.pytorch or None,
        "cuda": image.cuda or None,
        "packages": dict(image.packages),
        "size_bytes": image.size_bytes,
    }


def _word(offer: ProfileOffer | ChoiceOffer) -> str | None:
    return offer.state.word if offer.state is not None else None


def _options(offer: ChoiceOffer) -> dict[str, str | int]:
    options: dict[str, str | int] = {"profile": offer.profile}
    if offer.count:
        options |= {"flavor": offer.flavor, "share": offer.share, "count": offer.count}
    return options


def page_shape(view: View) -> str:
    """Return a short tag of what there is to pick; it changes when a page must be loaded again."""
    return view.kept("shape", None, lambda: _shape(view))


def _shape(view: View) -> str:
    shape = [
        [
            profile.slug,
            profile.display_name,
            profile.description,
            profile.description_html,
            list(profile.images),
            [choice.key for choice in profile.choices],
            [
                [one.choice and one.choice.key, one.image, one.option, one.message]
                for one in profile.denied
            ],
            profile.category,
            profile.lifetime.words,
            profile.own_image.allowed if profile.own_image else [],
            [profile.resources.cpu_choices, profile.resources.memory_choices],
        ]
        for profile in view.catalog.profiles
    ] + [[profile.slug, message] for profile, message in view.catalog.denied]
    return _digest(shape)


def page_news(  # noqa: PLR0913 - everything that is told comes in here
    view: View,
    allowance: Allowance,
    last: Mapping[str, Any],
    age_seconds: int | None,
    *,
    language: Language = ENGLISH,
    running: Sequence[str] = (),
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return what changed on the page since ``last``, and what to pass as ``last`` next time.

    The news hold the tiles by their key and the rows by their id, and ``running``, what is said of
    the user's running servers; None when nothing changed.
    """
    if allowance.is_limited:
        tiles, rows = _page_parts(view, allowance, language)
    else:
        tiles, rows = view.memo(
            f"page in {language.tag}", lambda: _page_parts(view, allowance, language)
        )
    holding = language.say(allowance.summary)
    last_tiles, last_rows = last.get("tiles", {}), last.get("rows", {})
    changed_tiles = {key: tile for key, tile in tiles.items() if last_tiles.get(key) != tile}
    changed_rows = {key: row for key, row in rows.items() if last_rows.get(key) != row}
    rest = {"holding": holding, "running": list(running)}
    current = {"tiles": tiles, "rows": rows, **rest}
    is_same = all(last.get(name) == value for name, value in rest.items())
    if last and not changed_tiles and not changed_rows and is_same:
        return None, current
    news = {"tiles": changed_tiles, "rows": changed_rows, **rest, "age_seconds": age_seconds}
    return news, current


def _page_parts(
    view: View, allowance: Allowance, language: Language
) -> tuple[dict[str, Any], dict[str, Any]]:
    page = build_page(view, selected=None, age_seconds=None, allowance=allowance, language=language)
    tiles = {key: _tile(tile) for key, tile in page.tiles().items()}
    rows = {row.id: _row(row) for card in page.cards for row in card.rows}
    return tiles, rows


def _tile(tile: Tile) -> dict[str, Any]:
    return {
        "state": tile.state,
        "label": tile.label,
        "detail": tile.detail,
        "free": tile.free,
        "total": tile.total,
        "because": tile.because,
        "instead": tile.instead,
        "images": tile.other_images,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "summary": row.summary,
        "percent": row.percent,
        "notes": [{"what": note.what, "text": note.text} for note in row.notes],
    }


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]
