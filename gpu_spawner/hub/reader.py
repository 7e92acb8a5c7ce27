"""In which language whoever sent the request at hand reads.

JupyterHub tells a spawner nothing about the request that its form, its progress or its failure is
for. tornado asks every rule of its router about each request, before the handler begins: so a rule
that never matches can note what the request says of its reader, in a context variable that the
handler and all that it starts inherit. Outside of a request everything is English, logs included.
"""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final

from markupsafe import Markup, escape
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher

from gpu_spawner.hub.languages import ENGLISH, Language, choose_language

__all__ = ["NoteReader", "in_readers_html", "in_readers_language", "reader"]

_reader: ContextVar[Language] = ContextVar("gpu_spawner_reader", default=ENGLISH)

_STREAMS: Final = re.compile(r"/(?:server/progress|servers/[^/]*/progress|offers/stream)$")
"""The ends of the addresses under ``/api/`` that pages show what they read from."""


class NoteReader(Matcher):
    """Notes the reader of each request, and matches none.

    Args:
        hub_prefix: the path of the hub, with a slash at its end.
        offered: the languages that readers may have.
    """

    def __init__(self, hub_prefix: str, offered: Iterable[str]) -> None:
        self._api: Final = f"{hub_prefix}api/"
        self._offered: Final = tuple(offered)

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Note the language; programs, which use the API, are answered in English."""
        path = request.path
        is_for_programs = path.startswith(self._api) and not _STREAMS.search(path)
        _reader.set(
            ENGLISH
            if is_for_programs
            else choose_language(request.headers.get("Accept-Language", ""), self._offered)
        )
        return None


def reader() -> Language:
    """Return the language of whoever the request at hand is from."""
    return _reader.get()


def in_readers_html(text: str) -> Markup:
    """Return the same as HTML that says its language: what stands around it is JupyterHub's."""
    language = reader()
    if language is ENGLISH:
        return escape(text)
    return Markup('<span lang="{}">{}</span>').format(language.tag, language.say(text))


def in_readers_language(text: str) -> str:
    """Return a text in the language of whoever the request at hand is from."""
    return reader().say(text)
