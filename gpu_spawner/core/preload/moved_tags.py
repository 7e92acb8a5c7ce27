"""Notice that a tag has moved: nodes that hold different images under one reference.

A tag such as ``latest`` may name another image next week. Nodes that have the old one keep it, and
servers differ with the node they land on. What a node holds is told by the image's digest, from our
own pullers or from the node's list. The nodes with an older version then pull it again: first one,
which shows what the tag means now, then the others that differ from it.

Runtimes name an image in one of two ways: by its manifest in the registry, or by its configuration.
The two differ for the same image, so that only nodes which name it alike are compared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gpu_spawner.core.cluster.pullers import PullerPod, PullState
from gpu_spawner.core.cluster.snapshot import NodeState
from gpu_spawner.core.preload.held import listed_digest
from gpu_spawner.core.preload.image_names import is_pinned

__all__ = ["Versions", "versions_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What the nodes of a pool hold under one reference.

    Attributes:
        count: how many different images; 0 or 1 where all is well.
        stale: the nodes to refresh next; empty where nothing differs.
    """

    count: int = 0
    stale: tuple[str, ...] = ()


def versions_of(
    image: str,
    pods: Iterable[PullerPod],
    nodes: Mapping[str, NodeState],
    *,
    refresh_since: int,
) -> Versions:
    """Compare what the ready pullers of an image hold.

    Args:
        image: the reference; one with a digest cannot move.
        pods: the pullers of one pool.
        nodes: for their architecture, because some runtimes name an image by it, and their lists.
        refresh_since: unix seconds since when pullers ask the registry what the tag means; 0 where
            they do not yet.
    """
    if is_pinned(image):
        return Versions()
    held: dict[tuple[str, bool], dict[str, tuple[int, str]]] = {}
    for pod in pods:
        state = nodes.get(pod.node)
        if pod.state is not PullState.READY or pod.is_terminating or state is None:
            continue
        _, is_manifest, digest = pod.image_id.rpartition("@")
        if not digest:
            is_manifest, digest = "@", listed_digest(state.node, image) or ""
        if digest:
            alike = (state.node.architecture, bool(is_manifest))
            held.setdefault(alike, {})[pod.node] = (pod.created, digest)
    different = {alike: by_node for alike, by_node in held.items() if _differ(by_node)}
    stale: list[str] = []
    for by_node in different.values():
        asked = {node: one for node, one in by_node.items() if one[0] > refresh_since > 0}
        if not asked:
            # Nobody knows yet what the tag means: the longest held is the likeliest to be old.
            stale.append(min(by_node, key=lambda node: (by_node[node][0], node)))
            continue
        present = max(asked.values())[1]
        stale.extend(
            node for node, one in by_node.items() if one[1] != present and node not in asked
        )
    return Versions(
        count=max(
            (len({one[1] for one in by_node.values()}) for by_node in held.values()), default=0
        ),
        stale=tuple(sorted(stale)),
    )


def _differ(by_node: Mapping[str, tuple[int, str]]) -> bool:
    return len({digest for _, digest in by_node.values()}) > 1
