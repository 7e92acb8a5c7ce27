"""Hypothesis strategies for small clusters and pods, as raw Kubernetes objects.

The pools are small on purpose, so that labels match, taints are tolerated and nodes fill up.
"""

from typing import Any

from hypothesis import strategies as st

__all__ = ["clusters", "histories", "nodes", "pods", "probes"]

Raw = dict[str, Any]

NODE_NAMES = ["n0", "n1", "n2", "n3"]
LABELS = {
    "model": ["A100", "H100", "T4"],
    "memory": ["40", "80", "many"],
    "zone": ["a", "b"],
}
TAINTS = [
    {"key": "gpu", "value": "present", "effect": "NoSchedule"},
    {"key": "gpu", "effect": "NoExecute"},
    {"key": "dedicated", "value": "user", "effect": "NoSchedule"},
    {"key": "soft", "effect": "PreferNoSchedule"},
    {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
]
TOLERATIONS: list[Raw] = [
    {"key": "gpu", "operator": "Exists"},
    {"key": "gpu", "value": "present", "effect": "NoSchedule"},
    {"key": "gpu", "operator": "Equal", "value": "present"},
    {"key": "dedicated", "operator": "Equal", "value": "admin"},
    {"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"},
    {"operator": "Exists", "effect": "NoExecute"},
    {"operator": "Exists"},
    {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"},
]
_HOST = "kubernetes.io/hostname"
CPU = ["0", "100m", "250m", "1", "1500m", "0.5", 2]
MEMORY = ["0", "1Gi", "512Mi", "1500M", "100m", "3Gi"]
GPU = ["0", "1", 2, "3"]


def _some(options: dict[str, list[Any]]) -> st.SearchStrategy[Raw]:
    return st.fixed_dictionaries(
        {}, optional={key: st.sampled_from(values) for key, values in options.items()}
    )


amounts = _some({"cpu": CPU, "memory": MEMORY, "nvidia.com/gpu": GPU})
labels = _some(LABELS)


@st.composite
def nodes(draw: st.DrawFn, names: st.SearchStrategy[str] | None = None) -> Raw:
    """Draw a node with a few cores and GPUs."""
    name = draw(names if names is not None else st.sampled_from(NODE_NAMES))
    spec: Raw = {"taints": draw(st.lists(st.sampled_from(TAINTS), max_size=2, unique_by=repr))}
    if draw(st.integers(0, 5)) == 0:
        spec["unschedulable"] = True
    offered = {
        "cpu": draw(st.sampled_from(["2", "4", "3500m"])),
        "memory": draw(st.sampled_from(["4Gi", "8Gi", "6500M"])),
        "pods": draw(st.sampled_from(["1", "3", "10", 110])),
    }
    if draw(st.booleans()):
        offered["nvidia.com/gpu"] = draw(st.sampled_from(["1", "2", 4]))
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {_HOST: name, **draw(labels)}},
        "spec": spec,
        "status": {"allocatable": offered},
    }


@st.composite
def containers(draw: st.DrawFn, *, with_ports: bool = False) -> Raw:
    """Draw a container that asks by requests, by limits, or by both."""
    asked = draw(amounts)
    shape = draw(st.sampled_from(["requests", "limits", "both"]))
    resources = {"requests": asked, "limits": asked} if shape == "both" else {shape: asked}
    made: Raw = {"name": "c", "resources": resources}
    if with_ports and draw(st.integers(0, 4)) == 0:
        made["ports"] = [{"hostPort": draw(st.sampled_from([80, 81]))}]
    return made


@st.composite
def _spec(draw: st.DrawFn) -> Raw:
    spec: Raw = {"containers": draw(st.lists(containers(with_ports=True), min_size=1, max_size=2))}
    if draw(st.integers(0, 2)) == 0:
        spec["initContainers"] = [
            {**container, **draw(st.sampled_from([{}, {"restartPolicy": "Always"}]))}
            for container in draw(st.lists(containers(), max_size=3))
        ]
    if draw(st.integers(0, 5)) == 0:
        spec["overhead"] = {"cpu": "100m", "memory": "128Mi"}
    if draw(st.integers(0, 3)) == 0:
        spec["priority"] = draw(st.integers(0, 2))
    return spec


def _away_from(labels: Raw, topology_key: str) -> Raw:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": topology_key}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


@st.composite
def pods(draw: st.DrawFn, names: st.SearchStrategy[str] | None = None) -> Raw:
    """Draw a pod of the cluster: running, finished, waiting, nominated, terminating."""
    name = draw(names if names is not None else st.sampled_from([f"p{n}" for n in range(12)]))
    metadata: Raw = {"name": name, "namespace": draw(st.sampled_from(["default", "hub"]))}
    if draw(st.integers(0, 4)) == 0:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    metadata["labels"] = {"component": draw(st.sampled_from(["hub", "server", "db"]))}
    if draw(st.booleans()):
        metadata["labels"]["gpu-spawner.jupyter.org/profile"] = "torch"
        if image := draw(st.sampled_from(["", "cuda12", "cuda13"])):
            metadata["labels"]["gpu-spawner.jupyter.org/image"] = image
    spec, status = draw(_spec()), {"phase": "Pending"}
    if draw(st.integers(0, 5)) == 0:
        topology_key = draw(st.sampled_from(["zone", _HOST]))
        spec["affinity"] = _away_from({"team": "blue"}, topology_key)
    if draw(st.integers(0, 4)):
        spec["nodeName"] = draw(st.sampled_from([*NODE_NAMES, "not-listed"]))
        phases = ["Running", "Running", "Running", "Pending", "Succeeded", "Failed"]
        status["phase"] = draw(st.sampled_from(phases))
    elif draw(st.booleans()):
        status["nominatedNodeName"] = draw(st.sampled_from(NODE_NAMES))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


@st.composite
def _expression(draw: st.DrawFn) -> Raw:
    key = draw(st.sampled_from([*LABELS, "absent"]))
    operator = draw(st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]))
    made: Raw = {"key": key, "operator": operator}
    if operator in ("In", "NotIn"):
        pool = LABELS.get(key, ["x"])
        made["values"] = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=2))
    elif operator in ("Gt", "Lt"):
        made["values"] = [draw(st.sampled_from(["39", "40", "60", "80"]))]
    return made


@st.composite
def _term(draw: st.DrawFn) -> Raw:
    made: Raw = {}
    if draw(st.integers(0, 3)):
        made["matchExpressions"] = draw(st.lists(_expression(), max_size=2))
    if draw(st.integers(0, 3)) == 0:
        made["matchFields"] = [
            {
                "key": "metadata.name",
                "operator": draw(st.sampled_from(["In", "NotIn"])),
                "values": [draw(st.sampled_from(NODE_NAMES))],
            }
        ]
    return made


@st.composite
def probes(draw: st.DrawFn) -> Raw:
    """Draw a pod that is to be placed; it asks for a GPU or a core, so seats are few."""
    spec = draw(_spec())
    wanted = draw(st.sampled_from([{"cpu": "500m"}, {"nvidia.com/gpu": "1"}, {"memory": "1Gi"}]))
    spec["containers"].append({"name": "wanted", "resources": {"requests": wanted}})
    metadata: Raw = {"name": "probe", "namespace": "default", "labels": {"component": "probe"}}
    if draw(st.booleans()):
        metadata["labels"]["team"] = "blue"
    spec["tolerations"] = draw(st.lists(st.sampled_from(TOLERATIONS), max_size=3, unique_by=repr))
    if draw(st.integers(0, 2)) == 0:
        spec["nodeSelector"] = draw(labels)
    if draw(st.integers(0, 2)) == 0:
        terms = draw(st.lists(_term(), min_size=1, max_size=2))
        spec["affinity"] = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
            }
        }
    if draw(st.integers(0, 5)) == 0:
        # Its own kind only by host: across zones the number of seats is not known.
        away = draw(st.sampled_from([("hub", "zone"), ("server", "zone"), ("probe", _HOST)]))
        own = _away_from({"component": away[0]}, away[1])
        spec["affinity"] = {**spec.get("affinity", {}), **own}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@st.composite
def clusters(draw: st.DrawFn) -> list[Raw]:
    """Draw up to four nodes and a dozen pods, each name once."""
    names = draw(st.lists(st.sampled_from(NODE_NAMES), unique=True, max_size=4))
    listed = [draw(nodes(st.just(name))) for name in names]
    held = draw(st.lists(pods(), max_size=12, unique_by=_key))
    return [*listed, *held]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, str, Raw]]:
    """Draw watch events (kind, type, object); they need not make sense one after another."""
    types = st.sampled_from(["ADDED", "MODIFIED", "MODIFIED", "DELETED"])
    event = st.one_of(
        st.tuples(st.just("pods"), types, pods()), st.tuples(st.just("nodes"), types, nodes())
    )
    return draw(st.lists(event, max_size=20))


def _key(pod: Raw) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]
