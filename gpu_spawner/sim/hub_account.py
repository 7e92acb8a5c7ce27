"""The account of the demo's hub: it may do what an installed hub may, and nothing more.

That is what the zero-to-jupyterhub chart grants and what ``gpu-spawner rbac`` prints beside it, so
that whatever the demo shows can be had with these rights.
"""

import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.kube.rights import BESIDE_THE_CHART, manifests
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.cluster import Cluster
from gpu_spawner.sim.demo_objects import put_object
from gpu_spawner.sim.fleet_objects import DEMO_LABEL
from gpu_spawner.sim.kubeconfig import kubeconfig_for

__all__ = ["HubAccount", "hub_account"]

_NAME: Final = "hub"
_RELEASE: Final = "demo"
_TOKEN_SECONDS: Final = 365 * 86400
_LEAST_SECONDS: Final = 86400
"""Servers may give tokens a shorter life than asked for; a demo should outlive a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubAccount:
    """How the hub logs in.

    Attributes:
        kubeconfig: its own, or the administrator's.
        unlimited_because: why it is the administrator's; empty where it is its own.
    """

    kubeconfig: Path
    unlimited_because: str = ""


@contextlib.asynccontextmanager
async def hub_account(cluster: Cluster, namespace: str) -> AsyncIterator[HubAccount]:
    """Give the hub a service account with its rights; taken back from a foreign cluster at the end.

    Where the cluster does not let us, the hub uses the kubeconfig that was given, and says so.

    Args:
        cluster: which runs.
        namespace: of the servers, and of the account.
    """
    for_whole_cluster: list[str] = []
    try:
        account = await _prepare(cluster, namespace, for_whole_cluster)
    except ClusterError as error:
        account = HubAccount(kubeconfig=cluster.kubeconfig_path, unlimited_because=str(error))
    try:
        yield account
    finally:
        if cluster.server is None:
            # What is in the namespace goes with it.
            await _remove(cluster.client, for_whole_cluster)


async def _prepare(cluster: Cluster, namespace: str, for_whole_cluster: list[str]) -> HubAccount:
    client = cluster.client
    labels = {DEMO_LABEL: cluster.demo_id}
    await put_object(
        client,
        namespace,
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": _NAME, "labels": labels},
        },
    )
    features = ("spawn", *BESIDE_THE_CHART)
    for manifest in manifests(
        features, namespace=namespace, service_account=_NAME, release=_RELEASE
    ):
        manifest["metadata"]["labels"].update(labels)
        path = await put_object(client, namespace, manifest)
        if "namespace" not in manifest["metadata"]:
            for_whole_cluster.append(path)
    token, lives_seconds = await _token(client, namespace)
    if lives_seconds < _LEAST_SECONDS:
        return HubAccount(
            kubeconfig=cluster.kubeconfig_path,
            unlimited_because=f"the cluster's tokens last only {lives_seconds:.0f} seconds",
        )
    own = cluster.state_dir / "hub-kubeconfig"
    own.touch(mode=0o600)
    document = kubeconfig_for(cluster.kubeconfig_path, _NAME, token)
    own.write_text(json.dumps(document, indent=2), encoding="utf-8")
    return HubAccount(kubeconfig=own)


async def _token(client: KubeClient, namespace: str) -> tuple[str, float]:
    """Return a token of the account, and for how many seconds it is good."""
    request: dict[str, Any] = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": _TOKEN_SECONDS},
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{_NAME}/token"
    status = (await client.create(path, request))["status"]
    return status["token"], _unix_seconds(status["expirationTimestamp"]) - time.time()


def _unix_seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


async def _remove(client: KubeClient, paths: list[str]) -> None:
    for path in reversed(paths):
        with contextlib.suppress(ClusterError):  # the server may be gone before the demo
            await client.delete(path)
