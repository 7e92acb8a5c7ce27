"""The device claims of a pod, as its manifest states them.

Decides which claim each entry of ``resourceClaims`` stands for: one that is to be made from a
template, or one that exists. Whether it can be met is for :mod:`gpu_spawner.core.devices`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gpu_spawner.core.cluster.claim_objects import ClaimSpec, claim_spec_from_api
from gpu_spawner.core.cluster.objects import MalformedObjectError
from gpu_spawner.core.cluster.wire import (
    WireClaimReference,
    WireClaimStatusReference,
    WireContainer,
)
from gpu_spawner.core.messages import gettext
from gpu_spawner.core.wording import quoted

__all__ = ["ClaimWish", "claim_wishes"]


class ClaimWish(msgspec.Struct, frozen=True, kw_only=True):
    """A claim a pod needs; hashable.

    Attributes:
        name: by which the pod's containers know it.
        spec: what the claim will want, where it is made for each pod; None for an existing one.
        claim_name: the existing claim, in the pod's namespace; else empty.
    """

    name: str
    spec: ClaimSpec | None = None
    claim_name: str = ""


def claim_wishes(
    references: Sequence[WireClaimReference],
    made: Sequence[WireClaimStatusReference],
    claim_specs: Mapping[str, Mapping[str, Any]],
    containers: Sequence[WireContainer] = (),
) -> tuple[tuple[ClaimWish, ...], str]:
    """Read the claims of a pod.

    Args:
        references: the entries of ``spec.resourceClaims``.
        made: the entries of ``status.resourceClaimStatuses``: claims that were made already.
        claim_specs: the ResourceClaimSpec of each template, by the template's name.
        containers: those whose ``resources.claims`` name entries of ``references``.

    Returns:
        The wishes, and why they cannot be known; empty where they can.

    Raises:
        ValueError: the API server would refuse the entries, or those of a container; or a spec is
            malformed.
    """
    _check_names(references, containers)
    generated = {entry.name: entry for entry in made}
    wishes = []
    for entry in references:
        name, template = entry.name or "", entry.resource_claim_template_name
        if entry.name in generated:
            claim_name = generated[entry.name].resource_claim_name
            if claim_name:  # else no claim was needed, which only the API server can decide
                wishes.append(ClaimWish(name=name, claim_name=claim_name))
        elif entry.resource_claim_name and template:
            raise ValueError(
                f"spec.resourceClaims: {quoted(name)} names a claim and a template; one is expected"
            )
        elif entry.resource_claim_name:
            wishes.append(ClaimWish(name=name, claim_name=entry.resource_claim_name))
        elif not template:
            raise ValueError(
                f"spec.resourceClaims: {quoted(name)} names neither claim nor template"
            )
        elif template not in claim_specs:
            return (), gettext(
                "the resource claim template {name} is not known", name=template[:253]
            )
        else:
            try:
                spec = claim_spec_from_api(claim_specs[template])
            except MalformedObjectError as error:
                raise ValueError(f"resource claim template {template[:253]}: {error}") from None
            wishes.append(ClaimWish(name=name, spec=spec))
    return tuple(wishes), ""


class _ContainerClaim(msgspec.Struct, kw_only=True):
    name: str | None = None


class _Claims(msgspec.Struct, kw_only=True):
    claims: list[_ContainerClaim] | None = None


_decode_claims = msgspec.json.Decoder(_Claims).decode


def _check_names(
    references: Sequence[WireClaimReference], containers: Sequence[WireContainer]
) -> None:
    """Hold the names to what the API server asks of them.

    Source: pkg/apis/core/validation/validation.go, ``validatePodResourceClaims`` and
    ``validateResourceClaimNames`` (1.36).
    """
    names = set()
    for entry in references:
        if not entry.name:
            raise ValueError("spec.resourceClaims: an entry has no name")
        if entry.name in names:
            raise ValueError(f"spec.resourceClaims: {quoted(entry.name)} is there twice")
        names.add(entry.name)
    for container in containers:
        raw = bytes(container.resources)
        for claim in (_decode_claims(raw).claims or ()) if raw not in (b"", b"null") else ():
            if claim.name not in names:
                raise ValueError(
                    f"container {quoted(container.name or '')}: resources.claims: "
                    f"{quoted(claim.name or '')} is not in spec.resourceClaims"
                )
