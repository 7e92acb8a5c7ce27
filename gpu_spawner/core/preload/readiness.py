"""What is known about images at one moment, for whoever makes offers and starts servers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpu_spawner.core.preload.durations import PullTimes
from gpu_spawner.core.preload.held import PulledImages
from gpu_spawner.core.preload.plan import Outlook

__all__ = ["Readiness"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What the preloader knows.

    Attributes:
        pulled: what our pullers hold, by node.
        managed: references whose presence our pullers tell: where none says so, they are not there.
        times: how long pulls take.
        outlooks: how every wish stands.
        trouble: why nothing can be written or seen; empty while all is well.
    """

    pulled: PulledImages = field(default_factory=dict)
    managed: frozenset[str] = frozenset()
    times: PullTimes
    outlooks: tuple[Outlook, ...] = ()
    trouble: Mapping[str, str] = field(default_factory=dict)
