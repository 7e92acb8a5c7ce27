"""The clients of the embedded cluster against an API server that misbehaves."""

import asyncio
import dataclasses
import os
from collections import Counter
from pathlib import Path

import pytest
from lab_pods import Pods
from waiting import until

from gpu_spawner.sim.apiserver.api_errors import ApiError
from gpu_spawner.sim.apiserver.faults import Fault, RequestFacts
from gpu_spawner.sim.apiserver.server import ApiServer
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.cluster import Cluster, ClusterOptions
from gpu_spawner.sim.fleet import Fleet
from gpu_spawner.sim.informer import Informer
from gpu_spawner.sim.kubeconfig import endpoint_of

pytestmark = pytest.mark.skipif(
    "GPU_SPAWNER_KUBECONFIG" in os.environ, reason="faults are the embedded server's"
)

MAPS = "/api/v1/namespaces/default/configmaps"
EXPIRED = ApiError(410, "Expired", "too old resource version: 1 (2)")


def config_map(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


async def test_pods_run_and_end_although_every_third_answer_is_bad(
    fleet: Fleet, cluster_options: ClusterOptions, tmp_path: Path
) -> None:
    asked: Counter[str] = Counter()
    bad: set[str] = set()

    def faults(request: RequestFacts) -> Fault | None:
        if request.verb == "watch":
            return Fault(cuts_watch_after=3)
        if request.resource in {"pods/status", "pods/binding", "nodes/status", "events"}:
            asked[request.resource] += 1
            if asked[request.resource] % 3 == 0:
                bad.add(request.resource)
                return Fault(drops_connection=True)
        return None

    options = dataclasses.replace(cluster_options, faults=faults)
    async with Cluster(fleet, state_dir=tmp_path, options=options) as cluster:
        pods = Pods(cluster)
        names = [f"pod-{number}" for number in range(4)]
        for name in names:
            await pods.create(name, "sleep", "600", image="small:1")
        for name in names:
            await pods.wait_phase(name, "Running")
        await asyncio.gather(*(pods.delete(name) for name in names))
        for name in names:
            await pods.wait_gone(name)
    assert {"pods/status", "pods/binding"} <= bad


async def test_an_informer_misses_nothing_across_cut_and_expired_watches() -> None:
    watches: list[int] = []

    def faults(request: RequestFacts) -> Fault | None:
        if request.verb != "watch":
            return None
        watches.append(request.number)
        if len(watches) % 3 == 0:
            return Fault(error=EXPIRED)
        return Fault(cuts_watch_after=1)

    server = ApiServer(faults=faults)
    await server.start()
    told: list[tuple[str, str]] = []
    try:
        async with KubeClient(endpoint_of(server.kubeconfig())) as client:
            informer = Informer(
                client, MAPS, lambda event, obj: told.append((event, obj["metadata"]["name"]))
            )
            following = asyncio.create_task(informer.run())
            await informer.synced.wait()
            for number in range(8):
                key = ("default", f"m{number}")
                await client.create(MAPS, config_map(key[1]))
                if number % 2:
                    await client.delete(f"{MAPS}/m{number - 1}")
                await until(lambda key=key: key in informer.objects, f"{key} is seen")
            expected = {f"m{number}" for number in (1, 3, 5, 7)}
            await until(
                lambda: expected == {name for _, name in informer.objects} - {"kube-root-ca.crt"},
                "the copy is right",
            )
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
    finally:
        await server.stop()
    # Whatever was missed in between, each object was told once when it came and once when it went.
    for name in {name for _, name in told}:
        events = [event for event, each in told if each == name and event != "MODIFIED"]
        assert events in (["ADDED"], ["ADDED", "DELETED"])
    assert len(watches) > 3


async def test_handlers_that_come_later_are_told_what_there_is() -> None:
    server = ApiServer()
    await server.start()
    try:
        async with KubeClient(endpoint_of(server.kubeconfig())) as client:
            await client.create(MAPS, config_map("early"))
            informer = Informer(client, MAPS)
            following = asyncio.create_task(informer.run())
            await informer.synced.wait()
            told: list[str] = []
            informer.on_change(lambda _, obj: told.append(obj["metadata"]["name"]))
            assert "early" in told
            await client.create(MAPS, config_map("late"))
            async with asyncio.timeout(30):
                await informer.wait_for(lambda objects: ("default", "late") in objects)
            assert "late" in told
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
    finally:
        await server.stop()
