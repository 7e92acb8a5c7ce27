"""A small simulated cluster over real HTTP with real processes.

- ``cluster``: its own for every test; attached to the API server of ``GPU_SPAWNER_KUBECONFIG``
  where that is set.
- ``pods``: create pods in it, wait for what becomes of them, read their events.

Back-offs are those of a kubelet, only much shorter.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lab_pods import NAMESPACE, Pods

from gpu_spawner.sim.cluster import Cluster, ClusterOptions
from gpu_spawner.sim.fleet import Fleet, parse_fleet
from gpu_spawner.sim.node.pod_context import Backoff

FLEET = """
images:
  "small:*": {size: 1M}
  "huge:*": {size: 100G}
  "gone:*": {missing: true}
  "idle:*": {size: 1M, command: []}
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
