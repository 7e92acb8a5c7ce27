"""A small Kubernetes client for the parts of the embedded cluster that are ordinary clients.

Objects go in and out as the API's JSON, because the kubelet and the scheduler pass most of them
on untouched. It speaks to the embedded API server and to a real one alike. It retries nothing:
whether a call may be repeated is the caller's knowledge.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.kubeconfig import Endpoint

__all__ = ["KubeClient", "WatchEvent"]

WatchEvent = tuple[str, dict[str, Any]]

_MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
_REQUEST_TIMEOUT_SECONDS = 30.0
# The server ends a watch after this long; a silence much longer than that is a dead connection.
_WATCH_SECONDS = 240
_CLOSING_ROUNDS = 5
_WATCH_SILENCE_SECONDS = _WATCH_SECONDS + 30.0


class KubeClient:
    """One user's connection to one API server; an async context manager.

    Every failure is a ``ClusterError`` that names the call.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"User-Agent": "gpu-spawner-sim", "Accept": "application/json"}
        if self._endpoint.token:
            headers["Authorization"] = f"Bearer {self._endpoint.token}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            # A pod's worker must never wait for somebody else's watch to end.
            connector=aiohttp.TCPConnector(limit=0, ssl=self._endpoint.tls or True),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
            # Aborted TLS connections give their sockets back in the next rounds of the loop.
            for _ in range(_CLOSING_ROUNDS if self._endpoint.tls else 0):
                await asyncio.sleep(0)

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """Read the object or the whole list at ``path``."""
        return await self._call("GET", path, query=query)

    async def get_or_none(self, path: str) -> dict[str, Any] | None:
        """Read the object at ``path``, or return None where there is none."""
        try:
            return await self.get(path)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post ``body`` to the collection, or the subresource, at ``path``."""
        return await self._call("POST", path, body=body)

    async def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Put ``body`` in the place of the object at ``path``."""
        return await self._call("PUT", path, body=body)

    async def patch(
        self, path: str, body: Mapping[str, Any], *, strategic: bool = False
    ) -> dict[str, Any]:
        """Merge ``body`` into the object at ``path``."""
        media_type = STRATEGIC_MERGE_PATCH if strategic else _MERGE_PATCH
        return await self._call("PATCH", path, body=body, media_type=media_type)

    async def delete(
        self, path: str, *, grace_seconds: int | None = None, uid: str = ""
    ) -> dict[str, Any]:
        """Delete the object at ``path``; with ``uid``, only that incarnation of it."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid:
            options["preconditions"] = {"uid": uid}
        return await self._call("DELETE", path, body=options)

    async def watch(
        self, path: str, resource_version: str, **query: str
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yield changes at ``path`` after ``resource_version`` until the server ends the stream.

        Raises:
            ClusterError: also for an ERROR event; status 410 means that a new list is needed.
        """
        parameters = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
            "resourceVersion": resource_version,
            **query,
        }
        doing = f"watching {path}"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=_WATCH_SILENCE_SECONDS)
        try:
            async with self._open().get(
                self._endpoint.server + path, params=parameters, timeout=timeout
            ) as response:
                if response.status >= 400:
                    raise _failure(doing, response.status, await response.read())
                try:
                    async for line in _lines(response.content):
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            raise _status_failure(doing, event["object"])
                        yield event["type"], event["object"]
                finally:
                    _hang_up(response)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _no_answer(doing, error) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is used outside of its context")
        return self._session

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        media_type: str = "application/json",
    ) -> dict[str, Any]:
        doing = f"{method} {path}"
        try:
            async with self._open().request(
                method,
                self._endpoint.server + path,
                params=query,
                data=None if body is None else json.dumps(body),
                headers={} if body is None else {"Content-Type": media_type},
                timeout=aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_SECONDS),
            ) as response:
                content = await response.read()
                if response.status >= 400:
                    raise _failure(doing, response.status, content)
                decoded = json.loads(content)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _no_answer(doing, error) from error
        if not isinstance(decoded, dict):
            raise ClusterError(doing, status=0, reason="the answer is no object")
        return decoded


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Close a stream that is not at its end, without TLS' farewell, which somebody must await."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    # Not readline(): it refuses lines longer than its buffer, and a node with its images is one.
    pending = b""
    while chunk := await stream.readany():
        *complete, pending = (pending + chunk).split(b"\n")
        for line in complete:
            if line.strip():
                yield line


def _failure(doing: str, status: int, content: bytes) -> ClusterError:
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if isinstance(body, dict) and body.get("kind") == "Status":
        return _status_failure(doing, body, status)
    text = content.decode(errors="replace")
    return ClusterError(doing, status=status, reason="error", message=text)


def _status_failure(doing: str, body: Mapping[str, Any], status: int = 0) -> ClusterError:
    return ClusterError(
        doing,
        status=body.get("code") or status,
        reason=str(body.get("reason") or "error"),
        message=str(body.get("message") or ""),
    )


def _no_answer(doing: str, error: Exception) -> ClusterError:
    if isinstance(error, asyncio.TimeoutError):
        return ClusterError(doing, status=0, reason="Timeout")
    return ClusterError(doing, status=0, reason=type(error).__name__, message=str(error))
