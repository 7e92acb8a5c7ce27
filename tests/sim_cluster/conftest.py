"""A small simulated cluster over real HTTP with real processes.

- ``cluster``: its own for every test; attached to the API server of ``GPU_SPAWNER_KUBECONFIG``
  where that is set.
- ``pods``: create pods in it, wait for what becomes of them, read their events.

Back-offs are those of a kubelet, only much shorter.
"""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from gpu_spawner.sim.cluster import Cluster, ClusterOptions
from gpu_spawner.sim.fleet import Fleet, parse_fleet
from gpu_spawner.sim.pod_context import Backoff

FLEET = """
images:
  "small:*": {size: 1M}
  "huge:*": {size: 100G}
  "gone:*": {missing: true}
  "idle:*": {command: []}
nodes:
  - name: gpu
    count: 2
    cpu: 16
    memory: 64Gi
    gpu:
      product: NVIDIA-H100-80GB-HBM3
      family: hopper
      compute: "9.0"
      count: 2
      memory_mib: 81559
    taints: [{key: nvidia.com/gpu, value: present, effect: NoSchedule}]
    pull_bandwidth: 10M
    images: ["there:1"]
  - {name: cpu, cpu: 8, memory: 32Gi, pull_bandwidth: 10M, images: ["there:1"]}
tenants:
  - namespace: somebody
    pods:
      - {name: job, node: gpu-1, resources: {nvidia.com/gpu: 1}}
"""
NAMESPACE = "lab"
Json = dict[str, Any]


class Pods:
    """The pods of one namespace, as a test speaks of them."""

    def __init__(self, cluster: Cluster) -> None:
        self.client = cluster.client
        self.path = f"/api/v1/namespaces/{NAMESPACE}/pods"

    async def create(self, name: str, *command: str, gpus: int = 0, **spec: Any) -> Json:
        """Create a pod with one container ``main``; keys of ``spec`` go into the container.

        ``pod`` among them is merged into the pod's spec instead.
        """
        pod_spec = spec.pop("pod", {})
        container: Json = {"name": "main", "image": "there:1", **spec}
        if command:
            container["command"] = list(command)
        if gpus:
            container["resources"] = {"limits": {"nvidia.com/gpu": str(gpus)}}
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "containers": [container],
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}] if gpus else [],
                "terminationGracePeriodSeconds": 5,
                "automountServiceAccountToken": False,
                **pod_spec,
            },
        }
        return await self.client.create(self.path, manifest)

    async def get(self, name: str) -> Json | None:
        return await self.client.get_or_none(f"{self.path}/{name}")

    async def delete(self, name: str, grace_seconds: int | None = None) -> None:
        await self.client.delete(f"{self.path}/{name}", grace_seconds=grace_seconds)

    async def wait(self, name: str, condition: Callable[[Json], object], what: str) -> Json:
        """Return the pod as soon as the condition holds for it."""
        found: list[Json] = []

        async def holds() -> bool:
            pod = await self.get(name)
            if pod is not None and condition(pod):
                found.append(pod)
            return bool(found)

        await until(holds, f"{name}: {what}")
        return found[0]

    async def wait_phase(self, name: str, phase: str) -> Json:
        return await self.wait(name, lambda pod: pod["status"]["phase"] == phase, phase)

    async def wait_waiting(self, name: str, reason: str) -> Json:
        """Return the pod once its container waits for ``reason``."""

        def waits(pod: Json) -> bool:
            return any(
                status["state"].get("waiting", {}).get("reason") == reason
                for status in pod["status"].get("containerStatuses", ())
            )

        return await self.wait(name, waits, reason)

    async def wait_restarts(self, name: str, count: int) -> Json:
        """Return the pod once its container runs again after so many restarts."""

        def has_restarted(pod: Json) -> bool:
            return any(
                status["restartCount"] >= count and "running" in status["state"]
                for status in pod["status"].get("containerStatuses", ())
            )

        return await self.wait(name, has_restarted, f"{count} restarts")

    async def wait_gone(self, name: str) -> None:
        async def is_gone() -> bool:
            return await self.get(name) is None

        await until(is_gone, f"{name} is gone")

    async def events(self, name: str) -> list[tuple[str, str]]:
        """Return reason and message of the events about the pod, oldest first."""
        answer = await self.client.get(
            f"/api/v1/namespaces/{NAMESPACE}/events",
            fieldSelector=f"involvedObject.name={name}",
        )
        # Their names end in the time they were made at.
        items = sorted(answer["items"], key=lambda each: each["metadata"]["name"])
        return [(each["reason"], each["message"]) for each in items]

    async def wait_event(self, name: str, reason: str) -> str:
        """Return the message of the first event of this reason, once there is one."""
        found: list[str] = []

        async def is_there() -> bool:
            found.extend(text for kind, text in await self.events(name) if kind == reason)
            return bool(found)

        await until(is_there, f"an event {reason} of {name}")
        return found[0]


@pytest.fixture
def fleet() -> Fleet:
    return parse_fleet(FLEET, source="test fleet")


@pytest.fixture
def cluster_options() -> ClusterOptions:
    kubeconfig = os.environ.get("GPU_SPAWNER_KUBECONFIG")
    return ClusterOptions(
        kubeconfig=Path(kubeconfig) if kubeconfig else None,
        namespaces=(NAMESPACE,),
        backoff=Backoff(first_seconds=0.2, longest_seconds=0.5),
        stop_grace_seconds=1.0,
        keeps_objects=True,
    )


@pytest.fixture
async def cluster(
    fleet: Fleet, cluster_options: ClusterOptions, tmp_path: Path
) -> AsyncIterator[Cluster]:
    async with Cluster(fleet, state_dir=tmp_path / "state", options=cluster_options) as running:
        yield running


@pytest.fixture
def pods(cluster: Cluster) -> Pods:
    return Pods(cluster)
