"""On which nodes an image already is, as far as the nodes say.

A kubelet reports the names of its images in the node's status, at most fifty of them
(``nodeStatusMaxImages``), the largest first. So an image that is missing from a full list may be
there, and a cluster in which no node lists any image does not report them at all.
"""

from collections.abc import Iterable
from typing import Final

from gpu_spawner.core.availability import ImageReadiness
from gpu_spawner.core.objects import Node

__all__ = ["ImagePlaces", "full_name"]

_FULL_LIST: Final = 50


def full_name(reference: str) -> str:
    """Complete an image reference as container runtimes do.

    >>> full_name("jupyter/scipy-notebook"), full_name("python:3.13")
    ('docker.io/jupyter/scipy-notebook:latest', 'docker.io/library/python:3.13')
    """
    first, slash, _ = reference.partition("/")
    if not slash:
        reference = f"docker.io/library/{reference}"
    elif "." not in first and ":" not in first and first != "localhost":
        reference = f"docker.io/{reference}"
    if "@" in reference or ":" in reference.rpartition("/")[2]:
        return reference
    return f"{reference}:latest"


class ImagePlaces:
    """Answers for many images and nodes; what one node lists is looked at once."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[Node, frozenset[str]]] = {}
        self.is_reported = False
        """Whether the cluster's nodes report their images at all."""

    def readiness(
        self, reference: str, nodes: Iterable[Node], pull_seconds: float | None
    ) -> ImageReadiness:
        """Say on how many of these nodes an image is."""
        wanted = full_name(reference)
        fitting = ready = unsure = 0
        for node in nodes:
            fitting += 1
            names = self._listed(node)
            if wanted in names:
                ready += 1
            elif len(node.images) >= _FULL_LIST:
                unsure += 1
        return ImageReadiness(
            ready_nodes=ready,
            fitting_nodes=fitting,
            is_known=self.is_reported and not unsure,
            pull_seconds=pull_seconds,
        )

    def learn(self, nodes: Iterable[Node]) -> None:
        """Notice whether the cluster's nodes report their images: one that does is enough."""
        self.is_reported = any(node.images for node in nodes)

    def _listed(self, node: Node) -> frozenset[str]:
        known = self._names.get(node.name)
        if known is not None and known[0] is node:
            return known[1]
        # Docker's own names leave out the registry; containerd's do not.
        names = frozenset(full_name(name) for image in node.images for name in image.names)
        self._names[node.name] = (node, names)
        return names
