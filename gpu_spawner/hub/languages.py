"""The languages that readers may have the hub's sentences in, and which of them one reader gets."""

import dataclasses
import gettext as catalogues
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from gpu_spawner.core import messages
from gpu_spawner.core.messages import Translations, translate

__all__ = ["ENGLISH", "LOCALE_DIRECTORY", "Language", "choose_language", "shipped_languages"]

LOCALE_DIRECTORY: Final = Path(__file__).parent / "locale"
_DOMAIN: Final = "gpu_spawner"
_WISH: Final = re.compile(
    r"\s*([a-z]{1,8}(?:-[a-z0-9]{1,8})*|\*)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?",
    re.ASCII | re.IGNORECASE,
)
"""One language of ``Accept-Language``, with its weight (RFC 9110, section 12.5.4)."""
_MOST_WISHES: Final = 30

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Language:
    """A language, by its tag as in HTML's ``lang``: ``de``, ``pt-BR``."""

    tag: str
    translations: Translations

    def say(self, text: str) -> str:
        """Return a text in this language."""
        return text if self is ENGLISH else translate(text, self.translations)

    def gettext(self, message: str, /, **values: object) -> str:
        """Return a message of a template in this language."""
        return self.say(messages.gettext(message, **values))

    def localized(self, value: _T) -> _T:
        """Return a value of the page's model with every text in it in this language."""
        if self is ENGLISH:
            return value
        localized: _T = self._localized(value)
        return localized

    def _localized(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.say(value)
        if isinstance(value, tuple):
            return tuple([self._localized(one) for one in value])
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return type(value)(
                **{
                    field.name: self._localized(getattr(value, field.name))
                    for field in dataclasses.fields(value)
                }
            )
        return value


ENGLISH: Final = Language("en", catalogues.NullTranslations())
"""What every text is written in."""


@cache
def shipped_languages() -> tuple[str, ...]:
    """Return the tags of the languages there are, English first."""
    found = sorted(path.name for path in LOCALE_DIRECTORY.iterdir() if path.is_dir())
    return (ENGLISH.tag, *(name.replace("_", "-") for name in found))


@cache
def _language(tag: str) -> Language:
    """Read a shipped language, once."""
    if tag == ENGLISH.tag:
        return ENGLISH
    name = tag.replace("-", "_")
    return Language(tag, catalogues.translation(_DOMAIN, LOCALE_DIRECTORY, [name]))


def choose_language(accept_language: str, offered: Iterable[str]) -> Language:
    """Return the language that a reader likes best, of those that are offered.

    >>> choose_language("fr;q=0.9, de-AT;q=0.8, *;q=0.1", ["en", "de"]).tag
    'de'

    Args:
        accept_language: the header ``Accept-Language``, whatever it holds.
        offered: tags of shipped languages. The first is for whoever wants none of them; without
            any it is English.
    """
    tags = list(offered) or [ENGLISH.tag]
    by_lower = {tag.lower(): tag for tag in tags}
    for wish in _wishes(accept_language):
        # "de-AT" is content with "de", and "pt" with "pt-BR".
        parts = wish.split("-")
        for length in range(len(parts), 0, -1):
            if (tag := by_lower.get("-".join(parts[:length]))) is not None:
                return _language(tag)
        for lower, tag in by_lower.items():
            if lower.split("-")[0] == wish:
                return _language(tag)
    return _language(tags[0])


def _wishes(accept_language: str) -> list[str]:
    """Return the languages of a header in lower case, the most wanted first."""
    wishes = []
    for part in accept_language.split(",")[:_MOST_WISHES]:
        found = _WISH.fullmatch(part)
        if found is None:
            continue
        weight = float(found[2]) if found[2] else 1.0
        if weight and found[1] != "*":
            wishes.append((weight, found[1].lower()))
    # Equal ones stay in the order in which they were sent.
    return [tag for _, tag in sorted(wishes, key=lambda wish: -wish[0])]
