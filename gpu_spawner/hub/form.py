"""Render the spawn page's form from its model; what it shows is decided in ``page_layout``."""

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gpu_spawner.hub.languages import ENGLISH, Language
from gpu_spawner.hub.page_model import Card, Page
from gpu_spawner.hub.script_words import SCRIPT_WORDS

__all__ = ["render_form"]

_CARDS_KEPT: Final = 512
_INDENTATION: Final = re.compile(r"\s*\n\s*")  # a quarter of the page, and nothing is preformatted
_BETWEEN_TAGS: Final = re.compile(r"(?<=>)\n(?=<)")


class _DenseLoader(PackageLoader):
    """Loads templates without their indentation, so that no page has to be stripped of it."""

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str, Callable[[], bool] | None]:
        """Return the text of a template, where it is from, and whether it still is the same."""
        source, path, is_current = super().get_source(environment, template)
        return _BETWEEN_TAGS.sub("", _INDENTATION.sub("\n", source)), path, is_current


# Our own environment: KubeSpawner's has no autoescape, and everything on this page that an admin,
# a node label or a user wrote must arrive as text.
_ENVIRONMENT = Environment(
    loader=_DenseLoader("gpu_spawner.hub", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# Readers' words stand in attributes as they are; the script takes them in any order.
_ENVIRONMENT.policies["json.dumps_kwargs"] = {"ensure_ascii": False}


def render_form(
    page: Page, *, css_url: str, js_url: str, stream_url: str, language: Language = ENGLISH
) -> str:
    """Return the HTML that goes inside JupyterHub's own form element.

    Args:
        page: what to show.
        css_url: of our style sheet, with its version.
        js_url: of our script, with its version.
        stream_url: where the script listens for changes.
        language: what the page is in; what the model holds is in it already.
    """
    template = _ENVIRONMENT.get_template("page.html")
    return template.render(
        page=page,
        css_url=css_url,
        js_url=js_url,
        stream_url=stream_url,
        lang=language.tag,
        words=_script_words(language),
        gettext=language.gettext,
        say=language.say,
        card_html=lambda card: _card_html(card, language),
    )


@cache
def _script_words(language: Language) -> dict[str, str]:
    return {name: language.say(text) for name, text in SCRIPT_WORDS.items()}


_shown: Final[dict[tuple[int, Language], tuple[Card, Markup]]] = {}
"""The HTML of cards by what they are, as telling whether two cards are equal takes its time."""


def _card_html(card: Card, language: Language) -> Markup:
    """Return one card's HTML: it depends on nothing else, and most cards stay as they are."""
    key = (id(card), language)
    known = _shown.get(key)
    if known is None or known[0] is not card:
        known = _shown[key] = card, _render_card(card, language)
        if len(_shown) > _CARDS_KEPT:
            del _shown[next(iter(_shown))]
    return known[1]


@lru_cache(maxsize=_CARDS_KEPT)
def _render_card(card: Card, language: Language) -> Markup:
    template = _ENVIRONMENT.get_template("card.html")
    html = template.render(card=card, gettext=language.gettext, say=language.say)
    return Markup(html)  # noqa: S704 - rendered with autoescape
