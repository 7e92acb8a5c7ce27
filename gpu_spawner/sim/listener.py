"""One port of an aiohttp application, which leaves no connection behind when it closes."""

import asyncio
import socket
import ssl
from typing import Any

from aiohttp import web

__all__ = ["Listener"]

# asyncio sets an accepted connection up in a task: one turn of the loop to begin, one until the
# application hears of it, and one to spare.
_SETUP_TURNS = 3


class Listener:
    """Serve an application on one address, once.

    Args:
        app: what answers.
        options: of aiohttp's ``AppRunner``.
    """

    def __init__(self, app: web.Application, **options: Any) -> None:
        self._runner = web.AppRunner(app, access_log=None, **options)
        self._socket: socket.socket | None = None

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, *, context: ssl.SSLContext | None = None
    ) -> tuple[str, int]:
        """Listen, and return the address; port 0 picks a free one.

        Raises:
            OSError: the address cannot be had. Nothing is left of the listener then.
        """
        await self._runner.setup()
        try:
            self._socket = socket.create_server((host, port))
            await web.SockSite(self._runner, self._socket, ssl_context=context).start()
        except OSError:
            await self.stop()
            raise
        bound_host, bound_port = self._socket.getsockname()[:2]
        return bound_host, bound_port

    async def stop(self) -> None:
        """Accept nothing any more, and end every connection.

        A connection that is being set up while its asyncio server closes would be forgotten without
        being closed, and its client would wait forever (CPython up to 3.13, ``Server._attach``).
        So the last ones are let in first.
        """
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            for _ in range(_SETUP_TURNS):
                await asyncio.sleep(0)
        await self._runner.cleanup()
        if self._socket is not None:
            self._socket.close()
