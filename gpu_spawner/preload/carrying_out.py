"""Write what a plan says.

A write that one DaemonSet is refused (by a policy of the site, a quota) is no reason to leave out
the others; one for which the right is missing is. What failed is tried again with a later plan.
"""

import logging
import re
from collections.abc import Awaitable
from typing import Any, Final

from gpu_spawner.core.cluster.pullers import PullerSet
from gpu_spawner.core.errors import ClusterError
from gpu_spawner.core.preload.plan import Plan
from gpu_spawner.core.preload.policy import Policy
from gpu_spawner.core.preload.puller_set import build_set
from gpu_spawner.kube.preload_api import PreloadApi
from gpu_spawner.preload.following import Following

__all__ = ["CarriedOut", "carry_out"]

_OVERTAKEN: Final = frozenset({404, 409})
"""Somebody changed it in the meantime: the next plan is made from what is there then."""
_PASSING: Final = frozenset({0, 408, 429, 502, 503, 504})
"""No answer, or one that says nothing of the DaemonSet: the whole API server is waited for."""
_NO_RIGHT: Final = re.compile(r'User ".*" cannot ', re.DOTALL)
"""What every authorizer's refusal says (k8s.io/apiserver ``responsewriters``). A 403 without it is
an admission plugin's: a quota, a webhook, a policy."""

Log = logging.Logger | logging.LoggerAdapter[Any]


def _lacks_right(error: ClusterError) -> bool:
    """Tell whether it is the right that is missing, and not this one object that is refused."""
    return error.status == 401 or (error.status == 403 and bool(_NO_RIGHT.search(error.message)))


class CarriedOut:
    """How carrying out a plan went.

    Attributes:
        written: names of the DaemonSets that were written or removed. ``made``: of those, the new.
        refused: those of which a write was refused.
        missing_right: the answer that the right to write is missing; None where it is not.
        failure: the first answer that says nothing of any DaemonSet; None where there was none.
    """

    def __init__(self) -> None:
        self.written: list[str] = []
        self.made: list[str] = []
        self.refused: dict[str, ClusterError] = {}
        self.missing_right: ClusterError | None = None
        self.failure: ClusterError | None = None

    def take(self, name: str, error: ClusterError) -> None:
        """Take in a write that failed."""
        if error.status in _OVERTAKEN:
            return
        if _lacks_right(error):
            self.missing_right = error
        elif error.status in _PASSING:
            self.failure = self.failure or error
        else:
            self.refused[name] = error


async def carry_out(
    plan: Plan, policy: Policy, api: PreloadApi, following: Following, log: Log
) -> CarriedOut:
    """Write, one object after the other, removals first: they make room.

    Nothing is written any more once the right to is found missing.
    """
    done = CarriedOut()
    for removal in plan.removals:
        if await _try(removal.before.name, _remove(removal.before, api, following), done):
            log.info("preloading: removed %s: %s", removal.before.name, removal.why)
    for note in plan.notes:
        write = _keep(api.note(note.before, note.notes), following)
        if await _try(note.before.name, write, done):
            log.info("preloading: %s: %s", note.before.name, note.why)
    for change in plan.changes:
        if change.before is None:
            answer = api.create(build_set(change.spec, policy))
        else:
            version = change.before.resource_version
            answer = api.replace(build_set(change.spec, policy, resource_version=version))
        name = change.spec.name
        if await _try(name, _keep(answer, following), done):
            if change.before is None:
                done.made.append(name)
            log.info("preloading: %s as %s: %s", change.spec.wish.image, name, change.why)
    return done


async def _remove(before: PullerSet, api: PreloadApi, following: Following) -> None:
    await api.delete(before)
    following.removed(before.name)


async def _keep(write: Awaitable[PullerSet], following: Following) -> None:
    following.wrote(await write)


async def _try(name: str, write: Any, done: CarriedOut) -> bool:
    if done.missing_right is not None:
        write.close()
        return False
    try:
        await write
    except ClusterError as error:
        done.take(name, error)
        return False
    done.written.append(name)
    return True
