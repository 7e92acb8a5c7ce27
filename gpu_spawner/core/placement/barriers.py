"""Anti-affinity between pods: the rule of placement that looks beyond one node.

Decides from which nodes a request is kept away, by its own required anti-affinity or by that of
pods that run already, and whether two such pods would keep each other apart. Where that depends on
labels nobody has read, the answer is unknown.
Source: pkg/scheduler/framework/plugins/interpodaffinity/filtering.go (1.36).
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from gpu_spawner.core.cluster.objects import is_label_kept
from gpu_spawner.core.cluster.pod_affinity import AntiAffinityTerm
from gpu_spawner.core.cluster.snapshot import NodeState, Snapshot
from gpu_spawner.core.messages import gettext
from gpu_spawner.core.placement.fitting import Reason, Rejection
from gpu_spawner.core.placement.pod_request import PodRequest

__all__ = ["NO_BARRIERS", "Barriers", "find_barriers"]

_Domain = tuple[str, str]
"""A node label's key and value: all nodes that have it are one topology domain."""

_ANTI_AFFINITY: Final = Rejection(
    reason=Reason.ANTI_AFFINITY,
    detail="a pod it must keep away from runs there",
    is_permanent=False,
)
_REPELLED: Final = Rejection(
    reason=Reason.REPELLED,
    detail="a pod that runs there requires it to stay away",
    is_permanent=False,
)
_NAMESPACES: Final = gettext(
    "anti-affinity depends on the labels of namespaces, which are not read"
)
_LABELS: Final = gettext("anti-affinity depends on labels of pods that are not kept")
_SPREAD: Final = gettext("anti-affinity between groups of nodes is not counted")


class Barriers(msgspec.Struct, frozen=True, kw_only=True):
    """What rules beyond one node say about a request.

    Attributes:
        by_node: the rejections, by node name.
        is_exclusive: whether two such pods would keep each other away from every node.
        unknown: why that cannot be told; empty where it can.
    """

    by_node: Mapping[str, tuple[Rejection, ...]] = {}
    is_exclusive: bool = False
    unknown: str = ""


NO_BARRIERS: Final = Barriers()


def find_barriers(request: PodRequest, snapshot: Snapshot) -> Barriers:
    """Work out from which nodes anti-affinity keeps a request away."""
    if not request.anti_affinity and not snapshot.repelling:
        return NO_BARRIERS
    states = snapshot.nodes or {}
    own = request.anti_affinity
    if not all(_is_judged_by_kept_labels(term) for term in own):
        return Barriers(unknown=_LABELS)
    taken, kept_away = _taken_domains(request, states), _forbidden_domains(request, snapshot)
    if taken is None or kept_away is None:
        return Barriers(unknown=_NAMESPACES)
    labels = dict(request.labels)
    against_itself = [
        term.topology_key
        for term in own
        if term.selects(labels, request.namespace, own_namespace=request.namespace)
    ]
    if not all(_is_one_node_each(key, states) for key in against_itself):
        return Barriers(unknown=_SPREAD)
    rejections: dict[str, list[Rejection]] = {}
    _reject_in(taken, states, _ANTI_AFFINITY, rejections)
    _reject_in(kept_away, states, _REPELLED, rejections)
    if not rejections and not against_itself:
        return NO_BARRIERS
    return Barriers(
        by_node={name: tuple(found) for name, found in rejections.items()},
        is_exclusive=bool(against_itself),
    )


def _taken_domains(
    request: PodRequest, states: Mapping[str, NodeState]
) -> AbstractSet[_Domain] | None:
    """Return where pods run that the request must keep away from; None if that is not known."""
    domains: set[_Domain] = set()
    for state in states.values() if request.anti_affinity else ():
        for pod in state.load.holders:
            for term in request.anti_affinity:
                selected = term.selects(pod.labels, pod.namespace, own_namespace=request.namespace)
                if selected is None:
                    return None
                if selected:
                    domains.update(_domains(term, state))
    return domains


def _forbidden_domains(request: PodRequest, snapshot: Snapshot) -> AbstractSet[_Domain] | None:
    """Return where pods run that require the request to stay away; None if that is not known."""
    labels = dict(request.labels)
    domains: set[_Domain] = set()
    for state in snapshot.repelling:
        for pod in state.load.repelling:
            for term in pod.anti_affinity:
                selected = term.selects(labels, request.namespace, own_namespace=pod.namespace)
                if selected is None:
                    return None
                if selected:
                    domains.update(_domains(term, state))
    return domains


def _reject_in(
    domains: AbstractSet[_Domain],
    states: Mapping[str, NodeState],
    rejection: Rejection,
    rejections: dict[str, list[Rejection]],
) -> None:
    keys = {key for key, _ in domains}
    for name, state in states.items() if domains else ():
        labels = state.node.labels
        if any((key, labels.get(key)) in domains for key in keys):
            rejections.setdefault(name, []).append(rejection)


def _domains(term: AntiAffinityTerm, state: NodeState) -> Iterator[_Domain]:
    value = state.node.labels.get(term.topology_key)
    if value is not None:
        yield term.topology_key, value


def _is_judged_by_kept_labels(term: AntiAffinityTerm) -> bool:
    return term.selector is None or all(is_label_kept(key) for key in term.selector.keys)


def _is_one_node_each(key: str, states: Mapping[str, NodeState]) -> bool:
    """Tell whether every node is a domain of its own, as with ``kubernetes.io/hostname``."""
    values = [state.node.labels.get(key) for state in states.values()]
    return None not in values and len(set(values)) == len(values)
