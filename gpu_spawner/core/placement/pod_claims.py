"""The claims a pod brings, found in a cluster: those to be made, those that exist.

Decides what is to be allocated for the pod, which of its extended resources a node gives as
devices, and whether the pod can be scheduled at all: a class that does not exist or a claim that is
going away is one refusal for every node.
Source: pkg/scheduler/framework/plugins/dynamicresources/dynamicresources.go (1.36).
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.devices.plan import (
    ClaimToAllocate,
    DevicePlan,
    FatalError,
    MissingClassError,
    plan_claims,
)
from gpu_spawner.core.devices.runs import DeviceRun
from gpu_spawner.core.placement.extended_resources import (
    EXTENDED_CLAIM,
    classes_by_resource,
    extended_claim,
    unsettled_resources,
)
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.placement.rejections import Reason, Rejection
from gpu_spawner.core.resources import ResourceVector

__all__ = ["MAX_CONSUMERS", "PodClaims"]

MAX_CONSUMERS: Final = 256
"""How many pods may use one claim."""


_NONE: Final[frozenset[str]] = frozenset()


class PodClaims:
    """The claims of one request in a cluster whose classes do not change; kept while they do not.

    Attributes:
        refusal: why no node can take the pod at all; None where one may.
        search_steps_max: how long devices are searched for, as the snapshot says.
        pinned: allocations of existing claims: they say where the pod can run.
        is_tied: whether pods with this request share a claim, so that nodes cannot be counted one
            by one.
        unsettled: a resource of a class's own that the scheduler may not know of; else empty.
    """

    def __init__(self, request: PodRequest, snapshot: Snapshot) -> None:
        self._plans: dict[frozenset[str], DevicePlan] = {}
        self._requests: dict[frozenset[str], PodRequest] = {}
        self.runs: Final[dict[Any, DeviceRun]] = {}
        self.request: Final = request
        self.search_steps_max: Final = snapshot.search_steps_max
        self.classes: Final = snapshot.device_classes or {}
        self.rules: Final = tuple((snapshot.taint_rules or {}).values())
        self.existing: Final = {
            wish.name: (snapshot.claims or {}).get((request.namespace, wish.claim_name))
            for wish in request.claims
            if wish.spec is None
        }
        self.by_resource: Final = {
            name: cls
            for name, cls in classes_by_resource(self.classes.values()).items()
            if name in request.requests
        }
        unsettled = unsettled_resources(self.classes.values()) if self.by_resource else _NONE
        self.unsettled: Final = min(unsettled.intersection(self.by_resource), default="")
        self.pinned: Final = [
            claim.allocation
            for claim in self.existing.values()
            if claim is not None and claim.allocation is not None
        ]
        self.refusal: Final = self._refusal()
        self.is_tied: Final = bool(self.existing)

    def is_current(self, snapshot: Snapshot) -> bool:
        """Tell whether this is still right for another snapshot of the same cluster."""
        return (
            (snapshot.device_classes or {}) is self.classes
            and snapshot.search_steps_max == self.search_steps_max
            and tuple((snapshot.taint_rules or {}).values()) == self.rules
            and all(
                (snapshot.claims or {}).get((self.request.namespace, wish.claim_name))
                is self.existing[wish.name]
                for wish in self.request.claims
                if wish.spec is None
            )
        )

    def delegated(self, node: Node) -> frozenset[str]:
        """Return the extended resources that this node gives as devices."""
        if not self.by_resource:
            return _NONE
        return frozenset([name for name in self.by_resource if not node.allocatable.amount(name)])

    def request_without(self, delegated: frozenset[str]) -> PodRequest:
        """Return the request without what a node gives as devices."""
        if not delegated:
            return self.request
        found = self._requests.get(delegated)
        if found is None:
            amounts = self.request.requests.amounts
            rest = {name: amount for name, amount in amounts.items() if name not in delegated}
            found = msgspec.structs.replace(self.request, requests=ResourceVector(rest))
            self._requests[delegated] = found
        return found

    def plan_with(self, delegated: frozenset[str]) -> DevicePlan:
        """Return what is to be allocated on a node that gives these resources as devices."""
        found = self._plans.get(delegated)
        if found is None:
            claims = list(self._to_allocate())
            if delegated:
                classes = {name: self.by_resource[name] for name in delegated}
                spec = extended_claim(self.request.asks, classes)
                claims.append(ClaimToAllocate(name=EXTENDED_CLAIM, label=EXTENDED_CLAIM, spec=spec))
            found = self._plans[delegated] = plan_claims(claims, self.classes)
        return found

    def _to_allocate(self) -> Iterable[ClaimToAllocate]:
        for wish in self.request.claims:
            existing = self.existing.get(wish.name)
            if wish.spec is not None:
                yield ClaimToAllocate(name=wish.name, label=wish.name, spec=wish.spec)
            elif existing is not None and existing.allocation is None:
                label = f"{existing.namespace}/{existing.name}"
                yield ClaimToAllocate(name=wish.name, label=label, spec=existing.spec)

    def _refusal(self) -> Rejection | None:
        for wish in self.request.claims:
            claim = self.existing.get(wish.name)
            if wish.spec is not None:
                continue
            if claim is None:
                words = f'resourceclaim.resource.k8s.io "{wish.claim_name}" not found'
                return Rejection(reason=Reason.CLAIM, detail=words, words=words)
            if claim.is_terminating:
                words = f'resourceclaim "{claim.name}" is being deleted'
                return Rejection(reason=Reason.CLAIM, detail=words, words=words)
            if len(claim.reserved_for) >= MAX_CONSUMERS:
                words = f"resourceclaim {claim.name} has {MAX_CONSUMERS} users, which is all it may"
                return Rejection(reason=Reason.CLAIM, detail=words, words=words, is_permanent=False)
        try:
            self.plan_with(frozenset())
        except MissingClassError as error:
            words, name = str(error), error.class_name
            return Rejection(reason=Reason.CLAIM, detail=words, words=words, resource=name)
        except FatalError as error:
            return Rejection(reason=Reason.CLAIM, detail=str(error), words=str(error))
        return None
