"""What every decision about one DaemonSet looks at, and what it comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.selectors import NO_EXECUTE, matches_any_term, untolerated_taints
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod
from gpu_spawner.sim.daemonsets.daemon_pods import (
    is_going,
    is_terminal,
    is_up_to_date,
    target_node,
    tolerating_spec,
)

__all__ = ["DaemonState", "Note", "Steps", "Verdict", "daemon_request", "judge_node"]

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a DaemonSet thinks of a node.

    Attributes:
        should_run: a pod is to be made there where none is.
        should_stay: a pod that is there may go on.
    """

    should_run: bool
    should_stay: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """An event to write about the DaemonSet."""

    kind: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What to do next.

    Attributes:
        create_on: nodes to make a pod for.
        delete: names of pods to delete.
        look_again_seconds: when time alone will call for more; None where it will not.
    """

    create_on: Sequence[str] = ()
    delete: Sequence[str] = ()
    notes: Sequence[Note] = ()
    look_again_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonState:
    """One DaemonSet, its pods and the cluster's nodes at one moment.

    Attributes:
        pods: those it controls.
        revision_hash: of its present template.
        verdicts: by node.
    """

    daemon_set: Obj
    pods: Sequence[Obj]
    revision_hash: str
    verdicts: Mapping[str, Verdict]
    now: datetime

    @property
    def min_ready_seconds(self) -> int:
        """How long a pod must have been ready to be available."""
        return int(self.daemon_set["spec"].get("minReadySeconds") or 0)

    @property
    def desired(self) -> int:
        """How many nodes should run a pod."""
        return sum(verdict.should_run for verdict in self.verdicts.values())

    def by_node(self) -> dict[str, list[Obj]]:
        """Return the pods by the node they are on or meant for; what has ended and goes is left."""
        found: dict[str, list[Obj]] = {}
        for pod in self.pods:
            node = target_node(pod)
            if node and not (is_terminal(pod) and is_going(pod)):
                found.setdefault(node, []).append(pod)
        return found

    def is_new(self, pod: Obj) -> bool:
        """Say whether a pod was made from the present template."""
        return is_up_to_date(pod, self.daemon_set, self.revision_hash)


def daemon_request(daemon_set: Mapping[str, Any]) -> PodRequest:
    """Return what the pods of a DaemonSet ask of a node.

    Raises:
        ConfigError: the template is no pod.
    """
    template = daemon_set["spec"]["template"]
    pod = {"metadata": template.get("metadata") or {}, "spec": tolerating_spec(template["spec"])}
    return request_from_pod(pod, volumes_bind_anywhere=True)


def judge_node(request: PodRequest, node: Node) -> Verdict:
    """Judge a node by name, labels and taints; whether it has room is for the scheduler."""
    nowhere = Verdict(should_run=False, should_stay=False)
    if request.node_name and request.node_name != node.name:
        return nowhere
    if any(node.labels.get(key) != value for key, value in request.node_selector):
        return nowhere
    if request.affinity is not None and not matches_any_term(
        request.affinity, node.name, node.labels
    ):
        return nowhere
    repelling = untolerated_taints(node.taints, request.tolerations)
    return Verdict(
        should_run=not repelling,
        should_stay=all(taint.effect != NO_EXECUTE for taint in repelling),
    )
