"""Devices at scale: 1,000 nodes with 8 GPUs each, whole or cut into seven, and claims for half.

Every device has a ``uuid`` of its own, as real ones do, and real attributes beside it.
"""

from functools import cache
from typing import Any

from gpu_spawner.core.cluster.claim_objects import ResourceClaim, claim_from_api
from gpu_spawner.core.cluster.decoding import decode_list
from gpu_spawner.core.cluster.device_classes import DeviceClass
from gpu_spawner.core.cluster.device_objects import ResourceSlice
from gpu_spawner.core.cluster.objects import to_json
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod

__all__ = [
    "NODES",
    "build_claim",
    "build_claims",
    "build_classes",
    "build_device_requests",
    "build_slices",
    "slice_page",
]

NODES = 1000
GPUS = 8
PARTS = 7
DRIVER = "gpu.nvidia.com"
Raw = dict[str, Any]


def slice_page(*, is_cut: bool) -> bytes:
    """Write all slices as the API does."""
    items = [found for number in range(NODES) for found in _slices(number, is_cut=is_cut)]
    return to_json({"kind": "ResourceSliceList", "items": items})


@cache
def build_slices(*, is_cut: bool) -> tuple[ResourceSlice, ...]:
    """Build the slices; with ``is_cut``, each GPU may be used whole or as seven parts."""
    return decode_list("resourceslices", slice_page(is_cut=is_cut)).items


@cache
def build_classes() -> tuple[DeviceClass, ...]:
    """Build the classes of whole GPUs and of parts."""
    items = [
        {
            "metadata": {"name": kind},
            "spec": {
                "selectors": [
                    {
                        "cel": {
                            "expression": f'device.driver == "{DRIVER}" &&'
                            f' device.attributes["{DRIVER}"].type == "{kind}"'
                        }
                    }
                ]
            },
        }
        for kind in ("gpu", "mig")
    ]
    return decode_list("deviceclasses", to_json({"items": items})).items


@cache
def build_claims() -> tuple[ResourceClaim, ...]:
    """Build claims that hold none to all of a node's GPUs."""
    return tuple(
        build_claim(number, device) for number in range(NODES) for device in range(number % 9)
    )


def build_claim(number: int, device: int) -> ResourceClaim:
    """Build the claim that holds one GPU of a node."""
    result = {"request": "r", "driver": DRIVER, "pool": f"node-{number}", "device": f"gpu-{device}"}
    return claim_from_api(
        {
            "metadata": {"name": f"claim-{number}-{device}", "namespace": "users"},
            "status": {"allocation": {"devices": {"results": [result]}}},
        }
    )


@cache
def build_device_requests() -> tuple[PodRequest, ...]:
    """Build requests for one, two and four GPUs and for a part."""
    wishes: list[Raw] = [
        {"deviceClassName": "gpu"},
        {
            "deviceClassName": "gpu",
            "count": 2,
            "selectors": [
                {
                    "cel": {
                        "expression": f'device.capacity["{DRIVER}"].memory'
                        '.compareTo(quantity("40Gi")) >= 0'
                    }
                }
            ],
        },
        {"deviceClassName": "gpu", "count": 4},
        {"deviceClassName": "mig"},
    ]
    return tuple(_request(wish) for wish in wishes)


def _request(wish: Raw) -> PodRequest:
    pod = {
        "metadata": {"name": "probe"},
        "spec": {
            "containers": [{"name": "notebook", "resources": {"requests": {"cpu": "1"}}}],
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}],
            "tolerations": [{"operator": "Exists"}],
        },
    }
    spec = {"devices": {"requests": [{"name": "r", "exactly": wish}]}}
    return request_from_pod(pod, claim_specs={"t": spec})


def _slices(number: int, *, is_cut: bool) -> list[Raw]:
    node = f"node-{number}"
    pool = {"name": node, "generation": 1, "resourceSliceCount": 2 if is_cut else 1}
    spec = {"driver": DRIVER, "nodeName": node, "pool": pool}
    devices: list[Raw] = []
    counters: list[Raw] = []
    for gpu in range(GPUS):
        everything = {f"slice-{part}": {"value": "1"} for part in range(PARTS)}
        devices.append(_device(f"gpu-{gpu}", "gpu", f"GPU-{number}-{gpu}", "80Gi"))
        if not is_cut:
            continue
        counters.append({"name": f"gpu-{gpu}", "counters": everything})
        devices[-1]["consumesCounters"] = [{"counterSet": f"gpu-{gpu}", "counters": everything}]
        for part in range(PARTS):
            device = _device(f"gpu-{gpu}-part-{part}", "mig", f"MIG-{number}-{gpu}-{part}", "10Gi")
            used = {f"slice-{part}": {"value": "1"}}
            device["consumesCounters"] = [{"counterSet": f"gpu-{gpu}", "counters": used}]
            devices.append(device)
    slices = [{"metadata": {"name": f"{node}-0"}, "spec": {**spec, "devices": devices}}]
    if is_cut:
        slices.append(
            {"metadata": {"name": f"{node}-1"}, "spec": {**spec, "sharedCounters": counters}}
        )
    return slices


def _device(name: str, kind: str, uuid: str, memory: str) -> Raw:
    return {
        "name": name,
        "attributes": {
            "type": {"string": kind},
            "uuid": {"string": uuid},
            "productName": {"string": "NVIDIA H100 80GB HBM3"},
            "architecture": {"string": "Hopper"},
            "cudaComputeCapability": {"version": "9.0.0"},
            "driverVersion": {"version": "580.95.5"},
        },
        "capacity": {"memory": {"value": memory}},
    }
