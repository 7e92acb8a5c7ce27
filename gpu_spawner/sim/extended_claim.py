"""The claim that the scheduler makes where devices stand behind a pod's extended resources.

What it asks for is ``core.placement``'s; here it becomes an object of the API, and containers are
told which of its requests are theirs. Source: ``extendeddynamicresources.go`` of kube-scheduler's
``dynamicresources`` plugin, 1.36.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gpu_spawner.core.cluster.claim_objects import ClaimSpec
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.placement.extended_resources import (
    ContainerAsk,
    classes_by_resource,
    extended_claim,
)
from gpu_spawner.core.placement.pod_request import PodRequest

__all__ = ["ExtendedClaim", "extended_claim_of"]

_ANNOTATION = "resource.kubernetes.io/extended-resource-claim"


class ExtendedClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim to be made for one pod on one node.

    Attributes:
        spec: as the API has it.
        mappings: ``requestMappings`` of the pod's ``extendedResourceClaimStatus``.
    """

    spec: Mapping[str, Any]
    mappings: tuple[Mapping[str, str], ...]

    def manifest(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        """Return the claim for ``pod``."""
        metadata = pod["metadata"]
        owner = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {
                "generateName": f"{metadata['name']}-extended-resources-",
                "annotations": {_ANNOTATION: "true"},
                "ownerReferences": [owner],
            },
            "spec": self.spec,
        }


def extended_claim_of(request: PodRequest, snapshot: Snapshot, node_name: str) -> ExtendedClaim:
    """Return the claim for the extended resources that a node gives as devices."""
    allocatable = (snapshot.nodes or {})[node_name].node.allocatable
    classes = classes_by_resource((snapshot.device_classes or {}).values())
    delegated = {
        name: classes[name]
        for name in request.requests
        if name in classes and not allocatable.amount(name)
    }
    claim = extended_claim(request.asks, delegated)
    requests = [
        {
            "name": each.name,
            "exactly": {
                "deviceClassName": each.exactly.class_name,
                "allocationMode": each.exactly.mode,
                "count": each.exactly.count,
            },
        }
        for each in claim.requests
        if each.exactly is not None
    ]
    mappings = [
        mapping for name in sorted(delegated) for mapping in _mappings(name, request, claim)
    ]
    return ExtendedClaim(spec={"devices": {"requests": requests}}, mappings=tuple(mappings))


def _mappings(resource: str, request: PodRequest, claim: ClaimSpec) -> Iterator[dict[str, str]]:
    """Yield which requests of the claim each container uses for one resource."""
    counts = {each.name: each.exactly.count for each in claim.requests if each.exactly is not None}
    asks = [ask for ask in request.asks if dict(ask.amounts).get(resource)]
    lasting = [ask for ask in asks if not ask.is_short_lived]
    for ask in lasting:
        yield _mapping(ask, resource, _request_name(ask, resource))
    passing = [ask for ask in asks if ask.is_short_lived]
    # Of init containers that end, one request, the largest, serves all.
    own = next((name for ask in passing if (name := _request_name(ask, resource)) in counts), "")
    for ask in passing:
        missing = dict(ask.amounts)[resource]
        for later in lasting:
            if later.index >= ask.index and missing > 0:
                name = _request_name(later, resource)
                yield _mapping(ask, resource, name)
                missing -= counts[name]
        if missing > 0:
            yield _mapping(ask, resource, own)


def _request_name(ask: ContainerAsk, resource: str) -> str:
    return f"container-{ask.index}-request-{ask.names.index(resource)}"


def _mapping(ask: ContainerAsk, resource: str, request_name: str) -> dict[str, str]:
    return {
        "containerName": ask.name,
        "resourceName": resource,
        "requestName": request_name,
    }
