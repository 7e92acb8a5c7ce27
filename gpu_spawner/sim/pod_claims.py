"""Which ResourceClaims a pod uses, and whether a claim is the pod's to use.

Words are those of Kubernetes (k8s.io/dynamic-resource-allocation/resourceclaim), because they end
up in events.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = [
    "ALLOCATED_FINALIZER",
    "CLAIMS",
    "ClaimNotReadyError",
    "claim_name",
    "claims_path",
    "is_allocated",
    "is_done",
    "is_reserved_for",
    "owner_complaint",
    "owning_pod",
    "pod_user",
    "used_claim_names",
]

Obj = Mapping[str, Any]

CLAIMS = "/apis/resource.k8s.io/v1/resourceclaims"
ALLOCATED_FINALIZER = "resource.kubernetes.io/delete-protection"
"""Keeps a claim that holds devices from vanishing."""


class ClaimNotReadyError(Exception):
    """A claim of a pod cannot be used yet; the text is Kubernetes'."""


def claims_path(namespace: str, name: str = "") -> str:
    """Return where the claims of a namespace are, or one of them."""
    path = f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims"
    return f"{path}/{name}" if name else path


def claim_name(pod: Obj, entry: Obj) -> str | None:
    """Return the claim behind an entry of ``spec.resourceClaims``; None where none is needed.

    Raises:
        ClaimNotReadyError: it is to be made from a template, and has not been.
    """
    if name := entry.get("resourceClaimName"):
        return str(name)
    for status in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        if status["name"] == entry["name"]:
            found: str | None = status.get("resourceClaimName")
            return found
    metadata = pod["metadata"]
    raise ClaimNotReadyError(
        f'pod "{metadata["namespace"]}/{metadata["name"]}": ResourceClaim not created yet'
    )


def used_claim_names(pod: Obj) -> Iterator[str]:
    """Yield the claims known to be used by a pod, that of its extended resources included."""
    for entry in pod["spec"].get("resourceClaims") or ():
        try:
            name = claim_name(pod, entry)
        except ClaimNotReadyError:
            continue
        if name:
            yield name
    special = (pod.get("status") or {}).get("extendedResourceClaimStatus")
    if special:
        yield special["resourceClaimName"]


def owner_complaint(pod: Obj, entry: Obj, claim: Obj) -> str:
    """Say why a claim is not the one that was made for this pod; empty where it may be used."""
    if "resourceClaimTemplateName" not in entry or owning_pod(claim)[1] == pod["metadata"]["uid"]:
        return ""
    namespace = pod["metadata"]["namespace"]
    return (
        f"ResourceClaim {namespace}/{claim['metadata']['name']} was not created for Pod "
        f"{namespace}/{pod['metadata']['name']} (Pod is not owner)"
    )


def owning_pod(claim: Obj) -> tuple[str, str]:
    """Return name and uid of the pod for which a claim was made, empty where there is none."""
    for owner in claim["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and (owner["apiVersion"], owner["kind"]) == ("v1", "Pod"):
            return owner["name"], owner["uid"]
    return "", ""


def is_allocated(claim: Obj) -> bool:
    """Say whether a claim holds devices."""
    return bool((claim.get("status") or {}).get("allocation"))


def is_reserved_for(claim: Obj, pod: Obj) -> bool:
    """Say whether a pod is among those a claim is reserved for."""
    users: Sequence[Obj] = (claim.get("status") or {}).get("reservedFor") or ()
    return any(user["uid"] == pod["metadata"]["uid"] for user in users)


def pod_user(pod: Obj) -> dict[str, str]:
    """Return the entry of ``status.reservedFor`` that stands for a pod."""
    metadata = pod["metadata"]
    return {"resource": "pods", "name": metadata["name"], "uid": metadata["uid"]}


def is_done(pod: Obj) -> bool:
    """Say whether no container of the pod runs or ever will."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return True
    return bool(pod["metadata"].get("deletionTimestamp")) and not pod["spec"].get("nodeName")
