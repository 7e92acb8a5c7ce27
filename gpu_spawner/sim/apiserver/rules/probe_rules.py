"""What an API server refuses in probes and lifecycle hooks."""

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
from gpu_spawner.sim.apiserver.names import port_name_problems

__all__ = ["check_lifecycle", "check_probes"]

Obj = Mapping[str, Any]

_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_COUNTS: Final = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)


def check_lifecycle(container: Obj, spec: Obj, path: str) -> Iterator[FieldError]:
    """Check what runs after a container starts and before it stops."""
    lifecycle = container.get("lifecycle", {})
    for hook in ("postStart", "preStop"):
        if hook in lifecycle:
            yield from _check_handler(lifecycle[hook], spec, f"{path}.lifecycle.{hook}")
    if "stopSignal" in lifecycle and "os" not in spec:
        detail = "may not be set for containers with empty `spec.os.name`"
        yield forbidden_field(f"{path}.lifecycle.stopSignal", detail)


def check_probes(container: Obj, spec: Obj, path: str) -> Iterator[FieldError]:
    """Check the three probes of a container."""
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if kind not in container:
            continue
        probe, here = container[kind], f"{path}.{kind}"
        yield from _check_handler(probe, spec, here)
        for key in _COUNTS:
            if probe.get(key, 0) < 0:
                detail = "must be greater than or equal to 0"
                yield invalid_value(f"{here}.{key}", probe[key], detail)
        grace = probe.get("terminationGracePeriodSeconds")
        if grace is not None and grace <= 0:
            yield invalid_value(
                f"{here}.terminationGracePeriodSeconds", grace, "must be greater than 0"
            )
        if kind == "readinessProbe":
            if grace is not None:
                yield invalid_value(
                    f"{here}.terminationGracePeriodSeconds",
                    grace,
                    "must not be set for readinessProbes",
                )
        elif probe["successThreshold"] != 1:
            yield invalid_value(f"{here}.successThreshold", probe["successThreshold"], "must be 1")


def _check_handler(handler: Obj, spec: Obj, path: str) -> Iterator[FieldError]:
    present = [key for key in _HANDLERS if key in handler]
    if not present:
        yield required(path, "must specify a handler type")
        return
    for key in present[1:]:
        yield forbidden_field(f"{path}.{key}", "may not specify more than 1 handler type")
    kind = present[0]
    action, here = handler[kind], f"{path}.{kind}"
    match kind:
        case "exec":
            if not action.get("command"):
                yield required(f"{here}.command")
        case "httpGet":
            yield from _check_port(action["port"], f"{here}.port")
            if action["scheme"] not in {"HTTP", "HTTPS"}:
                yield not_supported(f"{here}.scheme", action["scheme"], ("HTTP", "HTTPS"))
            for header in action.get("httpHeaders", ()):
                yield from _check_header(header["name"], f"{here}.httpHeaders")
        case "sleep":
            grace = spec["terminationGracePeriodSeconds"]
            if not 0 <= action["seconds"] <= grace:
                detail = (
                    f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                )
                yield invalid_value(here, action["seconds"], detail)
        case _:
            yield from _check_port(action["port"], f"{here}.port")


def _check_port(port: int | str, path: str) -> Iterator[FieldError]:
    if isinstance(port, str):
        problems = port_name_problems(port)
    else:
        problems = [] if 1 <= port <= 65535 else ["must be between 1 and 65535, inclusive"]
    for problem in problems:
        yield invalid_value(path, port, problem)


def _check_header(name: str, path: str) -> Iterator[FieldError]:
    if not re.fullmatch("[-A-Za-z0-9]+", name, re.ASCII):
        detail = (
            "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. "
            "'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
        )
        yield invalid_value(path, name, detail)
