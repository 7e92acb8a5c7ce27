"""A simulated cluster on a thread of its own: tests talk to hub and cluster in turns.

Its API server is that of ``GPU_SPAWNER_KUBECONFIG`` where that is set.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from foreign_server import KUBECONFIG
from other_process import wait_until

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.cluster import Cluster, ClusterOptions
from gpu_spawner.sim.fleet import parse_fleet

T = TypeVar("T")

TINY_SERVER = Path(__file__).with_name("tiny_server.py")
NAMESPACE = "gpu-demo"
PRELOADING = "gpu-preloading"
"""A second namespace, for hubs that preload elsewhere than where their servers are."""

FLEET = f"""
default_command: [python, {TINY_SERVER}]
images:
  "*missing*": {{missing: true}}
  "*huge*": {{size: 4G}}
  "*/pause:*": {{size: 1k, command: []}}
  "*": {{size: 1k}}
nodes:
  - name: h100
    count: 2
    cpu: 32
    memory: 256Gi
    gpu: {{product: NVIDIA-H100-80GB-HBM3, family: hopper, compute: "9.0", count: 2,
          memory_mib: 81559}}
    taints: [{{key: nvidia.com/gpu, value: present, effect: NoSchedule}}]
  - name: cpu
    cpu: 16
    memory: 64Gi
"""
"""Two nodes with two H100s each, and one without."""


class ClusterThread:
    """A running cluster; ``call`` runs coroutines where it runs.

    ``options`` are more of ``ClusterOptions``.
    """

    def __init__(self, state_dir: Path, fleet: str = FLEET, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.cluster = Cluster(
            parse_fleet(fleet, source="tests"),
            state_dir=state_dir,
            options=ClusterOptions(
                kubeconfig=KUBECONFIG, namespaces=(NAMESPACE, PRELOADING), **options
            ),
        )
        self.call(self.cluster.__aenter__())

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    def stop(self) -> None:
        self.call(self.cluster.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=30)
        self._loop.close()

    @property
    def kubeconfig(self) -> Path:
        return self.cluster.kubeconfig_path

    def pods(self, username: str = "") -> list[dict[str, Any]]:
        """List the pods of servers, of one user or of all."""
        listing = self.call(
            self.cluster.client.get(
                f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector="component=singleuser-server"
            )
        )
        return [
            pod
            for pod in listing["items"]
            if not username
            or pod["metadata"]["annotations"].get("hub.jupyter.org/username") == username
        ]

    def occupy(self, node: str, gpus: int, name: str) -> None:
        """Have somebody else's pod take GPUs of a node.

        It is deleted gracefully: a pod deleted at once leaves the API before the kubelet has given
        its GPUs back, and the kubelet refuses the next pod that is bound to them, as a real one
        does.
        """
        container = {
            "name": "busy",
            "image": "example.org/busy:1",
            "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "nodeName": node,
                "containers": [container],
                "tolerations": [{"operator": "Exists"}],
                "terminationGracePeriodSeconds": 5,
            },
        }
        self.call(self.cluster.client.create("/api/v1/namespaces/default/pods", pod))

    def vacate(self, name: str) -> None:
        """Take that pod away again, and wait until its name and its GPUs are free."""
        self.remove([f"/api/v1/namespaces/default/pods/{name}"])

    def all_pods(self) -> dict[str, bool]:
        """Return the path of each pod that does not preload, and whether it is being deleted."""
        found = {}
        for namespace in (NAMESPACE, "default"):
            path = f"/api/v1/namespaces/{namespace}/pods"
            for pod in self.call(self.cluster.client.get(path))["items"]:
                metadata = pod["metadata"]
                owners = {owner["kind"] for owner in metadata.get("ownerReferences", ())}
                if "DaemonSet" not in owners:
                    found[f"{path}/{metadata['name']}"] = "deletionTimestamp" in metadata
        return found

    def remove(self, paths: Iterable[str]) -> None:
        """Delete pods, and wait until their names and their GPUs are free."""
        client = self.cluster.client
        for path in paths:
            try:
                self.call(client.delete(path))
            except ClusterError as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
        for path in paths:
            wait_until(lambda path=path: self.call(client.get_or_none(path)) is None, f"no {path}")

    def fail(self, pod: dict[str, Any], reason: str, message: str) -> None:
        """End a pod as a kubelet does that refuses it."""
        name = pod["metadata"]["name"]
        status = {"phase": "Failed", "reason": reason, "message": message}
        self.call(
            self.cluster.client.patch(
                f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/status", {"status": status}
            )
        )
