"""Defaults and refusals for the kinds of Dynamic Resource Allocation (resource.k8s.io/v1).

What a claim can be given is decided by the scheduler; this is only whether the objects make sense.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    invalid_value,
    not_supported,
    required,
    too_long,
    too_many,
)
from gpu_spawner.sim.apiserver.names import (
    dns_label_problems,
    dns_subdomain_problems,
    label_value_problems,
    qualified_name_problems,
)
from gpu_spawner.sim.apiserver.rules.device_names import driver_problems, duplicates
from gpu_spawner.sim.apiserver.rules.selector_rules import selector_problem
from gpu_spawner.sim.apiserver.wire.internal_types import internal_value

__all__ = [
    "check_claim",
    "check_claim_update",
    "check_device_class",
    "check_opaque",
    "check_reference",
    "check_template",
    "check_template_update",
    "default_claim",
    "default_template_claim",
    "request_names",
    "toleration_problems",
]

Obj = Mapping[str, Any]

_MAX_REQUESTS: Final = 32
_MAX_ALTERNATIVES: Final = 8
_MAX_SELECTORS: Final = 32
_MAX_CONSTRAINTS: Final = 32
_MAX_CONFIGS: Final = 32
_MAX_PARAMETER_BYTES: Final = 10 * 1024
_MAX_EXPRESSION_BYTES: Final = 10 * 1024
_TAINT_EFFECTS: Final = ("NoExecute", "NoSchedule", "None")
_ONE_OF: Final = "exactly one of `exactly` or `firstAvailable` is required"
_REFERENCE_RULE: Final = (
    "must be the name of a request in the claim or the name of a request and a subrequest "
    "separated by '/'"
)


def default_claim(claim: dict[str, Any]) -> None:
    """Fill in what a ResourceClaim leaves out."""
    _default_spec(claim["spec"])


def default_template_claim(template: dict[str, Any]) -> None:
    """Fill in what a ResourceClaimTemplate leaves out of the claims it makes."""
    _default_spec(template["spec"]["spec"])


def _default_spec(spec: dict[str, Any]) -> None:
    for request in spec["devices"].get("requests") or ():
        for wish in (*request.get("firstAvailable", ()), request.get("exactly")):
            if wish is None:
                continue
            wish.setdefault("allocationMode", "ExactCount")
            if wish["allocationMode"] == "ExactCount":
                wish.setdefault("count", 1)
            for toleration in wish.get("tolerations", ()):
                toleration.setdefault("operator", "Equal")


def check_claim(claim: Obj) -> Iterator[FieldError]:
    """Check a ResourceClaim to be created."""
    yield from _check_spec(claim["spec"], "spec")


def check_claim_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """A claim's spec never changes."""
    if new["spec"] != old["spec"]:
        shown = internal_value("resource.v1.ResourceClaimSpec", new["spec"])
        yield invalid_value("spec", shown, "field is immutable")


def check_template(template: Obj) -> Iterator[FieldError]:
    """Check a ResourceClaimTemplate to be created."""
    yield from _check_spec(template["spec"]["spec"], "spec.spec")


def check_template_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """A template's spec never changes: pods made from it rely on it."""
    if new["spec"] != old["spec"]:
        shown = internal_value("resource.v1.ResourceClaimTemplateSpec", new["spec"])
        yield invalid_value("spec", shown, "field is immutable")


def check_device_class(device_class: Obj) -> Iterator[FieldError]:
    """Check a DeviceClass."""
    spec = device_class["spec"]
    yield from _check_selectors(spec.get("selectors", ()), "spec.selectors")
    for index, config in enumerate(spec.get("config", ())):
        yield from check_opaque(config, f"spec.config[{index}]")
    name = spec.get("extendedResourceName")
    if name is not None and not _is_extended_resource(name):
        where = "spec.extendedResourceName"
        yield invalid_value(where, name, "must be a valid extended resource name")


def _is_extended_resource(name: str) -> bool:
    """Tell names such as ``nvidia.com/gpu`` from Kubernetes' own; quotas name them too."""
    is_native = "/" not in name or "kubernetes.io/" in name or name.startswith("requests.")
    return not is_native and not qualified_name_problems(f"requests.{name}")


def toleration_problems(toleration: Obj, path: str) -> Iterator[FieldError]:
    """Check which device taints a request tolerates."""
    key, value = toleration.get("key", ""), toleration.get("value", "")
    if key:
        for problem in qualified_name_problems(key):
            yield invalid_value(f"{path}.key", key, problem)
    match toleration.get("operator", ""):
        case "Exists":
            if value:
                yield invalid_value(f"{path}.value", value, "must be empty for operator `Exists`")
        case "Equal":
            for problem in label_value_problems(value):
                yield invalid_value(f"{path}.value", value, problem)
        case operator:
            yield not_supported(f"{path}.operator", operator, ("Equal", "Exists"))
    effect = toleration.get("effect", "")
    if effect and effect not in _TAINT_EFFECTS:
        yield not_supported(f"{path}.effect", effect, _TAINT_EFFECTS)


def _check_spec(spec: Obj, path: str) -> Iterator[FieldError]:
    devices, here = spec["devices"], f"{path}.devices"
    requests = devices.get("requests") or []
    if len(requests) > _MAX_REQUESTS:
        yield too_many(f"{here}.requests", len(requests), _MAX_REQUESTS)
    else:
        for index, request in enumerate(requests):
            yield from _check_request(request, f"{here}.requests[{index}]")
        yield from duplicates([item["name"] for item in requests], f"{here}.requests")
    names = request_names(devices)
    constraints = devices.get("constraints", ())
    if len(constraints) > _MAX_CONSTRAINTS:
        yield too_many(f"{here}.constraints", len(constraints), _MAX_CONSTRAINTS)
    else:
        for index, constraint in enumerate(constraints):
            yield from _check_constraint(constraint, names, f"{here}.constraints[{index}]")
    configs = devices.get("config", ())
    if len(configs) > _MAX_CONFIGS:
        yield too_many(f"{here}.config", len(configs), _MAX_CONFIGS)
        return
    for index, config in enumerate(configs):
        place = f"{here}.config[{index}]"
        yield from _check_references(config, names, place)
        yield from check_opaque(config, place)


def request_names(devices: Obj) -> set[str]:
    """Return how the requests of a claim, and their alternatives, can be referred to."""
    names = set()
    for request in devices.get("requests") or ():
        names.add(request["name"])
        names |= {f"{request['name']}/{sub['name']}" for sub in request.get("firstAvailable", ())}
    return names


def _check_request(request: Obj, path: str) -> Iterator[FieldError]:
    for problem in dns_label_problems(request["name"]):
        yield invalid_value(f"{path}.name", request["name"], problem)
    alternatives = request.get("firstAvailable", [])
    if not alternatives and "exactly" not in request:
        yield required(path, _ONE_OF)
    elif alternatives and "exactly" in request:
        yield invalid_value(path, None, f"{_ONE_OF}, but multiple fields are set")
    elif "exactly" in request:
        yield from _check_wish(request["exactly"], f"{path}.exactly")
    elif len(alternatives) > _MAX_ALTERNATIVES:
        yield too_many(f"{path}.firstAvailable", len(alternatives), _MAX_ALTERNATIVES)
    else:
        for index, alternative in enumerate(alternatives):
            here = f"{path}.firstAvailable[{index}]"
            for problem in dns_label_problems(alternative["name"]):
                yield invalid_value(f"{here}.name", alternative["name"], problem)
            yield from _check_wish(alternative, here)
        names = [alternative["name"] for alternative in alternatives]
        yield from duplicates(names, f"{path}.firstAvailable")


def _check_wish(wish: Obj, path: str) -> Iterator[FieldError]:
    device_class = wish["deviceClassName"]
    if not device_class:
        yield required(f"{path}.deviceClassName")
    else:
        for problem in dns_subdomain_problems(device_class):
            yield invalid_value(f"{path}.deviceClassName", device_class, problem)
    yield from _check_selectors(wish.get("selectors", ()), f"{path}.selectors")
    mode, count = wish["allocationMode"], wish.get("count", 0)
    if mode == "All":
        if count:
            detail = "must not be specified when allocationMode is 'All'"
            yield invalid_value(f"{path}.count", count, detail)
    elif mode == "ExactCount":
        if count <= 0:
            yield invalid_value(f"{path}.count", count, "must be greater than zero")
    else:
        yield not_supported(f"{path}.allocationMode", mode, ("All", "ExactCount"))
    for index, toleration in enumerate(wish.get("tolerations", ())):
        yield from toleration_problems(toleration, f"{path}.tolerations[{index}]")


def _check_selectors(selectors: Sequence[Obj], path: str) -> Iterator[FieldError]:
    if len(selectors) > _MAX_SELECTORS:
        yield too_many(path, len(selectors), _MAX_SELECTORS)
        return
    for index, selector in enumerate(selectors):
        here = f"{path}[{index}].cel"
        if "cel" not in selector:
            yield required(here)
            continue
        expression = selector["cel"]["expression"]
        if len(expression.encode()) > _MAX_EXPRESSION_BYTES:
            yield too_long(f"{here}.expression", _MAX_EXPRESSION_BYTES)
            continue
        problem = selector_problem(expression)
        if problem:
            # Kubernetes shows the expression itself here, unescaped within the sentence.
            yield invalid_value(f"{here}.expression", expression, problem)


def _check_constraint(constraint: Obj, names: set[str], path: str) -> Iterator[FieldError]:
    yield from _check_references(constraint, names, path)
    attributes = [key for key in ("matchAttribute", "distinctAttribute") if key in constraint]
    if not attributes:
        detail = (
            'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple '
            "fields are set"
        )
        yield required(path, detail)
    for key in attributes[:1]:
        name = constraint[key]
        domain, slash, identifier = name.partition("/")
        if slash:
            yield from driver_problems(domain, f"{path}.{key}")
        if not re.fullmatch(r"[A-Za-z_]\w*", identifier if slash else domain, re.ASCII):
            detail = (
                "a valid C identifier must start with alphabetic character or '_', followed by a "
                "string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
                "'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"
            )
            yield invalid_value(f"{path}.{key}", identifier if slash else domain, detail)
        if not slash:
            detail = "a fully qualified name must be a domain and a name separated by a slash"
            yield invalid_value(f"{path}.{key}", name, detail)


def check_opaque(config: Obj, path: str) -> Iterator[FieldError]:
    """Check what is configured for a driver."""
    opaque = config.get("opaque")
    if opaque is None:
        yield required(f"{path}.opaque")
        return
    yield from driver_problems(opaque["driver"], f"{path}.opaque.driver")
    parameters = opaque.get("parameters")
    if parameters is None:
        yield required(f"{path}.opaque.parameters")
    elif len(msgspec.json.encode(parameters)) > _MAX_PARAMETER_BYTES:
        yield too_long(f"{path}.opaque.parameters", _MAX_PARAMETER_BYTES)
    elif not isinstance(parameters, dict):
        where = f"{path}.opaque.parameters"
        yield invalid_value(where, "<value omitted>", "must be a valid JSON object")


def _check_references(holder: Obj, names: set[str], path: str) -> Iterator[FieldError]:
    references = holder.get("requests", ())
    for index, name in enumerate(references):
        yield from check_reference(name, names, f"{path}.requests[{index}]")
    yield from duplicates(references, f"{path}.requests")


def check_reference(name: str, names: set[str], path: str) -> Iterator[FieldError]:
    """Check the name of a request, or of one of its alternatives."""
    if name.count("/") <= 1:
        for part in name.split("/"):
            for problem in dns_label_problems(part):
                yield invalid_value(path, part, problem)
    if name not in names:
        yield invalid_value(path, name, _REFERENCE_RULE)
