"""Resource claims and their templates with only the fields decisions need.

A claim's *spec* says what is wanted, its *allocation* which devices it holds. Which devices a
claim could get is for :mod:`gpu_spawner.core.devices`.
Source of the shapes: k8s.io/api ``resource/v1/types.go`` (1.36).
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gpu_spawner.core.cluster.device_classes import DeviceConfig, configs, expressions
from gpu_spawner.core.cluster.device_objects import node_terms, required_name, share
from gpu_spawner.core.cluster.device_wire import (
    WireClaim,
    WireClaimDevices,
    WireClaimMeta,
    WireClaimSpec,
    WireClaimStatus,
    WireConstraint,
    WireDeviceRequest,
    WireResult,
    WireTemplate,
    WireWanted,
)
from gpu_spawner.core.cluster.objects import MalformedObjectError, PodKey, to_json
from gpu_spawner.core.cluster.selectors import NodeSelectorTerm, Toleration
from gpu_spawner.core.quantity import parse_nano

__all__ = [
    "ALL",
    "EXACT_COUNT",
    "NO_CLAIM",
    "Allocation",
    "ClaimSpec",
    "ClaimTemplate",
    "Constraint",
    "DeviceRequest",
    "DeviceResult",
    "DeviceWish",
    "ResourceClaim",
    "build_claim",
    "build_claim_spec",
    "build_template",
    "claim_from_api",
    "claim_spec_from_api",
]

EXACT_COUNT: Final = "ExactCount"
ALL: Final = "All"


class DeviceWish(msgspec.Struct, frozen=True, kw_only=True):
    """What one request, or one of its alternatives, wants.

    Attributes:
        name: of the request or of the alternative.
        selectors: CEL expressions, besides those of the class.
        count: how many devices, where the mode is :data:`EXACT_COUNT`.
        capacity: how much of which capacity, in billionths, by the name the slice uses.
    """

    name: str
    class_name: str = ""
    selectors: tuple[str, ...] = ()
    mode: str = EXACT_COUNT
    count: int = 1
    has_admin_access: bool = False
    tolerations: tuple[Toleration, ...] = ()
    capacity: tuple[tuple[str, int], ...] = ()


class DeviceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a claim: exactly one wish, or alternatives of which the first that fits wins.

    Neither is set in a request of a kind that is not known.
    """

    name: str
    exactly: DeviceWish | None = None
    alternatives: tuple[DeviceWish, ...] = ()


class Constraint(msgspec.Struct, frozen=True, kw_only=True):
    """A condition over the devices of a claim; no requests means all of them."""

    requests: frozenset[str] = frozenset()
    match_attribute: str = ""
    distinct_attribute: str = ""


class ClaimSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim wants; hashable."""

    requests: tuple[DeviceRequest, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    config: tuple[DeviceConfig, ...] = ()


NO_CLAIM: Final = ClaimSpec()


class DeviceResult(msgspec.Struct, frozen=True, kw_only=True):
    """A device that a claim holds.

    Attributes:
        share_id: set where other claims may hold the device too.
        consumed: how much of which capacity it takes, in billionths.
    """

    request: str
    driver: str
    pool: str
    device: str
    has_admin_access: bool = False
    share_id: str = ""
    consumed: tuple[tuple[str, int], ...] = ()


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """The devices a claim holds, and the node selector terms it is tied to; None for none."""

    results: tuple[DeviceResult, ...] = ()
    terms: tuple[NodeSelectorTerm, ...] | None = None

    def reaches(self, node_name: str, labels: Mapping[str, str]) -> bool:
        """Tell whether what is allocated can be used on a node."""
        if self.terms is None:
            return True
        return any(term.matches(node_name, labels) for term in self.terms)


class ResourceClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim.

    Attributes:
        reserved_for: the uids of the pods that may use it.
        owner_uid: the pod it was made for; empty for one that stands alone.
        pod_claim: the name by which that pod knows it.
        is_extended: whether the scheduler made it for extended resources.
    """

    namespace: str
    name: str
    uid: str = ""
    spec: ClaimSpec = NO_CLAIM
    allocation: Allocation | None = None
    reserved_for: tuple[str, ...] = ()
    is_terminating: bool = False
    owner_uid: str = ""
    pod_claim: str = ""
    is_extended: bool = False

    @property
    def key(self) -> PodKey:
        """Namespace and name."""
        return self.namespace, self.name


class ClaimTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """A template: the spec of the claim that is made of it, as JSON."""

    namespace: str
    name: str
    spec: bytes = b"{}"

    @property
    def key(self) -> PodKey:
        """Namespace and name."""
        return self.namespace, self.name


_decode_spec = msgspec.json.Decoder(WireClaimSpec).decode
_decode_claim = msgspec.json.Decoder(WireClaim).decode


def claim_spec_from_api(obj: Mapping[str, Any] | bytes) -> ClaimSpec:
    """Read a ResourceClaimSpec from a mapping or from JSON.

    Raises:
        MalformedObjectError: a field has the wrong type or a quantity is malformed.
    """
    try:
        return build_claim_spec(_decode_spec(obj if isinstance(obj, bytes) else to_json(obj)))
    except ValueError as error:  # msgspec.ValidationError is one
        raise MalformedObjectError(str(error)) from None


def claim_from_api(obj: Mapping[str, Any]) -> ResourceClaim:
    """Read a claim from an object as the API or a manifest has it.

    Raises:
        MalformedObjectError: a field has the wrong type, or the name is missing.
    """
    try:
        return build_claim(_decode_claim(to_json(obj)))
    except ValueError as error:
        raise MalformedObjectError(str(error)) from None


def build_claim(wire: WireClaim) -> ResourceClaim:
    """Build a claim from its wire form.

    Raises:
        ValueError: the name is missing or a quantity is malformed.
    """
    meta = wire.metadata or WireClaimMeta()
    status = wire.status or WireClaimStatus()
    annotations = meta.annotations
    owners = [owner for owner in meta.owner_references or () if owner.controller]
    return ResourceClaim(
        namespace=meta.namespace or "default",
        name=required_name(meta),
        uid=meta.uid or "",
        spec=share(build_claim_spec(wire.spec or WireClaimSpec())),
        allocation=_allocation(status),
        reserved_for=tuple([consumer.uid or "" for consumer in status.reserved_for or ()]),
        is_terminating=meta.deletion_timestamp is not None,
        owner_uid=(owners[0].uid if owners else None) or "",
        pod_claim=(annotations.pod_claim if annotations else None) or "",
        is_extended=annotations is not None and annotations.extended == "true",
    )


def build_template(wire: WireTemplate) -> ClaimTemplate:
    """Build a claim template from its wire form.

    Raises:
        ValueError: the name is missing.
    """
    meta = wire.metadata or WireClaimMeta()
    return ClaimTemplate(
        namespace=meta.namespace or "default",
        name=required_name(meta),
        spec=(bytes(wire.spec.spec) if wire.spec is not None else b"") or b"{}",
    )


def build_claim_spec(wire: WireClaimSpec) -> ClaimSpec:
    """Build a claim's spec from its wire form, with the defaults of the API server.

    Raises:
        ValueError: a quantity is malformed.
    """
    devices = wire.devices or WireClaimDevices()
    return ClaimSpec(
        requests=tuple([_request(request) for request in devices.requests or ()]),
        constraints=tuple([_constraint(entry) for entry in devices.constraints or ()]),
        config=configs(devices.config),
    )


def _request(wire: WireDeviceRequest) -> DeviceRequest:
    name = wire.name or ""
    return DeviceRequest(
        name=name,
        exactly=_wish(wire.exactly, name) if wire.exactly is not None else None,
        alternatives=tuple(
            [_wish(entry, entry.name or "") for entry in wire.first_available or ()]
        ),
    )


def _wish(wire: WireWanted, name: str) -> DeviceWish:
    capacity = (wire.capacity.requests if wire.capacity else None) or {}
    return DeviceWish(
        name=name,
        class_name=wire.device_class_name or "",
        selectors=expressions(wire.selectors),
        mode=wire.allocation_mode or EXACT_COUNT,
        count=wire.count or 1,
        has_admin_access=bool(wire.admin_access),
        tolerations=tuple(
            [
                Toleration(
                    key=entry.key or "",
                    operator=entry.operator or "Equal",
                    value=entry.value or "",
                    effect=entry.effect or "",
                )
                for entry in wire.tolerations or ()
            ]
        ),
        capacity=tuple([(key, parse_nano(capacity[key])) for key in sorted(capacity)]),
    )


def _constraint(wire: WireConstraint) -> Constraint:
    return Constraint(
        requests=frozenset(wire.requests or ()),
        match_attribute=wire.match_attribute or "",
        distinct_attribute=wire.distinct_attribute or "",
    )


def _allocation(status: WireClaimStatus) -> Allocation | None:
    wire = status.allocation
    if wire is None:
        return None
    results = wire.devices.results if wire.devices else None
    return Allocation(
        results=tuple([_result(entry) for entry in results or ()]),
        terms=node_terms(wire.node_selector),
    )


def _result(wire: WireResult) -> DeviceResult:
    consumed = wire.consumed_capacity or {}
    return DeviceResult(
        request=wire.request or "",
        driver=wire.driver or "",
        pool=wire.pool or "",
        device=wire.device or "",
        has_admin_access=bool(wire.admin_access),
        share_id=wire.share_id or "",
        consumed=tuple([(key, parse_nano(consumed[key])) for key in sorted(consumed)]),
    )
