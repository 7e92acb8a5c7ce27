"""KubeSpawner's own lists of pods and events, read again where the first reading fails in passing.

KubeSpawner reads each of them when it is first asked for something, and keeps a list that could not
be read as an empty one. JupyterHub takes an exception, and a pod that is in no list, for a server
that has ended: one 503 while a hub starts would end every server that runs.
"""

import asyncio
import random
import time
from typing import Any, Final

from kubespawner import KubeSpawner

from gpu_spawner.kube.failures import cluster_error, may_pass
from gpu_spawner.kube.pacing import Backoff

__all__ = ["FirstLists"]

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 10.0


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
        """
        start = super()._start_reflector
        if not self.has_profiles:
            return await start(kind, **how)
        key = self._get_reflector_key(kind)
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
                return await start(kind, **how)
            except Exception as error:
                self._forget_unread(key, before)
                known = cluster_error(error, f"listing {kind}")
                # JupyterHub starts, and asks whether servers still run: any other answer than the
                # true one would end them.
                is_awaited = self._check_pending or (may_pass(error) and time.monotonic() < ends)
                if known is None or not is_awaited:
                    raise
                self.log.warning("%s; trying again", known)
                await asyncio.sleep(pauses.next_seconds())

    def _forget_unread(self, key: Any, before: Any) -> None:
        """Put what was known before in the place of a list that could not be read."""
        reflectors = type(self).reflectors
        read = reflectors[key].first_load_future if key in reflectors else None
        if read is None or not read.done() or read.cancelled() or read.exception() is None:
            return
        if before is None or before is reflectors[key]:
            del reflectors[key]
        else:
            reflectors[key] = before
