"""What is there of ours, kept up to date: pullers, DaemonSets, and completed pulls."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from gpu_spawner.core.cluster.pull_events import PullEvent
from gpu_spawner.core.cluster.pullers import PullerPod, PullerSet

__all__ = ["PODS", "PULLS", "SETS", "Following"]

PODS: Final = "pods of the image preloader"
SETS: Final = "daemonsets"
PULLS: Final = "events of image pulls"

_MOST_EVENTS: Final = 5_000


class Following:
    """A store for the reflectors of ``preload_kinds``; it belongs to one event loop.

    Attributes:
        serial: grows with every change of pods or DaemonSets.
        pods, sets: by name; None while not known.
        unknown: why not.
        vanished: names of DaemonSets that are gone, and that nobody here removed; whoever reads
            them clears the list.
    """

    def __init__(self, *, on_pull: Callable[[PullEvent], None]) -> None:
        self.serial = 0
        self.pods: dict[str, PullerPod] | None = None
        self.sets: dict[str, PullerSet] | None = None
        self.unknown: dict[str, str] = {}
        self.vanished: list[str] = []
        self._on_pull = on_pull
        self._seen: dict[tuple[str, int], None] = {}

    @property
    def known(self) -> tuple[dict[str, PullerSet], dict[str, PullerPod]] | None:
        """The DaemonSets and the pods; None while not both are known."""
        return None if self.sets is None or self.pods is None else (self.sets, self.pods)

    async def until_idle(self) -> None:
        """Return at once: nothing here takes long."""

    async def replace_all(self, kind: str, objects: Sequence[Any]) -> None:
        """Hold exactly these objects of a kind."""
        self.unknown.pop(kind, None)
        if kind == PULLS:
            for event in objects:
                self._take_pull(event)
            return
        if kind == PODS:
            self.pods = {pod.name: pod for pod in objects}
        else:
            before, self.sets = self.sets or {}, {one.name: one for one in objects}
            self.vanished.extend(before.keys() - self.sets.keys())
        self.serial += 1

    def apply(self, kind: str, event_type: str, obj: Any) -> None:
        """Take one ``ADDED``, ``MODIFIED`` or ``DELETED``."""
        if kind == PULLS:
            if event_type != "DELETED":
                self._take_pull(obj)
            return
        known: dict[str, Any] | None = self.pods if kind == PODS else self.sets
        if known is None:
            return
        if event_type == "DELETED":
            # Late news of one that was made again in the meantime is none of the new one.
            if obj.name in known and known[obj.name].uid == obj.uid:
                del known[obj.name]
                if kind == SETS:
                    self.vanished.append(obj.name)
        elif kind == PODS or not self._is_older(obj):
            known[obj.name] = obj
        self.serial += 1

    def wrote(self, written: PullerSet) -> None:
        """Take in the answer to a write: the watch tells of it later, and may be late."""
        self.apply(SETS, "MODIFIED", written)

    def removed(self, name: str) -> None:
        """Take in that a DaemonSet was deleted."""
        if self.sets is not None and self.sets.pop(name, None) is not None:
            self.serial += 1

    def clear(self, kind: str) -> None:
        """Hold that there is nothing of this kind; every cluster serves what is followed here."""
        self.forget(kind, "not served")

    def forget(self, kind: str, reason: str) -> None:
        """Hold nothing of this kind: it is unknown, for this reason."""
        self.unknown[kind] = reason
        if kind == PODS:
            self.pods = None
        elif kind == SETS:
            self.sets = None
        self.serial += 1

    def _is_older(self, obj: PullerSet) -> bool:
        """Tell whether more recent news of a DaemonSet arrived before, in the answer to a write.

        Versions of one kind may be compared as numbers (KEP-5504).
        """
        known = (self.sets or {}).get(obj.name)
        if known is None or known.uid != obj.uid:
            return False
        versions = (obj.resource_version, known.resource_version)
        if not all(version.isascii() and version.isdigit() for version in versions):
            return False
        return int(versions[0]) < int(versions[1])

    def _take_pull(self, event: PullEvent) -> None:
        """Count each pull once, though a list tells of it again."""
        key = (event.uid, event.count)
        if key in self._seen or not event.seconds:
            return
        self._seen[key] = None
        while len(self._seen) > _MOST_EVENTS:
            del self._seen[next(iter(self._seen))]
        self._on_pull(event)
