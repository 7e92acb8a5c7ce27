"""The kubelet's part of Dynamic Resource Allocation on one node: whose devices are ready.

The claims of a pod are prepared before its containers start and unprepared after all of them have
ended. Words are the kubelet's (kubernetes/pkg/kubelet/cm/dra, 1.36), because they end up in events.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.claimable_devices import DRIVER
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.node.dra_driver import DraDriver, PrepareError
from gpu_spawner.sim.node.gpus import Device
from gpu_spawner.sim.node.prepared_claims import PreparedClaim, PreparedClaims, PreparedDevice
from gpu_spawner.sim.pod_claims import (
    ClaimNotReadyError,
    claim_name,
    claims_path,
    is_allocated,
    is_reserved_for,
    owner_complaint,
)

__all__ = ["ClaimedDevices"]

Obj = Mapping[str, Any]


class ClaimedDevices:
    """The claimed devices of the pods of one node.

    Attributes:
        driver: None on a node where no driver is installed.
    """

    def __init__(
        self, client: KubeClient, driver: DraDriver | None, prepared: PreparedClaims
    ) -> None:
        self.driver = driver
        self._client = client
        self._prepared = prepared

    async def prepare(self, pod: Obj) -> None:
        """Make the devices of all of a pod's claims ready; done already, it does nothing.

        Raises:
            PrepareError: one cannot be; the pod has to wait.
            ClusterError: the API server did not answer.
        """
        # Nothing is noted before everything has been looked at: a pod that cannot be served must
        # not get stuck when it is deleted.
        claims = [await self._usable_claim(pod, entry) for entry in _entries(pod)]
        for claim in filter(None, claims):
            known = self._note_use(claim, pod)
            if known.devices is None and self.driver is not None:
                name = claim["metadata"]["name"]
                try:
                    known.devices = self.driver.prepare(claim, self._prepared)
                except PrepareError as error:
                    raise PrepareError(
                        f"NodePrepareResources failed for ResourceClaim {name}: {error}"
                    ) from None
                self._prepared.put(known)

    def unprepare(self, pod_uid: str) -> None:
        """Give back the devices that no pod but this one uses; its containers must have ended."""
        for claim in self._prepared:
            if pod_uid in claim.pod_uids:
                claim.pod_uids.remove(pod_uid)
                if claim.pod_uids:
                    self._prepared.put(claim)
                else:
                    self._prepared.drop(claim.uid)

    def unprepare_others(self, pod_uids: Iterable[str]) -> None:
        """Give back the devices of all pods but these."""
        known = set(pod_uids)
        for claim in self._prepared:
            for uid in [each for each in claim.pod_uids if each not in known]:
                self.unprepare(uid)

    def devices_of(self, pod: Obj, container: Obj) -> tuple[Device, ...]:
        """Return what a container sees of its pod's claims."""
        found = (device for _, devices in self._claimed(pod, container) for device in devices)
        return tuple(dict.fromkeys(device.seen_as for device in found))

    def health_of(self, pod: Obj, container: Obj) -> list[dict[str, Any]]:
        """Return the ``allocatedResourcesStatus`` of a container.

        This driver reports no health to the kubelet, which then has none to show.
        """
        return [
            {
                "name": name,
                "resources": [
                    {"resourceID": device.cdi_id, "health": "Unknown"} for device in devices
                ],
            }
            for name, devices in self._claimed(pod, container)
            if name and devices
        ]

    async def _usable_claim(self, pod: Obj, entry: Obj) -> dict[str, Any] | None:
        metadata = pod["metadata"]
        try:
            name = claim_name(pod, entry)
        except ClaimNotReadyError as error:
            raise PrepareError(str(error)) from None
        if name is None:
            return None
        try:
            claim = await self._client.get(claims_path(metadata["namespace"], name))
        except ClusterError as error:
            if error.status != 404:
                raise
            raise PrepareError(f"fetch ResourceClaim {name}: {error.message}") from None
        if complaint := owner_complaint(pod, entry, claim):
            raise PrepareError(complaint)
        if not is_reserved_for(claim, pod):
            raise PrepareError(
                f"pod {metadata['name']} ({metadata['uid']}) is not allowed to use ResourceClaim "
                f"{name} ({claim['metadata']['uid']})"
            )
        if not is_allocated(claim):
            raise PrepareError(f"ResourceClaim {name}: not allocated")
        for result in claim["status"]["allocation"]["devices"].get("results") or ():
            if result["driver"] != DRIVER or self.driver is None:
                raise PrepareError(f"DRA driver {result['driver']} is not registered")
        return claim

    def _note_use(self, claim: Obj, pod: Obj) -> PreparedClaim:
        metadata, pod_uid = claim["metadata"], pod["metadata"]["uid"]
        known = self._prepared.named(metadata["namespace"], metadata["name"])
        if known is None:
            known = PreparedClaim(
                uid=metadata["uid"],
                namespace=metadata["namespace"],
                name=metadata["name"],
                pod_uids=[],
            )
        elif known.uid != metadata["uid"]:
            raise PrepareError(
                f"old ResourceClaim with same name {known.name} and different UID {known.uid} "
                "still exists (previous pod force-deleted?!)"
            )
        if pod_uid not in known.pod_uids:
            known.pod_uids.append(pod_uid)
            self._prepared.put(known)
        return known

    def _claimed(self, pod: Obj, container: Obj) -> Iterator[tuple[str, list[PreparedDevice]]]:
        """Yield the devices a container uses, by the name under which its status shows them.

        Devices that stand for extended resources have none.
        """
        resources = container.get("resources") or {}
        entries = {entry["name"]: entry for entry in pod["spec"].get("resourceClaims") or ()}
        for use in resources.get("claims") or ():
            request, name = use.get("request") or "", use["name"]
            shown = f"claim:{name}/{request}" if request else f"claim:{name}"
            yield shown, self._devices_for(pod, entries[name], {request} if request else None)
        special = (pod.get("status") or {}).get("extendedResourceClaimStatus")
        if special:
            requests = {
                mapping["requestName"]
                for mapping in special["requestMappings"]
                if mapping["containerName"] == container["name"]
                and mapping["resourceName"] in (resources.get("requests") or {})
            }
            yield "", self._devices_for(pod, _special_entry(special), requests)

    def _devices_for(self, pod: Obj, entry: Obj, requests: set[str] | None) -> list[PreparedDevice]:
        """Return the devices of a claim, those of some requests only where these are given."""
        name = claim_name(pod, entry)
        known = self._prepared.named(pod["metadata"]["namespace"], name or "")
        devices = known.devices if known is not None else None
        wanted = None if requests is None else {each.partition("/")[0] for each in requests}
        return [each for each in devices or () if wanted is None or each.request in wanted]


def _entries(pod: Obj) -> Iterator[Obj]:
    """Yield the pod's claims, that of its extended resources last."""
    yield from pod["spec"].get("resourceClaims") or ()
    special = (pod.get("status") or {}).get("extendedResourceClaimStatus")
    if special:
        yield _special_entry(special)


def _special_entry(special: Obj) -> Obj:
    return {"name": "", "resourceClaimName": special["resourceClaimName"]}
