"""What an API server refuses in a pod, when it is created and when it is changed."""

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
    qualified_name_problems,
)
from gpu_spawner.sim.apiserver.rules.affinity_rules import (
    check_affinity,
    check_spreading,
    check_tolerations,
)
from gpu_spawner.sim.apiserver.rules.container_rules import check_containers, check_init_containers
from gpu_spawner.sim.apiserver.rules.metadata_rules import check_labels
from gpu_spawner.sim.apiserver.rules.volume_rules import check_volumes
from gpu_spawner.sim.apiserver.wire.internal_types import internal_diff, internal_value

__all__ = ["check_pod", "check_pod_spec", "check_pod_status_update", "check_pod_update"]

Obj = Mapping[str, Any]

_MAX_INT32: Final = (1 << 31) - 1
_RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
_DNS_POLICIES: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_UPDATE_RULE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)"
)
_STATUS_LISTS: Final = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def check_pod(pod: Obj) -> Iterator[FieldError]:
    """Check a pod to be created."""
    spec = pod["spec"]
    yield from check_pod_spec(spec, "spec")
    yield from _check_only_pods(spec)
    if spec.get("ephemeralContainers"):
        yield forbidden_field("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        detail = "cannot be set until all schedulingGates have been cleared"
        yield forbidden_field("spec.nodeName", detail)


def check_pod_spec(spec: Obj, path: str) -> Iterator[FieldError]:
    """Check the spec of a pod or of a pod template."""
    volumes, problems = check_volumes(spec.get("volumes", ()), f"{path}.volumes")
    yield from problems
    yield from _check_claims(spec.get("resourceClaims", ()), f"{path}.resourceClaims")
    yield from check_containers(spec, volumes, f"{path}.containers")
    yield from check_init_containers(spec, volumes, f"{path}.initContainers")
    yield from _check_host_network(spec, path)
    if spec["restartPolicy"] not in _RESTART_POLICIES:
        policy = spec["restartPolicy"]
        yield not_supported(f"{path}.restartPolicy", policy, _RESTART_POLICIES)
    if spec["dnsPolicy"] not in _DNS_POLICIES:
        yield not_supported(f"{path}.dnsPolicy", spec["dnsPolicy"], _DNS_POLICIES)
    yield from check_labels(spec.get("nodeSelector", {}), f"{path}.nodeSelector")
    yield from _check_security(spec["securityContext"], f"{path}.securityContext")
    yield from check_affinity(spec.get("affinity", {}), f"{path}.affinity")
    yield from _check_gates(spec.get("schedulingGates", ()), f"{path}.schedulingGates")
    spreading = spec.get("topologySpreadConstraints", ())
    yield from check_spreading(spreading, f"{path}.topologySpreadConstraints")
    for key in ("serviceAccountName", "nodeName"):
        yield from _check_name(spec, key, path)
    deadline = spec.get("activeDeadlineSeconds", 1)
    if not 1 <= deadline <= _MAX_INT32:
        detail = f"must be between 1 and {_MAX_INT32}, inclusive"
        yield invalid_value(f"{path}.activeDeadlineSeconds", deadline, detail)
    for key in ("hostname", "subdomain"):
        for problem in dns_label_problems(spec[key]) if spec.get(key) else ():
            yield invalid_value(f"{path}.{key}", spec[key], problem)
    yield from check_tolerations(spec.get("tolerations", ()), f"{path}.tolerations")
    for key in ("priorityClassName", "runtimeClassName"):
        yield from _check_name(spec, key, path)
    policy = spec.get("preemptionPolicy", "Never")
    words = ("PreemptLowerPriority", "Never")
    if policy not in words:
        yield not_supported(f"{path}.preemptionPolicy", policy, words)


def check_pod_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """Check a change of a pod: next to nothing of a running pod can change."""
    yield from check_pod_spec(new["spec"], "spec")
    yield from _check_only_pods(new["spec"])
    spec, before = new["spec"], old["spec"]
    for key in ("containers", "initContainers"):
        after, now = spec.get(key) or [], before.get(key) or []
        if len(after) != len(now):
            yield forbidden_field(f"spec.{key}", "pod updates may not add or remove containers")
            return
        for index, container in enumerate(after):
            yield from _check_image(container, f"spec.{key}[{index}]")
    problems = list(_check_deadline(spec, before))
    yield from problems
    if problems and "activeDeadlineSeconds" in spec:
        return
    yield from _check_added_tolerations(spec, before)
    gates = {gate["name"] for gate in before.get("schedulingGates", ())}
    for index, gate in enumerate(spec.get("schedulingGates", ())):
        if gate["name"] not in gates:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate['name']}'"
            yield forbidden_field(f"spec.schedulingGates[{index}].name", detail)
    munged = _without_allowed_changes(spec, before)
    if munged != before:
        difference = internal_diff("core.v1.PodSpec", dict(before), munged)
        yield forbidden_field("spec", f"{_UPDATE_RULE}\n{difference}")


def check_pod_status_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """Check a kubelet's or scheduler's report."""
    status, before = new["status"], old["status"]
    for index, condition in enumerate(status.get("conditions", ())):
        if condition["type"] in {"PodScheduled", "Ready", "Initialized"}:
            continue
        for problem in qualified_name_problems(condition["type"]):
            where = f"status.conditions[{index}].Type"
            yield invalid_value(where, condition["type"], problem)
    if status.get("qosClass") != before.get("qosClass"):
        yield invalid_value("status.qosClass", status.get("qosClass", ""), "field is immutable")
    if new["spec"]["restartPolicy"] != "Always":
        for key in _STATUS_LISTS:
            yield from _check_resurrection(new, old, key)
    claims = {claim["name"] for claim in new["spec"].get("resourceClaims", ())}
    seen: set[str] = set()
    for index, claim in enumerate(status.get("resourceClaimStatuses", ())):
        where = f"status.resourceClaimStatuses[{index}].name"
        if claim["name"] not in claims:
            detail = "must match the name of an entry in `spec.resourceClaims`"
            yield invalid_value(where, claim["name"], detail)
        if claim["name"] in seen:
            yield duplicate(where, claim["name"])
        seen.add(claim["name"])


def _check_only_pods(spec: Obj) -> Iterator[FieldError]:
    """Check what templates may leave open."""
    if not spec.get("serviceAccountName"):
        for index, volume in enumerate(spec.get("volumes", ())):
            for number, source in enumerate(volume.get("projected", {}).get("sources") or ()):
                if "serviceAccountToken" in source:
                    where = f"spec.volumes[{index}].projected.sources[{number}]"
                    yield forbidden_field(
                        f"{where}.serviceAccountToken",
                        "must not be specified when serviceAccountName is not set",
                    )
    for key in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(key) or ()):
            image = container.get("image", "")
            if image != image.strip():
                detail = "must not have leading or trailing whitespace"
                yield invalid_value(f"spec.{key}[{index}].image", image, detail)


def _check_image(container: Obj, path: str) -> Iterator[FieldError]:
    image = container.get("image", "")
    if not image:
        yield required(f"{path}.image")
    if image != image.strip():
        detail = "must not have leading or trailing whitespace"
        yield invalid_value(f"{path}.image", image, detail)


def _check_name(spec: Obj, key: str, path: str) -> Iterator[FieldError]:
    if spec.get(key):
        for problem in dns_subdomain_problems(spec[key]):
            yield invalid_value(f"{path}.{key}", spec[key], problem)


def _check_claims(claims: Sequence[Obj], path: str) -> Iterator[FieldError]:
    names: set[str] = set()
    for index, claim in enumerate(claims):
        here = f"{path}[{index}]"
        name = claim["name"]
        if not name:
            yield required(f"{here}.name")
        elif name in names:
            yield duplicate(f"{here}.name", name)
        else:
            for problem in dns_label_problems(name):
                yield invalid_value(f"{here}.name", name, problem)
            names.add(name)
        sources = [
            key for key in ("resourceClaimName", "resourceClaimTemplateName") if key in claim
        ]
        if len(sources) != 1:
            detail = (
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
                if sources
                else "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            )
            shown = internal_value("core.v1.PodResourceClaim", dict(claim))
            yield invalid_value(here, shown, detail)
        for key in sources:
            for problem in dns_subdomain_problems(claim[key]):
                yield invalid_value(f"{here}.{key}", claim[key], problem)


def _check_host_network(spec: Obj, path: str) -> Iterator[FieldError]:
    if not spec.get("hostNetwork"):
        return
    for index, container in enumerate(spec.get("containers") or ()):
        for number, port in enumerate(container.get("ports", ())):
            host_port = port.get("hostPort", 0)
            if host_port != port["containerPort"]:
                where = f"{path}.containers[{index}].ports[{number}].hostPort"
                detail = "must match `containerPort` when `hostNetwork` is true"
                yield invalid_value(where, host_port, detail)


def _check_security(security: Obj, path: str) -> Iterator[FieldError]:
    rule = f"must be between 0 and {_MAX_INT32}, inclusive"
    for key in ("fsGroup", "runAsUser", "runAsGroup"):
        if not 0 <= security.get(key, 0) <= _MAX_INT32:
            yield invalid_value(f"{path}.{key}", security[key], rule)
    for index, group in enumerate(security.get("supplementalGroups", ())):
        if not 0 <= group <= _MAX_INT32:
            yield invalid_value(f"{path}.supplementalGroups[{index}]", group, rule)
    policy = security.get("fsGroupChangePolicy", "Always")
    if policy not in {"Always", "OnRootMismatch"}:
        words = ("Always", "OnRootMismatch")
        yield not_supported(f"{path}.fsGroupChangePolicy", policy, words)


def _check_gates(gates: Sequence[Obj], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        for problem in qualified_name_problems(gate["name"]):
            yield invalid_value(f"{path}[{index}]", gate["name"], problem)
        if gate["name"] in seen:
            yield duplicate(f"{path}[{index}]", gate["name"])
        seen.add(gate["name"])


def _check_deadline(spec: Obj, before: Obj) -> Iterator[FieldError]:
    where = "spec.activeDeadlineSeconds"
    new, old = spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if new is not None and old is not None and old < new:
        yield invalid_value(where, new, "must be less than or equal to previous value")
    elif new is None and old is not None:
        yield invalid_value(where, None, "must not update from a positive integer to nil value")


def _check_added_tolerations(spec: Obj, before: Obj) -> Iterator[FieldError]:
    def without_seconds(toleration: Obj) -> dict[str, Any]:
        return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}

    present = [without_seconds(item) for item in spec.get("tolerations", ())]
    if any(without_seconds(item) not in present for item in before.get("tolerations", ())):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        yield forbidden_field("spec.tolerations", detail)


def _without_allowed_changes(spec: Obj, before: Obj) -> dict[str, Any]:
    """Return the new spec with every change that is allowed taken back."""
    munged = dict(spec)
    for key in ("containers", "initContainers"):
        if munged.get(key):
            pairs = zip(munged[key], before[key], strict=True)
            munged[key] = [{**new, "image": old.get("image", "")} for new, old in pairs]
    allowed = ["activeDeadlineSeconds", "schedulingGates", "tolerations"]
    if before.get("schedulingGates"):
        # A gated pod may still be given to other nodes; affinity is checked as a whole.
        selector, old = munged.get("nodeSelector", {}), before.get("nodeSelector", {})
        if all(selector.get(key) == value for key, value in old.items()):
            allowed.append("nodeSelector")
    if before["terminationGracePeriodSeconds"] < 0 and munged["terminationGracePeriodSeconds"] == 1:
        allowed.append("terminationGracePeriodSeconds")
    for key in allowed:
        munged.pop(key, None)
        if key in before:
            munged[key] = before[key]
    return munged


def _check_resurrection(new: Obj, old: Obj, key: str) -> Iterator[FieldError]:
    """A container that ended and is not restarted stays ended."""
    states = {item["name"]: item["state"] for item in new["status"].get(key, ())}
    for index, item in enumerate(old["status"].get(key, ())):
        ended = item["state"].get("terminated")
        if ended is None or item["name"] not in states:
            continue
        if ended["exitCode"] and new["spec"]["restartPolicy"] == "OnFailure":
            continue
        if "terminated" not in states[item["name"]]:
            detail = "may not be transitioned to non-terminated state"
            yield forbidden_field(f"status.{key}[{index}].state", detail)
