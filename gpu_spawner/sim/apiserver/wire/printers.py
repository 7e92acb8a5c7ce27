"""The columns kubectl prints for each kind.

kubectl asks the server for tables and shows them as they are; names, order and wording of the
columns are Kubernetes'. Kinds that are not listed get a name and an age.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gpu_spawner.sim.apiserver.kinds import Resource
from gpu_spawner.sim.apiserver.wire.pod_printer import pod_cells
from gpu_spawner.sim.apiserver.wire.table_columns import Printer, columns, since

__all__ = ["printer_for"]

Obj = Mapping[str, Any]
Cells = list[Any]

_NONE: Final = "<none>"
_UNKNOWN: Final = "<unknown>"
_MODES: Final = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def printer_for(resource: Resource) -> Printer:
    """Return how a kind is printed."""
    return _PRINTERS.get(resource.group_resource, _PLAIN)


def _age(obj: Obj, now: float) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def _name(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def _pairs(labels: Mapping[str, str] | None) -> str:
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) if labels else _NONE


def _modes(modes: Sequence[str]) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in dict.fromkeys(modes))


def _node(node: Obj, now: float) -> Cells:
    status = node["status"]
    ready = [item for item in status.get("conditions", ()) if item["type"] == "Ready"]
    state = "Unknown"
    if ready:
        state = "Ready" if ready[0]["status"] == "True" else "NotReady"
    if node["spec"].get("unschedulable"):
        state += ",SchedulingDisabled"
    roles = sorted(
        key.removeprefix("node-role.kubernetes.io/")
        for key in node["metadata"].get("labels", {})
        if key.startswith("node-role.kubernetes.io/")
    )
    info = status["nodeInfo"]
    addresses = {item["type"]: item["address"] for item in status.get("addresses", ())}
    return [
        _name(node),
        state,
        ",".join(roles) or _NONE,
        _age(node, now),
        info["kubeletVersion"],
        addresses.get("InternalIP", _NONE),
        addresses.get("ExternalIP", _NONE),
        info["osImage"] or _UNKNOWN,
        info["kernelVersion"] or _UNKNOWN,
        info["containerRuntimeVersion"] or _UNKNOWN,
    ]


def _event(event: Obj, now: float) -> Cells:
    involved = event["involvedObject"]
    first = since(event["firstTimestamp"], now)
    if event["firstTimestamp"] is None:
        first = since(event["eventTime"], now)
    last = since(event["lastTimestamp"], now) if event["lastTimestamp"] else first
    count = event.get("count", 0) or 1
    series = event.get("series")
    if series:
        last, count = since(series["lastObservedTime"], now), series.get("count", 1)
    source = event["source"].get("component") or event["reportingComponent"]
    host = event["source"].get("host") or event["reportingInstance"]
    return [
        last,
        event.get("type", ""),
        event.get("reason", ""),
        f"{involved.get('kind', '').lower()}/{involved.get('name', '')}",
        involved.get("fieldPath", ""),
        f"{source}, {host}" if host else source,
        event.get("message", "").strip(),
        first,
        count,
        _name(event),
    ]


def _claim(claim: Obj, now: float) -> Cells:
    spec, status = claim["spec"], claim["status"]
    phase = status.get("phase", "")
    if "deletionTimestamp" in claim["metadata"]:
        phase = "Terminating"
    bound = bool(spec.get("volumeName"))
    return [
        _name(claim),
        phase,
        spec.get("volumeName", ""),
        status.get("capacity", {}).get("storage", "") if bound else "",
        _modes(status.get("accessModes", ())) if bound else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName", "<unset>"),
        _age(claim, now),
        spec.get("volumeMode", "<unset>"),
    ]


def _volume(volume: Obj, now: float) -> Cells:
    spec, status = volume["spec"], volume["status"]
    phase = status.get("phase", "")
    if "deletionTimestamp" in volume["metadata"]:
        phase = "Terminating"
    reference = spec.get("claimRef")
    return [
        _name(volume),
        spec.get("capacity", {}).get("storage", ""),
        _modes(spec.get("accessModes", ())),
        spec["persistentVolumeReclaimPolicy"],
        phase,
        f"{reference['namespace']}/{reference['name']}" if reference else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName", "<unset>"),
        status.get("reason", ""),
        _age(volume, now),
        spec.get("volumeMode", "<unset>"),
    ]


def _service(service: Obj, now: float) -> Cells:
    spec = service["spec"]
    ports = [
        f"{port['port']}:{port['nodePort']}/{port['protocol']}"
        if port.get("nodePort")
        else f"{port['port']}/{port['protocol']}"
        for port in spec.get("ports", ())
    ]
    external = ",".join(spec.get("externalIPs", ())) or _NONE
    if spec["type"] == "ExternalName":
        external = spec.get("externalName", _NONE)
    elif spec["type"] == "LoadBalancer":
        external = "<pending>"
    return [
        _name(service),
        spec["type"],
        spec.get("clusterIP") or _NONE,
        external,
        ",".join(ports) or _NONE,
        _age(service, now),
        _pairs(spec.get("selector")),
    ]


def _daemon_set(daemon_set: Obj, now: float) -> Cells:
    status, spec = daemon_set["status"], daemon_set["spec"]
    containers = spec["template"]["spec"]["containers"]
    return [
        _name(daemon_set),
        status["desiredNumberScheduled"],
        status["currentNumberScheduled"],
        status["numberReady"],
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        _pairs(spec["template"]["spec"].get("nodeSelector")),
        _age(daemon_set, now),
        ",".join(container["name"] for container in containers),
        ",".join(container.get("image", "") for container in containers),
        _pairs(spec.get("selector", {}).get("matchLabels")),
    ]


def _resource_claim(claim: Obj, now: float) -> Cells:
    status = claim["status"]
    states = []
    if "deletionTimestamp" in claim["metadata"]:
        states.append("deleted")
    if "allocation" not in status and not states:
        states.append("pending")
    elif "allocation" in status:
        states.append("allocated")
        if status.get("reservedFor"):
            states.append("reserved")
    return [_name(claim), ",".join(states), _age(claim, now)]


def _storage_class(storage_class: Obj, now: float) -> Cells:
    annotations = storage_class["metadata"].get("annotations", {})
    name = _name(storage_class)
    if annotations.get("storageclass.kubernetes.io/is-default-class") == "true":
        name += " (default)"
    return [
        name,
        storage_class["provisioner"],
        storage_class["reclaimPolicy"],
        storage_class["volumeBindingMode"],
        storage_class.get("allowVolumeExpansion", False),
        _age(storage_class, now),
    ]


def _quota(quota: Obj, now: float) -> Cells:
    status = quota["status"]
    parts: dict[bool, list[str]] = {False: [], True: []}
    for name in sorted(status.get("hard", {})):
        used, hard = status.get("used", {}).get(name, "0"), status["hard"][name]
        parts[name.startswith("limits.")].append(f"{name}: {used}/{hard}")
    return [_name(quota), ", ".join(parts[False]), ", ".join(parts[True]), _age(quota, now)]


def _budget(budget: Obj, now: float) -> Cells:
    spec = budget["spec"]
    return [
        _name(budget),
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        budget["status"]["disruptionsAllowed"],
        _age(budget, now),
    ]


_PLAIN: Final = Printer(columns("Name", "Age"), lambda obj, now: [_name(obj), _age(obj, now)])
_NAME_CREATED: Final = Printer(
    columns("Name", "Created At"),
    lambda obj, _: [_name(obj), obj["metadata"]["creationTimestamp"]],
)

_PRINTERS: Final[dict[str, Printer]] = {
    "pods": Printer(
        columns(
            "Name",
            "Ready",
            "Status",
            "Restarts",
            "Age",
            "(IP)",
            "(Node)",
            "(Nominated Node)",
            "(Readiness Gates)",
        ),
        lambda pod, now: pod_cells(pod, lambda stamp: since(stamp, now)),
    ),
    "nodes": Printer(
        columns(
            "Name",
            "Status",
            "Roles",
            "Age",
            "Version",
            "(Internal-IP)",
            "(External-IP)",
            "(OS-Image)",
            "(Kernel-Version)",
            "(Container-Runtime)",
        ),
        _node,
    ),
    "events": Printer(
        columns(
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            "(Subobject)",
            "(Source)",
            "Message",
            "(First Seen)",
            "(Count)",
            "(Name)",
        ),
        _event,
    ),
    "namespaces": Printer(
        columns("Name", "Status", "Age"),
        lambda obj, now: [_name(obj), obj["status"].get("phase", ""), _age(obj, now)],
    ),
    "configmaps": Printer(
        columns("Name", "Data", "Age"),
        lambda obj, now: [
            _name(obj),
            str(len(obj.get("data", {})) + len(obj.get("binaryData", {}))),
            _age(obj, now),
        ],
    ),
    "secrets": Printer(
        columns("Name", "Type", "#Data", "Age"),
        lambda obj, now: [_name(obj), obj["type"], len(obj.get("data", {})), _age(obj, now)],
    ),
    "persistentvolumeclaims": Printer(
        columns(
            "Name",
            "Status",
            "Volume",
            "Capacity",
            "Access Modes",
            "StorageClass",
            "VolumeAttributesClass",
            "Age",
            "(VolumeMode)",
        ),
        _claim,
    ),
    "persistentvolumes": Printer(
        columns(
            "Name",
            "Capacity",
            "Access Modes",
            "Reclaim Policy",
            "Status",
            "Claim",
            "StorageClass",
            "VolumeAttributesClass",
            "Reason",
            "Age",
            "(VolumeMode)",
        ),
        _volume,
    ),
    "services": Printer(
        columns("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "(Selector)"),
        _service,
    ),
    "daemonsets.apps": Printer(
        columns(
            "Name",
            "#Desired",
            "#Current",
            "#Ready",
            "#Up-to-date",
            "#Available",
            "Node Selector",
            "Age",
            "(Containers)",
            "(Images)",
            "(Selector)",
        ),
        _daemon_set,
    ),
    "resourceclaims.resource.k8s.io": Printer(columns("Name", "State", "Age"), _resource_claim),
    "resourcequotas": Printer(columns("Name", "Request", "Limit", "Age"), _quota),
    "poddisruptionbudgets.policy": Printer(
        columns("Name", "Min Available", "Max Unavailable", "#Allowed Disruptions", "Age"), _budget
    ),
    "resourceslices.resource.k8s.io": Printer(
        columns("Name", "Node", "Driver", "Pool", "Age"),
        lambda obj, now: [
            _name(obj),
            obj["spec"].get("nodeName", ""),
            obj["spec"]["driver"],
            obj["spec"]["pool"]["name"],
            _age(obj, now),
        ],
    ),
    "priorityclasses.scheduling.k8s.io": Printer(
        columns("Name", "#Value", "Global-Default", "Age", "PreemptionPolicy"),
        lambda obj, now: [
            _name(obj),
            obj["value"],
            obj.get("globalDefault", False),
            _age(obj, now),
            obj["preemptionPolicy"],
        ],
    ),
    "storageclasses.storage.k8s.io": Printer(
        columns(
            "Name",
            "Provisioner",
            "ReclaimPolicy",
            "VolumeBindingMode",
            "AllowVolumeExpansion",
            "Age",
        ),
        _storage_class,
    ),
    "roles.rbac.authorization.k8s.io": _NAME_CREATED,
    "clusterroles.rbac.authorization.k8s.io": _NAME_CREATED,
}
