"""Where servers stand in the queues of Kueue, asked for while somebody watches."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from gpu_spawner.core.cluster.objects import Pod
from gpu_spawner.core.errors import GpuSpawnerError
from gpu_spawner.hub.connection import connect
from gpu_spawner.hub.settings import HubSettings
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.kueue import Standing, read_standing

__all__ = ["Queues"]

QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
_REFRESH_SECONDS: Final = 10.0
_TIMEOUT_SECONDS: Final = 5.0
_MOST: Final = 1000


class Queues:
    """The standing of every server that somebody watches in a queue.

    Args:
        settings: of the hub.
        open_client: opens the connection when it is first needed.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        settings: HubSettings,
        *,
        open_client: Callable[[HubSettings], Awaitable[ClusterClient]] = connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings: Final = settings
        self._open_client: Final = open_client
        self._clock: Final = clock
        self._client: ClusterClient | None = None
        self._known: dict[str, tuple[float, Standing | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    def standing(self, pod: Pod) -> Standing | None:
        """Return what is known of a pod now, and see to it that more is known soon."""
        queue = pod.labels.get(QUEUE_LABEL, "")
        if not (pod.is_gated and queue and pod.uid):
            return None
        now = self._clock()
        asked_at, known = self._known.get(pod.uid, (float("-inf"), None))
        # One question at a time, whoever many wait: the next look asks for the next of them.
        is_free = self._asking is None or self._asking.done()
        if now - asked_at >= _REFRESH_SECONDS and is_free:
            self._asking = asyncio.create_task(self._ask(pod, queue, now, known))
        return known

    async def settle(self) -> None:
        """Wait for the question that is under way, if any."""
        if self._asking is not None:
            await asyncio.wait({self._asking})

    async def _ask(self, pod: Pod, queue: str, now: float, known: Standing | None) -> None:
        while len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[pod.uid] = (now, known)
        try:
            if self._client is None:
                self._client = await self._open_client(self._settings)
            standing = await read_standing(
                self._client,
                namespace=pod.namespace,
                queue=queue,
                pod_uid=pod.uid,
                timeout_seconds=_TIMEOUT_SECONDS,
            )
        except GpuSpawnerError as error:
            # The server waits all the same; the page only says less about it.
            self._settings.log.debug("Cannot tell places in the queue %s: %s", queue, error)
        else:
            self._known[pod.uid] = (now, standing)
