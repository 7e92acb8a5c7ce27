"""NVIDIA's driver for Dynamic Resource Allocation on one simulated node.

It publishes the node's devices as ResourceSlices, taints those whose GPU is broken, and makes the
devices of a claim ready for containers. Words of errors are the driver's (``gpu.nvidia.com`` 0.5,
cmd/gpu-kubelet-plugin), because they end up in events.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.claimable_devices import (
    DRIVER,
    ClaimableDevice,
    claimable_devices,
    slice_specs,
)
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.fleet_gpu import Gpu
from gpu_spawner.sim.made_up_ids import made_up_id
from gpu_spawner.sim.node.gpus import Device
from gpu_spawner.sim.node.prepared_claims import PreparedClaim, PreparedDevice

__all__ = ["SLICES", "DraDriver", "PrepareError"]

_log = logging.getLogger(__name__)

SLICES = "/apis/resource.k8s.io/v1/resourceslices"
Obj = dict[str, Any]


class PrepareError(Exception):
    """The devices of a claim cannot be made ready; the text is the driver's or the kubelet's."""


class DraDriver:
    """The driver of one node with ``gpu``."""

    def __init__(self, client: KubeClient, gpu: Gpu, node: str) -> None:
        self._client = client
        self._gpu = gpu
        self._node = node
        self._devices = claimable_devices(gpu, node)
        self._by_name = {device.name: device for device in self._devices}
        self._taints: dict[int, list[Obj]] = {}
        for number, xid in gpu.unhealthy.items():
            self.taint_xid(number, xid)

    def taint_xid(self, gpu_number: int, xid: int) -> None:
        """Keep new claims from a GPU that had a critical error; ``publish`` makes it known."""
        taint = {"key": f"{DRIVER}/xid", "value": str(xid), "effect": "NoSchedule"}
        taints = self._taints.setdefault(gpu_number, [])
        # One taint for each kind of trouble; they stay until the driver starts again.
        taints[:] = [each for each in taints if each["key"] != taint["key"]] + [taint]

    async def publish(self) -> None:
        """Make the node's slices say what its devices are; a node that is gone has none.

        The generation goes up unless one update is all it takes, so that nobody mistakes half of
        the old and half of the new for a whole.

        Raises:
            ClusterError: the API server refused or did not answer.
        """
        node = await self._client.get_or_none(f"/api/v1/nodes/{self._node}")
        if node is None:
            return
        wanted = slice_specs(self._gpu, self._devices, self._taints)
        found = await self._client.get(
            SLICES, fieldSelector=f"spec.nodeName={self._node},spec.driver={DRIVER}"
        )
        present = {_index(each): each for each in found.get("items") or ()}
        generations = [each["spec"]["pool"]["generation"] for each in present.values()]
        generation = max(generations, default=0)
        pool = self._pool(generation, wanted)
        current = {index: present.pop(index) for index in range(len(wanted)) if index in present}
        changed = [
            index for index, each in current.items() if _differs(each["spec"], wanted[index], pool)
        ]
        if len(current) < len(wanted) or len(changed) > 1:
            pool = self._pool(generation + 1, wanted)
            changed = list(current)
        for obsolete in present.values():
            await self._delete(obsolete)
        for index in changed:
            await self._update(current[index], self._spec(wanted[index], pool))
        for index in range(len(wanted)):
            if index not in current:
                await self._create(index, self._spec(wanted[index], pool), node)

    def prepare(
        self, claim: Mapping[str, Any], prepared: Iterable[PreparedClaim]
    ) -> list[PreparedDevice]:
        """Make a claim's devices ready and return them.

        Args:
            claim: with its allocation.
            prepared: what is ready on this node already.

        Raises:
            PrepareError: they are not free, or do not exist.
        """
        metadata = claim["metadata"]
        uid = metadata["uid"]
        label = f"{metadata['namespace']}/{metadata['name']}:{uid}"
        others = {
            device.name: other.uid
            for other in prepared
            if other.uid != uid
            for device in other.devices or ()
            if device.is_exclusive
        }
        made: list[PreparedDevice] = []
        for result in claim["status"]["allocation"]["devices"]["results"]:
            if result["driver"] != DRIVER:
                continue
            try:
                made.append(self._prepare(uid, result, others))
            except PrepareError as error:
                raise PrepareError(f"error preparing devices for claim {label}: {error}") from None
        return made

    def _prepare(
        self, uid: str, result: Mapping[str, Any], others: Mapping[str, str]
    ) -> PreparedDevice:
        name = result["device"]
        is_exclusive = not result.get("adminAccess") and not result.get("shareID")
        if is_exclusive and name in others:
            raise PrepareError(
                f"unable to prepare claim {uid}: requested device {name} is already allocated to "
                f"different claim {others[name]}"
            )
        device = self._by_name.get(name)
        if device is None:
            raise PrepareError(f'prepare devices failed: allocatable not found for device "{name}"')
        if is_exclusive and any(self._overlap(device, other) for other in others):
            raise PrepareError(
                f"prepare devices failed: error creating MIG device: error creating GPU instance "
                f"for '{name}': Insufficient Resources"
            )
        return PreparedDevice(
            request=result["request"].partition("/")[0],
            name=name,
            cdi_id=f"k8s.{DRIVER}/claim={uid}-{name}",
            is_exclusive=is_exclusive,
            seen_as=Device(
                resource=DRIVER,
                unit=device.gpu_number,
                id=device.id or made_up_id("MIG", self._node, uid, name),
                name=device.model,
                memory_mib=device.memory_mib,
                mig_profile=device.mig_profile,
            ),
        )

    def _overlap(self, device: ClaimableDevice, name: str) -> bool:
        """Say whether two devices are made of the same piece of a GPU."""
        other = self._by_name.get(name)
        if other is None or other.gpu_number != device.gpu_number:
            return False
        return bool(_memory_slices(device) & _memory_slices(other))

    def _pool(self, generation: int, wanted: Sequence[Obj]) -> Obj:
        return {
            "name": self._node,
            "generation": generation,
            "resourceSliceCount": len(wanted),
        }

    def _spec(self, content: Obj, pool: Mapping[str, Any]) -> Obj:
        return {"driver": DRIVER, "nodeName": self._node, "pool": dict(pool), **content}

    async def _create(self, index: int, spec: Obj, node: Mapping[str, Any]) -> None:
        owner = {
            "apiVersion": "v1",
            "kind": "Node",
            "name": self._node,
            "uid": node["metadata"]["uid"],
            "controller": True,
        }
        manifest = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {
                "generateName": f"{index:02x}-{DRIVER}-{self._node}-",
                "ownerReferences": [owner],
            },
            "spec": spec,
        }
        await self._client.create(SLICES, manifest)

    async def _update(self, known: Obj, spec: Obj) -> None:
        _keep_dates(spec.get("devices") or (), known["spec"].get("devices") or ())
        await self._client.replace(f"{SLICES}/{known['metadata']['name']}", {**known, "spec": spec})

    async def _delete(self, known: Obj) -> None:
        try:
            await self._client.delete(f"{SLICES}/{known['metadata']['name']}")
        except ClusterError as error:
            if error.status != 404:
                raise


def _index(resource_slice: Mapping[str, Any]) -> int:
    """Return which of its pool's slices it is: that is what its name begins with."""
    try:
        return int(resource_slice["metadata"]["name"].partition("-")[0], 16)
    except ValueError:
        return -1


def _differs(spec: Mapping[str, Any], wanted: Mapping[str, Any], pool: Mapping[str, Any]) -> bool:
    return (
        spec["pool"] != pool
        or spec.get("sharedCounters") != wanted.get("sharedCounters")
        or _undated(spec.get("devices")) != wanted.get("devices")
    )


def _undated(devices: Sequence[Obj] | None) -> list[Obj] | None:
    """Leave out since when devices are tainted: the API server dates taints."""
    if devices is None:
        return None
    plain = []
    for device in devices:
        copy = dict(device)
        if "taints" in copy:
            copy["taints"] = [
                {key: value for key, value in taint.items() if key != "timeAdded"}
                for taint in copy["taints"]
            ]
        plain.append(copy)
    return plain


def _keep_dates(devices: Iterable[Obj], known: Iterable[Obj]) -> None:
    """Leave the taints that were there the date they have."""
    dates = {
        (device["name"], taint["key"], taint.get("value")): taint.get("timeAdded")
        for device in known
        for taint in device.get("taints") or ()
    }
    for device in devices:
        if "taints" in device:
            device["taints"] = [
                taint | ({"timeAdded": date} if date else {})
                for taint in device["taints"]
                for date in [dates.get((device["name"], taint["key"], taint.get("value")))]
            ]


def _memory_slices(device: ClaimableDevice) -> set[str]:
    return {
        counter
        for used in device.manifest.get("consumesCounters") or ()
        for counter in used["counters"]
        if counter.startswith("memory-slice-")
    }
