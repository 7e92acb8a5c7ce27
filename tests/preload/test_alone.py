"""The preloader as a Deployment of its own runs it, its lease, and the settings it refuses."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
import yaml
from preload_model import DOCUMENTS
from preloading import NAMESPACE, daemon_sets, eventually
from traitlets import TraitError
from traitlets.config import Config

from gpu_spawner.hub.preload_settings import PreloadSettings
from gpu_spawner.hub.preloading import preload_options
from gpu_spawner.hub.settings import read_settings
from gpu_spawner.hub.spawner import GPUSpawner
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.lease import Lease
from gpu_spawner.preload.service import LEASE_NAME
from gpu_spawner.sim.cluster import Cluster

COMMAND = str(Path(sys.executable).parent / "gpu-spawner")


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    folder = tmp_path / "profiles"
    folder.mkdir()
    for name, document in DOCUMENTS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(document))
    return folder


async def test_the_command_preloads_until_it_is_ended(cluster: Cluster, profiles: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "preload",
        *("--profiles", profiles, "--kubeconfig", cluster.kubeconfig_path),
        *("--namespace", NAMESPACE),
        stderr=asyncio.subprocess.PIPE,
    )

    async def has_begun() -> bool:
        return bool(await daemon_sets(cluster))

    await eventually(has_begun, "it makes DaemonSets")
    process.send_signal(signal.SIGTERM)
    _, log = await process.communicate()

    assert process.returncode == 0, log.decode()
    # What was made stays: the next one goes on with it.
    assert await daemon_sets(cluster)


class TestLease:
    async def test_one_holds_it_and_the_next_has_it_when_it_is_released(
        self, cluster: Cluster
    ) -> None:
        async with await ClusterClient.connect(cluster.kubeconfig_path) as client:
            one, other = (
                Lease(client, namespace=NAMESPACE, name=LEASE_NAME, identity=name)
                for name in ("one", "other")
            )

            assert await one.hold()
            assert not await other.hold()
            assert await one.hold()

            await one.release()

            assert await other.hold()
            assert not await one.hold()

    async def test_a_holder_that_fell_silent_loses_it(self, cluster: Cluster) -> None:
        now = 0.0
        async with await ClusterClient.connect(cluster.kubeconfig_path) as client:
            one, other = (
                Lease(
                    client,
                    namespace=NAMESPACE,
                    name=LEASE_NAME,
                    identity=name,
                    seconds=30,
                    monotonic=lambda: now,
                )
                for name in ("one", "other")
            )
            await one.hold()
            await other.hold()
            now = 29.0

            assert not await other.hold()

            now = 31.0

            assert await other.hold()


class TestSettings:
    def test_they_arrive_as_the_preloader_takes_them(self) -> None:
        config = Config()
        config.KubeSpawner.namespace = "jhub"
        config.GPUSpawner.preload_pulls_in_cluster = 3
        config.GPUSpawner.preload_extra_images = {"quay.io/site/proxy:2": ["gpus"]}
        config.GPUSpawner.preload = False
        options = preload_options(read_settings(GPUSpawner, config))

        assert options.policy.namespace == "jhub"
        assert options.policy.pulls_in_cluster == 3
        assert not options.policy.is_on
        assert options.extra_images == {"quay.io/site/proxy:2": ("gpus",)}

    @pytest.mark.parametrize(
        "settings",
        [
            {"preload_owner": "hub"},
            {"preload_owner": "pod/hub-1"},
            {"preload_resources": {"limits": {"nvidia.com/gpu": "1"}}},
            {"preload_resources": {"claims": {}}},
            {"preload_pulls_per_node": 0},
            {"preload_strategy": "magic"},
        ],
        ids=str,
    )
    def test_what_cannot_be_is_refused(self, settings: dict[str, object]) -> None:
        with pytest.raises(TraitError):
            PreloadSettings(**settings)
