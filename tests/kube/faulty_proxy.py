"""A proxy in front of an API server that spoils what passes, request by request.

``FaultyProxy.spoil`` queues faults; each request takes the next one, and passes unharmed once
there are none.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self

import aiohttp
from aiohttp import web

from gpu_spawner.sim.listener import Listener

Upstream = Callable[[], Awaitable[aiohttp.ClientResponse]]
Fault = Callable[[web.Request, Upstream], Awaitable[web.StreamResponse]]


class FaultyProxy:
    """Forward everything to one server, on a port of its own that survives ``down`` and ``up``."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._faults: deque[Fault] = deque()
        self._listener: Listener | None = None
        self._session: aiohttp.ClientSession | None = None
        self._port = 0
        self._always: Fault | None = None
        self._served = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()
        assert self._session is not None
        await self._session.close()

    async def up(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._listener = Listener(app, shutdown_timeout=0.05)
        _, self._port = await self._listener.start(port=self._port)

    async def down(self) -> None:
        """Break every connection and refuse new ones."""
        if self._listener is not None:
            await self._listener.stop()
            self._listener = None

    def spoil(self, *faults: Fault, always: Fault | None = None) -> None:
        """Queue faults for the next requests, and one for all after them."""
        self._faults.extend(faults)
        self._always = always

    async def used_up(self, patience_seconds: float) -> None:
        """Wait until every queued fault has happened, or patience is at an end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                while self._faults:
                    self._served.clear()
                    await self._served.wait()

    def heal(self) -> None:
        """Let everything pass from now on."""
        self._faults.clear()
        self._always = None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        session = self._session

        async def forward() -> aiohttp.ClientResponse:
            return await session.request(
                request.method,
                self._upstream + request.raw_path,
                headers={name: value for name, value in request.headers.items() if name != "Host"},
                timeout=aiohttp.ClientTimeout(total=None),
            )

        fault = self._faults.popleft() if self._faults else self._always
        self._served.set()
        return await (fault or _pass)(request, forward)


async def _pass(request: web.Request, forward: Upstream) -> web.StreamResponse:
    return await _relay(request, forward, lambda chunk: [chunk])


async def _relay(
    request: web.Request, forward: Upstream, change: Callable[[bytes], list[bytes]]
) -> web.StreamResponse:
    async with await forward() as upstream:
        response = await _begin(request, upstream)
        async for chunk in _chunks(upstream):
            for piece in change(chunk):
                await response.write(piece)
        return response


async def _begin(request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(
        status=upstream.status, headers={"Content-Type": "application/json"}
    )
    await response.prepare(request)
    return response


def _chunks(upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    return upstream.content.iter_any()


def _abort(request: web.Request) -> None:
    # None where the client was faster.
    if request.transport is not None:
        request.transport.abort()


def answering(code: int, reason: str = "Injected", **headers: str) -> Fault:
    """Answer with a failure instead of asking the server."""
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": "", "code": code}

    async def fault(_request: web.Request, _forward: Upstream) -> web.StreamResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body, status=code, headers=sent)

    return fault


def cutting(after_bytes: int) -> Fault:
    """Break the connection after so many bytes of the answer."""

    async def fault(request: web.Request, forward: Upstream) -> web.StreamResponse:
        async with await forward() as upstream:
            response = await _begin(request, upstream)
            left = after_bytes
            async for chunk in _chunks(upstream):
                await response.write(chunk[:left])
                left -= len(chunk)
                if left <= 0:
                    break
            _abort(request)
            return response

    return fault


def hanging_up() -> Fault:
    """Break the connection without any answer."""

    async def fault(request: web.Request, _forward: Upstream) -> web.StreamResponse:
        _abort(request)
        return web.Response()

    return fault


def ending(after_bytes: int = 0) -> Fault:
    """End the answer in order after so many bytes, wherever that is."""

    async def fault(request: web.Request, forward: Upstream) -> web.StreamResponse:
        async with await forward() as upstream:
            response = await _begin(request, upstream)
            if after_bytes:
                await response.write((await upstream.content.readany())[:after_bytes])
            return response

    return fault


def chopping(size: int) -> Fault:
    """Deliver everything, in packets of this size."""

    async def fault(request: web.Request, forward: Upstream) -> web.StreamResponse:
        def chop(chunk: bytes) -> list[bytes]:
            return [chunk[start : start + size] for start in range(0, len(chunk), size)]

        return await _relay(request, forward, chop)

    return fault


def inserting(garbage: bytes) -> Fault:
    """Send this before what the server sends."""

    async def fault(request: web.Request, forward: Upstream) -> web.StreamResponse:
        first = True

        def insert(chunk: bytes) -> list[bytes]:
            nonlocal first
            pieces, first = ([garbage, chunk] if first else [chunk]), False
            return pieces

        return await _relay(request, forward, insert)

    return fault


def expiring() -> Fault:
    """Let a watch begin, then say that its version has expired; answer lists with 410."""
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}

    async def fault(request: web.Request, _forward: Upstream) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response(status, status=410)
        frame = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
        return web.Response(body=frame, content_type="application/json")

    return fault


def delaying(seconds: float) -> Fault:
    """Answer late."""

    async def fault(request: web.Request, forward: Upstream) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await _pass(request, forward)

    return fault
