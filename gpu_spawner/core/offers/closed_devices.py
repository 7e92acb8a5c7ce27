"""GPUs on nodes that take no servers at the moment: cordoned, or not ready.

Offers do not count them, whoever holds them; somebody who looks for all GPUs of a cluster does.
"""

from typing import Final

from gpu_spawner.core.catalog.compile import compile_ways
from gpu_spawner.core.catalog.flavors import LabelIn, has_hardware
from gpu_spawner.core.catalog.model import ANY, Catalog, Selection
from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.snapshot import Snapshot

__all__ = ["ClosedDevices"]

_Hardware = tuple[tuple[LabelIn, ...], ...]


class ClosedDevices:
    """Counts them for one catalog.

    Only what device plugins offer is counted: a claim's devices are seen where they can be had.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._kinds: Final[dict[tuple[str, str], set[tuple[_Hardware, str]]]] = {}
        for profile in catalog.profiles:
            for choice in profile.choices:
                if choice.share is None or choice.flavor == ANY:
                    continue
                selection = Selection(
                    profile=profile.slug,
                    flavor=choice.flavor,
                    flavors=choice.flavors,
                    share=choice.share,
                    count=choice.count,
                    image=profile.images[0],
                )
                kinds = self._kinds.setdefault((choice.flavor, choice.share.label), set())
                for way in compile_ways(catalog, selection):
                    kinds.update((way.hardware, resource) for resource in way.devices)

    def count(self, snapshot: Snapshot) -> dict[tuple[str, str], int]:
        """Return how many there are, by flavor and share; empty while nodes are unknown."""
        if snapshot.nodes is None:
            return {}
        nodes = [state.node for state in snapshot.nodes.values()]
        closed = [node for node in nodes if node.is_cordoned or not node.is_ready]
        return {
            kind: sum(_offered(node, parts) for node in closed)
            for kind, parts in self._kinds.items()
            if parts
        }


def _offered(node: Node, parts: set[tuple[_Hardware, str]]) -> int:
    resources = {resource for hardware, resource in parts if has_hardware(hardware, node.labels)}
    return sum(node.allocatable.amount(resource) for resource in resources)
