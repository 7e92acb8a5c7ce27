"""The devices of one simulated node: which pod holds which, and how its processes see them.

The part of the device plugin and the kubelet's device manager. No process gets to see a real GPU:
``CUDA_VISIBLE_DEVICES`` names made-up devices, or none.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gpu_spawner.core.quantity import parse_count
from gpu_spawner.sim.fleet import NodeGroup
from gpu_spawner.sim.fleet_objects import node_allocatable
from gpu_spawner.sim.made_up_ids import made_up_id
from gpu_spawner.sim.mig import mig_memory_mib

__all__ = [
    "SIMULATED_GPUS_VARIABLE",
    "Device",
    "DevicesUnavailableError",
    "NodeDevices",
    "device_requests",
]

SIMULATED_GPUS_VARIABLE = "GPU_SPAWNER_SIMULATED_GPUS"
"""Tells the ``nvidia-smi`` of a pod what to print."""

_NOT_DEVICES = frozenset({"cpu", "memory", "ephemeral-storage", "pods"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One allocatable unit of an extended resource.

    Attributes:
        id: as ``NVIDIA_VISIBLE_DEVICES`` names it; replicas of one GPU share it.
        name: the model, as ``nvidia-smi`` prints it.
        mig_profile: empty for a whole GPU or a replica.
    """

    resource: str
    unit: int
    id: str
    name: str
    memory_mib: int
    mig_profile: str = ""


class DevicesUnavailableError(Exception):
    """A pod was bound to the node although the node cannot serve it; the text is the kubelet's."""

    def __init__(self, resource: str, requested: int, available: int) -> None:
        super().__init__(
            "Allocate failed due to requested number of devices unavailable for "
            f"{resource}. Requested: {requested}, Available: {available}, which is unexpected"
        )


def device_requests(container: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, int]:
    """Return the devices a container of a pod asks of device plugins, by extended resource.

    What the scheduler has claimed for it is none of a device plugin's business.
    """
    limits = (container.get("resources") or {}).get("limits") or {}
    special = (pod.get("status") or {}).get("extendedResourceClaimStatus") or {}
    claimed = {
        mapping["resourceName"]
        for mapping in special.get("requestMappings") or ()
        if mapping["containerName"] == container["name"]
    }
    return {
        name: parse_count(amount)
        for name, amount in limits.items()
        if "/" in name and name not in claimed
    }


class NodeDevices:
    """The devices of one node of ``group``."""

    def __init__(self, group: NodeGroup, node: str) -> None:
        self._group = group
        self._node = node
        self._capacity = {
            name: int(amount)
            for name, amount in node_allocatable(group).items()
            if name not in _NOT_DEVICES and not name.startswith("hugepages-")
        }
        self._held: dict[tuple[str, int], tuple[str, str]] = {}

    def allocate(self, pod_uid: str, container: str, requests: Mapping[str, int]) -> None:
        """Give the container the devices it asks for, lowest numbers first; all or none.

        Raises:
            DevicesUnavailableError: the node has not as many left.
        """
        chosen: list[tuple[str, int]] = []
        for resource, count in requests.items():
            units = range(self._capacity.get(resource, 0))
            free = [unit for unit in units if (resource, unit) not in self._held]
            if len(free) < count:
                raise DevicesUnavailableError(resource, count, len(free))
            chosen += [(resource, unit) for unit in free[:count]]
        self._held |= dict.fromkeys(chosen, (pod_uid, container))

    def held_by(self, pod_uid: str, container: str) -> tuple[Device, ...]:
        """Return what the container holds."""
        holder = (pod_uid, container)
        return tuple(
            self._device(resource, unit)
            for (resource, unit), found in self._held.items()
            if found == holder
        )

    def release(self, pod_uid: str) -> None:
        """Take back everything the pod's containers hold."""
        self._held = {key: holder for key, holder in self._held.items() if holder[0] != pod_uid}

    def environment(self, devices: Sequence[Device]) -> dict[str, str]:
        """Return the variables by which a container sees ``devices`` and no others."""
        visible = list(dict.fromkeys(each.id for each in devices))
        gpu = self._group.gpu
        described = {
            "driver": gpu.driver if gpu else "",
            "cuda": gpu.cuda if gpu else "",
            "node": self._node,
            "gpus": [asdict(each) for each in devices],
        }
        return {
            "NVIDIA_VISIBLE_DEVICES": ",".join(visible) or "void",
            "CUDA_VISIBLE_DEVICES": ",".join(visible),
            SIMULATED_GPUS_VARIABLE: json.dumps(described),
        }

    def _device(self, resource: str, unit: int) -> Device:
        gpu = self._group.gpu
        prefix, _, profile = resource.partition("/mig-")
        model = gpu.product.replace("-", " ") if gpu else resource
        if gpu is not None and profile:
            name = f"{model} MIG {profile}"
            memory, kind, number = mig_memory_mib(profile), "MIG", unit
        else:
            # Replicas of one GPU are neighbours: with four each, units 0 to 3 are GPU 0.
            replicas = gpu.replicas if gpu else 1
            name, memory, kind, number = (
                model,
                gpu.memory_mib if gpu else 0,
                "GPU",
                unit // replicas,
            )
        return Device(
            resource=resource,
            unit=unit,
            id=made_up_id(kind, self._node, f"{prefix}/{profile}", number),
            name=name,
            memory_mib=memory,
            mig_profile=profile,
        )
