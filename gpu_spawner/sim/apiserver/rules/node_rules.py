"""Defaults and refusals for nodes."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from gpu_spawner.sim.apiserver.names import label_value_problems, qualified_name_problems
from gpu_spawner.sim.apiserver.rules.affinity_rules import TAINT_EFFECTS
from gpu_spawner.sim.apiserver.rules.resource_rules import check_quantity

__all__ = ["check_node", "check_node_update", "default_node", "prepare_node"]

Obj = Mapping[str, Any]

_NOT_READY: Final = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def default_node(node: dict[str, Any]) -> None:
    """A node gives away all it has, unless it says otherwise; both spellings of its CIDR agree."""
    status, spec = node["status"], node["spec"]
    if "capacity" in status:
        status.setdefault("allocatable", dict(status["capacity"]))
    first, several = spec.get("podCIDR", ""), spec.get("podCIDRs", [])
    if first and several[:1] != [first]:
        spec["podCIDRs"] = [first]
    elif several:
        spec["podCIDR"] = several[0]


def prepare_node(node: dict[str, Any]) -> None:
    """Keep pods off a new node until it has reported that it is ready."""
    taints = node["spec"].setdefault("taints", [])
    if not any(taint["key"] == _NOT_READY["key"] for taint in taints):
        taints.append(dict(_NOT_READY))


def check_node(node: Obj) -> Iterator[FieldError]:
    """Check a Node."""
    yield from _check_taints(node["spec"].get("taints", ()))
    yield from _check_amounts(node["status"])


def check_node_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """Check a change of a Node or of its status: what identifies the machine is given once."""
    yield from _check_amounts(new["status"])
    addresses = new["status"].get("addresses", ())
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            shown = {"Type": address["type"], "Address": address["address"]}
            yield duplicate(f"status.addresses[{index}]", shown)
    given, asked = old["spec"].get("podCIDRs", []), new["spec"].get("podCIDRs", [])
    if given and given != asked:
        detail = 'node updates may not change podCIDR except from "" to valid'
        yield forbidden_field("spec.podCIDRs", detail)
    provider = old["spec"].get("providerID", "")
    if provider and provider != new["spec"].get("providerID", ""):
        detail = 'node updates may not change providerID except from "" to valid'
        yield forbidden_field("spec.providerID", detail)
    yield from _check_taints(new["spec"].get("taints", ()))


def _check_taints(taints: list[Obj]) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        here = f"metadata.taints[{index}]"
        for problem in qualified_name_problems(taint["key"]):
            yield invalid_value(f"{here}.key", taint["key"], problem)
        problems = label_value_problems(taint.get("value", ""))
        if problems:
            yield invalid_value(f"{here}.value", taint["value"], ";".join(problems))
        if not taint["effect"]:
            yield required(f"{here}.effect")
        elif taint["effect"] not in TAINT_EFFECTS:
            yield not_supported(f"{here}.effect", taint["effect"], TAINT_EFFECTS)
        pair = (taint["key"], taint["effect"])
        if pair in seen:
            shown = {"Key": pair[0], "Value": taint.get("value", ""), "Effect": pair[1]}
            detail = "taints must be unique by key and effect pair"
            yield duplicate(here, {**shown, "TimeAdded": None}, detail)
        seen.add(pair)


def _check_amounts(status: Obj) -> Iterator[FieldError]:
    for key in ("capacity", "allocatable"):
        amounts = status.get(key, {})
        for name in sorted(amounts):
            yield from check_quantity(name, amounts[name], f"status.{key}.{name}")
