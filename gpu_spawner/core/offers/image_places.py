"""On which nodes the images of a catalog already are, as far as the nodes say.

A kubelet reports the names of its images in the node's status, at most fifty of them
(``nodeStatusMaxImages``), the largest first. So an image that is missing from a full list may be
there, and a cluster in which no node lists any image does not report them at all.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.snapshot import NodeState
from gpu_spawner.core.preload.image_names import spellings

__all__ = ["Held", "ImagePlaces"]

_FULL_LIST: Final = 50


class Held(NamedTuple):
    """What a node lists: images of the catalog by their names there, and whether that is all."""

    images: frozenset[str]
    is_full: bool


_NOTHING_HELD: Final = Held(frozenset(), is_full=False)


class ImagePlaces:
    """What the nodes list, of the images of one catalog; each node is looked through once."""

    def __init__(self, references: Mapping[str, str]) -> None:
        self._wanted: dict[str, list[str]] = {}
        for name, reference in references.items():
            for spelling in spellings(reference):
                self._wanted.setdefault(spelling, []).append(name)
        self._held: dict[str, tuple[Node, Held]] = {}
        self._witness = ""

    @property
    def is_reported(self) -> bool:
        """Whether the cluster's nodes report their images at all."""
        return bool(self._witness)

    def learn(self, nodes: Mapping[str, NodeState], changed: frozenset[str] | None) -> None:
        """Notice whether any node reports images, given which nodes changed (None: perhaps all)."""
        if self._witness in nodes and nodes[self._witness].node.images:
            return
        if changed is None or self._witness:
            states: Iterable[NodeState] = nodes.values()
        else:
            states = [nodes[name] for name in changed if name in nodes]
        self._witness = next((state.node.name for state in states if state.node.images), "")

    def held(self, node: Node) -> Held:
        """Return which images of the catalog a node lists."""
        if not node.images:
            return _NOTHING_HELD
        known = self._held.get(node.name)
        if known is not None and known[0] is node:
            return known[1]
        wanted = self._wanted
        found = [
            name
            for image in node.images
            if not wanted.keys().isdisjoint(image.names)
            for listed in image.names
            for name in wanted.get(listed, ())
        ]
        held = Held(frozenset(found), len(node.images) >= _FULL_LIST)
        self._held[node.name] = (node, held)
        return held
