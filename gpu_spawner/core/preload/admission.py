"""Which nodes pull an image next: one wish, the nodes it is about, and the bounds on pulls.

A node is admitted when its turn comes, and stays admitted while it is of use. One that fails is
taken out again until its pause is over, so that it holds up nobody else.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gpu_spawner.core.cluster.pullers import PullerPod, PullerSet, PullState, SetNotes
from gpu_spawner.core.cluster.snapshot import NodeState
from gpu_spawner.core.preload.disk import DiskBudget
from gpu_spawner.core.preload.held import Held
from gpu_spawner.core.preload.moved_tags import Versions, versions_of
from gpu_spawner.core.preload.policy import Policy
from gpu_spawner.core.preload.setbacks import (
    WAIT_SECONDS,
    Failure,
    deadline_of,
    failure_of,
    not_created,
    note_failures,
)
from gpu_spawner.core.preload.usable import HOSTNAME_LABEL, Use, has_disk_pressure
from gpu_spawner.core.preload.wishes import Wish

__all__ = ["Draft", "Scene", "Slots"]

NO_HOSTNAME: Final = f"the node has no label {HOSTNAME_LABEL}"
NO_DISK: Final = "the images before it fill the share of the disk that preloading may take"


class Slots:
    """How many pulls may begin now, on each node and in the cluster."""

    def __init__(self, policy: Policy) -> None:
        self._per_node: Final = policy.pulls_per_node
        self._left = policy.pulls_in_cluster
        self._on_node: dict[str, int] = {}

    @property
    def left(self) -> int:
        """How many more the cluster may have."""
        return max(0, self._left)

    def occupy(self, node: str) -> None:
        """Count a pull that may be under way."""
        self._left -= 1
        self._on_node[node] = self._on_node.get(node, 0) + 1

    def take(self, node: str) -> bool:
        """Begin a pull; False where a bound forbids it."""
        if self._left <= 0 or self._on_node.get(node, 0) >= self._per_node:
            return False
        self.occupy(node)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What all wishes of one plan have in common.

    ``refused`` says why a DaemonSet cannot be written for now, by its name.
    """

    nodes: Mapping[str, NodeState]
    held: Held
    policy: Policy
    now: int
    refused: Mapping[str, str] = field(default_factory=dict)


class Draft:
    """What becomes of one wish.

    Attributes:
        hosts: the host name of each node that may be admitted.
        kept: nodes that were admitted and stay so. ``added``: those whose turn it is.
        notes: what is to be remembered.
        waiting, blocked: of the others, as in an outlook.
        refused: why its DaemonSet cannot be written for now; then no node is admitted, nor any slot
            taken for one. Empty where it can.
        moments: unix seconds at which time alone changes something; ``retries`` are those of them
            at which a node tries again.
    """

    def __init__(
        self,
        wish: Wish,
        current: PullerSet | None,
        uses: Mapping[str, Use],
        pods: Collection[PullerPod],
        scene: Scene,
    ) -> None:
        self.wish: Final = wish
        self.current: Final = current
        self.uses: Final = uses
        self.added: set[str] = set()
        self.waiting: list[str] = []
        self.blocked: dict[str, list[str]] = {}
        self.moments: list[int] = []
        self.retries: list[int] = []
        self.versions = Versions()
        self.hosts: Final = {
            name: host
            for name in uses
            if (host := scene.nodes[name].node.labels.get(HOSTNAME_LABEL))
        }
        self._nodes: Final = scene.nodes
        self._pods: Final = pods
        self._held: Final = scene.held
        self._policy: Final = scene.policy
        self._now: Final = scene.now
        self.refused: Final = scene.refused.get(wish.set_name, "")
        self._retry_at = 0
        self._able: list[str] = []
        self._ready: Final = {
            pod.node for pod in pods if pod.state is PullState.READY and not pod.is_terminating
        }
        self.notes = current.notes if current is not None else SetNotes()
        admitted = self._admitted()
        failing = self._failing(admitted)
        self.notes = note_failures(self.notes, pods, failing, scene.policy, scene.now)
        self.kept = {name for name in admitted - failing.keys() if self._may_stay(name)}

    @property
    def nodes(self) -> set[str]:
        """Everything that is admitted now."""
        return self.kept | self.added

    @property
    def pulling_since(self) -> int:
        """When the first pull under way began, in unix seconds; 0 for none."""
        began = [pod.waiting_since for pod in self._pods if pod.state is PullState.PULLING]
        return min(began, default=0)

    def occupy(self, slots: Slots) -> None:
        """Count the pulls that may be under way, also those on nodes that were taken out."""
        lingering = (self._ready & self.uses.keys()) - self.kept
        for name in self.kept | lingering:
            if name not in self.kept or not self.has(name):
                slots.occupy(name)

    def has(self, node: str) -> bool:
        """Tell whether a node has the image; while a moved tag is followed, only ours count."""
        if self.notes.refresh_since:
            return node in self._ready
        return self._held.has(node, self.wish.image)

    def refresh(self, slots: Slots) -> None:
        """Take out nodes that hold an older version of a moved tag; they pull it again."""
        since = self.notes.refresh_since
        self.versions = versions_of(self.wish.image, self._pods, self._nodes, refresh_since=since)
        if not self._policy.refreshes_tags or self.refused:
            return
        if self.versions.stale and not since:
            self._remember(refresh_since=self._now)
        elif since and self.versions.count < 2 and self._is_complete():
            self._remember(refresh_since=0)
        for name in self.versions.stale:
            if name in self.kept and slots.take(name):
                self.kept.discard(name)

    def sort_out(self, disk: DiskBudget, *, size_bytes: int | None, registry_at: int) -> None:
        """Find out which nodes could pull now, and admit those that have the image already.

        Args:
            disk: how much room there is.
            size_bytes: of the image, compressed; None where it is not known.
            registry_at: until when the registry wants to be left alone.
        """
        self._retry_at = max(self.notes.retry_at, registry_at)
        for name in sorted(self.uses, key=lambda one: (one not in self.kept, one)):
            if name in self.kept:
                disk.occupy(name, size_bytes, is_wanted=True)
            elif self.uses[name] is Use.NOW:
                self._consider(name, disk, size_bytes)

    def admit(self, slots: Slots, *, again: bool) -> None:
        """Admit the nodes whose turn it is.

        Args:
            slots: how many pulls may begin.
            again: whether it is about attempts after a failure. They come when everything else has
                had its turn: what fails forever must hold up nobody.
        """
        # Those that failed least come first: one that always fails must not have every attempt.
        for name in sorted(self._able, key=self._setbacks_of):
            if (self.notes.failures > 0 or name in self.notes.setbacks) is not again:
                continue
            if self._is_probing() or not slots.take(name):
                self.waiting.append(name)
            else:
                self.added.add(name)

    def close(self) -> None:
        """Note for which of the admitted nodes a pod has yet to be made, once all are admitted."""
        made = {pod.node for pod in self._pods}
        awaited = {
            name: self.notes.awaited.get(name, self._now)
            for name in sorted(self.nodes - made)
            if not self.has(name)
        }
        self.moments.extend(since + WAIT_SECONDS + 1 for since in awaited.values())
        self.notes = msgspec.structs.replace(self.notes, awaited=awaited)

    def _setbacks_of(self, name: str) -> int:
        setback = self.notes.setbacks.get(name)
        return setback.count if setback is not None else 0

    def _consider(self, name: str, disk: DiskBudget, size_bytes: int | None) -> None:
        if self.refused:
            self._block(self.refused, name)
        elif name not in self.hosts:
            self._block(NO_HOSTNAME, name)
        elif not disk.take(name, size_bytes):
            self._block(NO_DISK, name)
        elif (retry_at := self._pause_of(name)) > self._now:
            self.moments.append(retry_at)
            self.retries.append(retry_at)
            self._block(self._why(name), name)
        elif any(pod.node == name for pod in self._pods):
            self.waiting.append(name)  # its last puller has not gone yet
        elif self.has(name):
            # It costs nothing: the node only holds on to what it has.
            self.added.add(name)
        else:
            self._able.append(name)

    def _pause_of(self, name: str) -> int:
        setback = self.notes.setbacks.get(name)
        own = setback.retry_at if setback is not None else 0
        return own if self.has(name) else max(own, self._retry_at)

    def _why(self, name: str) -> str:
        if self.notes.why:
            return self.notes.why
        if self._retry_at > self._now:
            return "the registry asks for fewer pulls"
        setback = self.notes.setbacks[name]
        times = f" {setback.count} times" if setback.count > 1 else ""
        return f"failed{times} on this node" + (f": {setback.why}" if setback.why else "")

    def _is_probing(self) -> bool:
        """Tell whether the image has failed, and somebody tries it already."""
        return self.notes.failures > 0 and self._is_pulling()

    def _is_pulling(self) -> bool:
        return any(not self.has(name) for name in self.nodes)

    def _is_complete(self) -> bool:
        usable = {name for name, use in self.uses.items() if use is Use.NOW}
        return usable <= self.kept & self._ready

    def _admitted(self) -> set[str]:
        if self.current is None:
            return set()
        if self.current.nodes is None:  # it was written when the nodes could not be listed
            return set(self.hosts)
        return {name for name, host in self.hosts.items() if host in self.current.nodes}

    def _failing(self, admitted: Iterable[str]) -> dict[str, Failure]:
        found = {}
        names = set(admitted)
        for pod in self._pods:
            if pod.node in names and not pod.is_terminating:
                if failure := failure_of(pod, self._policy, self._now):
                    found[pod.node] = failure
                elif deadline := deadline_of(pod, self._policy):
                    self.moments.append(deadline)
        made = {pod.node for pod in self._pods}
        for name, since in self.notes.awaited.items():
            if name in names - made and self._now - since > WAIT_SECONDS and not self.has(name):
                is_paused = self.uses[name] is Use.PAUSED
                found[name] = not_created(lies_in_image=not made and not is_paused)
        return found

    def _may_stay(self, name: str) -> bool:
        return name in self._ready or not has_disk_pressure(self._nodes[name].node)

    def _block(self, why: str, name: str) -> None:
        self.blocked.setdefault(why, []).append(name)

    def _remember(self, *, refresh_since: int) -> None:
        self.notes = msgspec.structs.replace(self.notes, refresh_since=refresh_since)
