"""An API server whose every answer the test writes: for what no healthy server would say.

``ScriptedApi`` answers each request with the next entry of its script and notes what was asked.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Self

from aiohttp import web

from gpu_spawner.sim.listener import Listener

Answer = Callable[[web.Request, "ScriptedApi"], Awaitable[web.StreamResponse]]


class ScriptedApi:
    """Serve a list of answers in order; once it is used up, every further request waits.

    Attributes:
        requests: the path and query of every request so far.
        headers: the headers of every request so far, in the same order.
    """

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.headers: list[Mapping[str, str]] = []
        self._arrived = asyncio.Condition()
        self._closing = asyncio.Event()
        self._listener: Listener | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._listener = Listener(app, shutdown_timeout=0.1)
        host, port = await self._listener.start()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        assert self._listener is not None
        await self._listener.stop()

    def then(self, *answers: Answer) -> None:
        """Add to the end of the script."""
        self._answers.extend(answers)

    async def asked(self, count: int) -> None:
        """Wait until ``count`` requests have arrived."""
        async with self._arrived, asyncio.timeout(10):
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    async def closing(self) -> None:
        """Wait for the end of the server: what an answer does that leaves a watch open."""
        await self._closing.wait()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, dict(request.query)))
        self.headers.append(request.headers.copy())
        answer = self._answers.pop(0) if self._answers else None
        async with self._arrived:
            self._arrived.notify_all()
        if answer is None:
            await self.closing()
            return web.Response(status=503)
        return await answer(request, self)


def listing(
    items: Iterable[Mapping[str, Any]] = (), version: str = "10", continue_token: str = ""
) -> Answer:
    """Answer with one page of a list."""
    metadata = {"resourceVersion": version}
    if continue_token:
        metadata["continue"] = continue_token
    body = {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": list(items)}

    async def answer(*_: object) -> web.StreamResponse:
        return web.json_response(body)

    return answer


def refusal(
    code: int, reason: str = "", message: str = "no", headers: Mapping[str, str] | None = None
) -> Answer:
    """Answer with a Kubernetes ``Status`` failure."""

    async def answer(*_: object) -> web.StreamResponse:
        return web.json_response(status_body(code, reason, message), status=code, headers=headers)

    return answer


def status_body(code: int, reason: str, message: str = "no") -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def raw(body: bytes, *, status: int = 200, content_type: str = "application/json") -> Answer:
    """Answer with exactly these bytes."""

    async def answer(*_: object) -> web.StreamResponse:
        return web.Response(body=body, status=status, content_type=content_type)

    return answer


def watching(*chunks: bytes, stay_open: bool = True, break_off: bool = False) -> Answer:
    """Answer a watch with these chunks, each in a network packet of its own.

    Args:
        chunks: what to send.
        stay_open: then say nothing more until the server ends.
        break_off: then cut the connection in the middle of the body.
    """

    async def answer(request: web.Request, api: ScriptedApi) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0)
        if break_off:
            assert request.transport is not None
            request.transport.abort()
            return response
        if stay_open:
            await api.closing()
        return response

    return answer


def frame(kind: str, obj: Mapping[str, Any]) -> bytes:
    """Write one watch event as the API server does: a line of JSON."""
    return json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n"


def bookmark(version: str, kind: str = "Node") -> bytes:
    """Write a bookmark frame."""
    meta = {"resourceVersion": version, "creationTimestamp": None}
    return frame("BOOKMARK", {"kind": kind, "apiVersion": "v1", "metadata": meta})
