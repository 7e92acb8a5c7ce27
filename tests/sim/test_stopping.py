"""A server that stops leaves no connection behind."""

import asyncio
import contextlib
import socket
from urllib.parse import urlsplit

import pytest

from gpu_spawner.sim.apiserver.server import ApiServer


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_made_as_the_server_stops_is_ended(turns: int) -> None:
    server = ApiServer()
    await server.start()
    address = urlsplit(server.url).hostname, urlsplit(server.url).port
    with socket.create_connection(address) as peer:
        peer.setblocking(False)
        # How far the server's loop has got with the connection when it is told to stop.
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.stop()
        async with asyncio.timeout(10):
            # The kernel resets what it had accepted and the server had not.
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.get_running_loop().sock_recv(peer, 1) == b""
