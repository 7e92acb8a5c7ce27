"""Claims on a pod that is built and not yet created, and on one that runs.

KubeSpawner has no setting for claims: ``extra_container_config`` would replace the ``resources`` of
the container and lose its CPU and memory (kubespawner/utils.py, ``update_k8s_model``). So they are
put on the finished pod.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from kubernetes_asyncio.client import (
    CoreV1ResourceClaim,
    V1PodResourceClaim,
    V1ResourceRequirements,
)

from gpu_spawner.core.catalog.claims import PodClaim

__all__ = ["add_claims", "holds_devices", "lacks_claims"]


def add_claims(pod: Any, claims: Iterable[PodClaim]) -> None:
    """Add claims to a ``V1Pod`` and to the containers that use them; what it has stays.

    A container that names a claim already (a sidecar, which may want one request of it) is left as
    it is.
    """
    for claim in claims:
        entry = V1PodResourceClaim(
            name=claim.name, resource_claim_template_name=claim.template.name
        )
        pod.spec.resource_claims = [*(pod.spec.resource_claims or ()), entry]
        for container in pod.spec.containers:
            if container.name in claim.containers:
                _use(container, claim.name)


def _use(container: Any, claim: str) -> None:
    resources = container.resources
    if isinstance(resources, Mapping):  # a container that was given to KubeSpawner as JSON
        used = list(resources.get("claims") or ())
        if claim not in {each.get("name") for each in used}:
            container.resources = {**resources, "claims": [*used, {"name": claim}]}
        return
    if resources is None:
        resources = container.resources = V1ResourceRequirements()
    used = list(resources.claims or ())
    if claim not in {each.name for each in used}:
        resources.claims = [*used, CoreV1ResourceClaim(name=claim)]


def holds_devices(pod: Mapping[str, Any] | None) -> bool:
    """Tell whether a pod, as the API's JSON, may hold a device; one that is not known may.

    A device is held through a claim of the pod, through the claim the scheduler made for extended
    resources that are served by Dynamic Resource Allocation, or through a device plugin.
    """
    if pod is None:
        return True
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    if spec.get("resourceClaims") or status.get("extendedResourceClaimStatus"):
        return True
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return any(
        "/" in name
        for container in containers
        for name in (container.get("resources") or {}).get("limits") or ()
    )


def lacks_claims(pod: Mapping[str, Any]) -> bool:
    """Tell whether claims are still to be made from the templates that a pod names.

    The control plane notes each one it has made in ``status.resourceClaimStatuses``.
    """
    status = pod.get("status") or {}
    made = {each.get("name") for each in status.get("resourceClaimStatuses") or ()}
    claims = (pod.get("spec") or {}).get("resourceClaims") or ()
    return any(
        claim.get("resourceClaimTemplateName") and claim.get("name") not in made for claim in claims
    )
