"""Whether the profiles in use fit the cluster: what no node could ever satisfy, told by the hub.

A hub does not end because of it, unlike for a mistake in the profiles themselves: nodes come and
go, and those who can be served should be.
"""

import asyncio
from dataclasses import dataclass
from operator import is_
from typing import Final

from gpu_spawner.core.catalog.check import check_step_by_step, look_of
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.site_pod import SitePod
from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.errors import Problem
from gpu_spawner.hub.known import Known
from gpu_spawner.hub.preloading import site_of_hub

__all__ = ["ClusterCheck"]

_LONGEST_WAIT_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 5.0
"""Clusters change all the time; so long nothing is looked at again."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """What the profiles were held against."""

    catalog: Catalog
    nodes: frozenset[object]
    devices: tuple[object, ...]

    def is_like(self, other: "_Looked") -> bool:
        return (
            self.catalog is other.catalog
            and self.nodes == other.nodes
            and len(self.devices) == len(other.devices)
            and all(map(is_, self.devices, other.devices))
        )


class ClusterCheck:
    """The profiles held against the cluster, again whenever either has changed.

    Attributes:
        problems: what no node could ever satisfy; empty while all is well, or nothing is known.
    """

    def __init__(self) -> None:
        self.problems: tuple[Problem, ...] = ()
        self._looked: _Looked | None = None
        self._looks: dict[str, tuple[Node, object]] = {}
        self._seen: frozenset[object] = frozenset()

    async def run(self, live: Known) -> None:
        """Check for as long as the hub runs."""
        await live.wait_first_reading(_LONGEST_WAIT_SECONDS)
        site = site_of_hub(live.settings)
        while True:
            serial = live.serial
            await self._look(live, site)
            await asyncio.sleep(_PAUSE_SECONDS)
            await live.wait_for_change(serial, timeout_seconds=_LONGEST_WAIT_SECONDS)

    async def _look(self, live: Known, site: SitePod) -> None:
        catalog, snapshot = live.catalog, live.cluster()
        if not snapshot.nodes:
            return
        looked = _Looked(catalog, self._looks_of(snapshot), _devices_of(snapshot))
        if self._looked is not None and looked.is_like(self._looked):
            return
        found: set[Problem] = set()
        for step in check_step_by_step(catalog, snapshot, site):
            found.update(step)
            await asyncio.sleep(0)
        self._looked = looked
        new = sorted(found.difference(self.problems))
        if new:
            live.log.error(
                "Some choices can never start on this cluster as it is:\n%s",
                "\n".join(map(str, new)),
            )
        elif self.problems and not found:
            live.log.info("Every choice of the profiles could start on this cluster again")
        self.problems = tuple(sorted(found))

    def _looks_of(self, snapshot: Snapshot) -> frozenset[object]:
        """Return how the nodes look, each look once: like nodes come and go and change nothing."""
        looks: dict[str, tuple[Node, object]] = {}
        kinds = {look: look for look in self._seen}  # a kind is kept once, not with each node
        has_news = False
        for name, state in (snapshot.nodes or {}).items():
            known = self._looks.get(name)
            # Pods come and go all the time, and leave a node as it is.
            if known is None or known[0] is not state.node:
                look = look_of(state.node)
                known = (state.node, kinds.setdefault(look, look))
                has_news = True
            looks[name] = known
        if has_news or len(looks) != len(self._looks):
            self._seen = frozenset(look for _, look in looks.values())
        self._looks = looks
        return self._seen


def _devices_of(snapshot: Snapshot) -> tuple[object, ...]:
    return (
        *(snapshot.slices or {}).values(),
        *(snapshot.device_classes or {}).values(),
    )
