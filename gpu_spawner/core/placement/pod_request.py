"""What a pod that is to be placed asks for, and where it may run.

Decides how a manifest is read: with what the API server would add to it (requests from limits,
host ports of the host network, the not-ready tolerations of ``DefaultTolerationSeconds``), and
which features nobody here can judge. A request with such a feature carries the reason in
``unknown``, and its seats are unknown: an honest gap rather than a wrong number.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gpu_spawner.core.cluster.objects import HostPort, MalformedObjectError, host_ports, to_json
from gpu_spawner.core.cluster.pod_affinity import (
    AntiAffinityTerm,
    anti_affinity_terms,
    requirements,
)
from gpu_spawner.core.cluster.pod_resources import effective_requests
from gpu_spawner.core.cluster.selectors import NO_EXECUTE, NodeSelectorTerm, Toleration
from gpu_spawner.core.cluster.wire import (
    WireAffinity,
    WireNodeAffinity,
    WireNodeSelectorTerm,
    WireRequest,
    WireRequestAnnotations,
    WireRequestMeta,
    WireRequestSpec,
    WireRequestStatus,
)
from gpu_spawner.core.devices.fractions.request import FractionRequest
from gpu_spawner.core.errors import ConfigError, Problem
from gpu_spawner.core.messages import gettext
from gpu_spawner.core.placement.claim_wishes import ClaimWish, claim_wishes
from gpu_spawner.core.placement.extended_resources import ContainerAsk, container_asks
from gpu_spawner.core.placement.fraction_wishes import fraction_wish
from gpu_spawner.core.resources import ResourceVector

__all__ = ["PodRequest", "PreferredTerm", "request_from_pod"]

_NOTHING: Final = frozenset({b"", b"null", b"{}"})
_CONDITION_TAINTS: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class PreferredTerm(msgspec.Struct, frozen=True, kw_only=True):
    """A node affinity that only steers the choice among nodes that fit."""

    weight: int
    term: NodeSelectorTerm


class PodRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What one pod asks for; hashable, so that equal requests are counted once.

    Attributes:
        requests: the effective requests (:mod:`gpu_spawner.core.cluster.pod_resources`).
        node_selector: labels a node must have, sorted.
        affinity: terms of which a node must match one; None where there is no required affinity,
            which is not the same as no terms: those match nothing.
        preferred: affinity that steers and never refuses.
        node_name: the one node it may run on; empty for any.
        namespace: where it will live; anti-affinity of others looks at it.
        labels: its labels, sorted, for the same purpose.
        anti_affinity: pods it requires to keep away from.
        priority: pods below it could be preempted; seats are counted without preempting anybody.
        may_preempt: False where its preemption policy is ``Never``.
        gates: names of scheduling gates; with any, it is not scheduled at all.
        architectures: what its image is built for (``amd64``, ...); empty for no such limit. The
            scheduler does not look at images, so only callers who know the image set it.
        min_cuda: the CUDA version its image needs of the node's driver, likewise; None for none.
        claims: the device claims it needs.
        fraction: the parts of cards it asks another scheduler for; ``requests`` has nothing then
            that only that scheduler looks at. None for none.
        asks: what its containers ask for, as far as devices may stand behind it.
        unknown: why its seats cannot be known; empty where they can.
    """

    requests: ResourceVector
    node_selector: tuple[tuple[str, str], ...] = ()
    affinity: tuple[NodeSelectorTerm, ...] | None = None
    preferred: tuple[PreferredTerm, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    node_name: str = ""
    host_ports: tuple[HostPort, ...] = ()
    namespace: str = "default"
    labels: tuple[tuple[str, str], ...] = ()
    anti_affinity: tuple[AntiAffinityTerm, ...] = ()
    priority: int = 0
    may_preempt: bool = True
    gates: tuple[str, ...] = ()
    architectures: frozenset[str] = frozenset()
    min_cuda: tuple[int, int] | None = None
    claims: tuple[ClaimWish, ...] = ()
    asks: tuple[ContainerAsk, ...] = ()
    fraction: FractionRequest | None = None
    unknown: str = ""


_decode_request = msgspec.json.Decoder(WireRequest).decode
_decode_affinity = msgspec.json.Decoder(WireAffinity).decode


def request_from_pod(
    manifest: Mapping[str, Any],
    *,
    source: str = "pod",
    volumes_bind_anywhere: bool = False,
    is_whole: bool = False,
    claim_specs: Mapping[str, Mapping[str, Any]] | None = None,
) -> PodRequest:
    """Read what a pod asks for from its manifest.

    Args:
        manifest: the pod, as a person writes it or as the API shows it.
        source: what to call it in an error, such as a file name.
        volumes_bind_anywhere: whether persistent volumes may be taken to be usable from every node;
            without that promise, a pod with such volumes has an unknown number of seats.
        is_whole: whether nothing is added to the manifest before a pod is made of it, so that every
            claim a container names must be there.
        claim_specs: the ResourceClaimSpec (``spec.spec``) of the resource claim templates in its
            namespace, by name; with a template that is not among them its seats are unknown.

    Raises:
        ConfigError: it is not a pod, or a field has the wrong type or an impossible quantity.
    """
    try:
        wire = _decode_request(to_json(manifest))
        return _build(
            wire,
            claim_specs or {},
            volumes_bind_anywhere=volumes_bind_anywhere,
            is_whole=is_whole,
        )
    except (ValueError, MalformedObjectError) as error:
        raise ConfigError(
            [
                Problem(
                    file=source,
                    message=f"{error}.",
                    cure="Write it as kubectl would accept it.",
                )
            ]
        ) from None


def _build(
    wire: WireRequest,
    claim_specs: Mapping[str, Mapping[str, Any]],
    *,
    volumes_bind_anywhere: bool,
    is_whole: bool,
) -> PodRequest:
    meta = wire.metadata or WireRequestMeta()
    spec = wire.spec or WireRequestSpec()
    if not spec.containers:
        raise ValueError("spec.containers: missing")
    raw_affinity = bytes(spec.affinity)
    affinity = WireAffinity() if raw_affinity in _NOTHING else _decode_affinity(raw_affinity)
    node_affinity = affinity.node_affinity or WireNodeAffinity()
    requests = effective_requests(spec, None)
    status = wire.status or WireRequestStatus()
    claims, unknown = claim_wishes(
        spec.resource_claims or (),
        status.resource_claim_statuses or (),
        claim_specs,
        [*(spec.init_containers or ()), *spec.containers] if is_whole else (),
    )
    fraction, uncounted = fraction_wish(
        meta.annotations or WireRequestAnnotations(), spec.scheduler_name or "", spec.containers
    )
    return PodRequest(
        requests=fraction.without_uncounted(requests) if fraction else requests,
        node_selector=tuple(sorted((spec.node_selector or {}).items())),
        affinity=_required_terms(node_affinity),
        preferred=_preferred_terms(node_affinity),
        tolerations=_tolerations(spec),
        node_name=spec.node_name or "",
        host_ports=host_ports(spec),
        namespace=meta.namespace or "default",
        labels=tuple(sorted((meta.labels or {}).items())),
        anti_affinity=anti_affinity_terms(affinity),
        priority=spec.priority or 0,
        may_preempt=spec.preemption_policy != "Never",
        gates=tuple(gate.name or "" for gate in spec.scheduling_gates or ()),
        claims=claims,
        asks=container_asks(spec, requests),
        fraction=fraction,
        unknown=unknown
        or uncounted
        or _what_cannot_be_judged(spec, affinity, volumes_bind_anywhere=volumes_bind_anywhere),
    )


def _required_terms(affinity: WireNodeAffinity) -> tuple[NodeSelectorTerm, ...] | None:
    if affinity.required is None:
        return None
    return tuple(_term(term) for term in affinity.required.node_selector_terms or ())


def _preferred_terms(affinity: WireNodeAffinity) -> tuple[PreferredTerm, ...]:
    return tuple(
        PreferredTerm(weight=entry.weight or 0, term=_term(entry.preference))
        for entry in affinity.preferred or ()
        if entry.preference is not None
    )


def _term(wire: WireNodeSelectorTerm) -> NodeSelectorTerm:
    return NodeSelectorTerm(
        match_expressions=requirements(wire.match_expressions),
        match_fields=requirements(wire.match_fields),
    )


def _tolerations(spec: WireRequestSpec) -> tuple[Toleration, ...]:
    """Return the tolerations with those the admission plugin DefaultTolerationSeconds adds."""
    given = [
        Toleration(
            key=entry.key or "",
            operator=entry.operator or "",
            value=entry.value or "",
            effect=entry.effect or "",
        )
        for entry in spec.tolerations or ()
    ]
    added = [
        Toleration(key=key, operator="Exists", effect=NO_EXECUTE)
        for key in _CONDITION_TAINTS
        if not any(entry.key in ("", key) and entry.effect in ("", NO_EXECUTE) for entry in given)
    ]
    return tuple(given + added)


def _what_cannot_be_judged(
    spec: WireRequestSpec,
    affinity: WireAffinity,
    *,
    volumes_bind_anywhere: bool,
) -> str:
    if affinity.pod_affinity is not None and affinity.pod_affinity.required:
        return gettext("required pod affinity is not evaluated")
    if any(
        entry.when_unsatisfiable in (None, "DoNotSchedule")
        for entry in spec.topology_spread_constraints or ()
    ):
        return gettext("topology spread constraints that forbid scheduling are not evaluated")
    if not volumes_bind_anywhere and any(
        volume.persistent_volume_claim is not None or bytes(volume.ephemeral) not in _NOTHING
        for volume in spec.volumes or ()
    ):
        return gettext("from which nodes the pod's persistent volumes can be used is not evaluated")
    return ""
