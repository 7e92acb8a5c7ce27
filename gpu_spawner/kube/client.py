"""One connection pool to one API server, opened and closed in one place.

It sends requests and hands back bytes, or streams of bytes; every failure leaves it as
``ClusterError``. What the bytes mean, and whether to try again, is decided elsewhere. Typed calls
(creating a claim template) share the pool through ``ClusterClient.api``.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from kubernetes_asyncio.client import ApiClient, Configuration

from gpu_spawner._version import __version__
from gpu_spawner.kube.configuration import load_configuration
from gpu_spawner.kube.failures import failure_from_response, translated_failures

__all__ = ["ClusterClient", "Request"]

_CONNECT_SECONDS = 10.0
_LONGEST_ERROR_BODY_BYTES = 64 * 1024

# A peer that vanished without a word (a node lost, a NAT entry expired) is noticed by the kernel
# after 10 + 3 * 5 seconds. The Go client has HTTP/2 pings for the same purpose:
# https://github.com/kubernetes/kubernetes/pull/95981
_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to the API server.

    Attributes:
        path: the path on the API server.
        body: the JSON to send; None sends none.
        content_type: of the body; it decides what kind of patch a patch is.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    content_type: str = "application/json"


class ClusterClient:
    """Raw, authenticated access to the API server.

    Make it inside a running event loop (aiohttp requires one) and close it there. Credentials are
    looked up anew for every request, so that rotated tokens take effect with the next one.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.api = ApiClient(configuration=configuration)
        self.api.user_agent = f"gpu-spawner/{__version__}"

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None, context: str = "") -> Self:
        """Find the configuration and open the pool; no request is sent yet.

        Raises:
            ConfigError: there is no configuration, or it cannot be read.
        """
        return cls(await load_configuration(kubeconfig, context))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection. The client cannot be used again."""
        await self.api.close()

    async def get(
        self, path: str, query: Mapping[str, str], *, doing: str, timeout_seconds: float
    ) -> bytes:
        """Return the body of one GET.

        Args:
            path: the path on the API server.
            query: the query parameters.
            doing: what this is for, as a gerund phrase, for the error.
            timeout_seconds: from connecting to the last byte.

        Raises:
            ClusterError: anything but a success.
        """
        timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=_CONNECT_SECONDS)
        with translated_failures(doing):
            async with self._answer(Request("GET", path, query), timeout, doing) as response:
                # Not response.read(), which keeps a copy: the client holds on to its last
                # response, and a page of pods has megabytes.
                return await response.content.read()

    async def send(self, request: Request, *, doing: str, timeout_seconds: float) -> bytes:
        """Return the body of the answer to a request that changes something.

        Nothing is sent twice: whether that would be safe is the caller's knowledge.

        Args:
            request: what to send.
            doing: what this is for, as a gerund phrase, for the error.
            timeout_seconds: from connecting to the last byte.

        Raises:
            ClusterError: anything but a success. With status 0 it is not known whether the server
                did what it was asked.
        """
        timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=_CONNECT_SECONDS)
        with translated_failures(doing):
            async with self._answer(request, timeout, doing) as response:
                return await response.content.read()

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], *, doing: str, silence_seconds: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a GET whose body has no end in sight, and yield its chunks as they arrive.

        Entering returns when the server has accepted the request. The iteration ends when the
        server ends the body in order.

        Args:
            path: the path on the API server.
            query: the query parameters.
            doing: what this is for, as a gerund phrase, for the error.
            silence_seconds: give up when not one byte arrives for this long.

        Raises:
            SilenceError: nothing arrived for too long.
            ClusterError: any other failure, on entering or while iterating.
        """
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_SECONDS, sock_read=silence_seconds
        )
        with translated_failures(doing):
            async with self._answer(Request("GET", path, query), timeout, doing) as response:
                _keep_alive(response)
                yield response.content.iter_any()

    @asynccontextmanager
    async def _answer(
        self,
        request: Request,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own, several limits in one
        doing: str,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": "application/json"}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        response: Any = await self.api.call_api(
            request.path,
            request.method,
            query_params=list(request.query.items()),
            header_params=headers,
            body=request.body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout,
        )
        try:
            if not 200 <= response.status <= 299:
                body = await response.content.read(_LONGEST_ERROR_BODY_BYTES)
                raise failure_from_response(
                    doing, response.status, response.reason or "", response.headers, body
                )
            yield response
        finally:
            # Where the body was read to its end, the connection is back in the pool already.
            # Anywhere else bytes are still on the way, and it must not be used again.
            response.close()


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    """Have the kernel ask an idle peer whether it is still there, where the platform can."""
    transport: asyncio.BaseTransport | None = (
        response.connection.transport if response.connection else None
    )
    peer: socket.socket | None = transport.get_extra_info("socket") if transport else None
    if peer is None:
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            peer.setsockopt(socket.IPPROTO_TCP, option, value)
