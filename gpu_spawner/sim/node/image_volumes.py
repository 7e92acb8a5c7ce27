"""Volumes that are images: had before any container of the pod starts, one after the other.

One that cannot be had keeps back only the containers that mount it.
"""

import asyncio

from gpu_spawner.sim.node.image_pulls import ImageNeverPulledError, obtain_image, try_image
from gpu_spawner.sim.node.pod_context import ImageVolume, PodContext
from gpu_spawner.sim.pull_errors import PullError

__all__ = ["prepare_image_volumes"]


async def prepare_image_volumes(context: PodContext, group: asyncio.TaskGroup) -> None:
    """Try every image volume of the pod once; what fails is tried on in ``group``."""
    for spec in context.pod["spec"].get("volumes") or ():
        source = spec.get("image")
        if source is None:
            continue
        volume = ImageVolume(
            reference=source.get("reference") or "",
            policy=source.get("pullPolicy") or "IfNotPresent",
        )
        context.image_volumes[spec["name"]] = volume
        try:
            volume.provide(await try_image(context, volume.reference, volume.policy))
        except (PullError, ImageNeverPulledError) as error:
            group.create_task(_keep_trying(context, volume, error))


async def _keep_trying(context: PodContext, volume: ImageVolume, problem: Exception) -> None:
    volume.provide(
        await obtain_image(
            context, volume.reference, volume.policy, show=volume.show, problem=problem
        )
    )
