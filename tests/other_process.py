"""What every test of a program in another process needs: a free port, and patience."""

import itertools
import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, seconds: float = 30) -> T:
    """Poll until ``condition`` is true: another process offers nothing to wait on."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
    return result


# Below what Linux gives to connections (ip_local_port_range), so that none of those takes a port
# before the program is there; from where chance says, as several processes run tests.
_ports = itertools.cycle(random.SystemRandom().sample(range(10_000, 30_000), 20_000))


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, another one each time."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: the ports go round")
