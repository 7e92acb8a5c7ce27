"""How much of a node's disk preloaded images may take.

What is held cannot be reclaimed: on a node that runs full, the kubelet would evict pods instead. So
a part of the disk is left alone from the start.
"""

from collections.abc import Mapping
from typing import Final

from gpu_spawner.core.cluster.snapshot import NodeState
from gpu_spawner.core.resources import EPHEMERAL_STORAGE

__all__ = ["DiskBudget"]

_ON_DISK: Final = 3
"""An image takes about three times what travels: unpacked, beside its compressed layers."""


class DiskBudget:
    """What is left on each node; the first to ask get it, so ask in the order of importance."""

    def __init__(self, nodes: Mapping[str, NodeState], share: float) -> None:
        self._nodes: Final = nodes
        self._share: Final = share
        self._taken: dict[str, int] = {}

    def take(self, node: str, size_bytes: int | None) -> bool:
        """Set room for an image aside; False where there is not enough.

        What has no known size, or no known disk, is not counted.
        """
        disk = self._nodes[node].node.allocatable.amount(EPHEMERAL_STORAGE)
        if not size_bytes or not disk or not self._share:
            return True
        taken = self._taken.get(node, 0) + size_bytes * _ON_DISK
        if taken > disk * self._share:
            return False
        self._taken[node] = taken
        return True
