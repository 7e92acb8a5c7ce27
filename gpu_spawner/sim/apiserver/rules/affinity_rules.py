"""What an API server refuses in affinity, tolerations and spreading.

What they mean is the scheduler's business: :mod:`gpu_spawner.core.cluster.selectors`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from gpu_spawner.sim.apiserver.names import (
    dns_label_problems,
    dns_subdomain_problems,
    label_value_problems,
    qualified_name_problems,
)
from gpu_spawner.sim.apiserver.rules.metadata_rules import check_selector

__all__ = [
    "TAINT_EFFECTS",
    "check_affinity",
    "check_node_selector",
    "check_spreading",
    "check_tolerations",
]

Obj = Mapping[str, Any]

TAINT_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"


def check_tolerations(tolerations: Sequence[Obj], path: str) -> Iterator[FieldError]:
    """Check which taints a pod says it tolerates."""
    for index, toleration in enumerate(tolerations):
        here = f"{path}[{index}]"
        key, operator = toleration.get("key", ""), toleration.get("operator", "")
        effect = toleration.get("effect", "")
        if key:
            for problem in qualified_name_problems(key):
                yield invalid_value(f"{here}.key", key, problem)
        elif operator != "Exists":
            detail = (
                'operator must be Exists when `key` is empty, which means "match all values and '
                'all keys"'
            )
            yield invalid_value(f"{here}.operator", operator, detail)
        if "tolerationSeconds" in toleration and effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            yield invalid_value(f"{here}.effect", effect, detail)
        yield from _check_operator(operator, toleration.get("value", ""), f"{here}.operator")
        if effect and effect not in TAINT_EFFECTS:
            yield not_supported(f"{here}.effect", effect, TAINT_EFFECTS)


def _check_operator(operator: str, value: str, path: str) -> Iterator[FieldError]:
    match operator:
        case "" | "Equal":
            problems = label_value_problems(value)
            if problems:
                yield invalid_value(path, value, ";".join(problems))
        case "Exists":
            if value:
                yield invalid_value(path, value, "value must be empty when `operator` is 'Exists'")
        case "Lt" | "Gt":
            yield not_supported(path, operator, ("Equal", "Exists", "Lt", "Gt"))
        case _:
            yield not_supported(path, operator, ("Equal", "Exists"))


def check_affinity(affinity: Obj, path: str) -> Iterator[FieldError]:
    """Check affinity to nodes and to other pods."""
    nodes = affinity.get("nodeAffinity", {})
    here = f"{path}.nodeAffinity"
    if _REQUIRED in nodes:
        yield from check_node_selector(nodes[_REQUIRED], f"{here}.{_REQUIRED}")
    for index, term in enumerate(nodes.get(_PREFERRED, ())):
        place = f"{here}.{_PREFERRED}[{index}]"
        yield from _check_weight(term["weight"], place)
        yield from _check_node_term(term["preference"], f"{place}.preference", is_strict=False)
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(kind, {})
        for index, term in enumerate(pods.get(_REQUIRED, ())):
            yield from _check_pod_term(term, f"{path}.{kind}.{_REQUIRED}[{index}]")
        for index, term in enumerate(pods.get(_PREFERRED, ())):
            place = f"{path}.{kind}.{_PREFERRED}[{index}]"
            yield from _check_weight(term["weight"], place)
            yield from _check_pod_term(term["podAffinityTerm"], f"{place}.podAffinityTerm")


def check_node_selector(selector: Obj, path: str) -> Iterator[FieldError]:
    """Check a required choice of nodes."""
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        yield required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        yield from _check_node_term(term, f"{path}.nodeSelectorTerms[{index}]", is_strict=True)


def check_spreading(constraints: Sequence[Obj], path: str) -> Iterator[FieldError]:
    """Check topology spread constraints."""
    for index, constraint in enumerate(constraints):
        here = f"{path}[{index}]"
        if constraint["maxSkew"] <= 0:
            yield invalid_value(
                f"{here}.maxSkew", constraint["maxSkew"], "must be greater than zero"
            )
        if not constraint["topologyKey"]:
            yield required(f"{here}.topologyKey", "can not be empty")
        action = constraint["whenUnsatisfiable"]
        words = ("DoNotSchedule", "ScheduleAnyway")
        if action not in words:
            yield not_supported(f"{here}.whenUnsatisfiable", action, words)
        pair = (constraint["topologyKey"], action)
        if any(
            (o["topologyKey"], o["whenUnsatisfiable"]) == pair for o in constraints[index + 1 :]
        ):
            where = f"{here}.{{topologyKey, whenUnsatisfiable}}"
            yield duplicate(where, f"{{{pair[0]}, {pair[1]}}}")
        yield from check_selector(constraint.get("labelSelector"), f"{here}.labelSelector")


def _check_weight(weight: int, path: str) -> Iterator[FieldError]:
    if not 1 <= weight <= 100:
        yield invalid_value(f"{path}.weight", weight, "must be in the range 1-100")


def _check_node_term(term: Obj, path: str, *, is_strict: bool) -> Iterator[FieldError]:
    for index, clause in enumerate(term.get("matchExpressions", ())):
        yield from _check_expression(
            clause, f"{path}.matchExpressions[{index}]", is_strict=is_strict
        )
    for index, clause in enumerate(term.get("matchFields", ())):
        yield from _check_node_field(clause, f"{path}.matchFields[{index}]")


def _check_expression(clause: Obj, path: str, *, is_strict: bool) -> Iterator[FieldError]:
    operator, values = clause["operator"], clause.get("values", [])
    yield from _check_value_count(operator, len(values), path)
    for problem in qualified_name_problems(clause["key"]):
        yield invalid_value(f"{path}.key", clause["key"], problem)
    if is_strict:
        for index, value in enumerate(values):
            for problem in label_value_problems(value):
                yield invalid_value(f"{path}.values[{index}]", value, problem)


def _check_value_count(operator: str, count: int, path: str) -> Iterator[FieldError]:
    where = f"{path}.values"
    if operator in {"In", "NotIn"}:
        if not count:
            yield required(where, "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in {"Exists", "DoesNotExist"}:
        if count:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield forbidden_field(where, detail)
    elif operator in {"Gt", "Lt"}:
        if count != 1:
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            yield required(where, detail)
    else:
        yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")


def _check_node_field(clause: Obj, path: str) -> Iterator[FieldError]:
    operator, values = clause["operator"], clause.get("values", [])
    if operator not in {"In", "NotIn"}:
        yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield required(f"{path}.values", detail)
    if clause["key"] != "metadata.name":
        yield invalid_value(f"{path}.key", clause["key"], "not a valid field selector key")
        return
    for index, value in enumerate(values):
        for problem in dns_subdomain_problems(value):
            yield invalid_value(f"{path}.values[{index}]", value, problem)


def _check_pod_term(term: Obj, path: str) -> Iterator[FieldError]:
    yield from check_selector(term.get("labelSelector"), f"{path}.labelSelector")
    yield from check_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for name in term.get("namespaces", ()):
        for problem in dns_label_problems(name):
            yield invalid_value(f"{path}.namespace", name, problem)
    key = term["topologyKey"]
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    for problem in qualified_name_problems(key):
        yield invalid_value(f"{path}.topologyKey", key, problem)
