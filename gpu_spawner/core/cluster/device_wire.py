"""The shapes of ``resource.k8s.io/v1``: slices, classes, claims, templates, taint rules.

Decides only what is read off the wire, as ``wire`` does for nodes and pods: unknown fields are
skipped, null counts as absent. What the fields mean is for ``device_objects`` and
``claim_objects``.
"""

import datetime as dt

import msgspec

from gpu_spawner.core.cluster.wire import ABSENT, WireNodeSelector, WireTaint, WireToleration

__all__ = [
    "WireClaim",
    "WireClaimMeta",
    "WireClaimSpec",
    "WireClaimStatus",
    "WireClass",
    "WireClassSpec",
    "WireConfig",
    "WireConsumption",
    "WireCounter",
    "WireDevice",
    "WireDeviceCapacity",
    "WireResult",
    "WireSelector",
    "WireSlice",
    "WireTaintRule",
    "WireTemplate",
    "WireWanted",
]

WireQuantity = str | int | float


class _Wire(msgspec.Struct, kw_only=True, rename="camel", gc=False):
    """What every shape has in common: camelCase names, unknown fields ignored."""


class WireOwner(_Wire):
    """An entry of ``metadata.ownerReferences``."""

    kind: str | None = None
    name: str | None = None
    uid: str | None = None
    controller: bool | None = None


class WireClaimAnnotations(_Wire):
    """The annotations of claims that tell what they are for."""

    extended: str | None = msgspec.field(
        name="resource.kubernetes.io/extended-resource-claim", default=None
    )
    pod_claim: str | None = msgspec.field(
        name="resource.kubernetes.io/pod-claim-name", default=None
    )


class WireClaimMeta(_Wire):
    """``metadata`` of an object of this group."""

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    annotations: WireClaimAnnotations | None = None
    owner_references: list[WireOwner] | None = None
    creation_timestamp: dt.datetime | None = None
    deletion_timestamp: dt.datetime | None = None


class WireAttribute(_Wire):
    """The value of an attribute; one of these is set."""

    int_: int | None = msgspec.field(name="int", default=None)
    bool_: bool | None = msgspec.field(name="bool", default=None)
    string: str | None = None
    version: str | None = None


class WireRange(_Wire):
    """A ``validRange`` of a request policy."""

    min: WireQuantity | None = None
    max: WireQuantity | None = None
    step: WireQuantity | None = None


class WirePolicy(_Wire):
    """A ``requestPolicy`` of a capacity."""

    default: WireQuantity | None = None
    valid_values: list[WireQuantity] | None = None
    valid_range: WireRange | None = None


class WireDeviceCapacity(_Wire):
    """A capacity of a device."""

    value: WireQuantity = "0"
    request_policy: WirePolicy | None = None


class WireCounter(_Wire):
    """A counter's value."""

    value: WireQuantity = "0"


class WireConsumption(_Wire):
    """An entry of a device's ``consumesCounters``."""

    counter_set: str | None = None
    counters: dict[str, WireCounter] | None = None


class WireCounterSet(_Wire):
    """An entry of a slice's ``sharedCounters``."""

    name: str | None = None
    counters: dict[str, WireCounter] | None = None


class WireDevice(_Wire):
    """A device of a slice; what repeats from device to device stays raw, to be parsed once."""

    name: str | None = None
    attributes: dict[str, WireAttribute] | None = None
    capacity: msgspec.Raw = ABSENT
    consumes_counters: msgspec.Raw = ABSENT
    node_name: str | None = None
    node_selector: WireNodeSelector | None = None
    all_nodes: bool | None = None
    taints: list[WireTaint] | None = None
    binds_to_node: bool | None = None
    binding_conditions: list[str] | None = None
    binding_failure_conditions: list[str] | None = None
    allow_multiple_allocations: bool | None = None


class WirePool(_Wire):
    """``spec.pool`` of a slice."""

    name: str | None = None
    generation: int | None = None
    resource_slice_count: int | None = None


class WireSliceSpec(_Wire):
    """``spec`` of a slice."""

    driver: str | None = None
    pool: WirePool | None = None
    node_name: str | None = None
    node_selector: WireNodeSelector | None = None
    all_nodes: bool | None = None
    per_device_node_selection: bool | None = None
    devices: list[WireDevice] | None = None
    shared_counters: list[WireCounterSet] | None = None


class WireSlice(_Wire):
    """A ResourceSlice."""

    metadata: WireClaimMeta | None = None
    spec: WireSliceSpec | None = None


class WireCel(_Wire):
    """A CEL selector."""

    expression: str | None = None


class WireSelector(_Wire):
    """An entry of ``selectors``."""

    cel: WireCel | None = None


class WireOpaque(_Wire):
    """Parameters for a driver."""

    driver: str | None = None
    parameters: msgspec.Raw = ABSENT


class WireConfig(_Wire):
    """An entry of ``config``."""

    requests: list[str] | None = None
    opaque: WireOpaque | None = None


class WireClassSpec(_Wire):
    """``spec`` of a DeviceClass."""

    selectors: list[WireSelector] | None = None
    config: list[WireConfig] | None = None
    extended_resource_name: str | None = None


class WireClass(_Wire):
    """A DeviceClass."""

    metadata: WireClaimMeta | None = None
    spec: WireClassSpec | None = None


class WireCapacityRequests(_Wire):
    """``capacity`` of a device request."""

    requests: dict[str, WireQuantity] | None = None


class WireWanted(_Wire):
    """``exactly`` of a request, or an entry of its ``firstAvailable``."""

    name: str | None = None
    device_class_name: str | None = None
    selectors: list[WireSelector] | None = None
    allocation_mode: str | None = None
    count: int | None = None
    admin_access: bool | None = None
    tolerations: list[WireToleration] | None = None
    capacity: WireCapacityRequests | None = None


class WireDeviceRequest(_Wire):
    """An entry of a claim's ``requests``."""

    name: str | None = None
    exactly: WireWanted | None = None
    first_available: list[WireWanted] | None = None


class WireConstraint(_Wire):
    """An entry of a claim's ``constraints``."""

    requests: list[str] | None = None
    match_attribute: str | None = None
    distinct_attribute: str | None = None


class WireClaimDevices(_Wire):
    """``spec.devices`` of a claim."""

    requests: list[WireDeviceRequest] | None = None
    constraints: list[WireConstraint] | None = None
    config: list[WireConfig] | None = None


class WireClaimSpec(_Wire):
    """``spec`` of a claim."""

    devices: WireClaimDevices | None = None


class WireResult(_Wire):
    """A device that is allocated to a claim."""

    request: str | None = None
    driver: str | None = None
    pool: str | None = None
    device: str | None = None
    admin_access: bool | None = None
    share_id: str | None = msgspec.field(name="shareID", default=None)
    consumed_capacity: dict[str, WireQuantity] | None = None


class WireAllocatedDevices(_Wire):
    """``status.allocation.devices`` of a claim."""

    results: list[WireResult] | None = None


class WireAllocation(_Wire):
    """``status.allocation`` of a claim."""

    devices: WireAllocatedDevices | None = None
    node_selector: WireNodeSelector | None = None


class WireConsumer(_Wire):
    """An entry of ``status.reservedFor``."""

    resource: str | None = None
    name: str | None = None
    uid: str | None = None


class WireClaimStatus(_Wire):
    """``status`` of a claim."""

    allocation: WireAllocation | None = None
    reserved_for: list[WireConsumer] | None = None


class WireClaim(_Wire):
    """A ResourceClaim."""

    metadata: WireClaimMeta | None = None
    spec: WireClaimSpec | None = None
    status: WireClaimStatus | None = None


class WireTemplateSpec(_Wire):
    """``spec`` of a ResourceClaimTemplate; its own ``spec`` is that of the claim to make."""

    spec: msgspec.Raw = ABSENT


class WireTemplate(_Wire):
    """A ResourceClaimTemplate."""

    metadata: WireClaimMeta | None = None
    spec: WireTemplateSpec | None = None


class WireTaintSelector(_Wire):
    """Which devices a taint rule is about; what is absent matches everything."""

    driver: str | None = None
    pool: str | None = None
    device: str | None = None


class WireTaintRuleSpec(_Wire):
    """``spec`` of a DeviceTaintRule."""

    device_selector: WireTaintSelector | None = None
    taint: WireTaint | None = None


class WireTaintRule(_Wire):
    """A DeviceTaintRule."""

    metadata: WireClaimMeta | None = None
    spec: WireTaintRuleSpec | None = None
