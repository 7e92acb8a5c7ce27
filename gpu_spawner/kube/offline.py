"""For commands that build pods and talk to no cluster.

KubeSpawner looks for a cluster whenever one of its spawners is made, and fails without one.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kubernetes_asyncio.config import kube_config

__all__ = ["without_cluster"]

_NOWHERE: Final = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "none",
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    # RFC 6761: a name that is never found.
    "clusters": [{"name": "none", "cluster": {"server": "https://cluster.invalid"}}],
    "users": [{"name": "none", "user": {"token": "none"}}],
}


@contextmanager
def without_cluster() -> Iterator[None]:
    """Let client libraries find a cluster that no request can ever reach."""
    before = kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    with tempfile.TemporaryDirectory(prefix="gpu-spawner-") as folder:
        path = Path(folder) / "kubeconfig"
        path.write_text(json.dumps(_NOWHERE), encoding="utf-8")
        kube_config.KUBE_CONFIG_DEFAULT_LOCATION = str(path)
        try:
            yield
        finally:
            kube_config.KUBE_CONFIG_DEFAULT_LOCATION = before
