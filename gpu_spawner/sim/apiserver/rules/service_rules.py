"""Defaults and refusals for Services, and the addresses they get."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
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
    port_name_problems,
)
from gpu_spawner.sim.apiserver.rules.metadata_rules import check_labels

__all__ = ["allocate_address", "check_service", "check_service_update", "default_service"]

Obj = Mapping[str, Any]

_SERVICE_NETWORK: Final = IPv4Network("10.96.0.0/16")
_FIRST_NODE_PORT: Final = 30000
_LAST_NODE_PORT: Final = 32767
_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITY_SECONDS: Final = 10800


def default_service(service: dict[str, Any]) -> None:
    """Fill in what a Service leaves out."""
    spec = service["spec"]
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "ClientIP":
        default = {"clientIP": {"timeoutSeconds": _AFFINITY_SECONDS}}
        spec.setdefault("sessionAffinityConfig", default)
    spec.setdefault("type", "ClusterIP")
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        if port["targetPort"] in {0, ""}:
            port["targetPort"] = port["port"]
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def allocate_address(service: dict[str, Any], taken: Iterable[Obj]) -> None:
    """Give a new Service its address and node ports, apart from those of the others."""
    spec = service["spec"]
    if spec["type"] == "ExternalName":
        return
    others = [other["spec"] for other in taken]
    if not spec.get("clusterIP"):
        used = {other.get("clusterIP") for other in others}
        # The first address is the API server's own.
        start = int(_SERVICE_NETWORK.network_address) + 10
        candidates = (str(IPv4Address(start + offset)) for offset in range(60_000))
        spec["clusterIP"] = next(address for address in candidates if address not in used)
    spec["clusterIPs"] = [spec["clusterIP"]]
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        ports = (port for other in others for port in other.get("ports", ()))
        used_ports = {port.get("nodePort") for port in ports}
        free = (n for n in range(_FIRST_NODE_PORT, _LAST_NODE_PORT + 1) if n not in used_ports)
        for port in spec.get("ports", ()):
            port.setdefault("nodePort", next(free))


def check_service(service: Obj) -> Iterator[FieldError]:
    """Check a Service."""
    spec = service["spec"]
    ports = spec.get("ports", [])
    if not ports and spec.get("clusterIP") != "None" and spec["type"] != "ExternalName":
        yield required("spec.ports")
    if spec["type"] == "ExternalName":
        name = spec.get("externalName", "").removesuffix(".")
        if not name:
            yield required("spec.externalName")
        for problem in dns_subdomain_problems(name) if name else ():
            yield invalid_value("spec.externalName", name, problem)
    yield from _check_ports(spec, ports)
    yield from check_labels(spec.get("selector", {}), "spec.selector")
    if spec["sessionAffinity"] not in {"ClientIP", "None"}:
        affinity = spec["sessionAffinity"]
        yield not_supported("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    if spec["type"] not in _TYPES:
        yield not_supported("spec.type", spec["type"], _TYPES)


def _check_ports(spec: Obj, ports: Sequence[Obj]) -> Iterator[FieldError]:
    names: set[str] = set()
    pairs: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        here = f"spec.ports[{index}]"
        yield from _check_port(port, here, must_have_name=len(ports) > 1)
        if port.get("name") and port["name"] in names:
            yield duplicate(f"{here}.name", port["name"])
        names.add(port.get("name", ""))
        if spec["type"] == "ClusterIP" and port.get("nodePort"):
            detail = "may not be used when `type` is 'ClusterIP'"
            yield forbidden_field(f"{here}.nodePort", detail)
        pair = (port["protocol"], port["port"])
        if pair in pairs:
            shown = {"Name": "", "Protocol": pair[0], "AppProtocol": None, "Port": pair[1]}
            yield duplicate(here, {**shown, "TargetPort": 0, "NodePort": 0})
        pairs.add(pair)


def check_service_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """Check a change of a Service: its address stays."""
    before, after = old["spec"].get("clusterIPs", []), new["spec"].get("clusterIPs", [])
    is_external = "ExternalName" in {new["spec"]["type"], old["spec"]["type"]}
    if before and not is_external and before[:1] != after[:1]:
        detail = "may not change once set"
        yield invalid_value("spec.clusterIPs[0]", after, detail)
    yield from check_service(new)


def _check_port(port: Obj, path: str, *, must_have_name: bool) -> Iterator[FieldError]:
    name = port.get("name", "")
    if must_have_name and not name:
        yield required(f"{path}.name")
    for problem in dns_label_problems(name) if name else ():
        yield invalid_value(f"{path}.name", name, problem)
    if not 1 <= port["port"] <= 65535:
        detail = "must be between 1 and 65535, inclusive"
        yield invalid_value(f"{path}.port", port["port"], detail)
    if port["protocol"] not in {"SCTP", "TCP", "UDP"}:
        yield not_supported(f"{path}.protocol", port["protocol"], ("SCTP", "TCP", "UDP"))
    target = port["targetPort"]
    if isinstance(target, str):
        for problem in port_name_problems(target):
            yield invalid_value(f"{path}.targetPort", target, problem)
    elif not 1 <= target <= 65535:
        detail = "must be between 1 and 65535, inclusive"
        yield invalid_value(f"{path}.targetPort", target, detail)
