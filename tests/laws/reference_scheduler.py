"""A slow second opinion on seats: raw objects in, one pod placed after another.

Written from the Kubernetes documentation, not from ``gpu_spawner.core``, and sharing nothing with
it: plain dictionaries, exact fractions, no shortcuts. Good for small clusters only.
"""

# ruff: noqa: C901, PLR0911, PLR0912 - one rule after another, as the documentation lists them

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import Any

__all__ = ["reference_seats"]

Raw = dict[str, Any]

SUFFIXES = {
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "m": Fraction(1, 1000),
    "k": Fraction(1000),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
}


def reference_seats(items: Sequence[Raw], probe: Raw) -> dict[str, int]:
    """Place copies of a pod until none fits any more; return how many each node got."""
    nodes = [item for item in items if item["kind"] == "Node"]
    pods = [item for item in items if item["kind"] == "Pod"]
    placed: dict[str, int] = {}
    while True:
        for node in nodes:
            name = node["metadata"]["name"]
            if fits(probe, node, nodes, pods):
                bound = {**probe, "spec": {**probe["spec"], "nodeName": name}}
                pods.append({**bound, "status": {"phase": "Running"}})
                placed[name] = placed.get(name, 0) + 1
                break
        else:
            return placed


def fits(probe: Raw, node: Raw, nodes: Sequence[Raw], pods: Sequence[Raw]) -> bool:
    spec = probe["spec"]
    name = node["metadata"]["name"]
    if spec.get("schedulingGates"):
        return False
    if spec.get("nodeName") and spec["nodeName"] != name:
        return False
    taints = list(node["spec"].get("taints", []))
    if node["spec"].get("unschedulable"):
        taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    for taint in taints:
        if taint["effect"] != "PreferNoSchedule" and not is_tolerated(taint, spec):
            return False
    labels = node["metadata"].get("labels", {})
    for key, value in spec.get("nodeSelector", {}).items():
        if labels.get(key) != value:
            return False
    required = spec.get("affinity", {}).get("nodeAffinity", {})
    required = required.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is not None and not any(
        holds(term, name, labels) for term in required["nodeSelectorTerms"]
    ):
        return False
    if any(repel(probe, pod, node, nodes) for pod in pods):
        return False
    mine = [pod for pod in pods if weighs_on(pod, name, probe)]
    for port in ports_of(probe):
        for pod in mine:
            if port in ports_of(pod):
                return False
    if len(mine) + 1 > amount(node["status"]["allocatable"].get("pods", 0), 1):
        return False
    for resource, asked in asked_by(probe).items():
        unit = 1000 if resource == "cpu" else 1
        offered = amount(node["status"]["allocatable"].get(resource, 0), unit)
        used = sum(rounded(asked_by(pod).get(resource, Fraction(0)), unit) for pod in mine)
        wanted = rounded(asked, unit)
        if wanted > 0 and used + wanted > offered:
            return False
    return True


def weighs_on(pod: Raw, node_name: str, probe: Raw) -> bool:
    status = pod.get("status", {})
    if status.get("phase") in ("Succeeded", "Failed"):
        return False
    if pod["spec"].get("nodeName"):
        return bool(pod["spec"]["nodeName"] == node_name)
    higher = pod["spec"].get("priority", 0) >= probe["spec"].get("priority", 0)
    return status.get("nominatedNodeName") == node_name and higher


def repel(probe: Raw, pod: Raw, node: Raw, nodes: Sequence[Raw]) -> bool:
    """Tell whether anti-affinity of either pod forbids them to share this node's domain."""
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return False
    hosts = [n for n in nodes if n["metadata"]["name"] == pod["spec"].get("nodeName")]
    if not hosts or pod["metadata"]["namespace"] != probe["metadata"]["namespace"]:
        return False
    for term, other in [
        *((term, pod) for term in terms_of(probe)),
        *((term, probe) for term in terms_of(pod)),
    ]:
        wanted = term["labelSelector"]["matchLabels"].items()
        labels = other["metadata"].get("labels", {})
        key = term["topologyKey"]
        here, there = (n["metadata"]["labels"].get(key) for n in (node, hosts[0]))
        if here is not None and here == there and all(labels.get(k) == v for k, v in wanted):
            return True
    return False


def terms_of(pod: Raw) -> list[Raw]:
    anti_affinity = pod["spec"].get("affinity", {}).get("podAntiAffinity", {})
    found: list[Raw] = anti_affinity.get("requiredDuringSchedulingIgnoredDuringExecution", [])
    return found


def is_tolerated(taint: Raw, spec: Raw) -> bool:
    by_admission = [
        {"key": f"node.kubernetes.io/{condition}", "operator": "Exists", "effect": "NoExecute"}
        for condition in ("not-ready", "unreachable")
    ]
    for toleration in [*spec.get("tolerations", []), *by_admission]:
        if toleration.get("effect", "") not in ("", taint["effect"]):
            continue
        if toleration.get("key", "") not in ("", taint["key"]):
            continue
        if toleration.get("operator", "Equal") == "Exists":
            return True
        if toleration.get("value", "") == taint.get("value", ""):
            return True
    return False


def holds(term: Raw, node_name: str, labels: dict[str, str]) -> bool:
    expressions = term.get("matchExpressions", [])
    fields = term.get("matchFields", [])
    if not expressions and not fields:
        return False
    for field in fields:
        if (field["operator"] == "In") != (node_name in field["values"]):
            return False
    for expression in expressions:
        key, operator = expression["key"], expression["operator"]
        values = expression.get("values", [])
        if operator == "Exists" and key not in labels:
            return False
        if operator == "DoesNotExist" and key in labels:
            return False
        if operator == "In" and labels.get(key) not in values:
            return False
        if operator == "NotIn" and labels.get(key) in values:
            return False
        if operator in ("Gt", "Lt"):
            if not labels.get(key, "").isdigit():
                return False
            found, wanted = int(labels[key]), int(values[0])
            if (found <= wanted) if operator == "Gt" else (found >= wanted):
                return False
    return True


def ports_of(pod: Raw) -> list[int]:
    return [
        port["hostPort"]
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
    ]


def asked_by(pod: Raw) -> dict[str, Fraction]:
    """Add up what a pod asks for by running it in thought, moment by moment."""
    moments: list[list[Raw]] = []
    sidecars: list[Raw] = []
    for container in pod["spec"].get("initContainers", []):
        moments.append([*sidecars, container])
        if container.get("restartPolicy") == "Always":
            sidecars = [*sidecars, container]
    moments.append([*sidecars, *pod["spec"]["containers"]])
    peak: dict[str, Fraction] = {}
    for running in moments:
        now: dict[str, Fraction] = {}
        for container in running:
            resources = container.get("resources", {})
            asked = {**resources.get("limits", {}), **resources.get("requests", {})}
            for resource, quantity in asked.items():
                now[resource] = now.get(resource, Fraction(0)) + parse(quantity)
        for resource, total in now.items():
            peak[resource] = max(peak.get(resource, Fraction(0)), total)
    for resource, quantity in pod["spec"].get("overhead", {}).items():
        peak[resource] = peak.get(resource, Fraction(0)) + parse(quantity)
    return peak


def amount(quantity: str | int, unit: int) -> int:
    return rounded(parse(quantity), unit)


def rounded(value: Fraction, unit: int) -> int:
    return ceil(value * unit)


def parse(quantity: str | int) -> Fraction:
    text = str(quantity)
    for suffix, factor in SUFFIXES.items():
        if text.endswith(suffix):
            return Fraction(text.removesuffix(suffix)) * factor
    return Fraction(text)
