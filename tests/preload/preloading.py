"""Preloaders on a simulated cluster, as a test speaks of them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.preload.readiness import Readiness
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.preload.service import Preloader
from gpu_spawner.sim.apiserver.faults import Fault, RequestFacts
from gpu_spawner.sim.cluster import Cluster

__all__ = [
    "BASE",
    "FLEET",
    "NAMESPACE",
    "TORCH",
    "ApiFaults",
    "MakePreloader",
    "Running",
    "daemon_sets",
    "eventually",
    "puller_pods",
]

NAMESPACE = "hub"
TORCH = "quay.io/site/torch:1"
BASE = "quay.io/site/base:1"
DEADLINE_SECONDS = 40.0

FLEET = """
images:
  "*torch*": {size: 4M}
  "*base*": {size: 1M}
  "*missing*": {missing: true}
  "*throttled*": {throttled: true}
nodes:
  - name: gpu
    count: 2
    cpu: 16
    memory: 64Gi
    gpu:
      product: NVIDIA-H100
      family: hopper
      compute: "9.0"
      count: 2
      memory_mib: 81559
    taints: [{key: nvidia.com/gpu, value: present, effect: NoSchedule}]
    pull_bandwidth: 20M
    image_disk: 1G
  - {name: cpu, cpu: 8, memory: 32Gi, pull_bandwidth: 20M}
"""

Json = dict[str, Any]


class ApiFaults:
    """What the API server does to requests; tests change it while the cluster runs."""

    def __init__(self) -> None:
        self.rule: Callable[[RequestFacts], Fault | None] = lambda _: None
        self.seen: list[RequestFacts] = []

    def __call__(self, facts: RequestFacts) -> Fault | None:
        self.seen.append(facts)
        return self.rule(facts)

    def count(self, verb: str, resource: str) -> int:
        return sum(one.verb == verb and one.resource == resource for one in self.seen)


class MakePreloader(Protocol):
    """Starts a preloader; keywords are policies, options, the site."""

    def __call__(self, catalog: Catalog | None = None, **settings: Any) -> Awaitable["Running"]: ...


class Running:
    """A preloader that runs; ``catalog`` may be changed."""

    preloader: Preloader

    def __init__(self, catalog: Catalog, cluster: Cluster) -> None:
        self.catalog = catalog
        self.changes = 0
        self._is_killed = False
        self.lies: list[tuple[str, str]] = []
        self._cluster = cluster
        self._task: asyncio.Task[None] | None = None

    def note_change(self) -> None:
        """Check, whenever readiness changes, that what it promises is there."""
        self.changes += 1
        for node, images in self.preloader.readiness.pulled.items():
            machine = self._cluster.kubelet.nodes.get(node)
            for image in images:
                if machine is not None and not machine.images.has(image):
                    self.lies.append((node, image))

    def begin(self, preloader: Preloader, client: ClusterClient) -> None:
        self.preloader = preloader
        self._task = asyncio.create_task(preloader.run(client))

    def edit(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.preloader.poke()

    @property
    def readiness(self) -> Readiness:
        return self.preloader.readiness

    @property
    def is_done(self) -> bool:
        return self._task is not None and self._task.done()

    async def stop(self) -> None:
        """Stop it as a hub does at its end; it must never have promised what was not there."""
        if self._task is not None:
            if not self._is_killed:
                self._task.cancel()
            await asyncio.wait([self._task])

        assert self.lies == []

    def kill(self) -> None:
        """Stop it at this very moment, wherever it is."""
        self._is_killed = True
        if self._task is not None:
            self._task.cancel()

    async def until_pulled(self, image: str, *nodes: str) -> None:
        await eventually(
            lambda: all(image in self.readiness.pulled.get(node, ()) for node in nodes),
            f"{image} on {nodes}",
        )


async def eventually(condition: Callable[[], Any], what: str) -> None:
    """Return once a condition holds; it is polled, as what happens is in other processes."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                holds = condition()
                if isinstance(holds, Awaitable):
                    holds = await holds
                if holds:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"still not so: {what}") from None


async def daemon_sets(cluster: Cluster) -> list[Json]:
    listing = await cluster.client.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets")
    items: list[Json] = listing["items"]
    return items


async def puller_pods(cluster: Cluster) -> list[Json]:
    listing = await cluster.client.get(
        f"/api/v1/namespaces/{NAMESPACE}/pods",
        labelSelector="app.kubernetes.io/component=image-preloader",
    )
    items: list[Json] = listing["items"]
    return items
