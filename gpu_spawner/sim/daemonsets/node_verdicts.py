"""What each DaemonSet thinks of each node, judged again only when either changes."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.sim.daemonsets.state import Verdict, daemon_request, judge_node

__all__ = ["NodeVerdicts"]

Obj = dict[str, Any]


class NodeVerdicts:
    """The nodes of a cluster and the verdicts on them."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._judges: dict[str, tuple[int, PodRequest]] = {}
        self._verdicts: dict[str, dict[str, Verdict]] = {}

    def see(self, node: Node) -> bool:
        """Take note of a node; says whether what DaemonSets look at has changed."""
        former = self._nodes.get(node.name)
        self._nodes[node.name] = node
        if former is not None and (former.labels, former.taints) == (node.labels, node.taints):
            return False
        for uid, (_, request) in self._judges.items():
            self._verdicts[uid][node.name] = judge_node(request, node)
        return True

    def forget_node(self, name: str) -> None:
        """Take note that a node is gone."""
        self._nodes.pop(name, None)
        for verdicts in self._verdicts.values():
            verdicts.pop(name, None)

    def forget(self, daemon_set: Mapping[str, Any]) -> None:
        """Take note that a DaemonSet is gone."""
        self._judges.pop(daemon_set["metadata"]["uid"], None)
        self._verdicts.pop(daemon_set["metadata"]["uid"], None)

    def of(self, daemon_set: Mapping[str, Any]) -> Mapping[str, Verdict]:
        """Return what a DaemonSet thinks of every node.

        Raises:
            ConfigError: its template is no pod.
        """
        uid = daemon_set["metadata"]["uid"]
        generation = daemon_set["metadata"].get("generation") or 0
        judge = self._judges.get(uid)
        if judge is None or judge[0] != generation:
            request = daemon_request(daemon_set)
            self._judges[uid] = generation, request
            self._verdicts[uid] = self._judge_all(request, self._nodes.values())
        return MappingProxyType(self._verdicts[uid])

    @staticmethod
    def _judge_all(request: PodRequest, nodes: Iterable[Node]) -> dict[str, Verdict]:
        return {node.name: judge_node(request, node) for node in nodes}
