"""On which nodes the images of a catalog already are: as the nodes say, and our own pullers.

A puller that is ready proves that an image is there, and tells so at once. A kubelet reports the
names of its images in the node's status, at most fifty of them (``nodeStatusMaxImages``), the
largest first, some forty seconds late. So an image that is missing from a full list may be there,
unless it is larger than the smallest that is listed; and a cluster in which no node lists any image
does not report them at all.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.snapshot import NodeState
from gpu_spawner.core.preload.held import PulledImages
from gpu_spawner.core.preload.image_names import spellings

__all__ = ["Held", "ImagePlaces"]

_FULL_LIST: Final = 50


class Held(msgspec.Struct, frozen=True, gc=False):
    """What a node has, images by their names in the catalog, and what it may have besides."""

    images: frozenset[str]
    unsure: frozenset[str] = frozenset()


_NOTHING_HELD: Final = Held(frozenset())


class ImagePlaces:
    """What the nodes list, of the images of one catalog; each node is looked through once.

    Args:
        references: of the images, by their names in the catalog.
        sizes: in bytes, compressed, of those of which it is known; a node lists no less.

    Attributes:
        managed: the images of which our pullers tell where they are, so that elsewhere they are
            not.
    """

    def __init__(
        self, references: Mapping[str, str], sizes: Mapping[str, int | None] | None = None
    ) -> None:
        # From small to large: what a full list may leave out is the beginning of it.
        known = {name: (sizes or {}).get(name) or 0 for name in references}
        self._by_size: Final = sorted(known, key=known.__getitem__)
        self._sizes: Final = sorted(known.values())
        self._wanted: dict[str, list[str]] = {}
        for name, reference in references.items():
            for spelling in spellings(reference):
                self._wanted.setdefault(spelling, []).append(name)
        self._spellings: Final = frozenset(self._wanted)
        self._held: dict[str, tuple[Node, Held]] = {}
        # What is equal is one object: there are few sets of images and many nodes.
        self._alike: dict[tuple[frozenset[str], frozenset[str], int], Held] = {}
        self._witness = ""
        self._names: dict[str, list[str]] = {}
        for name, reference in references.items():
            self._names.setdefault(reference, []).append(name)
        self._pulled: dict[str, frozenset[str]] = {}
        self.managed: frozenset[str] = frozenset()

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

    def tell(self, pulled: PulledImages, managed: Iterable[str]) -> bool:
        """Take over what our pullers hold, and which references are theirs to tell of.

        Returns:
            Whether a node may have another image than before.
        """
        self.managed = self._named(managed)
        now = {node: self._named(references) for node, references in pulled.items()}
        if now == self._pulled:
            return False
        self._pulled = now
        self._held.clear()
        self._alike.clear()
        return True

    def _named(self, references: Iterable[str]) -> frozenset[str]:
        return frozenset([name for one in references for name in self._names.get(one, ())])

    def _beyond(self, node: Node) -> int:
        """Return how many images, the smallest, would not be listed even if they were there."""
        if len(node.images) < _FULL_LIST:
            return 0
        return bisect_right(self._sizes, node.images[-1].size_bytes)

    def held(self, node: Node) -> Held:
        """Return which images of the catalog a node has."""
        if not node.images and node.name not in self._pulled:
            return _NOTHING_HELD
        known = self._held.get(node.name)
        if known is not None and known[0] is node:
            return known[1]
        # Of thousands of nodes with fifty images each, few names are wanted: those are found first.
        listed = self._spellings.intersection(node.image_names)
        pulled = self._pulled.get(node.name, _NOTHING_HELD.images)
        key = (listed, pulled, self._beyond(node))
        held = self._alike.get(key)
        if held is None:
            held = self._alike[key] = self._made(*key)
        self._held[node.name] = (node, held)
        return held

    def _made(self, listed: frozenset[str], pulled: frozenset[str], beyond: int) -> Held:
        images = pulled.union([name for one in listed for name in self._wanted[one]])
        return Held(images, frozenset(self._by_size[:beyond]) - images)
