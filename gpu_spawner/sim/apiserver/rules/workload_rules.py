"""Defaults and refusals for DaemonSets and disruption budgets."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from gpu_spawner.sim.apiserver.rules.metadata_rules import check_labels, check_selector
from gpu_spawner.sim.apiserver.rules.pod_defaults import default_template
from gpu_spawner.sim.apiserver.rules.pod_rules import check_pod_spec
from gpu_spawner.sim.apiserver.selectors import matches_labels

__all__ = [
    "check_budget",
    "check_daemon_set",
    "check_daemon_set_update",
    "default_daemon_set",
    "prepare_daemon_set",
    "prepare_daemon_set_update",
]

Obj = Mapping[str, Any]

_TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"
_STRATEGIES: Final = ("RollingUpdate", "OnDelete")


def default_daemon_set(daemon_set: dict[str, Any]) -> None:
    """Fill in what a DaemonSet leaves out."""
    spec = daemon_set["spec"]
    default_template(spec["template"])
    strategy = spec["updateStrategy"]
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)


def prepare_daemon_set(daemon_set: dict[str, Any]) -> None:
    """Start counting the versions of the template."""
    annotations = daemon_set["metadata"].setdefault("annotations", {})
    annotations[_TEMPLATE_GENERATION] = "1"


def prepare_daemon_set_update(new: dict[str, Any], old: Obj) -> None:
    """Count a version of the template where it changed."""
    generation = int(old["metadata"].get("annotations", {}).get(_TEMPLATE_GENERATION, "1"))
    if new["spec"]["template"] != old["spec"]["template"]:
        generation += 1
    new["metadata"].setdefault("annotations", {})[_TEMPLATE_GENERATION] = str(generation)


def check_daemon_set(daemon_set: Obj) -> Iterator[FieldError]:
    """Check a DaemonSet."""
    spec = daemon_set["spec"]
    selector, template = spec.get("selector"), spec["template"]
    problems = list(check_selector(selector, "spec.selector"))
    yield from problems
    labels = template["metadata"].get("labels", {})
    if not problems and not matches_labels(selector, labels):
        detail = "`selector` does not match template `labels`"
        yield invalid_value("spec.template.metadata.labels", labels or None, detail)
    if selector is not None and not any(selector.values()):
        yield invalid_value("spec.selector", selector, "empty selector is invalid for daemonset")
    yield from check_labels(labels, "spec.template.labels")
    yield from check_pod_spec(template["spec"], "spec.template.spec")
    policy = template["spec"]["restartPolicy"]
    if policy != "Always":
        yield not_supported("spec.template.spec.restartPolicy", policy, ("Always",))
    if "activeDeadlineSeconds" in template["spec"]:
        detail = "activeDeadlineSeconds in DaemonSet is not Supported"
        yield forbidden_field("spec.template.spec.activeDeadlineSeconds", detail)
    for key in ("minReadySeconds", "revisionHistoryLimit"):
        if spec.get(key, 0) < 0:
            yield invalid_value(f"spec.{key}", spec[key], "must be greater than or equal to 0")
    yield from _check_strategy(spec["updateStrategy"], "spec.updateStrategy")


def check_daemon_set_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """Check a change of a DaemonSet: its selector stays."""
    if new["spec"].get("selector") != old["spec"].get("selector"):
        yield invalid_value("spec.selector", new["spec"].get("selector"), "field is immutable")
    yield from check_daemon_set(new)


def check_budget(budget: Obj) -> Iterator[FieldError]:
    """Check a PodDisruptionBudget."""
    spec = budget["spec"]
    if "minAvailable" in spec and "maxUnavailable" in spec:
        detail = "minAvailable and maxUnavailable cannot be both set"
        yield invalid_value("spec", spec, detail)
    for key in ("minAvailable", "maxUnavailable"):
        if key in spec:
            yield from _check_share(spec[key], f"spec.{key}")
    yield from check_selector(spec.get("selector"), "spec.selector")


def _check_strategy(strategy: Obj, path: str) -> Iterator[FieldError]:
    if strategy["type"] not in _STRATEGIES:
        yield not_supported(path, dict(strategy), _STRATEGIES)
    if strategy["type"] != "RollingUpdate":
        return
    rolling = strategy["rollingUpdate"]
    amounts = {}
    for key in ("maxUnavailable", "maxSurge"):
        problems = list(_check_share(rolling[key], f"{path}.rollingUpdate.{key}"))
        yield from problems
        amounts[key] = 0 if problems else int(str(rolling[key]).rstrip("%"))
    if amounts["maxUnavailable"] and amounts["maxSurge"]:
        yield invalid_value(
            f"{path}.rollingUpdate.maxSurge",
            rolling["maxSurge"],
            "may not be set when maxUnavailable is non-zero",
        )
    elif not any(amounts.values()):
        where = f"{path}.rollingUpdate.maxUnavailable"
        yield required(where, "cannot be 0 when maxSurge is 0")


def _check_share(value: int | str, path: str) -> Iterator[FieldError]:
    """Check a number or a percentage."""
    if isinstance(value, int):
        if value < 0:
            yield invalid_value(path, value, "must be greater than or equal to 0")
    elif not re.fullmatch(r"[0-9]+%", value, re.ASCII):
        detail = (
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. "
            "'1%',  or '93%', regex used for validation is '[0-9]+%')"
        )
        yield invalid_value(path, value, detail)
    elif int(value[:-1]) > 100:
        yield invalid_value(path, value, "must not be greater than 100%")
