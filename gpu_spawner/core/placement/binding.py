"""Pods that are bound in thought: a snapshot as it will be when they are there.

Decides what a pod adds to the cluster once it is on its node, the devices its claims get included,
and counts pods by binding one after another where nodes cannot be counted one by one.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from gpu_spawner.core.cluster.claim_objects import ResourceClaim
from gpu_spawner.core.cluster.objects import Pod, PodKey, is_label_kept
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.devices.fractions.counting import fraction_asked, share_for
from gpu_spawner.core.placement.device_side import Grant
from gpu_spawner.core.placement.fitting import load_against
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.placement.scheduling import Decision, decide
from gpu_spawner.core.resources import ResourceVector

__all__ = ["MAX_BOUND", "Bound", "bind_in_turn", "bound_pod", "holding", "with_grant"]

MAX_BOUND = 1000
"""More pods than this are not bound in thought."""

# No object can be called this: names have no slash.
_IN_THOUGHT = "/in-thought"


@dataclass(slots=True, kw_only=True)
class Bound:
    """What became of pods that were bound one after another.

    Attributes:
        by_node: how many went where.
        snapshot: the cluster with all of them.
        refusal: what the scheduler says of the next one; empty where enough were bound.
        unknown: why that cannot be known; empty where it can.
    """

    snapshot: Snapshot
    by_node: Counter[str] = field(default_factory=Counter)
    refusal: str = ""
    unknown: str = ""


def bind_in_turn(snapshot: Snapshot, request: PodRequest, most: int = MAX_BOUND) -> Bound:
    """Bind pods with one request until the scheduler refuses, or ``most`` are bound."""
    bound = Bound(snapshot=snapshot)
    while bound.by_node.total() < most:
        decision = decide(bound.snapshot, request)
        if not isinstance(decision, Decision):
            bound.refusal = decision.message
            bound.unknown = decision.unknown
            break
        key = (request.namespace, f"{len(bound.snapshot.pods or ())}{_IN_THOUGHT}")
        pod = bound_pod(request, key, decision.node)
        bound.snapshot = with_grant(
            bound.snapshot.with_pod(holding(pod, request, bound.snapshot)),
            request,
            key,
            decision.grant,
        )
        bound.by_node[decision.node] += 1
    return bound


def bound_pod(request: PodRequest, key: PodKey, node_name: str) -> Pod:
    """Return a pod as it will be on its node."""
    namespace, name = key
    return Pod(
        namespace=namespace,
        name=name,
        node_name=node_name,
        requests=request.requests,
        labels={label: value for label, value in request.labels if is_label_kept(label)},
        priority=request.priority,
        host_ports=request.host_ports,
        anti_affinity=request.anti_affinity,
    )


def holding(pod: Pod, request: PodRequest, snapshot: Snapshot) -> Pod:
    """Return a pod with the parts of cards it will hold, and the cards that are kept for it."""
    state = (snapshot.nodes or {})[pod.node_name]
    parts = fraction_asked(request.fraction, request.requests, state.node)
    if parts is None:
        return pod
    share = share_for(parts, state.node, load_against(request, state.load), "/".join(pod.key))
    if share is None or not share.own_cards:
        return msgspec.structs.replace(pod, held_share=share)
    # The reservations of new groups are pods that do not exist yet: their cards are put down here.
    cards = ResourceVector({parts.resource: share.own_cards})
    return msgspec.structs.replace(pod, held_share=share, requests=pod.requests.plus(cards))


def with_grant(
    snapshot: Snapshot, request: PodRequest, key: PodKey, grant: Grant | None
) -> Snapshot:
    """Return a snapshot in which a pod's claims hold what they were granted."""
    if grant is None:
        return snapshot
    existing: Mapping[str, str] = {
        wish.name: wish.claim_name for wish in request.claims if wish.spec is None
    }
    for name, allocation in grant.allocations.items():
        if name not in existing:
            claim_name = f"{key[1]}/{name}"
            claim = ResourceClaim(namespace=key[0], name=claim_name, allocation=allocation)
            snapshot = snapshot.with_claim(claim)
    for name, claim_name in existing.items():
        found = (snapshot.claims or {}).get((request.namespace, claim_name))
        if found is not None:
            snapshot = snapshot.with_claim(
                msgspec.structs.replace(
                    found,
                    allocation=grant.allocations.get(name, found.allocation),
                    reserved_for=(*found.reserved_for, key[1]),
                )
            )
    return snapshot
