"""What is known of one start, made use of: where to go, and how long it may take."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from gpu_spawner.core.catalog.fragment import PodFragment
from gpu_spawner.core.offers.availability import ImageReadiness
from gpu_spawner.core.offers.scale_up import ScaleUp
from gpu_spawner.core.preload.steering import Room, Steering, prefer_warm

__all__ = ["extended_timeout", "give_time_for_node", "prepare_start"]

_NODE_SECONDS: Final = 300
"""How long a node is taken to start where nobody said: a machine, its driver, its device plugin."""


def prepare_start(
    fragment: PodFragment,
    spawner: Any,
    rooms: Callable[[], Sequence[Room]],
    image: ImageReadiness | None,
) -> PodFragment:
    """Return the profile's part of a pod, steered to nodes with its images, with time to pull.

    Args:
        fragment: the profile's part.
        spawner: for the settings ``preload_steer``, ``start_timeout``, ``longest_start_seconds``.
        rooms: lists the nodes where the server would start now.
        image: what the offer says of this one; None where nothing is known.
    """
    if image is None or 0 < image.ready_nodes < image.fitting_nodes:
        term = prefer_warm(
            rooms(),
            steering=Steering(spawner.preload_steer),
            preferred=fragment.preferred_terms,
        )
        if term is not None:
            fragment = replace(fragment, preferred_terms=(*fragment.preferred_terms, term))
    if image is not None and not _is_everywhere(image):
        base = fragment.start_timeout_seconds or spawner.site_setting("start_timeout")
        longest = spawner.longest_start_seconds
        extended = extended_timeout(base, image.pull_seconds, longest)
        if extended > base:
            fragment = replace(fragment, start_timeout_seconds=extended)
    return fragment


def give_time_for_node(
    fragment: PodFragment, spawner: Any, scale_up: ScaleUp | None
) -> PodFragment:
    """Return the profile's part of a pod, with time for the node that is started for it.

    Args:
        fragment: the profile's part.
        spawner: for the settings ``start_timeout`` and ``longest_start_seconds``.
        scale_up: the node; None where none is started.
    """
    if scale_up is None:
        return fragment
    base = fragment.start_timeout_seconds or spawner.site_setting("start_timeout")
    seconds = _NODE_SECONDS if scale_up.seconds is None else scale_up.seconds
    extended = extended_timeout(base, seconds, spawner.longest_start_seconds)
    return replace(fragment, start_timeout_seconds=extended)


def _is_everywhere(image: ImageReadiness) -> bool:
    return image.is_known and image.ready_nodes == image.fitting_nodes > 0


def extended_timeout(base_seconds: int, more_seconds: float | None, longest_seconds: int) -> int:
    """Return how long a start may take, given how long a pull or a new node takes at its beginning.

    >>> extended_timeout(300, 240.0, 1800), extended_timeout(300, None, 1800)
    (780, 300)
    >>> extended_timeout(300, 3600.0, 1800), extended_timeout(3600, 60.0, 1800)
    (1800, 3600)
    """
    wanted = base_seconds + 2 * round(more_seconds or 0)
    return max(base_seconds, min(wanted, longest_seconds))
