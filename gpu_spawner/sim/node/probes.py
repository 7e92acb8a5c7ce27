"""Readiness probes of simulated containers: whether the port that is named takes connections.

``httpGet`` and ``tcpSocket`` probes are both answered by a connection to their port; others
(``exec``, ``grpc``) count as passed, because they would need to run inside the container.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["watch_readiness"]

_DEFAULT_PERIOD_SECONDS = 10
_DEFAULT_FAILURE_THRESHOLD = 3


async def watch_readiness(
    probe: Mapping[str, Any],
    container: Mapping[str, Any],
    address: str,
    report: Callable[[bool], None],
) -> None:
    """Probe until cancelled, and report every change between ready and not ready."""
    port = _port(probe, container)
    if port is None:
        report(True)
        return
    is_ready, failures = False, 0
    timeout_seconds = probe.get("timeoutSeconds") or 1
    await asyncio.sleep(probe.get("initialDelaySeconds") or 0)
    while True:
        passed = await _connects(address, port, timeout_seconds)
        failures = 0 if passed else failures + 1
        threshold = probe.get("failureThreshold") or _DEFAULT_FAILURE_THRESHOLD
        if passed != is_ready and (passed or failures >= threshold):
            is_ready = passed
            report(is_ready)
        await asyncio.sleep(probe.get("periodSeconds") or _DEFAULT_PERIOD_SECONDS)


def _port(probe: Mapping[str, Any], container: Mapping[str, Any]) -> int | None:
    action = probe.get("httpGet") or probe.get("tcpSocket")
    if not action:
        return None
    port = action["port"]
    for each in container.get("ports") or ():
        if each.get("name") == port:
            return int(each["containerPort"])
    return port if isinstance(port, int) else None


async def _connects(address: str, port: int, timeout_seconds: float) -> bool:
    try:
        async with asyncio.timeout(timeout_seconds):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
