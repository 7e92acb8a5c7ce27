"""A start that was under way when the hub went down goes on when it is back.

JupyterHub asks each server that it remembers whether it runs, and shuts down what does not answer
within ``http_timeout``: whoever waited for a place would lose it to a restart of the hub. It has no
word for a server that is still starting then, but it waits for the answer to its question. So the
answer is given when the server runs, and until then the server is what it is: pending, with
progress, and a start that can be cancelled.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from jupyterhub.app import JupyterHub

__all__ = ["PendingAgain", "age_of", "may_resume", "until"]

_LOOK_SECONDS: Final = 0.2
_STOPPED_SECONDS: Final = 60.0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody announces."""
    while not condition():  # noqa: ASYNC110 - these are flags of JupyterHub and of KubeSpawner
        await asyncio.sleep(_LOOK_SECONDS)


def may_resume() -> bool:
    """Tell whether JupyterHub goes on without the answer; it can be told to wait for ever."""
    return JupyterHub.initialized() and bool(JupyterHub.instance().init_spawners_timeout >= 0)


def age_of(pod: Mapping[str, Any] | None) -> float:
    """Return for how many seconds a pod exists; 0 where there is none yet."""
    written = (pod or {}).get("metadata", {}).get("creationTimestamp")
    if not isinstance(written, str):
        return 0.0
    created = datetime.fromisoformat(written)
    return max(0.0, time.time() - created.timestamp())


class PendingAgain:
    """Shows one spawner as pending while JupyterHub's question about it is open.

    Args:
        spawner: of the server; its private flags are what JupyterHub itself goes by.
    """

    def __init__(self, spawner: Any) -> None:
        self._spawner: Final = spawner
        self._is_cancelled = False
        self._failure: Exception | None = None

    async def until(self, is_running: Callable[[], Awaitable[Any]]) -> bool:
        """Wait for a server; return whether it runs now, rather than being stopped by somebody.

        Raises:
            SpawnRefused: whatever ``is_running`` raises; the server is to be removed then.
        """
        spawner = self._spawner
        spawner._spawn_pending = True  # noqa: SLF001 - see the class
        # JupyterHub tells progress until this future is done, and cancels it to cancel the start.
        spawner._spawn_future = spawner._start_future = asyncio.ensure_future(  # noqa: SLF001 - see the class
            self._until_answered()
        )
        waiting = asyncio.ensure_future(is_running())
        try:
            await asyncio.wait(
                {waiting, spawner._spawn_future},  # noqa: SLF001 - see the class
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not self._is_cancelled:
                await waiting
                return True
        except Exception as failure:
            self._failure = failure
            raise
        finally:
            waiting.cancel()
            await asyncio.wait({waiting})
        await self._until_stopped()
        return False

    async def _until_answered(self) -> None:
        """Last until JupyterHub has the server up, or has given it up."""
        spawner = self._spawner
        try:
            await until(lambda: not spawner._check_pending)  # noqa: SLF001 - see the class
            if self._failure is not None:
                raise self._failure  # JupyterHub's pages look for it here
        except asyncio.CancelledError:
            # Who cancels it stops the server next, and that is refused while anything is pending;
            # JupyterHub asks this future for a failure then, which one that is cancelled has not.
            self._is_cancelled = True
            spawner._check_pending = False  # noqa: SLF001 - see the class
        finally:
            spawner._spawn_pending = False  # noqa: SLF001 - see the class

    async def _until_stopped(self) -> None:
        """Let who cancelled it stop it; where nobody comes, JupyterHub does after the answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOPPED_SECONDS):
                await until(lambda: self._spawner.server is None)
