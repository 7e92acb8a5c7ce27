"""What an API server fills into a pod that leaves it out.

Two stages, as in Kubernetes: defaults of the API itself, which pod templates (DaemonSets) get too,
and what the admission plugins that are on by default add to pods only.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from gpu_spawner.core.quantity import parse_nano

__all__ = [
    "default_pod",
    "default_pod_spec",
    "default_template",
    "qos_class",
    "tolerate_by_default",
]

Obj = dict[str, Any]

_CONTAINER_LISTS: Final = ("containers", "initContainers", "ephemeralContainers")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
# The default mode of projected files is 0644, in decimal.
_DEFAULT_FILE_MODE: Final = 0o644
_NODE_OUTAGE_TAINTS: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_OUTAGE_SECONDS: Final = 300
# An image reference as containers know it: [registry/]path[:tag][@digest].
_IMAGE: Final = re.compile(
    r"(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::(?P<tag>\w[\w.-]*))?(?:@(?P<digest>[A-Za-z0-9+._-]+:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)


def default_pod(pod: Obj) -> None:
    """Fill in the defaults of a pod."""
    spec = pod["spec"]
    if "serviceAccount" in spec or "serviceAccountName" in spec:
        name = spec.get("serviceAccountName") or spec.get("serviceAccount")
        spec["serviceAccountName"] = spec["serviceAccount"] = name
    for container in _containers(spec, "containers", "initContainers"):
        limits = container["resources"].get("limits")
        if limits:
            requests = container["resources"].get("requests", {})
            container["resources"]["requests"] = {**limits, **requests}
    spec.setdefault("enableServiceLinks", True)
    if spec.get("hostNetwork"):
        for container in _containers(spec, "containers", "initContainers"):
            for port in container.get("ports", ()):
                port.setdefault("hostPort", port["containerPort"])
    default_pod_spec(spec)
    _align_ips(pod["status"])


def default_template(template: Obj) -> None:
    """Fill in the defaults of a pod template."""
    default_pod_spec(template["spec"])


def default_pod_spec(spec: Obj) -> None:
    """Fill in what pods and pod templates have in common."""
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("schedulerName", "default-scheduler")
    for container in _containers(spec, *_CONTAINER_LISTS):
        _default_container(container)
    for volume in spec.get("volumes", ()):
        _default_volume(volume)


def tolerate_by_default(spec: Obj) -> None:
    """Tolerate a node's outage for five minutes, unless the pod says otherwise."""
    tolerations = spec.get("tolerations", [])
    for taint in _NODE_OUTAGE_TAINTS:
        is_decided = any(
            toleration.get("key", "") in {"", taint}
            and toleration.get("effect", "") in {"", "NoExecute"}
            for toleration in tolerations
        )
        if not is_decided:
            tolerations = [
                *tolerations,
                {
                    "key": taint,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": _OUTAGE_SECONDS,
                },
            ]
    spec["tolerations"] = tolerations


def qos_class(spec: Obj) -> str:
    """Tell how the kubelet ranks a pod when memory runs short; only cpu and memory count."""
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    is_guaranteed = True
    for container in _containers(spec, "containers", "initContainers"):
        resources = container["resources"]
        _add_compute(requests, resources.get("requests", {}))
        if len(_add_compute(limits, resources.get("limits", {}))) != 2:
            is_guaranteed = False
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if is_guaranteed and requests == limits else "Burstable"


def _add_compute(totals: dict[str, int], quantities: Obj) -> list[str]:
    found = []
    for name in ("cpu", "memory"):
        amount = parse_nano(quantities.get(name, "0"))
        if amount > 0:
            totals[name] = totals.get(name, 0) + amount
            found.append(name)
    return found


def _containers(spec: Obj, *lists: str) -> Iterator[Obj]:
    for name in lists:
        yield from spec.get(name) or ()


def _default_container(container: Obj) -> None:
    image = container.get("image", "")
    container.setdefault("imagePullPolicy", _pull_policy(image))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for probe in _PROBES:
        if probe in container:
            _default_probe(container[probe])
    for hook in container.get("lifecycle", {}).values():
        if isinstance(hook, dict):
            _default_http(hook)
    for variable in container.get("env", ()):
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            source["fieldRef"].setdefault("apiVersion", "v1")


def _pull_policy(image: str) -> str:
    """Pull always what may have moved: images tagged ``latest`` or with neither tag nor digest."""
    found = _IMAGE.fullmatch(image)
    if found is None or (found["digest"] and not found["tag"]):
        return "IfNotPresent"
    return "Always" if (found["tag"] or "latest") == "latest" else "IfNotPresent"


def _default_probe(probe: Obj) -> None:
    for key, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        probe.setdefault(key, value)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")
    _default_http(probe)


def _default_http(handler: Obj) -> None:
    if "httpGet" in handler:
        handler["httpGet"].setdefault("path", "/")
        handler["httpGet"].setdefault("scheme", "HTTP")


def _default_volume(volume: Obj) -> None:
    if len(volume) == 1:
        volume["emptyDir"] = {}
    for kind in ("secret", "configMap", "downwardAPI", "projected"):
        if kind in volume:
            volume[kind].setdefault("defaultMode", _DEFAULT_FILE_MODE)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    if "image" in volume:
        reference = volume["image"].get("reference", "")
        volume["image"].setdefault("pullPolicy", _pull_policy(reference))
    if "ephemeral" in volume:
        claim = volume["ephemeral"].get("volumeClaimTemplate", {})
        claim.get("spec", {}).setdefault("volumeMode", "Filesystem")
    sources = volume.get("projected", {}).get("sources") or ()
    for source in (volume, *sources):
        _default_projection(source)


def _default_projection(source: Obj) -> None:
    for file in source.get("downwardAPI", {}).get("items", ()):
        if "fieldRef" in file:
            file["fieldRef"].setdefault("apiVersion", "v1")
    if "serviceAccountToken" in source:
        source["serviceAccountToken"].setdefault("expirationSeconds", 3600)


def _align_ips(status: Obj) -> None:
    """Keep the old ``podIP`` and the newer ``podIPs`` telling the same."""
    first = status.get("podIP", "")
    many = status.get("podIPs", [])
    if first and (not many or many[0].get("ip") != first):
        status["podIPs"] = [{"ip": first}]
    elif many:
        status["podIP"] = many[0].get("ip", "")
