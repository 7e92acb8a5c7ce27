"""What an API server refuses in a container."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    duplicate,
    field_not_found,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from gpu_spawner.sim.apiserver.names import (
    config_key_problems,
    dns_label_problems,
    dns_subdomain_problems,
    env_name_problems,
    port_name_problems,
    qualified_name_problems,
)
from gpu_spawner.sim.apiserver.rules.probe_rules import check_lifecycle, check_probes
from gpu_spawner.sim.apiserver.rules.resource_rules import check_requirements
from gpu_spawner.sim.apiserver.wire.internal_types import internal_value

__all__ = ["check_containers", "check_init_containers", "port_problems"]

Obj = Mapping[str, Any]

_PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES: Final = ("File", "FallbackToLogsOnError")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_RESTART_POLICIES: Final = ("Always", "Never", "OnFailure")
_FIELD_PATHS: Final = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_RESOURCE_PATHS: Final = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_SOURCES: Final = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_NOT_FOR_INIT: Final = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")


def check_containers(spec: Obj, volumes: Mapping[str, Obj], path: str) -> Iterator[FieldError]:
    """Check a pod's ordinary containers."""
    containers = spec.get("containers") or []
    if not containers:
        yield required(path)
        return
    names: set[str] = set()
    for index, container in enumerate(containers):
        here = f"{path}[{index}]"
        yield from _check_container(container, spec, volumes, here)
        name = container["name"]
        if name in names:
            yield duplicate(f"{here}.name", name)
        names.add(name)
        yield from check_lifecycle(container, spec, here)
        yield from check_probes(container, spec, here)
        policy = container.get("restartPolicy")
        if policy is not None and policy not in _RESTART_POLICIES:
            yield not_supported(f"{here}.restartPolicy", policy, _RESTART_POLICIES)
    yield from _host_port_conflicts(containers, path)


def check_init_containers(spec: Obj, volumes: Mapping[str, Obj], path: str) -> Iterator[FieldError]:
    """Check init containers; those that restart always are sidecars and may have probes."""
    names = {container["name"] for container in spec.get("containers") or ()}
    for index, container in enumerate(spec.get("initContainers", ())):
        here = f"{path}[{index}]"
        yield from _check_container(container, spec, volumes, here)
        policy = container.get("restartPolicy")
        if policy is not None and policy not in _RESTART_POLICIES:
            yield not_supported(f"{here}.restartPolicy", policy, _RESTART_POLICIES)
        name = container["name"]
        if name in names:
            yield duplicate(f"{here}.name", name)
        elif name:
            names.add(name)
        yield from _host_port_conflicts([container], path)
        if policy == "Always":
            yield from check_lifecycle(container, spec, here)
            yield from check_probes(container, spec, here)
            continue
        for key in _NOT_FOR_INIT:
            if key in container:
                yield forbidden_field(
                    f"{here}.{key}",
                    "may not be set for init containers without restartPolicy=Always",
                )


def port_problems(port: int) -> list[str]:
    """Check a port number."""
    return [] if 1 <= port <= 65535 else ["must be between 1 and 65535, inclusive"]


def _check_container(
    container: Obj, spec: Obj, volumes: Mapping[str, Obj], path: str
) -> Iterator[FieldError]:
    name = container["name"]
    if not name:
        yield required(f"{path}.name")
    else:
        for problem in dns_label_problems(name):
            yield invalid_value(f"{path}.name", name, problem)
    image = container.get("image", "")
    if not image:
        yield required(f"{path}.image")
    policy = container["terminationMessagePolicy"]
    if policy not in _MESSAGE_POLICIES:
        yield not_supported(f"{path}.terminationMessagePolicy", policy, _MESSAGE_POLICIES)
    yield from _check_ports(container.get("ports", ()), f"{path}.ports")
    yield from _check_env(container.get("env", ()), f"{path}.env")
    yield from _check_env_from(container.get("envFrom", ()), f"{path}.envFrom")
    yield from _check_mounts(container, volumes, f"{path}.volumeMounts")
    policy = container["imagePullPolicy"]
    if policy not in _PULL_POLICIES:
        yield not_supported(f"{path}.imagePullPolicy", policy, _PULL_POLICIES)
    claims = {claim["name"] for claim in spec.get("resourceClaims", ())} - {""}
    yield from check_requirements(container["resources"], claims, f"{path}.resources")
    yield from _check_security(container.get("securityContext", {}), f"{path}.securityContext")


def _check_ports(ports: Sequence[Obj], path: str) -> Iterator[FieldError]:
    names: set[str] = set()
    for index, port in enumerate(ports):
        here = f"{path}[{index}]"
        name = port.get("name", "")
        if name:
            problems = port_name_problems(name)
            for problem in problems:
                yield invalid_value(f"{here}.name", name, problem)
            if not problems and name in names:
                yield duplicate(f"{here}.name", name)
            names.add(name)
        number = port["containerPort"]
        if not number:
            yield required(f"{here}.containerPort")
        else:
            for problem in port_problems(number):
                yield invalid_value(f"{here}.containerPort", number, problem)
        host_port = port.get("hostPort", 0)
        if host_port:
            for problem in port_problems(host_port):
                yield invalid_value(f"{here}.hostPort", host_port, problem)
        if port["protocol"] not in _PROTOCOLS:
            yield not_supported(f"{here}.protocol", port["protocol"], _PROTOCOLS)


def _host_port_conflicts(containers: Sequence[Obj], path: str) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for number, port in enumerate(container.get("ports", ())):
            if not port.get("hostPort"):
                continue
            key = f"{port['protocol']}/{port.get('hostIP', '')}/{port['hostPort']}"
            if key in taken:
                yield duplicate(f"{path}[{index}].ports[{number}].hostPort", key)
            taken.add(key)


def _check_env(variables: Sequence[Obj], path: str) -> Iterator[FieldError]:
    for index, variable in enumerate(variables):
        here = f"{path}[{index}]"
        name = variable["name"]
        if not name:
            yield required(f"{here}.name")
        else:
            for problem in env_name_problems(name):
                yield invalid_value(f"{here}.name", name, problem)
        if "valueFrom" in variable:
            has_value = bool(variable.get("value"))
            yield from _check_env_source(variable["valueFrom"], f"{here}.valueFrom", has_value)


def _check_env_source(source: Obj, path: str, has_value: bool) -> Iterator[FieldError]:  # noqa: FBT001 - private
    if "fieldRef" in source:
        yield from _check_field_ref(source["fieldRef"], f"{path}.fieldRef")
    if "resourceFieldRef" in source:
        resource = source["resourceFieldRef"]["resource"]
        where = f"{path}.resourceFieldRef.resource"
        if not resource:
            yield required(where)
        elif resource not in _RESOURCE_PATHS and not resource.startswith(
            ("limits.hugepages-", "requests.hugepages-")
        ):
            yield not_supported(where, resource, _RESOURCE_PATHS)
    for key in ("configMapKeyRef", "secretKeyRef"):
        if key in source:
            yield from _check_key_ref(source[key], f"{path}.{key}")
    present = [key for key in _SOURCES if key in source]
    if not present:
        detail = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
            "`secretKeyRef` or `fileKeyRef`"
        )
        yield invalid_value(path, "", detail)
    elif has_value:
        yield invalid_value(path, "", "may not be specified when `value` is not empty")
    elif len(present) > 1:
        yield invalid_value(path, "", "may not have more than one field specified at a time")


def _check_field_ref(reference: Obj, path: str) -> Iterator[FieldError]:
    field_path = reference["fieldPath"]
    if not field_path:
        yield required(f"{path}.fieldPath")
        return
    base, bracket, subscript = field_path.partition("['")
    if bracket and subscript.endswith("']"):
        key = subscript.removesuffix("']")
        if base not in {"metadata.annotations", "metadata.labels"}:
            yield invalid_value(path, base, "does not support subscript")
            return
        for problem in qualified_name_problems(
            key.lower() if base == "metadata.annotations" else key
        ):
            yield invalid_value(path, key, problem)
    elif field_path in {"metadata.annotations", "metadata.labels"}:
        yield not_supported(f"{path}.fieldPath", field_path, _FIELD_PATHS)
    elif field_path not in _FIELD_PATHS:
        detail = f"error converting fieldPath: field label not supported: {field_path}"
        yield invalid_value(f"{path}.fieldPath", field_path, detail)


def _check_key_ref(reference: Obj, path: str) -> Iterator[FieldError]:
    name = reference.get("name", "")
    for problem in dns_subdomain_problems(name):
        yield invalid_value(f"{path}.name", name, problem)
    key = reference["key"]
    if not key:
        yield required(f"{path}.key")
    else:
        for problem in config_key_problems(key):
            yield invalid_value(f"{path}.key", key, problem)


def _check_env_from(sources: Sequence[Obj], path: str) -> Iterator[FieldError]:
    for index, source in enumerate(sources):
        here = f"{path}[{index}]"
        prefix = source.get("prefix", "")
        if prefix:
            for problem in env_name_problems(prefix):
                yield invalid_value(f"{here}.prefix", prefix, problem)
        present = [key for key in ("configMapRef", "secretRef") if key in source]
        for key in present:
            name = source[key].get("name", "")
            if not name:
                yield required(f"{here}.{key}.name")
            else:
                for problem in dns_subdomain_problems(name):
                    yield invalid_value(f"{here}.{key}.name", name, problem)
        if not present:
            yield invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(present) > 1:
            yield invalid_value(path, "", "may not have more than one field specified at a time")


def _check_mounts(container: Obj, volumes: Mapping[str, Obj], path: str) -> Iterator[FieldError]:
    points: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts", ())):
        here = f"{path}[{index}]"
        name, point = mount["name"], mount["mountPath"]
        if not name:
            yield required(f"{here}.name")
        if name not in volumes:
            yield field_not_found(f"{here}.name", name)
        if not point:
            yield required(f"{here}.mountPath")
        if point in points:
            yield invalid_value(f"{here}.mountPath", point, "must be unique")
        points.add(point)
        for key in ("subPath", "subPathExpr"):
            value = mount.get(key, "")
            if value.startswith("/"):
                yield invalid_value(f"{path}.{key}", value, "must be a relative path")
            if ".." in value.split("/"):
                yield invalid_value(f"{path}.{key}", value, "must not contain '..'")
        if mount.get("subPathExpr") and mount.get("subPath"):
            yield invalid_value(
                f"{here}.subPathExpr",
                mount["subPathExpr"],
                "subPathExpr and subPath are mutually exclusive",
            )


def _check_security(security: Obj, path: str) -> Iterator[FieldError]:
    for key in ("runAsUser", "runAsGroup"):
        value = security.get(key, 0)
        if not 0 <= value < 1 << 31:
            yield invalid_value(
                f"{path}.{key}", value, "must be between 0 and 2147483647, inclusive"
            )
    if security.get("allowPrivilegeEscalation") is False:
        detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        if security.get("privileged"):
            yield invalid_value(
                path, internal_value("core.v1.SecurityContext", dict(security)), detail
            )
        added = security.get("capabilities", {}).get("add", ())
        if "CAP_SYS_ADMIN" in added:
            detail = (
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
                "CAP_SYS_ADMIN"
            )
            yield invalid_value(
                path, internal_value("core.v1.SecurityContext", dict(security)), detail
            )
