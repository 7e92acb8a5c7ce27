"""What the scheduler knows of claims, and how it gives devices to a pod before binding it.

Claims are known as the watch shows them and as the scheduler itself last wrote them, whichever is
newer: between the two a device must not be given away a second time. Words are kube-scheduler's
(its ``dynamicresources`` plugin, 1.36).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.core.placement.extended_resources import EXTENDED_CLAIM
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.extended_claim import ExtendedClaim
from gpu_spawner.sim.informer import ObjectKey, key_of
from gpu_spawner.sim.pod_claims import (
    ALLOCATED_FINALIZER,
    ClaimNotReadyError,
    claim_name,
    claims_path,
    is_allocated,
    is_reserved_for,
    owner_complaint,
    pod_user,
)
from gpu_spawner.sim.times import now_utc, time_text

__all__ = ["ClaimBinding", "Written"]

Obj = dict[str, Any]
Allocations = Mapping[str, Mapping[str, Any]]


class Written(NamedTuple):
    """A claim that was written, and what was done besides reserving it."""

    key: ObjectKey
    is_allocated: bool
    is_made: bool = False


_EXTENDED_STATUS = "extendedResourceClaimStatus"
# How often client-go tries a write again that met a newer version (retry.DefaultRetry).
_ATTEMPTS = 5


class ClaimBinding:
    """The claims of a cluster, and what a scheduler does with them.

    Args:
        on_change: called with ADDED, MODIFIED or DELETED and the claim, in the order in which
            claims really changed.
    """

    def __init__(self, client: KubeClient, on_change: Callable[[str, Obj], None]) -> None:
        self._client = client
        self._on_change = on_change
        self._claims: dict[ObjectKey, Obj] = {}

    def on_event(self, event: str, claim: Obj) -> None:
        """Take note of what the watch shows, unless something newer is known already."""
        key = key_of(claim)
        known = self._claims.get(key)
        is_same = known is not None and known["metadata"]["uid"] == claim["metadata"]["uid"]
        if event == "DELETED":
            if known is None or is_same:
                self._claims.pop(key, None)
                self._on_change(event, claim)
        elif known is None or not is_same or _version(known) < _version(claim):
            self._claims[key] = claim
            self._on_change(event, claim)

    def obstacle(self, pod: Mapping[str, Any]) -> str:
        """Say why a pod is not even looked at yet; empty where all its claims can be used.

        Nobody is told: the pod gets neither a condition nor an event.
        """
        namespace = pod["metadata"]["namespace"]
        for entry in pod["spec"].get("resourceClaims") or ():
            try:
                name = claim_name(pod, entry)
            except ClaimNotReadyError as error:
                return str(error)
            if name is None:
                continue
            claim = self._claims.get((namespace, name))
            if claim is None:
                return f'resourceclaim.resource.k8s.io "{name}" not found'
            if claim["metadata"].get("deletionTimestamp"):
                return f'resourceclaim "{name}" is being deleted'
            if complaint := owner_complaint(pod, entry, claim):
                return complaint
        return ""

    async def bind(
        self,
        pod: Mapping[str, Any],
        allocations: Allocations,
        extended: ExtendedClaim | None = None,
    ) -> list[Written]:
        """Give a pod the devices decided for it, and reserve what it shares; all or nothing.

        Args:
            pod: as last seen.
            allocations: the ``status.allocation`` of each claim that has none yet, by the name
                the pod has for the claim.
            extended: the claim to make for the pod's extended resources, if any is to be made.

        Returns:
            What :meth:`take_back` needs to undo it.

        Raises:
            ClusterError: somebody was faster; what was written is taken back.
        """
        given: list[Written] = []
        try:
            for entry in pod["spec"].get("resourceClaims") or ():
                name = claim_name(pod, entry)
                key = pod["metadata"]["namespace"], name or ""
                claim = self._claims.get(key)
                if name is None or (claim is not None and is_reserved_for(claim, pod)):
                    continue
                allocation = allocations.get(entry["name"])
                given.append(Written(key, allocation is not None))
                await self._give(key, pod, allocation)
            if extended is not None:
                await self._make(extended, pod, allocations[EXTENDED_CLAIM], given)
        except ClusterError:
            await self.take_back(pod, given)
            raise
        return given

    async def take_back(self, pod: Mapping[str, Any], given: Sequence[Written]) -> None:
        """Undo what :meth:`bind` wrote."""
        for key, frees, is_made in given:
            try:
                await self._write(key, partial(_without, pod=pod, frees=frees))
                if is_made:
                    # Its finalizer keeps it until the claim controller has seen to it.
                    await self._client.delete(claims_path(*key))
            except ClusterError as error:
                # 404: with the claim, everything is undone. Otherwise the claim controller finds
                # out when the pod is gone.
                if error.status not in (404, 409):
                    raise

    async def _make(
        self,
        extended: ExtendedClaim,
        pod: Mapping[str, Any],
        allocation: Mapping[str, Any],
        given: list[Written],
    ) -> None:
        """Make the claim for extended resources, and note on the pod who uses what of it."""
        metadata = pod["metadata"]
        claim = await self._client.create(
            claims_path(metadata["namespace"]), extended.manifest(pod)
        )
        self.on_event("ADDED", claim)
        key = key_of(claim)
        given.append(Written(key, is_allocated=True, is_made=True))
        await self._give(key, pod, allocation)
        noted = {
            "resourceClaimName": claim["metadata"]["name"],
            "requestMappings": list(extended.mappings),
        }
        body = {"metadata": {"uid": metadata["uid"]}, "status": {_EXTENDED_STATUS: noted}}
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        await self._client.patch(path, body, strategic=True)

    async def _give(
        self, key: ObjectKey, pod: Mapping[str, Any], allocation: Mapping[str, Any] | None
    ) -> None:
        if allocation is not None:
            await self._protect(key)
        await self._write(key, partial(_with, pod=pod, allocation=allocation))

    async def _protect(self, key: ObjectKey) -> None:
        """Keep a claim that is about to hold devices from vanishing."""
        claim = self._claims.get(key) or await self._client.get(claims_path(*key))
        for attempt in range(_ATTEMPTS):
            metadata = claim["metadata"]
            finalizers = metadata.get("finalizers") or []
            if ALLOCATED_FINALIZER in finalizers:
                return
            body = {
                **claim,
                "metadata": {**metadata, "finalizers": [*finalizers, ALLOCATED_FINALIZER]},
            }
            try:
                self._note(await self._client.replace(claims_path(*key), body))
            except ClusterError as error:
                if error.status != 409 or attempt == _ATTEMPTS - 1:
                    raise
                claim = await self._client.get(claims_path(*key))
            else:
                return

    async def _write(self, key: ObjectKey, change: Callable[[Obj], Obj]) -> None:
        """Write a claim's status as ``change`` makes it of the present one."""
        claim = self._claims.get(key) or await self._client.get(claims_path(*key))
        for attempt in range(_ATTEMPTS):
            status = change(claim)
            try:
                written = await self._client.replace(
                    f"{claims_path(*key)}/status", {**claim, "status": status}
                )
            except ClusterError as error:
                if error.status != 409 or attempt == _ATTEMPTS - 1:
                    raise
                claim = await self._client.get(claims_path(*key))
            else:
                self._note(written)
                return

    def _note(self, claim: Obj) -> None:
        self.on_event("MODIFIED", claim)


def _with(claim: Obj, *, pod: Mapping[str, Any], allocation: Mapping[str, Any] | None) -> Obj:
    """Return a claim's status once it is reserved for a pod.

    Raises:
        ClusterError: it is not what it was when this was decided.
    """
    name = claim["metadata"]["name"]
    status = claim.get("status") or {}
    if claim["metadata"].get("deletionTimestamp"):
        raise _lost(f"claim {name} got deleted in the meantime")
    if allocation is not None and is_allocated(claim):
        raise _lost(f"claim {name} got allocated elsewhere in the meantime")
    if allocation is None and not is_allocated(claim):
        raise _lost(f"claim {name} got deallocated elsewhere in the meantime")
    held = status.get("allocation")
    if allocation is not None:
        held = {**allocation, "allocationTimestamp": time_text(now_utc())}
    users = [*(status.get("reservedFor") or ()), pod_user(pod)]
    return {**status, "allocation": held, "reservedFor": users}


def _without(claim: Obj, *, pod: Mapping[str, Any], frees: bool) -> Obj:
    status = dict(claim.get("status") or {})
    uid = pod["metadata"]["uid"]
    users = [user for user in status.pop("reservedFor", None) or () if user["uid"] != uid]
    if users:
        status["reservedFor"] = users
    elif frees:
        status.pop("allocation", None)
    return status


def _lost(message: str) -> ClusterError:
    return ClusterError("binding a claim", status=409, reason="Conflict", message=message)


def _version(claim: Mapping[str, Any]) -> int:
    return int(claim["metadata"]["resourceVersion"])
