"""KubeSpawner's own lists of pods and events, read again where the first reading fails in passing.

KubeSpawner reads each of them when it is first asked for something, and keeps a list that could not
be read as an empty one. JupyterHub takes an exception, and a pod that is in no list, for a server
that has ended: one 503 while a hub starts would end every server that runs. And it waits a minute
for a list that never comes, and its user with it.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any, Final

from kubespawner import KubeSpawner

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.kube.failures import SilenceError, cluster_error
from gpu_spawner.kube.pacing import Backoff

__all__ = ["FirstLists", "UnreadError"]

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 10.0


class UnreadError(ClusterError):
    """A list that KubeSpawner cannot do without could not be read."""

    @property
    def kind(self) -> str:
        """What is listed: ``pods`` or ``events``."""
        return self.doing.removeprefix("listing ")


class FirstLists(KubeSpawner):
    """KubeSpawner that does not know of its pods what it could not read.

    Without profiles it is KubeSpawner's own in everything.
    """

    @property
    def has_profiles(self) -> bool:
        """Whether there are profiles of ours."""
        return False

    async def _start_reflector(self, kind: str, **how: Any) -> Any:
        """Begin to follow a kind of object, for as long as it takes where JupyterHub starts.

        Whoever starts a server waits as long as for any other request of KubeSpawner's.

        Raises:
            UnreadError: it could not be read.
        """
        key = self._get_reflector_key(kind)
        if not self.has_profiles or (_is_read(self.reflectors.get(key)) and not how.get("replace")):
            return await super()._start_reflector(kind, **how)
        pauses = Backoff(
            first_seconds=_FIRST_PAUSE_SECONDS,
            cap_seconds=_LONGEST_PAUSE_SECONDS,
            chance=random.random,
        )
        ends = time.monotonic() + self.k8s_api_request_retry_timeout
        while True:
            self._forget_unread(key, None)
            before = self.reflectors.get(key)
            try:
                return await self._read(kind, how, ends)
            except Exception as error:
                self._forget_unread(key, before)
                known = cluster_error(error, f"listing {kind}")
                if known is None:
                    raise
                # JupyterHub starts, and asks whether servers still run: any other answer than the
                # true one would end them.
                pause = pauses.next_seconds()
                is_in_time = time.monotonic() + pause < ends
                if not (self._check_pending or (known.may_pass and is_in_time)):
                    raise UnreadError(
                        known.doing, status=known.status, reason=known.reason, message=known.message
                    ) from error
                self.log.warning("%s; trying again", known)
                await asyncio.sleep(pause)

    async def _read(self, kind: str, how: Mapping[str, Any], ends: float) -> Any:
        """Return what is read, or give it up at a time on the monotonic clock."""
        ours: list[Any] = []

        def make(*args: Any, **settings: Any) -> Any:
            ours.append(how["reflector_class"](*args, **settings))
            return ours[-1]

        reading = super()._start_reflector(kind, **{**how, "reflector_class": make})
        if self._check_pending:
            return await reading
        task = asyncio.ensure_future(reading)
        task.add_done_callback(_see)
        await asyncio.wait({task}, timeout=ends - time.monotonic())
        if task.done():
            return task.result()
        for reflector in ours:  # none, where it is another's to give up
            _fail(reflector.first_load_future, TimeoutError(f"{kind} were not listed in time"))
            task.cancel()
        raise SilenceError(f"listing {kind}", status=0, reason="TimeoutError")

    def _forget_unread(self, key: Any, before: Any) -> None:
        """Put what was known before in the place of a list that could not be read."""
        reflectors = type(self).reflectors
        now = reflectors.get(key)
        if now is None or not now.first_load_future.done() or _is_read(now):
            return
        if before is None or before is now:
            del reflectors[key]
        else:
            reflectors[key] = before


def _is_read(reflector: Any) -> bool:
    """Tell whether a reflector has its list."""
    if reflector is None or not reflector.first_load_future.done():
        return False
    future = reflector.first_load_future
    return not future.cancelled() and future.exception() is None


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    """Let whoever waits for a future fail, if anybody does."""
    if not future.done():
        future.set_exception(error)
        _see(future)


def _see(future: asyncio.Future[Any]) -> None:
    """Take note of an exception that perhaps nobody waits for any more."""
    if not future.cancelled():
        future.exception()
