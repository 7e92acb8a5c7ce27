"""The controller that makes ResourceClaims from templates, and takes them back.

On a real API server the controller manager does this (its ``resource_claim`` controller); here it
is an ordinary client. A claim is made for every pod that names a template; when a pod is done or
gone its reservation ends, with the last one the claim gives its devices back, and a claim that was
made for the pod is deleted.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.informer import Informer, ObjectKey, key_of
from gpu_spawner.sim.pod_claims import (
    ALLOCATED_FINALIZER,
    CLAIMS,
    ClaimNotReadyError,
    claim_name,
    claims_path,
    is_allocated,
    is_done,
    is_reserved_for,
    owner_complaint,
    owning_pod,
    pod_user,
    used_claim_names,
)
from gpu_spawner.sim.recorder import EventRecorder, pod_reference
from gpu_spawner.sim.workqueue import WorkQueue

__all__ = ["ClaimController"]

Obj = dict[str, Any]

_TEMPLATES = "/apis/resource.k8s.io/v1/resourceclaimtemplates"
_POD_CLAIM_ANNOTATION = "resource.kubernetes.io/pod-claim-name"
_COMPONENT = "resource_claim"
# A generated name gets a hyphen and five more characters, and has to stay below 64.
_MOST_NAME_CHARACTERS = 57
_MOST_GONE_REMEMBERED = 500


class ClaimController:
    """Makes and cleans up the claims of pods; ``run`` until cancelled."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._recorder = EventRecorder(client, _COMPONENT)
        self._queue = WorkQueue(self._work)
        self._pods = Informer(client, "/api/v1/pods", self._on_pod)
        self._claims = Informer(client, CLAIMS, self._on_claim)
        self._templates = Informer(client, _TEMPLATES, self._on_template)
        # Pods seen to go, by uid: for these no one has to ask the API server.
        self._gone: dict[str, None] = {}
        # Made, but not yet seen in the watch: (uid of the pod, name of its entry) -> claim.
        self._made: dict[tuple[str, str], Obj] = {}

    async def run(self) -> None:
        """Serve pods and claims until cancelled."""
        informers = (self._pods, self._claims, self._templates)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run())
            for informer in informers:
                group.create_task(informer.run())
            for informer in informers:
                # With half the picture a second claim would be made where there is one.
                await informer.synced.wait()
            await self._queue.run()

    def _on_pod(self, event: str, pod: Obj) -> None:
        is_gone = event == "DELETED"
        names = list(used_claim_names(pod))
        if not names and not pod["spec"].get("resourceClaims"):
            return
        if is_gone:
            self._remember_gone(pod["metadata"]["uid"])
        if is_gone or is_done(pod):
            for name in names:
                self._queue.add(("claim", pod["metadata"]["namespace"], name))
        if not is_gone and not pod["metadata"].get("deletionTimestamp") and self._needs_work(pod):
            self._queue.add(("pod", *key_of(pod)))

    def _on_claim(self, event: str, claim: Obj) -> None:
        namespace, name = key_of(claim)
        if event != "DELETED":
            self._queue.add(("claim", namespace, name))
            if entry := (claim["metadata"].get("annotations") or {}).get(_POD_CLAIM_ANNOTATION):
                self._made.pop((owning_pod(claim)[1], entry), None)
        for (pod_namespace, _), pod in list(self._pods.objects.items()):
            if pod_namespace == namespace and name in used_claim_names(pod):
                self._on_pod("MODIFIED", pod)

    def _on_template(self, event: str, template: Obj) -> None:
        namespace, name = key_of(template)
        if event == "DELETED":
            return
        for (pod_namespace, _), pod in list(self._pods.objects.items()):
            entries = pod["spec"].get("resourceClaims") or ()
            named = {entry.get("resourceClaimTemplateName") for entry in entries}
            if pod_namespace == namespace and name in named:
                self._on_pod("MODIFIED", pod)

    def _remember_gone(self, uid: str) -> None:
        if len(self._gone) >= _MOST_GONE_REMEMBERED:
            del self._gone[next(iter(self._gone))]
        self._gone[uid] = None
        for key in [key for key in self._made if key[0] == uid]:
            del self._made[key]

    def _needs_work(self, pod: Obj) -> bool:
        """Say whether a claim of the pod has yet to be made, or to be reserved for it."""
        for entry in pod["spec"].get("resourceClaims") or ():
            try:
                name = claim_name(pod, entry)
            except ClaimNotReadyError:
                return True
            if name is None:
                continue
            claim = self._claims.objects.get((pod["metadata"]["namespace"], name))
            if claim is None:
                if "resourceClaimTemplateName" in entry:
                    return True
            elif not owner_complaint(pod, entry, claim) and _is_to_reserve(pod, claim):
                return True
        return False

    async def _work(self, key: tuple[str, str, str]) -> None:
        kind, namespace, name = key
        if kind == "claim":
            if (claim := self._claims.objects.get((namespace, name))) is not None:
                await self._settle_claim(claim)
        elif (pod := self._pods.objects.get((namespace, name))) is not None:
            await self._settle_pod(pod)

    async def _settle_pod(self, pod: Obj) -> None:
        """Make the claims a pod lacks, note their names on it, and reserve what it runs with."""
        if pod["metadata"].get("deletionTimestamp"):
            return
        made: dict[str, str] = {}
        for entry in pod["spec"].get("resourceClaims") or ():
            try:
                name = await self._ensure_claim(pod, entry)
            except ClusterError as error:
                message = f"PodResourceClaim {entry['name']}: {error.message or error}"
                reference = pod_reference(pod)
                self._recorder.record(
                    reference, "Warning", "FailedResourceClaimCreation", message, host=""
                )
                raise
            if name:
                made[entry["name"]] = name
        metadata = pod["metadata"]
        if made:
            statuses = [{"name": key, "resourceClaimName": made[key]} for key in sorted(made)]
            body = {
                "metadata": {"uid": metadata["uid"]},
                "status": {"resourceClaimStatuses": statuses},
            }
            path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
            await self._client.patch(path, body, strategic=True)
        if pod["spec"].get("nodeName"):
            # A pod that was bound by hand: no scheduler has reserved its claims.
            for claim in self._claims_of(pod):
                if _is_to_reserve(pod, claim):
                    await self._write_users(claim, [*_users(claim), pod_user(pod)])

    async def _ensure_claim(self, pod: Obj, entry: Mapping[str, Any]) -> str:
        """Return the name of the claim made for an entry now; empty where there is nothing to do.

        Raises:
            ClusterError: it cannot be made; the message says why.
        """
        template_name = entry.get("resourceClaimTemplateName")
        if template_name is None:
            return ""
        namespace = pod["metadata"]["namespace"]
        try:
            name = claim_name(pod, entry)
            if name is None:
                return ""
            known = self._claims.objects.get((namespace, name))
            if known is not None and not owner_complaint(pod, entry, known):
                return ""
        except ClaimNotReadyError:
            pass
        if orphan := self._find_made(pod, entry["name"]):
            # An earlier life of this controller made it, and did not get to note its name.
            return str(orphan["metadata"]["name"])
        template = self._templates.objects.get((namespace, template_name))
        if template is None:
            raise ClusterError(
                f"making claim {entry['name']}",
                status=404,
                reason="NotFound",
                message=f'resource claim template "{template_name}": '
                f'resourceclaimtemplate.resource.k8s.io "{template_name}" not found',
            )
        try:
            claim = await self._client.create(
                claims_path(namespace), _claim_from(template, pod, entry["name"])
            )
        except ClusterError as error:
            raise ClusterError(
                error.doing,
                status=error.status,
                reason=error.reason,
                message=f"create ResourceClaim : {error.message}",
            ) from error
        self._made[pod["metadata"]["uid"], entry["name"]] = claim
        return str(claim["metadata"]["name"])

    def _find_made(self, pod: Obj, entry_name: str) -> Obj | None:
        uid = pod["metadata"]["uid"]
        for claim in self._claims.objects.values():
            annotations = claim["metadata"].get("annotations") or {}
            if owning_pod(claim)[1] == uid and annotations.get(_POD_CLAIM_ANNOTATION) == entry_name:
                return claim
        return self._made.get((uid, entry_name))

    def _claims_of(self, pod: Obj) -> Iterator[Obj]:
        for entry in pod["spec"].get("resourceClaims") or ():
            try:
                name = claim_name(pod, entry)
            except ClaimNotReadyError:
                continue
            claim = self._claims.objects.get((pod["metadata"]["namespace"], name or ""))
            if claim is not None and not owner_complaint(pod, entry, claim):
                yield claim

    async def _settle_claim(self, claim: Obj) -> None:
        """End the reservations of pods that need it no more, and what follows from that."""
        users = _users(claim)
        remaining = [user for user in users if await self._is_used_by(claim, user)]
        is_protected = ALLOCATED_FINALIZER in (claim["metadata"].get("finalizers") or ())
        is_going = bool(claim["metadata"].get("deletionTimestamp"))
        if len(remaining) < len(users):
            claim = await self._write_users(claim, remaining)
            if is_protected and not is_allocated(claim):
                claim = await self._unprotect(claim)
        elif is_protected and is_going and not remaining:
            if is_allocated(claim):
                claim = await self._write_users(claim, ())
            claim = await self._unprotect(claim)
        if remaining or claim["metadata"].get("deletionTimestamp"):
            return
        pod_name, pod_uid = owning_pod(claim)
        pod = self._pods.objects.get((claim["metadata"]["namespace"], pod_name))
        # Where the pod is gone for good the garbage collector takes the claim.
        if pod is not None and (pod["metadata"]["uid"] != pod_uid or is_done(pod)):
            await self._delete(key_of(claim), claim["metadata"]["uid"])

    async def _is_used_by(self, claim: Obj, user: Mapping[str, Any]) -> bool:
        if user.get("apiGroup") or user["resource"] != "pods":
            # Whoever it is has to look after its reservation itself.
            return True
        if user["uid"] in self._gone:
            return False
        namespace, name = claim["metadata"]["namespace"], user["name"]
        pod = self._pods.objects.get((namespace, name))
        if pod is None:
            # The watch may be behind the scheduler: only the API server knows.
            pod = await self._client.get_or_none(f"/api/v1/namespaces/{namespace}/pods/{name}")
            return pod is not None and pod["metadata"]["uid"] == user["uid"]
        return pod["metadata"]["uid"] == user["uid"] and not is_done(pod)

    async def _write_users(self, claim: Obj, users: Any) -> Obj:
        """Say for whom a claim is reserved; with the last one its devices are free."""
        status = {**(claim.get("status") or {}), "reservedFor": list(users)}
        if not users:
            status.pop("reservedFor")
            status.pop("allocation", None)
        path = f"{claims_path(*key_of(claim))}/status"
        # With its version: somebody may have reserved it meanwhile.
        return await self._client.replace(path, {**claim, "status": status})

    async def _unprotect(self, claim: Obj) -> Obj:
        metadata = claim["metadata"]
        kept = [each for each in metadata["finalizers"] if each != ALLOCATED_FINALIZER]
        body = {**claim, "metadata": {**metadata, "finalizers": kept}}
        return await self._client.replace(claims_path(*key_of(claim)), body)

    async def _delete(self, key: ObjectKey, uid: str) -> None:
        try:
            await self._client.delete(claims_path(*key), uid=uid)
        except ClusterError as error:
            if error.status != 404:
                raise


def _users(claim: Mapping[str, Any]) -> list[Obj]:
    return (claim.get("status") or {}).get("reservedFor") or []


def _is_to_reserve(pod: Obj, claim: Obj) -> bool:
    is_bound = bool(pod["spec"].get("nodeName"))
    return is_bound and is_allocated(claim) and not is_reserved_for(claim, pod)


def _claim_from(template: Obj, pod: Obj, entry_name: str) -> Obj:
    wanted = template["spec"].get("metadata") or {}
    pod_name = pod["metadata"]["name"]
    metadata: Obj = {
        "generateName": _generated_prefix(pod_name, entry_name),
        "annotations": {**(wanted.get("annotations") or {}), _POD_CLAIM_ANNOTATION: entry_name},
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": pod_name,
                "uid": pod["metadata"]["uid"],
                "controller": True,
            }
        ],
    }
    if wanted.get("labels"):
        metadata["labels"] = wanted["labels"]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": metadata,
        "spec": template["spec"]["spec"],
    }


def _generated_prefix(pod_name: str, entry_name: str) -> str:
    """Return what a claim's name begins with; of names too long both keep their share."""
    whole = f"{pod_name}-{entry_name}-"
    if len(whole) <= _MOST_NAME_CHARACTERS:
        return whole
    pod_share = len(pod_name) * _MOST_NAME_CHARACTERS // len(whole)
    entry_share = len(entry_name) * _MOST_NAME_CHARACTERS // len(whole)
    return f"{pod_name[:pod_share]}-{entry_name[:entry_share]}"
