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
    """What is left on each node; the first to ask get it, so ask in the order of importance.

    What has no known size, or no known disk, is not counted.

    Attributes:
        crowded: nodes on which something had no room that would have it without the images that
            nobody wants any more.
    """

    def __init__(self, nodes: Mapping[str, NodeState], share: float) -> None:
        self._nodes: Final = nodes
        self._share: Final = share
        self._taken: dict[str, int] = {}
        self._unwanted: dict[str, int] = {}
        self.crowded: Final[set[str]] = set()

    def occupy(self, node: str, size_bytes: int | None, *, is_wanted: bool) -> None:
        """Count an image that is on a node already, whether there is room for it or not."""
        bytes_on_disk = (size_bytes or 0) * _ON_DISK
        self._taken[node] = self._taken.get(node, 0) + bytes_on_disk
        if not is_wanted:
            self._unwanted[node] = self._unwanted.get(node, 0) + bytes_on_disk

    def take(self, node: str, size_bytes: int | None) -> bool:
        """Set room for an image aside; False where there is not enough."""
        disk = self._nodes[node].node.allocatable.amount(EPHEMERAL_STORAGE)
        if not size_bytes or not disk or not self._share:
            return True
        taken = self._taken.get(node, 0) + size_bytes * _ON_DISK
        if taken > disk * self._share:
            if taken - self._unwanted.get(node, 0) <= disk * self._share:
                self.crowded.add(node)
            return False
        self._taken[node] = taken
        return True
