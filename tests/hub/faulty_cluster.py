"""A cluster that misbehaves on request, what is true in it, and a hub that must live with it.

The hub has a service account of its own, by which the API server's fault hook tells its requests
from those of the scheduler, the controllers and the kubelets: only the hub's are spoilt.
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from claim_cluster import CHOICES, FLEET, PROFILES, ClaimCluster
from cluster_thread import NAMESPACE
from hub_account import Account
from other_process import wait_until
from running_hub import RunningHub, running_hub
from traitlets.config import Config

from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.core.preload.wishes import wishes_of
from gpu_spawner.hub.preloading import preload_options, site_of_spawner
from gpu_spawner.hub.rendering import board_for, idle_spawner, read_configured
from gpu_spawner.kube.rights import FEATURES
from gpu_spawner.kube.watcher import read_once

WITH_PLUGIN = f"""{FLEET}
  - name: h100
    cpu: 32
    memory: 256Gi
    gpu: {{product: NVIDIA-H100-80GB-HBM3, family: hopper, compute: "9.0", count: 2,
          memory_mib: 81559}}
  - name: a100
    cpu: 32
    memory: 256Gi
    gpu: {{product: NVIDIA-A100-SXM4-80GB, family: ampere, compute: "8.0", count: 1,
          memory_mib: 81920, mig: {{1g.10gb: 4, 3g.40gb: 1}}, mig_gpus: 1}}
  - name: t4
    cpu: 32
    memory: 256Gi
    gpu: {{product: Tesla-T4, family: turing, compute: "7.5", count: 1, memory_mib: 15360,
          replicas: 4}}
"""
"""And GPUs of a device plugin: whole, in slices, and in turns."""

CATALOG: dict[str, Any] = {
    # What is on nodes before anybody comes is the same before and after every storm.
    **{
        name: {**one, "preload": "always"} if "images" in one else one
        for name, one in PROFILES.items()
    },
    "flavors": {
        **PROFILES["flavors"],
        "h100": {
            "display_name": "NVIDIA H100",
            "memory": "80GB",
            "node_labels": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
        },
        "a100": {
            "display_name": "NVIDIA A100",
            "memory": "80GB",
            "node_labels": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"},
            "mechanisms": ["mig"],
            "mig": {"profiles": ["1g.10gb", "3g.40gb"]},
        },
        "t4": {
            "display_name": "NVIDIA T4",
            "memory": "16GB",
            "node_labels": {"nvidia.com/gpu.product": "Tesla-T4"},
            "mechanisms": ["replica"],
            "sharing": {"strategy": "time-slicing", "replicas": 4},
        },
    },
    "60-plugin": {
        "display_name": "GPUs of a device plugin",
        "images": ["torch"],
        "gpu": {"flavors": ["h100"], "share": "whole", "count": [1, 2]},
        "preload": "always",
    },
    "70-plugin-slices": {
        "display_name": "Slices of a device plugin",
        "images": ["torch"],
        "gpu": {"flavors": ["a100"], "share": {"mig": ["1g.10gb", "3g.40gb"]}},
    },
    "80-replicas": {
        "display_name": "GPUs in turns",
        "images": ["torch"],
        "gpu": {"flavors": ["t4"], "share": {"replica": 1}},
    },
}

ALL_CHOICES: list[dict[str, Any]] = [
    *CHOICES,
    {"profile": "plugin", "count": 1},
    {"profile": "plugin", "count": 2},
    {"profile": "plugin-slices", "share": "mig-1g.10gb"},
    {"profile": "plugin-slices", "share": "mig-3g.40gb"},
    {"profile": "replicas"},
]

SETTINGS: dict[str, dict[str, Any]] = {
    "GPUSpawner": {
        "profiles": CATALOG,
        "claim_template_max_age_seconds": 1,
    },
    "KubeSpawner": {
        "namespace": NAMESPACE,
        "storage_pvc_ensure": True,
        "storage_capacity": "1Gi",
        "pvc_name_template": "home-{username}",
        "k8s_api_request_retry_timeout": 8,
        "start_timeout": 30,
    },
    # What takes minutes by default, in seconds.
    "ClusterWatcher": {
        "max_age_seconds": 3.0,
        "watch_timeout_seconds": 4.0,
        "request_timeout_seconds": 6.0,
        "forbidden_retry_seconds": 1.0,
        "longest_retry_seconds": 1.0,
        "resync_seconds": 5.0,
    },
}

CONFIG = "\n".join(
    [
        'c.JupyterHub.spawner_class = "gpu"',
        *(
            f"c.{owner}.{name} = {value!r}"
            for owner, settings in SETTINGS.items()
            for name, value in settings.items()
        ),
    ]
)

SETTLED_SECONDS = 100.0
"""Within this everything must be as it should be again, without a restart of the hub. A request of
its background work that never gets an answer is given up after a minute."""

WRITES = ("create", "update", "patch", "delete", "deletecollection")

STALE_SECONDS = 20.0
"""How long the page may tell of a place that is gone: until lost events are noticed by a new list
(``resync_seconds``), and what is too old is unknown (``max_age_seconds``), on a busy machine."""

_OURS = re.compile(r'File "[^"]*/gpu_spawner/(?!sim/)[^"]*"')
_TRACEBACK = "Traceback (most recent call last):"


class FaultyCluster(ClaimCluster):
    """The cluster, an account for hubs, and the ways in which it can be broken."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir, WITH_PLUGIN, keeps_objects=True, missing_node_seconds=1.0)
        self.account = Account(self, "hub-of-faults", state_dir)
        self.grant()
        self._board = asyncio.run(self._new_board())
        self._looking = threading.Lock()
        self._wished = asyncio.run(wished_sets())
        self._sets: set[str] = set()

    async def _new_board(self) -> OfferBoard:
        config = Config(SETTINGS)
        snapshot = await read_once(kubeconfig=self.kubeconfig)
        with idle_spawner(config, "nobody") as spawner:
            return board_for(spawner, read_configured(config), snapshot)

    # Ways to break it

    def grant(self) -> None:
        """Give hubs all the rights they need."""
        self.account.grant(*FEATURES)

    def revoke(self) -> None:
        """Take all rights from hubs."""
        self.account.revoke()

    def restart_server(self) -> None:
        """Let the API server be gone for a moment."""
        self.call(self.cluster.stop_server())
        self.call(self.cluster.start_server())

    def limit(self, **hard: str) -> None:
        """Let the namespace have no more than this of something."""
        path = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"
        named = {name.replace("__", "/").replace("_", "."): value for name, value in hard.items()}
        body = {"metadata": {"name": "faults"}, "spec": {"hard": named}}
        self.call(self.cluster.client.create(path, body))

    def unlimit(self) -> None:
        """Take the limit away again."""
        path = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas/faults"
        self.call(self.cluster.client.delete(path))

    # What is true

    def truth(self) -> dict[str, tuple[object, ...]]:
        """Return what a reader who has only just looked would offer, by the keys of choices."""
        with self._looking:
            offers = self._board.update(self.call(read_once(kubeconfig=self.kubeconfig)))
        return {
            choice.key: (choice.free, choice.total, choice.state is not None)
            for offer in offers
            for choice in offer.choices
        }

    def names(self, path: str) -> set[str]:
        """Return the names of the objects in a collection of the servers' namespace."""
        folder, _, kind = path.rpartition("/")
        found = self.call(self.cluster.client.get(f"{folder}/namespaces/{NAMESPACE}/{kind}"))
        return {one["metadata"]["name"] for one in found["items"]}

    def leaks(self, hub: RunningHub, users: list[str]) -> list[str]:
        """Return everything that is there and should not be, once nobody starts or stops."""
        running = {
            name
            for name in users
            for server in hub.user(name).get("servers", {}).values()
            if server["ready"] or server["pending"]
        }
        pods = self.pods()
        owners = {pod["metadata"]["annotations"]["hub.jupyter.org/username"] for pod in pods}
        uids = {pod["metadata"]["uid"] for pod in pods}
        found = [f"the pod of {name}" for name in sorted(owners - running)]
        found += [f"the server of {name} without a pod" for name in sorted(running - owners)]
        needed = {
            reference["resourceClaimTemplateName"]
            for pod in pods
            for reference in pod["spec"].get("resourceClaims") or ()
        }
        templates = {one["metadata"]["name"] for one in self.templates()}
        found += [f"the template {name}" for name in sorted(templates - needed)]
        found += [f"no template {name}" for name in sorted(needed - templates)]
        for claim in self.claims():
            if not any(one["uid"] in uids for one in claim["metadata"].get("ownerReferences", ())):
                found.append(f"the claim {claim['metadata']['name']}")
        homes = {f"home-{name}" for name in users}
        volumes = self.names("/api/v1/persistentvolumeclaims")
        found += [f"the volume {name}" for name in sorted(volumes - homes)]
        sets = self.names("/apis/apps/v1/daemonsets")
        found += [f"the DaemonSet {name}" for name in sorted(sets - self._wished)]
        return found + [f"no DaemonSet {name}" for name in sorted(self._sets - sets)]

    def expect_sets(self) -> None:
        """Wait until the image is on every node; from then on these DaemonSets have to be there."""
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets"

        def are_ready() -> bool:
            sets = self.call(self.cluster.client.get(path))["items"]
            self._sets = {one["metadata"]["name"] for one in sets}
            numbers = [one.get("status", {}) for one in sets]
            ready = sum(one.get("numberReady", 0) for one in numbers)
            return ready >= len(self.cluster.fleet.node_names)

        wait_until(are_ready, "the image is on every node", SETTLED_SECONDS)

    def wrong_offers(self, hub: RunningHub) -> list[str]:
        """Return how the hub's offers differ from what is true, where it claims to know."""
        truth, told = self.truth(), offers_of(hub)
        return [
            f"{key}: told {told.get(key)}, in truth {truth[key]}"
            for key in truth
            if told.get(key) != truth[key]
        ]

    def settle(self, hub: RunningHub, users: list[str]) -> None:
        """Wait until nothing is left behind and the page says what is true; fail if it never is."""
        seen: list[str] = []

        def is_settled() -> bool:
            seen[:] = [*self.leaks(hub, users), *self.wrong_offers(hub)]
            return not seen

        try:
            wait_until(is_settled, "all is well again", SETTLED_SECONDS)
        except AssertionError:
            raise AssertionError("\n".join(["not settled:", *seen])) from None


async def wished_sets() -> set[str]:
    """Return the names of the DaemonSets that the profiles ask for; any other one is left over."""
    config = Config(SETTINGS)
    with idle_spawner(config, "nobody") as spawner:
        options, site = preload_options(spawner), site_of_spawner(spawner)
        wishes = wishes_of(read_configured(config), site, release=options.release)
    return {wish.set_name for wish in wishes}


def offers_of(hub: RunningHub) -> dict[str, tuple[object, ...]]:
    """Return what the hub offers an admin, as ``FaultyCluster.truth`` does."""
    answer = hub.rest("GET", "gpu-spawner/offers?user=admin")
    assert answer.status_code == 200, answer.text
    return {
        choice["key"]: (choice["free"], choice["total"], choice["state"] is not None)
        for profile in answer.json()["profiles"]
        for choice in profile["choices"]
    }


EXPECTED = (
    # A start that fails is an exception, which JupyterHub writes down as it is.
    r"(?m)^gpu_spawner\.hub\.refusal\.SpawnRefused",
    # KubeSpawner gives up on a stop, and JupyterHub asks again: the node is gone, or a deletion
    # went wrong as long as such requests are tried.
    r"TimeoutError: pod \S+ did not disappear in \d+ seconds!",
    r"TimeoutError: Could not delete pod \S+",
    # As it gives up on a stop it lists the pods anew, which may fail for as long.
    r"(?m)^gpu_spawner\.hub\.first_lists\.UnreadError: listing pods",
    # KubeSpawner's own reflectors are refused as the hub starts, and JupyterHub writes that down.
    r"first_load_future\n(?:[ ^]*\n)?kubernetes_asyncio\S+ApiException: \(\d+\)",
)
"""What a traceback through our code may end in."""


def own_tracebacks(log: str) -> list[str]:
    """Return the tracebacks of a hub's log that go through our code, but for ``EXPECTED``."""
    return [
        "\n".join(block)
        for block in tracebacks(log)
        if any(map(_OURS.search, block))
        and not any(re.search(one, "\n".join(block[-3:])) for one in EXPECTED)
    ]


def tracebacks(log: str) -> Iterator[list[str]]:
    """Yield the lines of each traceback, the exception last; tornado indents those it logs."""
    lines = iter(log.splitlines())
    for line in lines:
        if not line.endswith(_TRACEBACK):
            continue
        margin = line[: -len(_TRACEBACK)]
        block = []
        for inner in lines:
            block.append(inner.removeprefix(margin))
            if inner.strip() and not inner.startswith(f"{margin} "):
                break
        yield block


@contextlib.contextmanager
def hub_of(cluster: FaultyCluster, folder: Path, more: str = "") -> Iterator[RunningHub]:
    """Run a hub with the account's rights; in the same folder it finds what the last one knew.

    ``more`` is further configuration.
    """
    config = f"{CONFIG}\n{more}"
    with running_hub(folder, config, kubeconfig=cluster.account.kubeconfig) as hub:
        yield hub
