"""Keys waiting for work: each at most once, and what fails comes back later and later.

The rate limit of Kubernetes' controllers (client-go's ``workqueue``): the first retry after 5 ms,
twice as long each time, up to 1000 s. A key that is added meanwhile is worked on at once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from gpu_spawner.core.errors import ClusterError

__all__ = ["WorkQueue"]

_log = logging.getLogger(__name__)
_Key = TypeVar("_Key")

_FIRST_RETRY_SECONDS = 0.005
_LONGEST_RETRY_SECONDS = 1000.0


class WorkQueue(Generic[_Key]):
    """Calls ``work`` for every key that is added, one after another; ``run`` until cancelled.

    ``work`` fails by raising a ``ClusterError``; anything else ends ``run``.
    """

    def __init__(self, work: Callable[[_Key], Awaitable[None]]) -> None:
        self._work = work
        # A dict keeps the order and drops what is there already.
        self._waiting: dict[_Key, None] = {}
        self._failures: dict[_Key, int] = {}
        self._retries: dict[_Key, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()

    def add(self, key: _Key) -> None:
        """Have ``key`` worked on as soon as its turn comes."""
        self._waiting[key] = None
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    key = next(iter(self._waiting))
                    del self._waiting[key]
                    await self._try(key)
        finally:
            for retry in self._retries.values():
                retry.cancel()

    async def _try(self, key: _Key) -> None:
        try:
            await self._work(key)
        except ClusterError as error:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            delay = min(_FIRST_RETRY_SECONDS * 2.0 ** min(failures, 30), _LONGEST_RETRY_SECONDS)
            _log.debug("%s: %s; again in %.3f s", key, error, delay)
            if pending := self._retries.pop(key, None):
                pending.cancel()
            loop = asyncio.get_running_loop()
            self._retries[key] = loop.call_later(delay, self._retry, key)
        else:
            self._failures.pop(key, None)

    def _retry(self, key: _Key) -> None:
        del self._retries[key]
        self.add(key)
