"""Find out how to reach the API server: which address, which credentials, how they are renewed.

The order is the one KubeSpawner follows, so that both see the same cluster: what was asked for
explicitly; what the process has already loaded (KubeSpawner does, and may have changed the host or
the certificate authority by its own traits); the service account of the pod; a kubeconfig file.
It opens no connection.
"""

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import yaml
from kubernetes_asyncio import config as kubernetes_config
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config.config_exception import ConfigException
from kubernetes_asyncio.config.kube_config import KubeConfigLoader

from gpu_spawner.core.errors import ConfigError, Problem

__all__ = ["load_configuration"]

# As often as the in-cluster loader reads its token file again. A credential plugin runs at most
# this often, and its own expiry date spares most of those runs.
_RENEWAL_PERIOD_SECONDS = 60.0

# What the loader raises for files that are YAML but no kubeconfig: it indexes as it goes.
_NOT_A_KUBECONFIG = (
    ConfigException,
    yaml.YAMLError,
    OSError,
    AssertionError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)


async def load_configuration(kubeconfig: Path | None = None, context: str = "") -> Configuration:
    """Return the client configuration, without touching the process-wide default.

    Args:
        kubeconfig: use this file and nothing else; several may be given, joined as ``$KUBECONFIG``
            joins them.
        context: the context inside the kubeconfig; empty means its current one.

    Raises:
        ConfigError: there is no configuration, or it cannot be read.
    """
    if kubeconfig is not None or context:
        return await _from_kubeconfig(kubeconfig or _default_kubeconfig(), context)
    # The client has no public way to ask whether a default was set; get_default() would set one.
    if getattr(Configuration, "_default", None) is not None:
        return Configuration.get_default_copy()
    configuration = Configuration()
    try:
        # The client ships this one function without types.
        kubernetes_config.load_incluster_config(configuration)  # type: ignore[no-untyped-call] # see above
    except ConfigException:
        return await _from_kubeconfig(_default_kubeconfig(), "")
    return configuration


def _default_kubeconfig() -> Path:
    return Path(os.environ.get("KUBECONFIG") or "~/.kube/config")


async def _from_kubeconfig(path: Path, context: str) -> Configuration:
    name = str(path)
    if not _exists(name):
        raise ConfigError(
            [
                Problem(
                    file=name,
                    message="there is no such file, and this process does not run in a pod.",
                    cure="Set KUBECONFIG, or name the file.",
                )
            ]
        )
    configuration = Configuration()
    try:
        loader = await kubernetes_config.load_kube_config(
            config_file=name, context=context or None, client_configuration=configuration
        )
    except _NOT_A_KUBECONFIG as error:
        explanation = str(error) or type(error).__name__
        raise ConfigError(
            [
                Problem(
                    file=name,
                    key=f"context {context!r}" if context else "",
                    message=f"cannot be used as a kubeconfig: {explanation}.",
                    cure="Try it with kubectl --kubeconfig.",
                )
            ]
        ) from error
    configuration.refresh_api_key_hook = _renewal(loader)
    return configuration


def _exists(paths: str) -> bool:
    return any(Path(each).expanduser().is_file() for each in paths.split(os.pathsep) if each)


def _renewal(loader: KubeConfigLoader) -> Callable[[Configuration], Awaitable[None]]:
    """Read token files, run credential plugins and refresh OIDC tokens again, once a minute.

    The client calls the hook before every request. Without it, a token that came from a plugin
    (EKS: 15 minutes) would end the watches of a hub outside the cluster for good.
    """
    renewed_at = time.monotonic()

    async def renew(configuration: Configuration) -> None:
        nonlocal renewed_at
        if time.monotonic() - renewed_at >= _RENEWAL_PERIOD_SECONDS:
            renewed_at = time.monotonic()
            await loader.load_and_set(configuration)

    return renew
