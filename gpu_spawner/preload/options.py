"""What an admin decides about preloading, as the loop takes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpu_spawner.core.preload.policy import Policy

__all__ = ["AUTO", "PreloadOptions"]

AUTO = "auto"
"""The strategy that looks what the cluster can do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreloadOptions:
    """The settings of one preloader.

    Attributes:
        policy: the decisions a plan is made by; strategy and owners are found out by the loop.
        strategy: a ``Strategy``'s value, or ``auto``.
        owner: kind and name of the object whose end is the end of our DaemonSets, such as
            ``secret/hub``; empty for none.
        release: whose DaemonSets they are, where several hubs share a namespace; else empty.
        is_dry_run: plan and tell, and write nothing.
        is_observer: only watch, because another process carries the plans out.
        extra_images: further references, with the profiles to whose nodes they go; none for all.
        pace_seconds: between two plans at least.
        resync_seconds: between two plans at most.
        forbidden_seconds: until a missing right is looked for again.
    """

    policy: Policy = field(default_factory=Policy)
    strategy: str = AUTO
    owner: str = "secret/hub"
    release: str = ""
    is_dry_run: bool = False
    is_observer: bool = False
    extra_images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pull_bytes_per_second: float = 100_000_000.0
    pace_seconds: float = 2.0
    resync_seconds: float = 300.0
    forbidden_seconds: float = 60.0
