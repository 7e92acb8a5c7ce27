"""The node a pod would be bound to, or the scheduler's own words for why there is none.

:func:`schedule` decides one pod as kube-scheduler 1.36 with its default profile does. A refusal
reads like its ``FailedScheduling`` event, preemption included; nobody is preempted here. The choice
among nodes that fit follows the scores that matter for single servers (allocation, balance,
preferred node affinity, ``PreferNoSchedule``); where the real scheduler draws lots the first name
wins, so that the same input gives the same answer.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.selectors import PREFER_NO_SCHEDULE, NodeSelectorTerm, tolerates
from gpu_spawner.core.cluster.snapshot import NodeLoad, NodeState, Snapshot
from gpu_spawner.core.placement.barriers import Barriers, find_barriers
from gpu_spawner.core.placement.device_side import DeviceSide, Grant, device_side
from gpu_spawner.core.placement.fitting import Reason, Rejection, check_node
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.resources import CPU, MEMORY, PODS

__all__ = [
    "Decision",
    "Placed",
    "Refused",
    "Scoring",
    "decide",
    "schedule",
    "scheduler_message",
    "scheduler_words",
]

_WORDS: Final = {
    Reason.GATED: "Scheduling is blocked due to non-empty scheduling gates",
    Reason.CORDONED: "node(s) were unschedulable",
    Reason.WRONG_NODE_NAME: "node(s) didn't match the requested node name",
    Reason.NOT_READY: "node(s) had untolerated taint(s)",
    Reason.TAINT: "node(s) had untolerated taint(s)",
    Reason.SELECTOR: "node(s) didn't match Pod's node affinity/selector",
    Reason.PORT: "node(s) didn't have free ports for the requested pod ports",
    Reason.ANTI_AFFINITY: "node(s) didn't match pod anti-affinity rules",
    Reason.REPELLED: "node(s) didn't satisfy existing pods anti-affinity rules",
    Reason.CLAIM: "resourceclaim not available on the node",
    Reason.DEVICES: "cannot allocate all claims",
    # The scheduler has no such rules; the words are ours.
    Reason.CARD_SHARE: "node(s) had no GPU with enough left to share",
    Reason.ARCHITECTURE: "node(s) had another architecture than the image",
    Reason.DRIVER: "node(s) had a driver too old for the image",
}
_NO_NODES: Final = "no nodes available to schedule pods"
_NOT_IN_AFFINITY: Final = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
_AFFINITY_CONFLICT: Final = "pod affinity terms conflict"
_FATAL: Final = 'running "DynamicResources" filter plugin'
_EMPTY_MAPPINGS: Final = (
    'running PreBind plugin "DynamicResources": nil or empty request mappings, no update of the'
    " pod's ExtendedResourceClaimStatus"
)
_HAS_CLAIMS: Final = "still not schedulable"
_NO_CLAIMS: Final = "no new claims to deallocate"
_NEVER_PREEMPTS: Final = "not eligible due to preemptionPolicy=Never."
_NO_VICTIMS: Final = "No preemption victims found for incoming pod"
_NOT_HELPFUL: Final = "Preemption is not helpful for scheduling"
_MAX_SCORE: Final = 100
# Of these, removing pods from the node may help.
_RESOLVABLE: Final = frozenset(
    {
        Reason.PORT,
        Reason.INSUFFICIENT,
        Reason.CARD_SHARE,
        Reason.ANTI_AFFINITY,
        Reason.REPELLED,
    }
)


class Scoring(StrEnum):
    """How to choose among nodes by what is used on them."""

    LEAST_ALLOCATED = "least-allocated"  # spreads; the default of kube-scheduler
    MOST_ALLOCATED = "most-allocated"  # packs; z2jh's user-scheduler


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """The pod goes to this node.

    Attributes:
        claims: what to write as ``status.allocation`` of every claim that is allocated with it, by
            the name the pod's ``resourceClaims`` has for it.
    """

    node: str
    claims: Mapping[str, Mapping[str, Any]] = {}


class Decision(NamedTuple):
    """The pod goes to this node, where its claims get this; None where devices have no say."""

    node: str
    grant: Grant | None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The pod stays pending.

    Attributes:
        message: what the scheduler says about it.
        is_gated: whether it was not even looked at, because of scheduling gates.
        unknown: why it cannot be known whether it fits; empty where it can.
    """

    message: str
    is_gated: bool = False
    unknown: str = ""


class _Fit(NamedTuple):
    state: NodeState
    grant: Grant | None


def schedule(
    snapshot: Snapshot, request: PodRequest, *, scoring: Scoring = Scoring.LEAST_ALLOCATED
) -> Placed | Refused:
    """Decide where one pod goes."""
    decision = decide(snapshot, request, scoring=scoring)
    if isinstance(decision, Refused):
        return decision
    return Placed(node=decision.node, claims=decision.grant.statuses if decision.grant else {})


def decide(
    snapshot: Snapshot, request: PodRequest, *, scoring: Scoring = Scoring.LEAST_ALLOCATED
) -> Decision | Refused:
    """Decide where one pod goes and which devices its claims get there."""
    barriers = find_barriers(request, snapshot)
    devices = device_side(request, snapshot)
    states = snapshot.nodes or {}
    refused = _refused_at_once(states, request, barriers, devices)
    if refused is not None:
        return refused
    only = _names_in_affinity(request.affinity)
    fitting, trouble = _filter(states, request, barriers, only, devices)
    if not fitting or (trouble is not None and not trouble.unknown):
        return trouble or Refused(message=_explain(states, request, barriers, only, devices))
    chosen = _choose(fitting, request, scoring)
    if devices is not None and devices.breaks_binding(states[chosen.node].node):
        return Refused(message=_EMPTY_MAPPINGS)
    return chosen


def _filter(
    states: Mapping[str, NodeState],
    request: PodRequest,
    barriers: Barriers,
    only: frozenset[str] | None,
    devices: DeviceSide | None,
) -> tuple[list["_Fit"], Refused | None]:
    """Return the nodes that fit, and what may end the search whether or not any does."""
    fitting: list[_Fit] = []
    trouble: Refused | None = None
    for name, state in states.items():
        if only is not None and name not in only:
            continue
        judged = check_node(request, state, barriers.by_node, devices=devices)
        if judged.free:
            fitting.append(_Fit(state, devices.grant(state.node) if devices else None))
        elif devices is not None and judged.rejections[0].reason is Reason.DEVICES:
            trouble = _worse(trouble, devices, state.node)
    return fitting, trouble


def _worse(known: Refused | None, devices: DeviceSide, node: Node) -> Refused | None:
    """Return what ends the search: a failure on one node ends it on all, doubt where none fits."""
    fatal, doubt = devices.fatal(node), devices.doubt(node)
    if fatal and (known is None or known.unknown):
        return Refused(message=f"{_FATAL}: {fatal}")
    if doubt and known is None:
        return Refused(message=doubt, unknown=doubt)
    return known


def scheduler_message(snapshot: Snapshot, request: PodRequest) -> str:
    """Return what the scheduler says of one more such pod; empty where it would bind it."""
    decision = schedule(snapshot, request)
    return decision.message if isinstance(decision, Refused) else ""


def scheduler_words(rejection: Rejection) -> str:
    """Return the scheduler's words for one rejection, without numbers or names."""
    if rejection.words:
        return rejection.words
    if rejection.reason is Reason.INSUFFICIENT:
        if rejection.resource == PODS:
            return "Too many pods"
        return f"Insufficient {rejection.resource}"
    return _WORDS[rejection.reason]


def _explain(
    states: Mapping[str, NodeState],
    request: PodRequest,
    barriers: Barriers,
    only: frozenset[str] | None,
    devices: DeviceSide | None,
) -> str:
    count = len(states)
    claims = _NO_CLAIMS if devices is None else _HAS_CLAIMS
    if only is not None and not only:
        tail = _after_filters(request, Counter({_NOT_HELPFUL: count}), count, claims)
        return f"0/{count} nodes are available: {_AFFINITY_CONFLICT}. {tail}"
    reasons: Counter[str] = Counter()
    preemption: Counter[str] = Counter()
    can_preempt = False
    for name, state in states.items():
        if only is not None and name not in only:
            reasons[_NOT_IN_AFFINITY] += 1
            preemption[_NOT_HELPFUL] += 1
            continue
        judged = check_node(request, state, barriers.by_node, devices=devices)
        refusal = _first_refusal(judged.rejections)
        reasons.update(map(scheduler_words, refusal))
        helped = _after_preemption(request, state, barriers, refusal, devices)
        preemption.update(helped)
        can_preempt = can_preempt or not helped
    text = f"0/{count} nodes are available: {_join(reasons)}."
    if can_preempt and request.may_preempt:
        return text  # the pod is nominated, and its event ends here
    return f"{text} {_after_filters(request, preemption, count, claims)}"


def _refused_at_once(
    states: Mapping[str, NodeState],
    request: PodRequest,
    barriers: Barriers,
    devices: DeviceSide | None,
) -> Refused | None:
    """Return what is said where no node is even looked at; None where nodes are."""
    if request.gates:
        return Refused(message=_WORDS[Reason.GATED], is_gated=True)
    if not states:
        return Refused(message=_NO_NODES)
    unknown = request.unknown or barriers.unknown or (devices.unknown if devices else "")
    if unknown:
        return Refused(message=unknown, unknown=unknown)
    if devices is None or devices.refusal is None:
        return None
    count = len(states)
    words = scheduler_words(devices.refusal)
    tail = _after_filters(request, Counter({_NOT_HELPFUL: count}), count, _NO_CLAIMS)
    return Refused(message=f"0/{count} nodes are available: {words}. {tail}")


def _after_filters(request: PodRequest, preemption: Counter[str], count: int, claims: str) -> str:
    if not request.may_preempt:
        return f"{claims}, preemption: {_NEVER_PREEMPTS}"
    return f"{claims}, preemption: 0/{count} nodes are available: {_join(preemption)}."


def _first_refusal(rejections: Sequence[Rejection]) -> tuple[Rejection, ...]:
    """Return what the first filter that refuses says; only resources are all named.

    Rejections come in the order in which the scheduler asks its filters.
    """
    first = rejections[0]
    if first.reason is not Reason.INSUFFICIENT:
        return (first,)
    return tuple(found for found in rejections if found.reason is Reason.INSUFFICIENT)


def _after_preemption(
    request: PodRequest,
    state: NodeState,
    barriers: Barriers,
    refusal: Sequence[Rejection],
    devices: DeviceSide | None,
) -> tuple[str, ...]:
    """Return why evicting pods of lower priority does not help on a node; nothing if it does."""
    if any(
        rejection.reason not in _RESOLVABLE
        # The pod limit never counts as hopeless, however small it is (fitsRequest in fit.go).
        or (rejection.is_permanent and rejection.resource != PODS)
        for rejection in refusal
    ):
        return (_NOT_HELPFUL,)
    staying = [pod for pod in state.load.holders if pod.priority >= request.priority]
    if len(staying) == len(state.load.holders):
        return (_NO_VICTIMS,)
    nominated = state.load.nominated
    left = NodeState(node=state.node, load=NodeLoad.of([*staying, *nominated]))
    rest = check_node(request, left, barriers.by_node, devices=devices)
    return tuple(map(scheduler_words, _first_refusal(rest.rejections))) if not rest.free else ()


def _join(reasons: Counter[str]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))


def _names_in_affinity(affinity: tuple[NodeSelectorTerm, ...] | None) -> frozenset[str] | None:
    """Return the only node names an affinity allows; None where any term leaves the name open.

    The scheduler does not even look at other nodes (``PreFilter`` of NodeAffinity).
    """
    if not affinity:
        return None
    allowed: set[str] = set()
    for term in affinity:
        names: set[str] | None = None
        for entry in term.match_fields:
            if entry.key == "metadata.name" and entry.operator == "In":
                values = set(entry.values)
                names = values if names is None else names & values
        if names is None:
            return None
        allowed |= names
    return frozenset(allowed)


def _choose(fitting: Sequence[_Fit], request: PodRequest, scoring: Scoring) -> Decision:
    states = [fit.state for fit in fitting]
    preferences = [_preference(state, request) for state in states]
    dislikes = [_dislike(state, request) for state in states]
    ranks = [fit.grant.rank if fit.grant else 0 for fit in fitting]
    most_preferred, most_disliked, highest = max(preferences), max(dislikes), max(ranks)

    def score(position: int) -> int:
        preference = _scaled(preferences[position], most_preferred)
        taints = _MAX_SCORE - _scaled(dislikes[position], most_disliked)
        alternatives = _scaled(ranks[position], highest)
        # The weights of the default profile (pkg/scheduler/apis/config/v1/default_plugins.go).
        return (
            3 * taints
            + 2 * preference
            + 2 * alternatives
            + _allocation_score(states[position], request, scoring)
        )

    best = min(
        range(len(states)), key=lambda position: (-score(position), states[position].node.name)
    )
    return Decision(states[best].node.name, fitting[best].grant)


def _scaled(amount: int, largest: int) -> int:
    return _MAX_SCORE * amount // largest if largest else 0


def _preference(state: NodeState, request: PodRequest) -> int:
    node = state.node
    return sum(
        entry.weight for entry in request.preferred if entry.term.matches(node.name, node.labels)
    )


def _dislike(state: NodeState, request: PodRequest) -> int:
    return sum(
        taint.effect == PREFER_NO_SCHEDULE and not tolerates(request.tolerations, taint)
        for taint in state.node.taints
    )


def _allocation_score(state: NodeState, request: PodRequest, scoring: Scoring) -> int:
    """Score cpu and memory as NodeResourcesFit and NodeResourcesBalancedAllocation do."""
    shares = []
    for name in (CPU, MEMORY):
        allocatable = state.node.allocatable.amount(name)
        if allocatable:
            used = state.used.amount(name) + request.requests.amount(name)
            shares.append(min(_MAX_SCORE * used // allocatable, _MAX_SCORE))
    if not shares:
        return 0
    mean = sum(shares) // len(shares)
    balance = _MAX_SCORE - (max(shares) - min(shares)) // 2
    return balance + (mean if scoring is Scoring.MOST_ALLOCATED else _MAX_SCORE - mean)
