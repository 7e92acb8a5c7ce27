"""A cluster whose GPUs are had by claims, a hub's profiles for it, and what to ask of both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cluster_thread import NAMESPACE, TINY_SERVER, ClusterThread
from running_hub import RunningHub

from gpu_spawner.sim.apiserver.api_errors import ApiError
from gpu_spawner.sim.apiserver.faults import Fault, RequestFacts

GROUP = "/apis/resource.k8s.io/v1"

FLEET = f"""
default_command: [python, {TINY_SERVER}]
images:
  "*/pause:*": {{size: 1k, command: []}}
  "*": {{size: 1k}}
nodes:
  - name: h200
    cpu: 64
    memory: 512Gi
    gpu: {{product: NVIDIA-H200, family: hopper, compute: "9.0", count: 4, memory_mib: 143771,
          device_plugin: false, dra: whole}}
  - name: b200
    cpu: 64
    memory: 512Gi
    gpu: {{product: NVIDIA-B200, family: blackwell, compute: "10.0", count: 2, memory_mib: 183359,
          device_plugin: false, dra: dynamic-mig, mig_profiles: [1g.23gb, 3g.90gb]}}
  - name: l40s
    cpu: 64
    memory: 512Gi
    gpu: {{product: NVIDIA-L40S, family: ada-lovelace, compute: "8.9", count: 2, memory_mib: 46068,
          device_plugin: false, dra: memory-shares}}
"""
"""Four whole GPUs, two that are cut as claims ask for it, and two that are shared by memory."""

PROFILES: dict[str, Any] = {
    "flavors": {
        "h200": {
            "display_name": "NVIDIA H200",
            "memory": "141GB",
            "mechanisms": ["dra-whole"],
            "dra": {"attributes": {"productName": ["NVIDIA H200"]}},
        },
        "b200": {
            "display_name": "NVIDIA B200",
            "memory": "183GB",
            "mechanisms": ["dra-whole", "dra-mig"],
            "mig": {"profiles": ["1g.23gb", "3g.90gb"]},
            "dra": {
                "mig_device_class": "mig.nvidia.com",
                "attributes": {"productName": ["NVIDIA B200"]},
            },
        },
        "l40s": {
            "display_name": "NVIDIA L40S",
            "memory": "48GB",
            "mechanisms": ["dra-capacity"],
            "dra": {
                "attributes": {"productName": ["NVIDIA L40S"]},
                "memory_capacity": "memory",
            },
        },
    },
    "images": {"torch": {"image": "example.org/torch:1", "display_name": "PyTorch"}},
    "10-cpu": {"display_name": "CPU", "images": ["torch"], "default": True},
    "20-whole": {
        "display_name": "Whole GPUs",
        "images": ["torch"],
        "gpu": {"flavors": ["h200", "b200"], "share": "whole", "count": [1, 2]},
        "resources": {"cpu": {"request": 1}, "memory": {"request": "1Gi"}},
    },
    "30-slices": {
        "display_name": "Slices",
        "images": ["torch"],
        "gpu": {"flavors": ["b200"], "share": {"mig": ["1g.23gb", "3g.90gb"]}},
    },
    "40-parts": {
        "display_name": "Parts of a GPU",
        "images": ["torch"],
        "gpu": {"flavors": ["l40s"], "share": {"memory": ["10Gi", "20Gi"]}},
    },
    "45-either": {
        "display_name": "A slice, or a part of a GPU",
        "images": ["torch"],
        "gpu": {"flavors": ["b200", "l40s"], "share": {"memory": "10Gi"}},
    },
    "50-queued": {
        "display_name": "All of them, in turn",
        "images": ["torch"],
        "gpu": {"flavors": ["h200"], "share": "whole", "count": 4},
        "kueue": {"queue": "research"},
    },
}

CONFIG = f"""
c.JupyterHub.spawner_class = "gpu"
c.GPUSpawner.profiles = {PROFILES!r}
"""

WHOLE = {"profile": "whole", "flavor": "h200", "count": 1}
PART = {"profile": "parts", "share": "memory-10Gi"}
EITHER = {"profile": "either", "flavor": "any"}

CHOICES: list[dict[str, Any]] = [
    {"profile": "cpu"},
    {"profile": "whole", "flavor": "any", "count": 1},
    {"profile": "whole", "flavor": "h200", "count": 2},
    {"profile": "slices", "share": "mig-1g.23gb"},
    {"profile": "slices", "share": "mig-3g.90gb"},
    {"profile": "parts", "share": "memory-10Gi"},
    {"profile": "parts", "share": "memory-20Gi"},
]
FAULTS = [
    Fault(drops_connection=True),
    Fault(delay_seconds=4.0),
    Fault(error=ApiError(429, "TooManyRequests", "slow down", {"retryAfterSeconds": 1})),
    Fault(error=ApiError(500, "InternalError", "oops", {})),
    Fault(error=ApiError(503, "ServiceUnavailable", "later", {})),
]
"""What an API server does on a bad day."""

Hook = Callable[[RequestFacts], Fault | None]


class ClaimCluster(ClusterThread):
    """The cluster, with what the tests of claims look at."""

    def __init__(self, state_dir: Path, fleet: str = FLEET, **options: Any) -> None:
        super().__init__(state_dir, fleet, **options)

    def suffer(self, hook: Hook | None) -> None:
        """Let the API server ask ``hook`` before each answer from now on; skip where none can.

        When this returns, no hook of before is at work any more.
        """
        if (server := self.cluster.server) is not None:

            async def change() -> None:
                server.faults = hook

            self.call(change())
        elif hook is not None:
            pytest.skip("faults are the embedded server's")

    def disable(self, *gates: str) -> None:
        """Turn these feature gates off, and all others on."""
        if self.cluster.server is not None:
            self.cluster.server.disabled_gates = frozenset(gates)
        elif gates:
            pytest.skip("the gates of another API server are its own")

    def listed(self, kind: str) -> list[dict[str, Any]]:
        found = self.call(self.cluster.client.get(f"{GROUP}/namespaces/{NAMESPACE}/{kind}"))
        items: list[dict[str, Any]] = found["items"]
        return items

    def claims(self) -> list[dict[str, Any]]:
        return self.listed("resourceclaims")

    def templates(self) -> list[dict[str, Any]]:
        return self.listed("resourceclaimtemplates")

    def remove_templates(self) -> None:
        for one in self.templates():
            name = one["metadata"]["name"]
            path = f"{GROUP}/namespaces/{NAMESPACE}/resourceclaimtemplates/{name}"
            self.call(self.cluster.client.delete(path))

    def has_claims(self, username: str) -> bool:
        """Tell whether the claims of a user's pod have been made."""
        pods = self.pods(username)
        return bool(pods) and "resourceClaimStatuses" in pods[0].get("status", {})


def is_over(hub: RunningHub, name: str) -> bool:
    """Tell whether a start has ended, well or badly."""
    server = hub.user(name).get("servers", {}).get("")
    return server is None or server["pending"] is None


def is_ready(hub: RunningHub, name: str) -> bool:
    """Tell whether a user's server runs and can be reached."""
    server = hub.user(name).get("servers", {}).get("")
    return server is not None and bool(server["ready"])


def kept(hook_log: list[str]) -> Hook:
    """Return a hook that notes what hubs ask for servers' pods and templates, and refuses none."""

    def note(facts: RequestFacts) -> None:
        is_server = facts.resource == "pods" and b"singleuser-server" in facts.body
        is_template = facts.resource == "resourceclaimtemplates"
        if facts.verb in ("create", "get") and (is_server or is_template):
            hook_log.append(f"{facts.verb} {facts.resource}")

    return note
