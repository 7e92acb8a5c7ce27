"""The hub's own connection to the API server that KubeSpawner uses."""

from kubespawner.clients import load_config

from gpu_spawner.hub.settings import HubSettings
from gpu_spawner.kube.client import ClusterClient

__all__ = ["connect", "load_as_kubespawner"]


def load_as_kubespawner(settings: HubSettings) -> None:
    """Find the API server in KubeSpawner's way, before its first spawner does.

    It takes KubeSpawner's traits into account, and leaves the result where a ``ClusterClient``
    looks first.
    """
    load_config(
        host=settings.k8s_api_host,
        ssl_ca_cert=settings.k8s_api_ssl_ca_cert,
        verify_ssl=settings.k8s_api_verify_ssl,
    )


async def connect(settings: HubSettings) -> ClusterClient:
    """Open a connection; no request is sent yet.

    Raises:
        ConfigError: there is no way to reach a cluster.
    """
    load_as_kubespawner(settings)
    return await ClusterClient.connect()
