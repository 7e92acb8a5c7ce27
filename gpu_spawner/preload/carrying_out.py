"""Write what a plan says. A write that fails is told once and tried again with the next plan."""

import logging
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

Log = logging.Logger | logging.LoggerAdapter[Any]


class CarriedOut:
    """How carrying out a plan went.

    Attributes:
        written: how many objects were written or removed.
        failures: what failed, but for what was overtaken.
    """

    def __init__(self) -> None:
        self.written = 0
        self.failures: list[ClusterError] = []

    @property
    def is_forbidden(self) -> bool:
        """Whether the right to write is missing."""
        return any(error.is_forbidden for error in self.failures)


async def carry_out(
    plan: Plan, policy: Policy, api: PreloadApi, following: Following, log: Log
) -> CarriedOut:
    """Write, one object after the other, removals first: they make room.

    Nothing is written any more once the right to is found missing.
    """
    done = CarriedOut()
    for removal in plan.removals:
        if await _try(_remove(removal.before, api, following), done):
            log.info("preloading: removed %s: %s", removal.before.name, removal.why)
    for note in plan.notes:
        if await _try(_keep(api.note(note.before, note.notes), following), done):
            log.info("preloading: %s: %s", note.before.name, note.why)
    for change in plan.changes:
        if change.before is None:
            write = api.create(build_set(change.spec, policy))
        else:
            version = change.before.resource_version
            write = api.replace(build_set(change.spec, policy, resource_version=version))
        if await _try(_keep(write, following), done):
            log.info(
                "preloading: %s as %s: %s", change.spec.wish.image, change.spec.name, change.why
            )
    return done


async def _remove(before: PullerSet, api: PreloadApi, following: Following) -> None:
    await api.delete(before)
    following.removed(before.name)


async def _keep(write: Awaitable[PullerSet], following: Following) -> None:
    following.wrote(await write)


async def _try(write: Any, done: CarriedOut) -> bool:
    if done.is_forbidden:
        write.close()
        return False
    try:
        await write
    except ClusterError as error:
        if error.status not in _OVERTAKEN:
            done.failures.append(error)
        return False
    done.written += 1
    return True
