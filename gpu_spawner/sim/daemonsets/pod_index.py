"""The pods a DaemonSet controller may care about, found by their controller or their namespace."""

from collections.abc import Iterable
from typing import Any

from gpu_spawner.sim.daemonsets.daemon_pods import controller_of
from gpu_spawner.sim.informer import ObjectKey, key_of

__all__ = ["PodIndex"]

Obj = dict[str, Any]


class PodIndex:
    """All pods as last seen: those of each controller by its uid, orphans by their namespace."""

    def __init__(self) -> None:
        self._owned: dict[str, dict[ObjectKey, Obj]] = {}
        self._orphans: dict[str, dict[ObjectKey, Obj]] = {}
        self._places: dict[ObjectKey, dict[ObjectKey, Obj]] = {}

    def get(self, key: ObjectKey) -> Obj | None:
        """Return the pod as last seen, None if it is not there."""
        return self._places.get(key, {}).get(key)

    def apply(self, event: str, pod: Obj) -> None:
        """Take in a change, as a watch tells it."""
        key = key_of(pod)
        if (place := self._places.pop(key, None)) is not None:
            del place[key]
        if event == "DELETED":
            return
        controller = controller_of(pod)
        shelf, name = (
            (self._orphans, key[0]) if controller is None else (self._owned, controller["uid"])
        )
        place = shelf.setdefault(name, {})
        place[key] = pod
        self._places[key] = place

    def owned_by(self, uid: str) -> Iterable[Obj]:
        """Return the pods of one controller."""
        return tuple(self._owned.get(uid, {}).values())

    def orphans(self, namespace: str) -> Iterable[Obj]:
        """Return the pods of a namespace that nobody controls."""
        return tuple(self._orphans.get(namespace, {}).values())
