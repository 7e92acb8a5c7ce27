"""A service account for a hub, with the rights that ``gpu-spawner rbac`` prints, or without."""

from pathlib import Path
from typing import Any

import yaml
from cluster_thread import NAMESPACE, ClusterThread

from gpu_spawner.kube.rights import manifests

RBAC = "/apis/rbac.authorization.k8s.io/v1"


class Account:
    """A service account of the tests' cluster, with a kubeconfig that is its own."""

    def __init__(self, cluster: ClusterThread, name: str, folder: Path) -> None:
        self.cluster = cluster
        self.name = name
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
        self.create(
            path, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        )
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = self.create(f"{path}/{name}/token", request)["status"]["token"]
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        self.kubeconfig = folder / f"{name}.yaml"
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = self.cluster.call(self.cluster.cluster.client.create(path, body))
        return made

    @property
    def username(self) -> str:
        """The name by which an API server knows it."""
        return f"system:serviceaccount:{NAMESPACE}:{self.name}"

    def grant(self, *features: str) -> None:
        """Apply what the command prints."""
        for one in manifests(
            features, namespace=NAMESPACE, service_account=self.name, release=self.name
        ):
            folder = f"/namespaces/{NAMESPACE}" if "namespace" in one["metadata"] else ""
            self.create(f"{RBAC}{folder}/{one['kind'].lower()}s", one)

    def revoke(self) -> None:
        """Take all of it away again."""
        client = self.cluster.cluster.client
        for folder, kind in (
            (f"{RBAC}/namespaces/{NAMESPACE}", "rolebindings"),
            (f"{RBAC}/namespaces/{NAMESPACE}", "roles"),
            (RBAC, "clusterrolebindings"),
            (RBAC, "clusterroles"),
        ):
            for one in self.cluster.call(client.get(f"{folder}/{kind}"))["items"]:
                name = one["metadata"]["name"]
                if self.name in name:
                    self.cluster.call(client.delete(f"{folder}/{kind}/{name}"))
