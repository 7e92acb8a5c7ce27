"""The device claims of a pod, as its manifest states them.

Decides which claim each entry of ``resourceClaims`` stands for: one that is to be made from a
template, or one that exists. Whether it can be met is for :mod:`gpu_spawner.core.devices`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gpu_spawner.core.cluster.claim_objects import ClaimSpec, claim_spec_from_api
from gpu_spawner.core.cluster.objects import MalformedObjectError
from gpu_spawner.core.cluster.wire import WireClaimReference, WireClaimStatusReference
from gpu_spawner.core.messages import gettext

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
) -> tuple[tuple[ClaimWish, ...], str]:
    """Read the claims of a pod.

    Args:
        references: the entries of ``spec.resourceClaims``.
        made: the entries of ``status.resourceClaimStatuses``: claims that were made already.
        claim_specs: the ResourceClaimSpec of each template, by the template's name.

    Returns:
        The wishes, and why they cannot be known; empty where they can.

    Raises:
        ValueError: an entry names no claim, or a spec is malformed.
    """
    generated = {entry.name: entry for entry in made}
    wishes = []
    for entry in references:
        name, template = entry.name or "", entry.resource_claim_template_name
        if entry.name in generated:
            claim_name = generated[entry.name].resource_claim_name
            if claim_name:  # else no claim was needed, which only the API server can decide
                wishes.append(ClaimWish(name=name, claim_name=claim_name))
        elif entry.resource_claim_name:
            wishes.append(ClaimWish(name=name, claim_name=entry.resource_claim_name))
        elif not template:
            raise ValueError(f"spec.resourceClaims: {name[:63]!r} names neither claim nor template")
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
