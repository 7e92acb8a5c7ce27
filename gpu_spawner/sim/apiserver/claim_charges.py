"""What quotas charge a ResourceClaim for: devices by class, as the worst of its alternatives.

A claim also counts as the extended resource its class stands for, so that a quota on
``requests.nvidia.com/gpu`` holds for both ways to ask for a GPU. The claim that the scheduler makes
for a pod's extended resources is charged only for what the pod was not charged for already.
Source: kubernetes/pkg/quota/v1/evaluator/core/resource_claims.go, 1.36.
"""

from collections.abc import Mapping
from typing import Any, Final

from gpu_spawner.sim.apiserver.kinds import RESOURCES
from gpu_spawner.sim.apiserver.store import Store

__all__ = ["EXTENDED_CLAIM_ANNOTATION", "claim_charges"]

Obj = Mapping[str, Any]

EXTENDED_CLAIM_ANNOTATION: Final = "resource.kubernetes.io/extended-resource-claim"

_BY_KIND: Final = {item.kind: item for item in RESOURCES}
_ONE: Final = 10**9
# A claim of mode All may hold as many devices as fit into one allocation.
_MOST_DEVICES: Final = 32


def claim_charges(claim: Obj, store: Store) -> tuple[dict[str, int], Obj | None]:
    """Return what a claim is charged for, in billionths, and the pod whose own charges it repeats.

    Args:
        claim: the claim.
        store: where device classes and pods are.
    """
    by_class: dict[str, int] = {}
    for request in claim["spec"]["devices"].get("requests") or ():
        worst: dict[str, int] = {}
        for wish in (*request.get("firstAvailable", ()), request.get("exactly")):
            if wish is not None:
                name = wish["deviceClassName"]
                worst[name] = max(worst.get(name, 0), _devices(wish))
        for name, count in worst.items():
            by_class[name] = by_class.get(name, 0) + count
    charges = {
        f"{name}.deviceclass.resource.k8s.io/devices": count * _ONE
        for name, count in by_class.items()
    }
    for name, count in by_class.items():
        charges[f"requests.deviceclass.resource.kubernetes.io/{name}"] = count * _ONE
        record = store.get(_BY_KIND["DeviceClass"], "", name)
        extended = record.decode()["spec"].get("extendedResourceName") if record else None
        if extended:
            key = f"requests.{extended}"
            charges[key] = charges.get(key, 0) + count * _ONE
    return charges, _charged_pod(claim, store)


def _devices(wish: Obj) -> int:
    if wish.get("allocationMode") == "All":
        return _MOST_DEVICES
    return int(wish.get("count", 0))


def _charged_pod(claim: Obj, store: Store) -> Obj | None:
    metadata = claim["metadata"]
    if (metadata.get("annotations") or {}).get(EXTENDED_CLAIM_ANNOTATION) != "true":
        return None
    for owner in metadata.get("ownerReferences", ()):
        if owner.get("controller") and (owner["apiVersion"], owner["kind"]) == ("v1", "Pod"):
            record = store.get(_BY_KIND["Pod"], metadata["namespace"], owner["name"])
            if record is not None and record.uid == owner["uid"]:
                return record.decode()
    return None
