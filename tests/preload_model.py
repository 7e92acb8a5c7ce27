"""A cluster as simple as can be, on which plans are carried out: no API, no time of its own.

DaemonSets become pods on the nodes they are confined to; pods pull, succeed and fail when a test
says so. What the planner sees of it is what the real one would show.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.cluster.puller_wire import WirePullerSet
from gpu_spawner.core.cluster.pullers import (
    PullerPod,
    PullerSet,
    PullState,
    build_puller_set,
)
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.preload.plan import Plan, World, make_plan
from gpu_spawner.core.preload.policy import Policy
from gpu_spawner.core.preload.puller_set import build_set
from gpu_spawner.core.preload.wishes import Wish

__all__ = ["GPU_TAINT", "ModelCluster", "catalog_of", "make_node"]

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}

DOCUMENTS: dict[str, Any] = {
    "flavors": {
        "h100": {
            "display_name": "NVIDIA H100",
            "memory": "80GB",
            "node_labels": {"nvidia.com/gpu.product": "NVIDIA-H100"},
        },
        "t4": {
            "display_name": "NVIDIA T4",
            "memory": "16GB",
            "node_labels": {"nvidia.com/gpu.product": "Tesla-T4"},
        },
    },
    "images": {
        "base": {"image": "quay.io/site/base:1", "display_name": "Base", "size": "1GB"},
        "torch": {
            "image": "quay.io/site/torch:1",
            "display_name": "PyTorch",
            "size": "10GB",
            "cuda": "12.4",
            "architectures": ["amd64"],
        },
    },
    "10-gpus": {
        "display_name": "GPUs",
        "images": ["torch", "base"],
        "gpu": {"flavors": ["h100", "t4"], "share": "whole", "count": [1, 2]},
        "preload": "always",
    },
    "20-cpu": {"display_name": "CPU", "images": ["base"], "preload": "on-demand"},
}


def catalog_of(changes: Mapping[str, Any] | None = None) -> Catalog:
    """Read a small catalog, with whole entries replaced, added or (None) left out."""
    documents = {**copy.deepcopy(DOCUMENTS), **(changes or {})}
    return read_mapping({key: value for key, value in documents.items() if value is not None})


def make_node(
    name: str, product: str = "NVIDIA-H100", *, gpus: int = 2, disk: str = "1Ti", **labels: str
) -> dict[str, Any]:
    """Make a node as the API shows it; without a product it has no GPU and no taint."""
    devices = {"nvidia.com/gpu": str(gpus)} if product else {}
    label = {"nvidia.com/gpu.product": product} if product else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                **label,
                **labels,
            },
        },
        "spec": {"taints": [GPU_TAINT] if product else []},
        "status": {
            "allocatable": {
                "cpu": "32",
                "memory": "128Gi",
                "pods": "110",
                "ephemeral-storage": disk,
                **devices,
            },
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"architecture": labels.get("kubernetes.io/arch", "amd64")},
        },
    }


class ModelCluster:
    """Nodes, DaemonSets and their pods.

    Attributes:
        now: unix seconds.
        images: what each node has, beside what its own list says.
        pulls: the pulls that were begun, by (node, image).
        refused: DaemonSets that may not be written, with the reason.
    """

    def __init__(
        self, nodes: Iterable[Mapping[str, Any]], policy: Policy | None = None, now: int = 1_000_000
    ) -> None:
        self.policy = policy or Policy()
        self.now = now
        self.nodes = {node["metadata"]["name"]: dict(node) for node in nodes}
        self.manifests: dict[str, dict[str, Any]] = {}
        self.pods: dict[tuple[str, str], PullerPod] = {}
        self.images: dict[str, set[str]] = {}
        self.pulls: list[tuple[str, str]] = []
        self.refused: dict[str, str] = {}
        self._serial = 0

    @property
    def sets(self) -> tuple[PullerSet, ...]:
        return tuple(
            build_puller_set(msgspec.convert(manifest, WirePullerSet))
            for manifest in self.manifests.values()
        )

    @property
    def world(self) -> World:
        return World(
            snapshot=Snapshot.from_objects(self.nodes.values()),
            sets=self.sets,
            pods=tuple(self.pods.values()),
            refused=self.refused,
        )

    def plan(self, wishes: Iterable[Wish]) -> Plan:
        return make_plan(wishes, self.world, self.policy, now=self.now)

    def carry_out(self, plan: Plan) -> None:
        """Write what the plan says; nothing else happens."""
        for change in plan.changes:
            self._write(change.spec.name, build_set(change.spec, self.policy))
        for note in plan.notes:
            annotations = self.manifests[note.before.name]["metadata"]["annotations"]
            annotations["gpu-spawner.jupyter.org/preload-notes"] = note.notes.as_annotation()
        for removal in plan.removals:
            del self.manifests[removal.before.name]

    def run_daemons(self, *, refusing: str = "") -> None:
        """Do what the DaemonSet controller does: pods where they belong, and nowhere else.

        A policy of the cluster refuses pods with one image.
        """
        wanted: set[tuple[str, str]] = set()
        for one in self.sets:
            for name, node in self.nodes.items():
                host = node["metadata"]["labels"].get("kubernetes.io/hostname")
                if one.nodes is not None and host in one.nodes:
                    wanted.add((one.name, name))
        for key in self.pods.keys() - wanted:
            del self.pods[key]
        images = {one.name: one.image for one in self.sets}
        for key in sorted(wanted - self.pods.keys()):
            set_name, node = key
            if images[set_name] == refusing:
                continue
            has_it = images[set_name] in self.images.get(node, ())
            if not has_it:
                self.pulls.append((node, images[set_name]))
            self._serial += 1
            self.pods[key] = PullerPod(
                name=f"{set_name}-{self._serial}",
                uid=str(self._serial),
                set_name=set_name,
                image=images[set_name],
                node=node,
                state=PullState.READY if has_it else PullState.PULLING,
                created=self.now,
                ready_at=self.now if has_it else 0,
            )

    def finish(
        self, *, failing: Iterable[str] = (), why: str = "ErrImagePull", message: str = ""
    ) -> None:
        """End every pull: those of failing images, or on failing nodes, in failure."""
        bad = set(failing)
        for key, pod in list(self.pods.items()):
            if pod.state is not PullState.PULLING:
                continue
            if pod.image in bad or pod.node in bad:
                changed = msgspec.structs.replace(
                    pod, state=PullState.FAILED, reason=why, message=message
                )
            else:
                self.images.setdefault(pod.node, set()).add(pod.image)
                changed = msgspec.structs.replace(pod, state=PullState.READY, ready_at=self.now)
            self.pods[key] = changed

    def settle(self, wishes: Iterable[Wish], *, rounds: int = 200) -> int:
        """Plan, carry out and pull until nothing is left to do; return how many rounds it took."""
        wishes = tuple(wishes)
        for number in range(rounds):
            plan = self.plan(wishes)
            self.carry_out(plan)
            before = dict(self.pods)
            self.run_daemons()
            self.finish()
            self.now += 1
            if plan.is_empty and self.pods == before:
                return number
        raise AssertionError(f"still busy after {rounds} rounds: {self.plan(wishes)}")

    def under_way(self) -> dict[str, int]:
        """Count the pulls under way on each node."""
        counts: dict[str, int] = {}
        for pod in self.pods.values():
            if pod.state is PullState.PULLING:
                counts[pod.node] = counts.get(pod.node, 0) + 1
        return counts

    def _write(self, name: str, manifest: dict[str, Any]) -> None:
        self._serial += 1
        manifest["metadata"]["resourceVersion"] = str(self._serial)
        self.manifests[name] = manifest
