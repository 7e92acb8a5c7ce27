"""Hypothesis strategies for small clusters with devices and claims, as raw Kubernetes objects.

Devices are few and alike on purpose, so that claims compete for them. Left out is where the real
allocator forgets something when it steps back (``allocation``): tainted devices that take counters,
shared ones that do, and several devices of one request that must differ. Devices that take counters
and a condition over them do occur; ``without_traces`` takes the condition away.
"""

from typing import Any

from hypothesis import strategies as st

__all__ = [
    "DRIVER",
    "claim_specs",
    "device_clusters",
    "held_claim",
    "probe_pod",
    "slice_of",
    "twin_specs",
    "without_traces",
]

Raw = dict[str, Any]

DRIVER = "gpu.example.com"
NODE_NAMES = ["n0", "n1", "n2"]
MODELS = ["a", "b"]
KINDS = ["gpu", "part"]
ROOTS = ["r0", "r1"]
TAINT = {"key": "broken", "effect": "NoSchedule"}
_SELECTORS = [f'device.attributes["{DRIVER}"].model == "{model}"' for model in MODELS]


@st.composite
def devices(draw: st.DrawFn, name: str) -> Raw:
    """Draw a whole device, a part that takes counters, or a device to share."""
    device: Raw = {
        "name": name,
        "attributes": {
            "kind": {"string": draw(st.sampled_from(KINDS))},
            "model": {"string": draw(st.sampled_from(MODELS))},
            "root": {"string": draw(st.sampled_from(ROOTS))},
        },
        "capacity": {"memory": {"value": draw(st.sampled_from(["4Gi", "8Gi"]))}},
    }
    match draw(st.sampled_from(["whole", "whole", "tainted", "counted", "shared"])):
        case "tainted":
            device["taints"] = [TAINT]
        case "counted":
            used = {"units": {"value": str(draw(st.integers(1, 3)))}}
            device["consumesCounters"] = [{"counterSet": "card", "counters": used}]
        case "shared":
            device["allowMultipleAllocations"] = True
    return device


def slice_of(node: str, found: list[Raw], *, generation: int = 1, count: int = 2) -> list[Raw]:
    """Build the slices of one node's pool: the devices, and the counters they share."""
    pool = {"name": node, "generation": generation, "resourceSliceCount": count}
    spec = {"driver": DRIVER, "nodeName": node, "pool": pool}
    counters = [{"name": "card", "counters": {"units": {"value": "4"}}}]
    return [
        _slice(f"{node}-devices", {**spec, "devices": found}),
        _slice(f"{node}-counters", {**spec, "sharedCounters": counters}),
    ]


def held_claim(name: str, node: str, device: Raw) -> Raw:
    """Build a claim that holds a device, or half of it where it can be shared."""
    result: Raw = {"request": "r", "driver": DRIVER, "pool": node, "device": device["name"]}
    if device.get("allowMultipleAllocations"):
        result |= {"shareID": f"share-{name}", "consumedCapacity": {"memory": "2Gi"}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"devices": {"requests": []}},
        "status": {"allocation": {"devices": {"results": [result]}}},
    }


@st.composite
def device_clusters(draw: st.DrawFn) -> list[Raw]:
    """Draw nodes with a pool each, and claims that hold some of the devices."""
    items: list[Raw] = [_class(kind) for kind in KINDS]
    for node in draw(st.lists(st.sampled_from(NODE_NAMES), min_size=1, unique=True)):
        items.append(_node(node, pods=draw(st.integers(1, 4))))
        found = [draw(devices(f"d{number}")) for number in range(draw(st.integers(0, 4)))]
        items += slice_of(node, found)
        for device in found:
            if draw(st.integers(0, 3)) == 0:
                items.append(held_claim(f"{node}-{device['name']}", node, device))
    return items


@st.composite
def _wishes(draw: st.DrawFn) -> Raw:
    wish: Raw = {"deviceClassName": draw(st.sampled_from(KINDS)), "count": draw(st.integers(1, 2))}
    if draw(st.booleans()):
        wish["selectors"] = [{"cel": {"expression": draw(st.sampled_from(_SELECTORS))}}]
    if draw(st.integers(0, 2)) == 0:
        wish["tolerations"] = [{"key": "broken", "operator": "Exists"}]
    if draw(st.integers(0, 2)) == 0:
        wish["capacity"] = {"requests": {"memory": draw(st.sampled_from(["1Gi", "3Gi"]))}}
    return wish


@st.composite
def claim_specs(draw: st.DrawFn) -> Raw:
    """Draw what one claim wants: one or two requests, alternatives, one condition over all."""
    requests: list[Raw] = []
    for name in ["x", "y"][: draw(st.integers(1, 2))]:
        if draw(st.booleans()):
            requests.append({"name": name, "exactly": draw(_wishes())})
        else:
            wishes = [{"name": sub, **draw(_wishes())} for sub in ("first", "second")]
            requests.append({"name": name, "firstAvailable": wishes})
    spec: Raw = {"devices": {"requests": requests}}
    if draw(st.booleans()):
        spec["devices"]["constraints"] = [{"matchAttribute": f"{DRIVER}/root"}]
    return spec


@st.composite
def twin_specs(draw: st.DrawFn) -> Raw:
    """Draw a claim with several requests that ask for the same, and others between them."""
    wishes = [draw(_wishes()) for _ in range(2)]
    order = draw(st.lists(st.sampled_from([0, 0, 1]), min_size=2, max_size=3))
    requests = [
        {"name": f"r{number}", "exactly": wishes[which]} for number, which in enumerate(order)
    ]
    spec: Raw = {"devices": {"requests": requests}}
    if draw(st.booleans()):
        spec["devices"]["constraints"] = [{"matchAttribute": f"{DRIVER}/root"}]
    return spec


def without_traces(items: list[Raw], spec: Raw) -> Raw:
    """Drop the condition where it may refuse a device whose counters are then not given back."""
    has_counters = any(
        "consumesCounters" in device
        for item in items
        if item["kind"] == "ResourceSlice"
        for device in item["spec"].get("devices", ())
    )
    if not has_counters:
        return spec
    kept = {name: part for name, part in spec["devices"].items() if name != "constraints"}
    return {"devices": kept}


def probe_pod() -> Raw:
    """Build the pod whose seats are counted; its claim is made from the template ``probe``."""
    return {
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": {
            "containers": [{"name": "main"}],
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "probe"}],
        },
    }


def _slice(name: str, spec: Raw) -> Raw:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": name},
        "spec": spec,
    }


def _class(kind: str) -> Raw:
    expression = f'device.driver == "{DRIVER}" && device.attributes["{DRIVER}"].kind == "{kind}"'
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": kind},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    }


def _node(name: str, pods: int) -> Raw:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {
            "allocatable": {"pods": str(pods)},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
