"""What is written down when devices are allocated to a claim.

Decides the form: the device results of a claim, the node selector that ties it to where its devices
can be used, the configuration of its classes and of itself, as ``status.allocation`` has them.
Source: k8s.io/dynamic-resource-allocation
``structured/internal/incubating/allocator_incubating.go`` (1.36).
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gpu_spawner.core.cluster.claim_objects import Allocation, DeviceResult
from gpu_spawner.core.cluster.device_classes import DeviceConfig
from gpu_spawner.core.cluster.device_objects import NodeReach
from gpu_spawner.core.cluster.selectors import NodeSelectorTerm, Requirement
from gpu_spawner.core.devices.allocation import Granted
from gpu_spawner.core.devices.occupancy import DeviceKey, Occupancy
from gpu_spawner.core.devices.plan import ClaimPlan, WishPlan
from gpu_spawner.core.quantity import NANO, format_bytes, nano_to_whole

__all__ = ["allocation_of", "device_results", "status_allocation"]

_SHARES = uuid.UUID("6f1d4c1e-2f0d-5b5e-9a53-2a3f0f6f2c11")


def device_results(granted: Iterable[Granted], occupancy: Occupancy) -> tuple[DeviceResult, ...]:
    """Return what a claim holds once it got its devices.

    The share of a shared device gets an id that no other present share of it has.
    """
    results = []
    new: dict[DeviceKey, set[str]] = {}
    for entry in granted:
        key = entry.candidate.key
        share_id = ""
        if entry.consumed is not None:
            known = occupancy.shares.get(key, set()) | new.setdefault(key, set())
            share_id = _new_share_id(key, known)
            new[key].add(share_id)
        results.append(
            DeviceResult(
                request=entry.wish.full_name,
                driver=key[0],
                pool=key[1],
                device=key[2],
                has_admin_access=entry.wish.wish.has_admin_access,
                share_id=share_id,
                consumed=tuple(sorted((entry.consumed or {}).items())),
            )
        )
    return tuple(results)


def allocation_of(
    granted: Sequence[Granted], results: tuple[DeviceResult, ...], node_name: str
) -> Allocation:
    """Return what a claim holds, tied to where that can be used."""
    term = _node_term(granted, node_name)
    return Allocation(results=results, terms=None if term is None else (term,))


def status_allocation(
    claim: ClaimPlan, granted: Sequence[Granted], allocation: Allocation
) -> dict[str, Any]:
    """Return what to write as a claim's ``status.allocation``."""
    devices: dict[str, Any] = {
        "results": [
            _result(entry, result)
            for entry, result in zip(granted, allocation.results, strict=True)
        ]
    }
    config = _config(claim, granted)
    if config:
        devices["config"] = config
    written: dict[str, Any] = {"devices": devices}
    if allocation.terms is not None:
        written["nodeSelector"] = {
            "nodeSelectorTerms": [_term_json(term) for term in allocation.terms]
        }
    return written


def _new_share_id(key: DeviceKey, known: set[str]) -> str:
    number = len(known)
    while True:
        share_id = str(uuid.uuid5(_SHARES, "/".join((*key, str(number)))))
        if share_id not in known:
            return share_id
        number += 1


def _result(entry: Granted, result: DeviceResult) -> dict[str, Any]:
    device = entry.candidate.device
    written: dict[str, Any] = {
        "request": result.request,
        "driver": result.driver,
        "pool": result.pool,
        "device": result.device,
    }
    if result.has_admin_access:
        written["adminAccess"] = True
    tolerations = [
        {name: value for name, value in msgspec.structs.asdict(entry).items() if value}
        for entry in entry.wish.wish.tolerations
    ]
    if tolerations:
        written["tolerations"] = tolerations
    if device.binding_conditions:
        written["bindingConditions"] = list(device.binding_conditions)
    if device.binding_failure_conditions:
        written["bindingFailureConditions"] = list(device.binding_failure_conditions)
    if result.share_id:
        written["shareID"] = result.share_id
    if result.consumed:
        written["consumedCapacity"] = {name: _quantity(amount) for name, amount in result.consumed}
    return written


def _quantity(nano: int) -> str:
    """Write billionths as a quantity, exactly."""
    if nano % NANO:
        return f"{nano}n"
    return format_bytes(nano_to_whole(nano))


def _config(claim: ClaimPlan, granted: Sequence[Granted]) -> list[dict[str, Any]]:
    """Return the configuration of classes, each once, then that of the claim."""
    chosen = [_chosen(request.wishes, granted) for request in claim.requests]
    entries: list[dict[str, Any]] = []
    of_class: dict[str, list[dict[str, Any]]] = {}
    for wish in chosen:
        known = of_class.get(wish.cls.name)
        if known is None:
            known = [_config_json("FromClass", entry, []) for entry in wish.cls.config]
            of_class[wish.cls.name] = known
            entries.extend(known)
        for entry in known:
            entry["requests"].append(wish.full_name)
    for config in claim.claim.spec.config:
        if not config.requests:
            entries.append(_config_json("FromClaim", config, None))
        entries.extend(
            _config_json("FromClaim", config, list(config.requests))
            for wish in chosen
            if wish.request in config.requests or wish.full_name in config.requests
        )
    return entries


def _chosen(wishes: Sequence[WishPlan], granted: Sequence[Granted]) -> WishPlan:
    for entry in granted:
        if entry.wish in wishes:
            return entry.wish
    return wishes[0]


def _config_json(source: str, config: DeviceConfig, requests: list[str] | None) -> dict[str, Any]:
    written: dict[str, Any] = {"source": source}
    if requests is not None:
        written["requests"] = requests
    written["opaque"] = {
        "driver": config.driver,
        "parameters": msgspec.json.decode(config.parameters),
    }
    return written


def _node_term(granted: Sequence[Granted], node_name: str) -> NodeSelectorTerm | None:
    """Return where a claim's devices can be used; None where that is everywhere."""
    fields: list[Requirement] = []
    expressions: list[Requirement] = []
    for entry in granted:
        found = entry.candidate.slice
        device = entry.candidate.device
        reach: NodeReach = device.reach if found.is_per_device else found.reach
        if reach.node_name or device.binds_to_node:
            this = Requirement(key="metadata.name", operator="In", values=(node_name,))
            return NodeSelectorTerm(match_fields=(this,))
        for term in (reach.terms or ())[:1]:  # the API allows one
            fields.extend(new for new in term.match_fields if new not in fields)
            expressions.extend(new for new in term.match_expressions if new not in expressions)
    if not fields and not expressions:
        return None
    return NodeSelectorTerm(match_fields=tuple(fields), match_expressions=tuple(expressions))


def _term_json(term: NodeSelectorTerm) -> dict[str, Any]:
    written = {}
    for name, requirements in (
        ("matchExpressions", term.match_expressions),
        ("matchFields", term.match_fields),
    ):
        if requirements:
            written[name] = [_requirement_json(entry) for entry in requirements]
    return written


def _requirement_json(requirement: Requirement) -> Mapping[str, Any]:
    written: dict[str, Any] = {"key": requirement.key, "operator": requirement.operator}
    if requirement.values:
        written["values"] = list(requirement.values)
    return written
