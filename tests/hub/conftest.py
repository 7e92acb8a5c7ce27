"""A real hub on a simulated cluster, and users for it.

- ``cluster``: one cluster for the whole run, on a thread of its own.
- ``hub``: one hub with two profiles (``PROFILES``), shared: tests use users and seats of their own
  and stop what they start.
- ``make_hub``: starts further hubs with other configuration.
- ``user``: the name of a user whom no other test knows; what they run is stopped afterwards.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # KubeSpawner 7.0 declares some traits in a way that traitlets deprecates; not ours to mend.
    warnings.simplefilter("ignore", DeprecationWarning)
    import kubespawner

from cluster_thread import ClusterThread
from running_hub import RunningHub, running_hub

PROFILES = """
c.JupyterHub.spawner_class = "gpu"
c.GPUSpawner.flavors = {
    "h100": {
        "display_name": "NVIDIA H100",
        "memory": "80GB",
        "node_labels": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
    },
}
c.GPUSpawner.images = {
    "scipy": {"image": "example.org/scipy:1", "display_name": "SciPy", "size": "1GB"},
    "torch": {"image": "example.org/torch:1", "display_name": "PyTorch", "size": "9GB"},
    "torch-old": {"image": "example.org/torch:0", "display_name": "PyTorch (old)"},
}
c.GPUSpawner.profiles = {
    "10-cpu": {
        "display_name": "Data science on CPU",
        "images": ["scipy"],
        "default": True,
        "resources": {"cpu": {"request": 1, "limit": 2}, "memory": {"request": "1Gi"}},
    },
    "20-gpus": {
        "display_name": "PyTorch on whole GPUs",
        "images": ["torch", "torch-old"],
        "gpu": {"flavors": ["h100"], "share": "whole", "count": [1, 2, 4]},
        "resources": {"cpu": {"request": 2}, "memory": {"request": "4Gi"}, "shm": "1Gi"},
    },
    "30-secret": {
        "display_name": "For the research group",
        "images": ["torch"],
        "gpu": {"flavors": ["h100"], "share": "whole", "count": 1},
        "resources": {"cpu": {"request": 1}, "memory": {"request": "1Gi"}},
        "allowed_groups": ["research"],
    },
}
"""

assert kubespawner  # imported for its warnings alone

MakeHub = Callable[..., RunningHub]
_numbers = itertools.count()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterThread]:
    running = ClusterThread(tmp_path_factory.mktemp("cluster"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, cluster: ClusterThread) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("hub")
    with running_hub(folder, PROFILES, kubeconfig=cluster.kubeconfig) as running:
        yield running


@pytest.fixture
def make_hub(tmp_path: Path, cluster: ClusterThread) -> Iterator[MakeHub]:
    with ExitStack() as stack:

        def start(config: str, base_url: str = "/", kubeconfig: Path | None = None) -> RunningHub:
            folder = tmp_path / f"hub-{next(_numbers)}"
            return stack.enter_context(
                running_hub(
                    folder, config, kubeconfig=kubeconfig or cluster.kubeconfig, base_url=base_url
                )
            )

        yield start


@pytest.fixture
def user(hub: RunningHub) -> Iterator[str]:
    name = hub.add_user(f"user{next(_numbers)}")
    yield name
    for server in hub.user(name).get("servers", {}):
        hub.stop(name, server)
