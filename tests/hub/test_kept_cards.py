"""What is kept of a page from one view to the next never shows: no page is out of date."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from page_examples import BUSY, CATALOG, READY, offers, pick

from gpu_spawner.core.offers.availability import Availability
from gpu_spawner.hub.form import render_form
from gpu_spawner.hub.languages import ENGLISH, choose_language
from gpu_spawner.hub.offers_document import offers_document, page_shape
from gpu_spawner.hub.page_layout import build_page
from gpu_spawner.hub.view import View

KEYS = [choice.key for profile in CATALOG.profiles for choice in profile.choices]
GERMAN = choose_language("de", ["en", "de"])
STATES: list[Any] = [
    (READY, 3, 4, "3 of 4 free"),
    (READY, 1, 4, "1 of 4 free"),
    (BUSY, 0, 4, "All 4 are in use"),
    (Availability.IMPOSSIBLE, 0, 0, "No node has them"),
    (None, None, None, "Unknown: the hub may not list nodes"),
]


class Limits:
    """Who may not have some choices."""

    is_limited = True
    summary = "You hold 1 of 2 GPUs"

    def __init__(self, beyond: dict[str, str]) -> None:
        self._beyond = beyond

    def beyond_of(self, _catalog: object) -> dict[str, str]:
        return self._beyond


@st.composite
def visits(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Make visits between which little changes, mostly one choice."""
    states = {}
    for profile in CATALOG.profiles:
        state = draw(st.sampled_from(STATES))
        states |= {choice.key: state for choice in profile.choices}
    visit: dict[str, Any] = {
        "cold": (),
        "key": None,
        "beyond": {},
        "language": ENGLISH,
        "as_of": 1000.0,
    }
    changes = st.fixed_dictionaries(
        {},
        optional={
            "cold": st.sampled_from([(), ("torch",), ("torch", "old")]),
            "key": st.none() | st.sampled_from(KEYS[1:]),
            "beyond": st.dictionaries(st.sampled_from(KEYS), st.just("over your limit")),
            "language": st.sampled_from([ENGLISH, GERMAN]),
            "as_of": st.sampled_from([None, 1000.0, 2000.0]),
        },
    )
    found = []
    for _ in range(draw(st.integers(2, 6))):
        states = {**states, draw(st.sampled_from(KEYS)): draw(st.sampled_from(STATES))}
        if draw(st.booleans()):
            visit = {**visit, **draw(changes)}
        found.append({**visit, "states": states})
    return found


def seen(visit: dict[str, Any], shelf: dict[str, Any]) -> tuple[object, ...]:
    """Return all that a user sees of a view, through a page and through the API."""
    view = View(
        catalog=CATALOG,
        offers=tuple(offers(visit["states"], cold_images=visit["cold"])),
        as_of=visit["as_of"],
        shelf=shelf,
    )
    limits: Any = Limits(visit["beyond"])
    page = build_page(
        view,
        selected=pick(visit["key"]) if visit["key"] else None,
        age_seconds=3,
        allowance=limits,
        language=visit["language"],
    )
    html = render_form(page, css_url="c", js_url="j", stream_url="s", language=visit["language"])
    return html, offers_document(view, visit["as_of"], 2000.0, allowance=limits), page_shape(view)


@given(visits())
def test_one_after_another_is_each_for_itself(several: list[dict[str, Any]]) -> None:
    shelf: dict[str, Any] = {}
    assert [seen(one, shelf) for one in several] == [seen(one, {}) for one in several]
