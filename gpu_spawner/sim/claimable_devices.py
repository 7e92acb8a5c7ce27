"""What NVIDIA's driver for Dynamic Resource Allocation says of a simulated node's GPUs.

Names, attributes, capacities and counters are those of ``gpu.nvidia.com`` 0.5
(https://github.com/kubernetes-sigs/dra-driver-nvidia-gpu, cmd/gpu-kubelet-plugin): a device for
each GPU and each MIG instance; with dynamic MIG one for every place an instance could be made at,
bound together by the counters of their GPU, which are in a slice of their own (Kubernetes 1.35+).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gpu_spawner.sim.fleet_gpu import Gpu
from gpu_spawner.sim.made_up_ids import gpu_id, made_up_id
from gpu_spawner.sim.mig import (
    COMPUTE_SLICES,
    MEMORY_SLICES,
    MULTIPROCESSORS_PER_SLICE,
    MigPlacement,
    cut,
    mig_memory_mib,
    placements,
)

__all__ = ["DRIVER", "ClaimableDevice", "claimable_devices", "slice_specs"]

Obj = dict[str, Any]

DRIVER: Final = "gpu.nvidia.com"

# What an API server takes in one slice (of devices, where they have taints or counters).
_MOST_DEVICES: Final = 64
_MOST_COUNTER_SETS: Final = 8
_BRAND: Final = "Nvidia"
_GPUS_PER_ROOT: Final = 2
_FIRST_BUS: Final = 0x18
_BUSES_PER_GPU: Final = 2
_SHARE_STEP: Final = "1Mi"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimableDevice:
    """One device of a node, as its driver knows it.

    Attributes:
        gpu_number: of the physical GPU it is, or is a part of.
        id: as ``nvidia-smi`` prints it; empty for an instance that is made on demand.
        model: likewise.
        manifest: the entry of ``spec.devices``.
    """

    name: str
    gpu_number: int
    id: str
    model: str
    memory_mib: int
    mig_profile: str = ""
    is_shared: bool = False
    manifest: Mapping[str, Any] = field(hash=False)


def claimable_devices(gpu: Gpu, node: str) -> tuple[ClaimableDevice, ...]:
    """Return the devices of a node whose GPUs can be claimed, in the driver's order."""
    if not gpu.dra:
        return ()
    cuts = cut(gpu.mig, gpu.mig_gpus, gpu.memory_mib)
    devices: list[ClaimableDevice] = []
    for number in range(gpu.count):
        if number < len(cuts):
            # A GPU in MIG mode is offered as its instances only.
            devices += (_instance(gpu, node, number, place) for place in cuts[number])
            continue
        devices.append(_whole(gpu, node, number))
        devices += (
            _instance(gpu, node, number, place)
            for profile in gpu.mig_profiles
            for place in placements(profile, gpu.memory_mib)
        )
    return tuple(sorted(devices, key=lambda device: (device.gpu_number, device.name)))


def slice_specs(
    gpu: Gpu, devices: Sequence[ClaimableDevice], taints: Mapping[int, Sequence[Obj]]
) -> list[Obj]:
    """Return the contents of a node's slices, without driver, pool and node.

    Args:
        gpu: what the node's GPUs are.
        devices: those of the node.
        taints: of devices, by the number of their GPU.
    """
    manifests = {
        number: [
            {**device.manifest, **({"taints": list(taints[number])} if taints.get(number) else {})}
            for device in devices
            if device.gpu_number == number
        ]
        for number in range(gpu.count)
    }
    if gpu.dra != "dynamic-mig":
        every = [each for group in manifests.values() for each in group]
        starts = range(0, len(every), _MOST_DEVICES)
        return [{"devices": every[at : at + _MOST_DEVICES]} for at in starts]
    whole = _whole_capacity(gpu)
    counters = [
        {"name": _counter_set(number), "counters": _counters(whole, range(MEMORY_SLICES))}
        for number in range(gpu.count)
    ]
    shared = [
        {"sharedCounters": counters[at : at + _MOST_COUNTER_SETS]}
        for at in range(0, len(counters), _MOST_COUNTER_SETS)
    ]
    return [*shared, *({"devices": group} for group in manifests.values())]


def _whole(gpu: Gpu, node: str, number: int) -> ClaimableDevice:
    name, identity = f"gpu-{number}", gpu_id(node, number)
    manifest: Obj = {
        "name": name,
        "attributes": {
            "type": {"string": "gpu"},
            "uuid": {"string": identity},
            **_common_attributes(gpu, number),
        },
        "capacity": {"memory": {"value": _quantity_mib(gpu.memory_mib)}},
    }
    if gpu.dra == "memory-shares":
        whole = _quantity_mib(gpu.memory_mib)
        policy = {
            "default": whole,
            "validRange": {"min": _SHARE_STEP, "max": whole, "step": _SHARE_STEP},
        }
        manifest["capacity"]["memory"]["requestPolicy"] = policy
        manifest["allowMultipleAllocations"] = True
    elif gpu.dra == "dynamic-mig":
        capacity = _whole_capacity(gpu)
        manifest["capacity"] = {key: {"value": value} for key, value in capacity.items()}
        manifest["consumesCounters"] = [
            {
                "counterSet": _counter_set(number),
                "counters": _counters(capacity, range(MEMORY_SLICES)),
            }
        ]
    return ClaimableDevice(
        name=name,
        gpu_number=number,
        id=identity,
        model=_model(gpu),
        memory_mib=gpu.memory_mib,
        is_shared=gpu.dra == "memory-shares",
        manifest=manifest,
    )


def _instance(gpu: Gpu, node: str, number: int, place: MigPlacement) -> ClaimableDevice:
    is_dynamic = gpu.dra == "dynamic-mig"
    plain = place.profile.replace(".", "")
    name = f"gpu-{number}-mig-{plain}-{place.profile_id}-{place.start}"
    identity = "" if is_dynamic else made_up_id("MIG", node, "nvidia.com/mig/", name)
    attributes: Obj = {
        "type": {"string": "mig"},
        "parentUUID": {"string": gpu_id(node, number)},
        "profile": {"string": place.profile},
        **_common_attributes(gpu, number),
    }
    capacity = _instance_capacity(place)
    manifest: Obj = {
        "name": name,
        "attributes": attributes,
        "capacity": {key: {"value": value} for key, value in capacity.items()},
    }
    taken = range(place.start, place.start + place.size)
    if is_dynamic:
        counters = _counters(capacity, taken)
        manifest["consumesCounters"] = [{"counterSet": _counter_set(number), "counters": counters}]
    else:
        attributes["uuid"] = {"string": identity}
        manifest["capacity"] |= {f"memorySlice{each}": {"value": "1"} for each in taken}
    return ClaimableDevice(
        name=name,
        gpu_number=number,
        id=identity,
        model=f"{_model(gpu)} MIG {place.profile}",
        memory_mib=mig_memory_mib(place.profile),
        mig_profile=place.profile,
        manifest=manifest,
    )


def _common_attributes(gpu: Gpu, number: int) -> Obj:
    bus = _FIRST_BUS + number * _BUSES_PER_GPU
    root = _FIRST_BUS + number // _GPUS_PER_ROOT * _GPUS_PER_ROOT * _BUSES_PER_GPU
    return {
        "productName": {"string": _model(gpu)},
        "brand": {"string": _BRAND},
        "architecture": {"string": gpu.family.replace("-", " ").title()},
        "cudaComputeCapability": {"version": _semantic(gpu.compute)},
        "driverVersion": {"version": _semantic(gpu.driver)},
        "cudaDriverVersion": {"version": _semantic(gpu.cuda)},
        "addressingMode": {"string": "HMM"},
        "resource.kubernetes.io/pciBusID": {"string": f"0000:{bus:02x}:00.0"},
        "resource.kubernetes.io/pcieRoot": {"string": f"pci0000:{root - 1:02x}"},
        "resource.kubernetes.io/numaNode": {"int": number * 2 // gpu.count},
    }


def _instance_capacity(place: MigPlacement) -> dict[str, str]:
    # The one optical flow accelerator goes with the whole GPU.
    engines = _engines(place.compute, flow_accelerators=int(place.size == MEMORY_SLICES))
    return {**engines, "memory": _quantity_mib(mig_memory_mib(place.profile))}


def _whole_capacity(gpu: Gpu) -> dict[str, str]:
    engines = _engines(COMPUTE_SLICES, flow_accelerators=1)
    return {**engines, "memory": _quantity_mib(gpu.memory_mib)}


def _engines(compute: int, *, flow_accelerators: int) -> dict[str, str]:
    return {
        "multiprocessors": str(compute * MULTIPROCESSORS_PER_SLICE),
        "copyEngines": str(compute),
        "decoders": str(compute),
        "encoders": "0",
        "jpegEngines": str(compute),
        "ofaEngines": str(flow_accelerators),
    }


def _counters(capacity: Mapping[str, str], slices: range) -> Obj:
    named = {_dashed(key): {"value": value} for key, value in capacity.items()}
    return named | {f"memory-slice-{each}": {"value": "1"} for each in slices}


def _counter_set(number: int) -> str:
    return f"gpu-{number}-counter-set"


def _model(gpu: Gpu) -> str:
    """Return the product with the blanks that labels cannot have."""
    return gpu.product.replace("-", " ")


def _dashed(name: str) -> str:
    """Write camelCase as counters are named.

    >>> _dashed("copyEngines")
    'copy-engines'
    """
    return re.sub(r"([a-z0-9])([A-Z])", r"\1-\2", name).lower()


def _semantic(version: str) -> str:
    """Write a version with three numbers and no zeros in front, as semver.org wants it.

    >>> _semantic("580.95.05"), _semantic("13.0")
    ('580.95.5', '13.0.0')
    """
    return ".".join(str(number) for number in _three(version))


def _three(version: str) -> Iterator[int]:
    parts = [int(part) for part in version.split(".")]
    yield from (*parts, 0, 0)[:3]


def _quantity_mib(mib: int) -> str:
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"
