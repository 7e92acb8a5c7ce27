"""What an admin would have put into the demo's namespace beforehand, for profiles that need it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.client import KubeClient

__all__ = ["put_demo_objects", "put_object"]

_PATHS: Final = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
}
_REGISTRY_KEY: Final = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "ngc"},
    "stringData": {"api-key": "no-key-is-needed-here"},
}
"""What the model server of the profile for inference is given to log in to its registry."""


async def put_demo_objects(client: KubeClient, namespace: str, helm_values: Path) -> None:
    """Create the secret and the service account that the shipped profiles name.

    They go with the namespace.

    Args:
        client: an administrator's.
        namespace: of the servers.
        helm_values: the folder that ships the rights of the profile for experiments.
    """
    text = (helm_values / "experiments-rbac.yaml").read_text(encoding="utf-8")
    for manifest in (_REGISTRY_KEY, *yaml.safe_load_all(text)):
        for subject in manifest.get("subjects", ()):
            subject["namespace"] = namespace
        await put_object(client, namespace, manifest)


async def put_object(client: KubeClient, namespace: str, manifest: Mapping[str, Any]) -> str:
    """Create an object, or make it say what it should; return its path.

    Args:
        client: an administrator's.
        namespace: of the object, where its kind has one.
        manifest: of a kind that demos need.

    Raises:
        ClusterError: the API server refused or did not answer.
    """
    path = _PATHS[manifest["kind"]].format(namespace)
    own_path = f"{path}/{manifest['metadata']['name']}"
    try:
        await client.create(path, manifest)
    except ClusterError as error:
        if error.status != 409:
            raise
        # It is there since an earlier run with the same state.
        await client.patch(own_path, manifest)
    return own_path
