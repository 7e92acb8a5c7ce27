"""A simulated cluster with GPU nodes, and preloaders on it.

- ``cluster``: two nodes with two H100s each, and one without; a pull of ``torch`` takes a moment.
- ``faults``: what the cluster's API server does to requests; skips where it is another's.
- ``make_preloader``: starts preloaders that look often; all are stopped at the end.
"""

import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from foreign_server import KUBECONFIG
from preload_model import catalog_of
from preloading import FLEET, NAMESPACE, ApiFaults, MakePreloader, Running

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.site_pod import SitePod
from gpu_spawner.core.preload.policy import Policy
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.watcher import ClusterWatcher
from gpu_spawner.preload.options import PreloadOptions
from gpu_spawner.preload.service import Preloader
from gpu_spawner.sim.cluster import Cluster, ClusterOptions
from gpu_spawner.sim.fleet import Fleet, parse_fleet
from gpu_spawner.sim.node.disk import DiskPolicy
from gpu_spawner.sim.node.pod_context import Backoff


@pytest.fixture
def requests_seen() -> ApiFaults:
    return ApiFaults()


@pytest.fixture
def faults(requests_seen: ApiFaults) -> ApiFaults:
    if KUBECONFIG is not None:
        pytest.skip("faults are the embedded server's")
    return requests_seen


@pytest.fixture
def fleet() -> Fleet:
    return parse_fleet(FLEET, source="test fleet")


@pytest.fixture
def disk() -> DiskPolicy:
    return DiskPolicy()


@pytest.fixture
async def cluster(
    fleet: Fleet, disk: DiskPolicy, requests_seen: ApiFaults, tmp_path: Path
) -> AsyncIterator[Cluster]:
    options = ClusterOptions(
        kubeconfig=KUBECONFIG,
        namespaces=(NAMESPACE,),
        backoff=Backoff(first_seconds=0.2, longest_seconds=0.5),
        stop_grace_seconds=1.0,
        faults=requests_seen,
        disk=disk,
    )
    async with Cluster(fleet, state_dir=tmp_path / "state", options=options) as running:
        yield running


@pytest.fixture
async def make_preloader(cluster: Cluster) -> AsyncIterator[MakePreloader]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            catalog: Catalog | None = None,
            *,
            site: SitePod | None = None,
            watches: bool = True,
            policy: dict[str, Any] | None = None,
            **options: Any,
        ) -> Running:
            settings = {"first_retry_seconds": 1, "longest_retry_seconds": 2, **(policy or {})}
            log = logging.getLogger("tests.preload")
            client = await ClusterClient.connect(cluster.kubeconfig_path)
            stack.push_async_callback(client.close)
            watcher = None
            if watches:
                watcher = ClusterWatcher(kubeconfig=str(cluster.kubeconfig_path), log=log)
                await watcher.start()
                stack.push_async_callback(watcher.stop)
            running = Running(catalog or catalog_of(), cluster)
            preloader = Preloader(
                PreloadOptions(
                    policy=Policy(namespace=NAMESPACE, **settings),
                    pace_seconds=0.05,
                    forbidden_seconds=0.5,
                    **options,
                ),
                catalog=lambda: running.catalog,
                site=lambda: site or SitePod(namespace=NAMESPACE),
                watcher=watcher,
                log=log,
                on_change=running.note_change,
            )
            running.begin(preloader, client)
            stack.push_async_callback(running.stop)
            return running

        yield start
