"""Answers about offers over HTTP: once as JSON, or as a stream of what changes.

Who may start a server for a user may see what that user could start. Nothing here names a node, a
user or a pod.
"""

import asyncio
import json
import time
from typing import Any, Final
from urllib.parse import parse_qsl

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope, scope_definitions
from tornado import web
from tornado.iostream import StreamClosedError

from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.errors import OptionError
from gpu_spawner.hub.allowance import Allowance
from gpu_spawner.hub.live import Live
from gpu_spawner.hub.offers_document import age_of, offers_document, page_news, page_shape
from gpu_spawner.hub.reader import reader
from gpu_spawner.hub.view import View

__all__ = ["OffersHandler", "OffersStreamHandler"]

MIN_INTERVAL_SECONDS: Final = 0.5
"""At most two messages a second to one page, however fast the cluster changes."""
KEEP_ALIVE_SECONDS: Final = 8.0
"""JupyterHub's own stream uses 8 s: proxies close what is silent for longer than 30 to 60 s."""
LIFETIME_SECONDS: Final = 600.0
"""After this the browser connects anew, and with that its session and its rights are checked."""

_MOST_AMOUNTS: Final = 50
_START: Final = "start:servers" if "start:servers" in scope_definitions else "servers"
"""The least right that allows to start a server; JupyterHub 5 has only the second."""


class _OffersHandler(APIHandler):
    def initialize(self, live: Live) -> None:
        self.live = live

    def spawner_of(self, user_name: str, server_name: str) -> Any:
        """Return the spawner whose settings and groups decide what is offered."""
        user = self.find_user(user_name)
        if user is None:
            raise web.HTTPError(404, "There is no such user.")
        # A named server need not exist yet; the settings are those of the default one.
        # (This mapping makes spawners as they are looked up, so that "get" would find none.)
        if server_name in user.spawners:
            return user.spawners[server_name]
        return user.spawner

    def target(self) -> tuple[str, str]:
        """Return which user and server the request is about; oneself, unless it says otherwise."""
        if self.current_user is None:
            raise web.HTTPError(403)
        own_name = getattr(self.current_user, "name", "")
        return self.get_query_argument("user", own_name), self.get_query_argument("server", "")


class OffersHandler(_OffersHandler):
    """``GET /hub/api/gpu-spawner/offers[?user=NAME]``."""

    _etag = ""

    def compute_etag(self) -> str | None:
        """Compare what is offered, not when it was read: the age alone is no news."""
        return self._etag or None

    async def get(self) -> None:
        """Answer with everything this user may pick."""
        user_name, server_name = self.target()
        await self._answer(user_name=user_name, server_name=server_name)

    @needs_scope(_START)
    async def _answer(self, user_name: str, server_name: str) -> None:
        spawner = self.spawner_of(user_name, server_name)
        view = self.live.view_for(spawner)
        allowance = Allowance(self.live, spawner)
        document, etag = offers_document(
            view,
            self.live.as_of,
            time.time(),
            allowance=allowance,
            running=self.live.running_of(spawner.user),
        )
        self._etag = f'W/"{etag}"'
        self.set_header("Cache-Control", "private, no-cache")
        self.finish(json.dumps(document))


class OffersStreamHandler(_OffersHandler):
    """``GET /hub/api/gpu-spawner/offers/stream``: server-sent events for the open page."""

    def initialize(self, live: Live) -> None:
        """Take what the route carries."""
        super().initialize(live)
        self._closed = asyncio.Event()

    def get_content_type(self) -> str:
        """Name the type of a stream of events."""
        return "text/event-stream"

    def on_connection_close(self) -> None:
        """Stop working for a page that is gone."""
        super().on_connection_close()
        self._closed.set()

    async def get(self) -> None:
        """Send what changes, until the page goes."""
        user_name, server_name = self.target()
        await self._stream(user_name=user_name, server_name=server_name)

    @needs_scope(_START)
    async def _stream(self, user_name: str, server_name: str) -> None:
        spawner = self.spawner_of(user_name, server_name)
        # nginx would otherwise collect events until a buffer is full.
        self.set_header("X-Accel-Buffering", "no")
        self.set_header("Cache-Control", "no-store")
        try:
            await self._send_changes(spawner)
        except StreamClosedError:
            return

    async def _send_changes(self, spawner: Any) -> None:
        shown_shape = self.get_query_argument("shape", "")
        last: dict[str, Any] = {}
        ends = time.monotonic() + LIFETIME_SECONDS
        while not self._closed.is_set() and time.monotonic() < ends:
            serial = self.live.serial
            view = self._with_amounts(self.live.view_for(spawner), spawner)
            if shown_shape and page_shape(view) != shown_shape:
                await self._send("catalog", None)
                return
            now, language = time.time(), reader()
            age_seconds = age_of(self.live.as_of, now)
            allowance = Allowance(self.live, spawner)
            running = [language.say(one.words(now)) for one in self.live.running_of(spawner.user)]
            news, last = page_news(
                view, allowance, last, age_seconds, language=language, running=running
            )
            if news is None:
                await self._send("age", age_seconds)
            else:
                await self._send("offers", news)
            await self._until_change(serial)

    def _with_amounts(self, view: View, spawner: Any) -> View:
        """Count with the amounts that the page shows as chosen; pass over what is no choice."""
        for text in self.get_query_arguments("amounts")[:_MOST_AMOUNTS]:
            try:
                view = view.with_amounts(
                    parse_options(
                        self.live.catalog,
                        dict(parse_qsl(text, max_num_fields=3)),
                        groups=spawner.group_names,
                        username=spawner.user.name,
                    )
                )
            except (OptionError, ValueError):
                continue
        return view

    async def _send(self, event: str, data: Any) -> None:
        self.write(f"event: {event}\ndata: {json.dumps(data)}\n\n")
        await self.flush()

    async def _until_change(self, serial: int) -> None:
        """Wait for news, but not less than the minimal interval, and for the page to go."""
        gone = asyncio.ensure_future(self._closed.wait())
        change = asyncio.ensure_future(
            self.live.wait_for_change(serial, timeout_seconds=KEEP_ALIVE_SECONDS)
        )
        try:
            await asyncio.wait({gone}, timeout=MIN_INTERVAL_SECONDS)
            await asyncio.wait({gone, change}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            change.cancel()
