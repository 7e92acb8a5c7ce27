"""The output of containers, kept in files: the present run's, and the one's before it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from gpu_spawner.sim.apiserver.pod_logs import LogRequest, LogUnavailableError

__all__ = ["log_path", "read_container_log", "rotate_log"]

_CHUNK_BYTES = 64 * 1024
_POLL_SECONDS = 0.2


def log_path(folder: Path, container: str, *, is_previous: bool = False) -> Path:
    """Return the file with the output of a container in its pod's log folder."""
    return folder / f"{container}{'.previous' if is_previous else ''}.log"


def rotate_log(folder: Path, container: str) -> None:
    """Make the present output of a container that of its previous run."""
    present = log_path(folder, container)
    if present.exists():
        present.replace(log_path(folder, container, is_previous=True))


async def read_container_log(
    folder: Path, request: LogRequest, is_alive: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Yield the bytes that are asked for; when following, until the pod is not alive any more.

    Raises:
        LogUnavailableError: there is no such output, or not with times.
    """
    if request.with_timestamps or request.since_seconds is not None:
        raise LogUnavailableError("simulated containers keep no times with their output")
    path = log_path(folder, request.container, is_previous=request.is_previous)
    try:
        written = path.read_bytes()
    except OSError:
        what = "previous terminated container" if request.is_previous else "container"
        name = request.container
        raise LogUnavailableError(f'{what} "{name}" in pod "{request.name}" not found') from None
    content = _tail(written, request.tail_lines)
    if request.limit_bytes is not None:
        content = content[: request.limit_bytes]
    if content:
        yield content
    if not request.follow or request.limit_bytes is not None:
        return
    async for chunk in _follow(path, len(written), is_alive):
        yield chunk


async def _follow(path: Path, start: int, is_alive: Callable[[], bool]) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while True:
            # Asked before reading: what was written last is read still.
            goes_on = is_alive()
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
            if not goes_on:
                return
            await asyncio.sleep(_POLL_SECONDS)


def _tail(content: bytes, lines: int | None) -> bytes:
    if lines is None:
        return content
    return b"".join(content.splitlines(keepends=True)[-lines:]) if lines > 0 else b""
