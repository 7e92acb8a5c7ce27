"""How the preloader goes about it: the admin's decisions, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

__all__ = ["DEFAULT_RESOURCES", "HELPER_IMAGE", "PAUSE_IMAGE", "Policy", "Strategy"]

PAUSE_IMAGE: Final = "registry.k8s.io/pause:3.10.2"
"""Holds an image that is mounted as a volume; does nothing, on every architecture."""
HELPER_IMAGE: Final = "docker.io/library/busybox:1.37.0-musl"
"""Brings a static program that can wait, for images that have none; built for every architecture
that Kubernetes runs on."""
DEFAULT_RESOURCES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "requests": MappingProxyType({"cpu": "1m", "memory": "8Mi"}),
        "limits": MappingProxyType({"cpu": "100m", "memory": "64Mi"}),
    }
)


class Strategy(StrEnum):
    """How a pod makes its node pull an image."""

    VOLUME = "image-volume"
    """It mounts the image, and nothing in the image is ever run."""
    HELPER = "helper"
    """It runs, in the image, a static program that it brought along."""
    SLEEP = "sleep"
    """It runs the image's own ``sleep``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The admin's decisions.

    Attributes:
        is_on: whether to preload at all; where not, everything of ours is removed.
        namespace: where our DaemonSets live.
        pulls_per_node: pulls at once on one node. Most kubelets pull one image after another, and
            the user's own pull would wait behind what is queued.
        pulls_in_cluster: pulls at once in the whole cluster, for the registry's sake.
        grace_seconds: how long an image stays held after nobody wants it any more.
        disk_share: how much of a node's disk preloaded images may take, unpacked; 0 for no limit.
        first_retry_seconds, longest_retry_seconds: after failures; the pause doubles in between.
        stall_seconds: after which a pull that has not ended counts as failed.
        refreshes_tags: whether nodes that hold an older version of a moved tag pull it again.
        resources: of each container of a puller.
        owners: ``ownerReferences`` of our DaemonSets, as Kubernetes writes them.
    """

    is_on: bool = True
    namespace: str = "default"
    strategy: Strategy = Strategy.HELPER
    pulls_per_node: int = 1
    pulls_in_cluster: int = 10
    grace_seconds: int = 3600
    disk_share: float = 0.5
    first_retry_seconds: int = 60
    longest_retry_seconds: int = 3600
    stall_seconds: int = 3600
    refreshes_tags: bool = True
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: DEFAULT_RESOURCES)
    priority_class: str = ""
    pause_image: str = PAUSE_IMAGE
    helper_image: str = HELPER_IMAGE
    owners: tuple[Mapping[str, Any], ...] = ()
