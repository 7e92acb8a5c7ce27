"""What the DaemonSet controller asks of the API, each with the event a real one would write."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.daemonsets.daemon_pods import owner_reference, pod_for_node
from gpu_spawner.sim.daemonsets.state import Note
from gpu_spawner.sim.recorder import EventRecorder, object_reference

__all__ = ["DaemonApi", "daemon_set_path", "revisions_path"]

_log = logging.getLogger(__name__)

Obj = dict[str, Any]

# Pods are made in batches that double as long as nothing is refused, and so many in one round.
_FIRST_BATCH = 1
_MOST_AT_ONCE = 250


def daemon_set_path(daemon_set: Mapping[str, Any]) -> str:
    """Return the path of a DaemonSet."""
    metadata = daemon_set["metadata"]
    return f"/apis/apps/v1/namespaces/{metadata['namespace']}/daemonsets/{metadata['name']}"


def revisions_path(namespace: str) -> str:
    """Return the path of a namespace's revisions."""
    return f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions"


class DaemonApi:
    """Writes pods, revisions, status and events."""

    def __init__(self, client: KubeClient, recorder: EventRecorder) -> None:
        self.client = client
        self._recorder = recorder

    def note(self, daemon_set: Obj, note: Note) -> None:
        """Write an event about a DaemonSet."""
        involved = object_reference("apps/v1", "DaemonSet", daemon_set)
        self._recorder.record(involved, note.kind, note.reason, note.message)

    async def create_pods(
        self, daemon_set: Obj, nodes: Sequence[str], revision_hash: str
    ) -> tuple[list[Obj], list[ClusterError]]:
        """Make a pod for each node, until one is refused; return those made and what was said."""
        made: list[Obj] = []
        errors: list[ClusterError] = []
        waiting = list(nodes[:_MOST_AT_ONCE])
        size = _FIRST_BATCH
        while waiting and not errors:
            batch, waiting = waiting[:size], waiting[size:]
            size *= 2
            for outcome in await asyncio.gather(
                *(self._create_pod(daemon_set, node, revision_hash) for node in batch)
            ):
                if isinstance(outcome, ClusterError):
                    errors.append(outcome)
                elif outcome is not None:
                    made.append(outcome)
        return made, errors

    async def delete_pods(
        self, daemon_set: Obj, names: Sequence[str]
    ) -> tuple[list[str], list[ClusterError]]:
        """Delete pods; return the names of those that go and what was said of the others."""
        chosen = names[:_MOST_AT_ONCE]
        outcomes = await asyncio.gather(*(self._delete_pod(daemon_set, name) for name in chosen))
        going = [name for name, error in zip(chosen, outcomes, strict=True) if error is None]
        return going, [error for error in outcomes if error is not None and error.status != 404]

    async def write_status(self, daemon_set: Obj, status: Obj) -> None:
        """Write the status, once more on a conflict.

        Raises:
            ClusterError: it was refused.
        """
        path = daemon_set_path(daemon_set)
        try:
            await self.client.replace(f"{path}/status", {**daemon_set, "status": status})
        except ClusterError as error:
            if error.status != 409:
                raise
            fresh = await self.client.get(path)
            if fresh["metadata"]["uid"] != daemon_set["metadata"]["uid"]:
                return
            await self.client.replace(f"{path}/status", {**fresh, "status": status})

    async def adopt(self, daemon_set: Obj, path: str, obj: Obj) -> None:
        """Make an orphan the DaemonSet's own.

        The DaemonSet is read anew first: one watch may be behind another, and who is taken in by
        one that goes goes with it (``RecheckDeletionTimestamp`` of the real controllers).

        Raises:
            ClusterError: it was refused, or the DaemonSet is being deleted.
        """
        doing, fresh = "taking in an orphan", await self.client.get(daemon_set_path(daemon_set))
        is_same = fresh["metadata"]["uid"] == daemon_set["metadata"]["uid"]
        if not is_same or "deletionTimestamp" in fresh["metadata"]:
            message = f"{daemon_set['metadata']['name']} has just been deleted"
            raise ClusterError(doing, status=409, reason="Conflict", message=message)
        metadata = {"uid": obj["metadata"]["uid"], "ownerReferences": [owner_reference(daemon_set)]}
        await self.client.patch(path, {"metadata": metadata}, strategic=True)

    async def release(self, daemon_set: Obj, path: str, obj: Obj) -> None:
        """Make an orphan of what the selector matches no longer.

        Raises:
            ClusterError: it was refused.
        """
        gone = {"$patch": "delete", "uid": daemon_set["metadata"]["uid"]}
        metadata = {"uid": obj["metadata"]["uid"], "ownerReferences": [gone]}
        await self.client.patch(path, {"metadata": metadata}, strategic=True)

    async def _create_pod(
        self, daemon_set: Obj, node: str, revision_hash: str
    ) -> Obj | ClusterError | None:
        pod = pod_for_node(daemon_set, node, revision_hash)
        path = f"/api/v1/namespaces/{daemon_set['metadata']['namespace']}/pods"
        try:
            made = await self.client.create(path, pod)
        except ClusterError as error:
            if "because it is being terminated" in error.message:
                # The namespace goes, and the DaemonSet with it.
                return None
            text = f"Error creating: {error.message or error}"
            self.note(daemon_set, Note(kind="Warning", reason="FailedCreate", message=text))
            return error
        text = f"Created pod: {made['metadata']['name']}"
        self.note(daemon_set, Note(kind="Normal", reason="SuccessfulCreate", message=text))
        return made

    async def _delete_pod(self, daemon_set: Obj, name: str) -> ClusterError | None:
        path = f"/api/v1/namespaces/{daemon_set['metadata']['namespace']}/pods/{name}"
        try:
            await self.client.delete(path)
        except ClusterError as error:
            if error.status != 404:
                text = f"Error deleting: {error.message or error}"
                self.note(daemon_set, Note(kind="Warning", reason="FailedDelete", message=text))
            return error
        text = f"Deleted pod: {name}"
        self.note(daemon_set, Note(kind="Normal", reason="SuccessfulDelete", message=text))
        return None
