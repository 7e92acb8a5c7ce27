"""Pods that may have outlived their servers: looked for at the API server, and removed.

JupyterHub forgets a server whose stop failed, for whatever reason, and one whose pod is not seen
yet: the request to create it was carried out, but the answer was lost. Nobody would come back for
such a pod, and its GPU would be gone until somebody noticed. What ended in good order costs nothing
here.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from gpu_spawner.core.errors import ClusterError, ConfigError
from gpu_spawner.hub.connection import connect
from gpu_spawner.hub.settings import HubSettings
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.pacing import Backoff
from gpu_spawner.kube.pods import delete_pod, read_pod
from gpu_spawner.kube.reflector import Clocks

__all__ = ["Leftovers", "PodKey"]

PodKey = tuple[str, str]
"""Namespace and name."""

_REQUEST_SECONDS: Final = 10.0
_LOOKS: Final = 2
"""How often a pod has to be absent: a request that was given up may still be carried out."""
_BETWEEN_LOOKS_SECONDS: Final = 5.0
_FIRST_RETRY_SECONDS: Final = 0.5
_LONGEST_RETRY_SECONDS: Final = 30.0


@dataclass(slots=True, kw_only=True)
class _Sought:
    due_at: float
    backoff: Backoff
    absent: int = field(default=0)


class Leftovers:
    """Removes the pods it is told of, unless a new start wants them first.

    Args:
        settings: of the hub.
        clocks: monotonic time and chance.
        open_client: opens the connection when it is first needed.
    """

    def __init__(
        self,
        settings: HubSettings,
        *,
        clocks: Clocks | None = None,
        open_client: Callable[[HubSettings], Awaitable[ClusterClient]] = connect,
    ) -> None:
        self._settings = settings
        self._log = settings.log
        self._clocks = clocks or Clocks()
        self._open_client = open_client
        self._client: ClusterClient | None = None
        self._sought: dict[PodKey, _Sought] = {}
        self._news = asyncio.Event()

    def look_for(self, key: PodKey) -> None:
        """Remove a pod, if it is there: its server is over."""
        self._sought[key] = _Sought(
            due_at=self._clocks.monotonic(),
            backoff=Backoff(
                first_seconds=_FIRST_RETRY_SECONDS,
                cap_seconds=_LONGEST_RETRY_SECONDS,
                chance=self._clocks.chance,
            ),
        )
        self._news.set()

    def keep(self, key: PodKey) -> None:
        """Leave a pod of this name alone: a server is about to have one."""
        self._sought.pop(key, None)

    async def run(self) -> None:
        """Look for what was told, for ever; close the connection at the end."""
        try:
            while True:
                now = self._clocks.monotonic()
                for key in [key for key, one in self._sought.items() if one.due_at <= now]:
                    await self._look(key)
                await self._pause()
        finally:
            if self._client is not None:
                await self._client.close()

    async def _pause(self) -> None:
        """Wait for the next one that is due."""
        self._news.clear()
        soonest = min((one.due_at for one in self._sought.values()), default=None)
        seconds = None if soonest is None else max(0.0, soonest - self._clocks.monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    async def _look(self, key: PodKey) -> None:
        sought = self._sought.get(key)
        if sought is None:
            return
        try:
            pause = await self._remove(key, sought)
        except (ClusterError, ConfigError) as error:
            if sought.backoff.failures == 0:
                self._log.warning("Nobody knows whether the pod %s/%s is gone: %s", *key, error)
            pause = sought.backoff.next_seconds()
        sought.due_at = self._clocks.monotonic() + pause
        if sought.absent >= _LOOKS and self._sought.get(key) is sought:
            del self._sought[key]

    async def _remove(self, key: PodKey, sought: _Sought) -> float:
        """Remove the pod if it is there, and return after how long to look again."""
        if self._client is None:
            self._client = await self._open_client(self._settings)
        pod = await read_pod(self._client, *key, timeout_seconds=_REQUEST_SECONDS)
        if pod is None:
            sought.absent += 1
            return _BETWEEN_LOOKS_SECONDS
        sought.absent = 0
        # Between this and the request's way there is no await, and the uid is that of this pod: a
        # start that wants the name now makes a pod of its own.
        if not pod.is_going and self._sought.get(key) is sought:
            await delete_pod(self._client, pod, timeout_seconds=_REQUEST_SECONDS)
            self._log.warning("Removed the pod %s/%s, which had outlived its server", *key)
        return sought.backoff.next_seconds()
