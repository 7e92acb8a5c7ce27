"""The DaemonSet controller of the embedded cluster; on a real API server its own does this.

An ordinary client. It keeps one pod of every DaemonSet on each node that should have one, replaces
pods as a template changes, keeps the history of templates, and reports. What is right is decided in
``daemonsets``, as Kubernetes 1.36 has it; here is when, and in which order it is written.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from gpu_spawner.core.cluster.objects import node_from_api
from gpu_spawner.core.errors import ClusterError, ConfigError
from gpu_spawner.sim.apiserver.selectors import matches_labels
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.daemonsets import revisions as history
from gpu_spawner.sim.daemonsets.api_calls import DaemonApi, daemon_set_path, revisions_path
from gpu_spawner.sim.daemonsets.daemon_pods import HASH_LABEL, controller_of, is_going, is_ready
from gpu_spawner.sim.daemonsets.node_verdicts import NodeVerdicts
from gpu_spawner.sim.daemonsets.pod_index import PodIndex
from gpu_spawner.sim.daemonsets.rollout import roll_out
from gpu_spawner.sim.daemonsets.state import DaemonState, Steps
from gpu_spawner.sim.daemonsets.status import daemon_status
from gpu_spawner.sim.daemonsets.upkeep import FailureBackoff, keep_up
from gpu_spawner.sim.informer import Informer, ObjectKey, key_of
from gpu_spawner.sim.recorder import EventRecorder
from gpu_spawner.sim.times import now_utc

__all__ = ["DaemonSetController"]

_log = logging.getLogger(__name__)

Obj = dict[str, Any]

_FIRST_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 30.0
# A change that no watch shows in so long a time is not waited for any more.
_LONGEST_UNSEEN_SECONDS = 300.0


class DaemonSetController:
    """Looks after all DaemonSets; ``run`` until cancelled.

    Args:
        backoff: how long pods that failed are left lying.
        clock: the present, for what has to last a while.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        backoff: FailureBackoff | None = None,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._client = client
        self._clock = clock
        self._backoff = backoff or FailureBackoff()
        self._recorder = EventRecorder(client, "daemonset-controller")
        self._api = DaemonApi(client, self._recorder)
        self._sets = Informer(client, "/apis/apps/v1/daemonsets", self._on_daemon_set)
        self._revisions = Informer(client, "/apis/apps/v1/controllerrevisions", self._on_revision)
        self._pods = PodIndex()
        self._verdicts = NodeVerdicts()
        # Uids of pods that were made or deleted and that no watch has shown so yet.
        self._unseen: dict[ObjectKey, set[str]] = {}
        self._due: dict[ObjectKey, None] = {}
        self._failures: dict[ObjectKey, int] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        nodes = Informer(self._client, "/api/v1/nodes", self._on_node)
        pods = Informer(self._client, "/api/v1/pods", self._on_pod)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run())
            for informer in (nodes, self._revisions, pods, self._sets):
                group.create_task(informer.run())
                # Half a picture would make pods that are there already.
                await informer.synced.wait()
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._due:
                    key = next(iter(self._due))
                    del self._due[key]
                    await self._attend(key)

    async def _attend(self, key: ObjectKey) -> None:
        try:
            await self._sync(key)
        except (ClusterError, ConfigError) as error:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(_FIRST_RETRY_SECONDS * 2.0 ** min(failures, 20), _LONGEST_RETRY_SECONDS)
            _log.debug("DaemonSet %s/%s: %s; again in %.2f s", *key, error, delay)
            self._enqueue_later(key, delay)
        else:
            self._failures.pop(key, None)

    def _enqueue(self, key: ObjectKey) -> None:
        self._due[key] = None
        self._wake.set()

    def _enqueue_later(self, key: ObjectKey, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._enqueue, key)

    def _on_daemon_set(self, event: str, daemon_set: Obj) -> None:
        key = key_of(daemon_set)
        if event == "DELETED":
            self._unseen.pop(key, None)
            self._verdicts.forget(daemon_set)
        else:
            self._enqueue(key)

    def _on_revision(self, event: str, revision: Obj) -> None:
        key = self._controlling(revision)
        if key is not None and event != "ADDED":
            self._enqueue(key)
        elif key is None and event != "DELETED":
            self._enqueue_matching(revision)

    def _on_node(self, event: str, obj: Obj) -> None:
        if event == "DELETED":
            # Its pods are for the collector of pods; they tell when they are gone.
            self._verdicts.forget_node(obj["metadata"]["name"])
        elif self._verdicts.see(node_from_api(obj)):
            for key in self._sets.objects:
                self._enqueue(key)

    def _on_pod(self, event: str, pod: Obj) -> None:
        former = self._pods.get(key_of(pod))
        self._pods.apply(event, pod)
        key = self._controlling(pod)
        is_ending = event == "DELETED" or is_going(pod)
        for known in {key, self._controlling(former) if former is not None else None}:
            if known is not None:
                if is_ending or event == "ADDED":
                    self._unseen.get(known, set()).discard(pod["metadata"]["uid"])
                self._enqueue(known)
        if key is None and not is_ending:
            self._enqueue_matching(pod)
        if key is not None and is_ready(pod) and (former is None or not is_ready(former)):
            seconds = self._sets.objects[key]["spec"].get("minReadySeconds") or 0
            if seconds:
                # Points in time are written to the second.
                self._enqueue_later(key, seconds + 1)

    def _controlling(self, obj: Obj) -> ObjectKey | None:
        """Return the key of the DaemonSet that controls an object, None if none does."""
        reference = controller_of(obj)
        if reference is None or reference["kind"] != "DaemonSet":
            return None
        key = obj["metadata"]["namespace"], reference["name"]
        found = self._sets.objects.get(key)
        return key if found is not None and found["metadata"]["uid"] == reference["uid"] else None

    def _enqueue_matching(self, orphan: Obj) -> None:
        if controller_of(orphan) is None and orphan["metadata"].get("labels"):
            for key, daemon_set in self._sets.objects.items():
                if key[0] == orphan["metadata"]["namespace"] and _selects(daemon_set, orphan):
                    self._enqueue(key)

    async def _sync(self, key: ObjectKey) -> None:
        daemon_set = self._sets.objects.get(key)
        if daemon_set is None or daemon_set["metadata"].get("deletionTimestamp"):
            # What belongs to one that goes is for the garbage collector.
            return
        current, old = await self._settle_history(daemon_set)
        await self._settle_owners(daemon_set)
        found = history.revision_hash(current)
        is_settled = not self._unseen.get(key)
        problem: ClusterError | None = None
        if is_settled:
            try:
                await self._improve(daemon_set, found)
                await self._forget_revisions(daemon_set, old)
            except ClusterError as error:
                problem = error
        await self._report(daemon_set, found, is_settled=is_settled)
        if problem is not None:
            raise problem

    async def _improve(self, daemon_set: Obj, revision_hash: str) -> None:
        """Do what the pods and nodes call for."""
        state = self._state(daemon_set, revision_hash)
        await self._carry_out(daemon_set, keep_up(state, self._backoff), revision_hash)
        if not self._unseen.get(key_of(daemon_set)):
            state = self._state(daemon_set, revision_hash)
            await self._carry_out(daemon_set, roll_out(state), revision_hash)

    async def _carry_out(self, daemon_set: Obj, steps: Steps, revision_hash: str) -> None:
        key = key_of(daemon_set)
        for note in steps.notes:
            self._api.note(daemon_set, note)
        if steps.look_again_seconds is not None:
            self._enqueue_later(key, steps.look_again_seconds)
        made, errors = await self._api.create_pods(daemon_set, steps.create_on, revision_hash)
        going, refused = await self._api.delete_pods(daemon_set, steps.delete)
        for pod in made:
            if self._pods.get(key_of(pod)) is None:
                self._await_sight(key, pod)
        for name in going:
            known = self._pods.get((key[0], name))
            if known is not None and not is_going(known):
                self._await_sight(key, known)
        for error in [*errors, *refused]:
            raise error

    def _await_sight(self, key: ObjectKey, pod: Obj) -> None:
        """Decide nothing about a DaemonSet until a watch has shown what was done to a pod."""
        uid = pod["metadata"]["uid"]
        unseen = self._unseen.setdefault(key, set())
        unseen.add(uid)

        def give_up() -> None:
            if uid in unseen:
                unseen.discard(uid)
                self._enqueue(key)

        asyncio.get_running_loop().call_later(_LONGEST_UNSEEN_SECONDS, give_up)

    async def _report(self, daemon_set: Obj, revision_hash: str, *, is_settled: bool) -> None:
        status = daemon_status(self._state(daemon_set, revision_hash), is_settled=is_settled)
        former = daemon_set.get("status") or {}
        if any(former.get(name, 0) != value for name, value in status.items()):
            await self._api.write_status(daemon_set, status)
        seconds = daemon_set["spec"].get("minReadySeconds") or 0
        if seconds and status["numberReady"] != status["numberAvailable"]:
            self._enqueue_later(key_of(daemon_set), seconds)

    def _state(self, daemon_set: Obj, revision_hash: str) -> DaemonState:
        return DaemonState(
            daemon_set=daemon_set,
            pods=tuple(self._pods.owned_by(daemon_set["metadata"]["uid"])),
            revision_hash=revision_hash,
            verdicts=self._verdicts.of(daemon_set),
            now=self._clock(),
        )

    async def _settle_owners(self, daemon_set: Obj) -> None:
        """Take in orphans that the selector matches, let go of what it matches no longer."""
        metadata = daemon_set["metadata"]
        namespace = metadata["namespace"]
        for pod in self._pods.orphans(namespace):
            if _selects(daemon_set, pod) and not is_going(pod):
                path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}"
                await self._api.adopt(daemon_set, path, pod)
        for pod in self._pods.owned_by(metadata["uid"]):
            if not _selects(daemon_set, pod):
                path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}"
                await self._api.release(daemon_set, path, pod)

    async def _settle_history(self, daemon_set: Obj) -> tuple[Obj, list[Obj]]:
        """Return the revision of the present template, made if need be, and the others."""
        current: list[Obj] = []
        old: list[Obj] = []
        for revision in await self._own_revisions(daemon_set):
            is_current = history.has_template_of(revision, daemon_set)
            (current if is_current else old).append(revision)
        number = history.next_number(old)
        if not current:
            return await self._make_revision(daemon_set, number), old
        kept = history.latest(current)
        for double in current:
            if double is not kept:
                await self._merge_revision(daemon_set, double, kept)
        if kept["revision"] < number:
            # The template is one it has had before: that revision is now the newest.
            path = f"{revisions_path(key_of(kept)[0])}/{kept['metadata']['name']}"
            kept = await self._client.replace(path, {**kept, "revision": number})
        return kept, old

    async def _own_revisions(self, daemon_set: Obj) -> list[Obj]:
        found = []
        namespace, uid = daemon_set["metadata"]["namespace"], daemon_set["metadata"]["uid"]
        for key, revision in list(self._revisions.objects.items()):
            owner = controller_of(revision)
            if key[0] != namespace or (owner is not None and owner["uid"] != uid):
                continue
            if owner is None:
                if not _selects(daemon_set, revision) or is_going(revision):
                    continue
                await self._api.adopt(daemon_set, f"{revisions_path(namespace)}/{key[1]}", revision)
            found.append(revision)
        return found

    async def _make_revision(self, daemon_set: Obj, number: int) -> Obj:
        revision = history.new_revision(daemon_set, number)
        namespace, name = key_of(revision)
        try:
            return await self._client.create(revisions_path(namespace), revision)
        except ClusterError as error:
            if error.status != 409 or error.reason != "AlreadyExists":
                raise
            known = await self._client.get(f"{revisions_path(namespace)}/{name}")
            if history.has_template_of(known, daemon_set):
                return known
            # Two templates with one hash: the count changes the hash.
            status = daemon_set.get("status") or {}
            collisions = (status.get("collisionCount") or 0) + 1
            body = {"status": {"collisionCount": collisions}}
            await self._client.patch(f"{daemon_set_path(daemon_set)}/status", body)
            raise

    async def _merge_revision(self, daemon_set: Obj, double: Obj, kept: Obj) -> None:
        """Give the pods of a revision to another one with the same template."""
        namespace = daemon_set["metadata"]["namespace"]
        label = {HASH_LABEL: history.revision_hash(kept)}
        for pod in self._pods.owned_by(daemon_set["metadata"]["uid"]):
            path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}"
            if _hash_of(pod) != label[HASH_LABEL]:
                await self._client.patch(path, {"metadata": {"labels": label}})
        await self._client.delete(f"{revisions_path(namespace)}/{double['metadata']['name']}")

    async def _forget_revisions(self, daemon_set: Obj, old: list[Obj]) -> None:
        limit = daemon_set["spec"].get("revisionHistoryLimit", 10)
        pods: Iterable[Obj] = self._pods.owned_by(daemon_set["metadata"]["uid"])
        live = {_hash_of(pod) for pod in pods}
        for revision in history.superfluous(old, limit, live):
            namespace, name = key_of(revision)
            await self._client.delete(f"{revisions_path(namespace)}/{name}")


def _selects(daemon_set: Obj, obj: Obj) -> bool:
    return matches_labels(daemon_set["spec"]["selector"], obj["metadata"].get("labels") or {})


def _hash_of(pod: Obj) -> str:
    return (pod["metadata"].get("labels") or {}).get(HASH_LABEL) or ""
