"""Which nodes have which image: what our own pullers prove, and what the nodes list themselves.

A puller that is ready proves that the image is on its node and stays there. A node's own list may
be some forty seconds behind, and names at most fifty images; what it names was there.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.pullers import PullerPod, PullState
from gpu_spawner.core.cluster.snapshot import NodeState
from gpu_spawner.core.preload.image_names import digest_in, spellings

__all__ = ["Held", "PulledImages", "listed_digest", "pulled_images"]

PulledImages = Mapping[str, frozenset[str]]
"""From a node's name to the references that our pullers hold there."""

_NOTHING: Final[frozenset[str]] = frozenset()


def pulled_images(pods: Iterable[PullerPod]) -> dict[str, frozenset[str]]:
    """Return what ready pullers hold, by node."""
    found: dict[str, set[str]] = {}
    for pod in pods:
        if pod.state is PullState.READY and not pod.is_terminating and pod.node and pod.image:
            found.setdefault(pod.node, set()).add(pod.image)
    return {node: frozenset(images) for node, images in sorted(found.items())}


def listed_digest(node: Node, reference: str) -> str | None:
    """Return the digest under which a node lists an image, empty without one; None: not listed."""
    wanted = set(spellings(reference))
    for image in node.images:
        if not wanted.isdisjoint(image.names):
            return digest_in(image.names)
    return None


class Held:
    """Both sources together, for one moment."""

    def __init__(self, nodes: Mapping[str, NodeState], pulled: PulledImages) -> None:
        self._nodes: Final = nodes
        self._pulled: Final = pulled
        self._listed: dict[str, frozenset[str]] = {}

    def has(self, node: str, reference: str) -> bool:
        """Tell whether an image is on a node as far as anybody knows."""
        if reference in self._pulled.get(node, _NOTHING):
            return True
        return not self._names_on(node).isdisjoint(spellings(reference))

    def _names_on(self, node: str) -> frozenset[str]:
        names = self._listed.get(node)
        if names is None:
            state = self._nodes.get(node)
            names = frozenset(state.node.image_names) if state is not None else _NOTHING
            self._listed[node] = names
        return names
