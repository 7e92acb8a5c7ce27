"""The preloader as a Deployment of its own runs it, its lease, and the settings it refuses."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest
import yaml
from preload_model import DOCUMENTS
from preloading import BASE, NAMESPACE, TORCH, MakePreloader, daemon_sets, eventually
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


async def test_the_command_follows_edits_and_outlives_broken_ones(
    cluster: Cluster, profiles: Path
) -> None:
    """As the hub: the last good profiles stay in use, and the next good ones take their place."""
    config = profiles.parent / "jupyterhub_config.py"
    config.write_text(
        "c = get_config()\n"
        f"c.GPUSpawner.profiles_dir = {str(profiles)!r}\n"
        "c.GPUSpawner.profiles_reload_seconds = 0.1\n"
    )
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "preload",
        *("--config", config, "--kubeconfig", cluster.kubeconfig_path),
        *("--namespace", NAMESPACE),
        stderr=asyncio.subprocess.PIPE,
    )

    async def images() -> set[str]:
        return {
            one["metadata"]["annotations"]["gpu-spawner.jupyter.org/preload-image"]
            for one in await daemon_sets(cluster)
        }

    async def has(*wanted: str) -> bool:
        return set(wanted) <= await images()

    await eventually(lambda: has(TORCH), "it preloads what the profiles name")
    good = (profiles / "images.yaml").read_text()
    (profiles / "images.yaml").write_text(good.replace(TORCH, "quay.io/site/torch:2") + "\nx: [")
    assert process.stderr is not None
    log = b""
    while b"the last good ones stay in use" not in log:
        log += await process.stderr.readline()
    assert "quay.io/site/torch:2" not in await images()

    (profiles / "images.yaml").write_text(good.replace(TORCH, "quay.io/site/torch:2"))
    await eventually(lambda: has("quay.io/site/torch:2"), "it preloads what they name now")
    process.send_signal(signal.SIGTERM)
    rest = await process.stderr.read()
    await process.wait()

    assert process.returncode == 0, (log + rest).decode()


async def test_the_plan_for_a_cluster_on_which_all_is_done_is_empty(
    cluster: Cluster, make_preloader: MakePreloader, profiles: Path
) -> None:
    """The owner, the strategy, and the sizes that were learnt are those the preloader goes by."""
    secrets = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    await cluster.client.create(secrets, {"metadata": {"name": "hub"}})
    running = await make_preloader()
    for image in (TORCH, BASE):
        await running.until_pulled(image, "gpu-1", "gpu-2")

    async def plan(*source: object) -> str:
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            *("preload", "--plan", "--profiles", profiles, "--namespace", NAMESPACE),
            *map(str, source),
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await process.communicate()
        return told.decode()

    async def is_empty() -> bool:
        return "Nothing to do." in await plan("--kubeconfig", cluster.kubeconfig_path)

    await eventually(is_empty, "the plan for the cluster is empty")
    await running.stop()

    saved = []
    for kind, path in (
        ("Node", "/api/v1/nodes"),
        ("Pod", "/api/v1/pods"),
        ("DaemonSet", "/apis/apps/v1/daemonsets"),
    ):
        items = (await cluster.client.get(path))["items"]
        saved.extend({**item, "kind": kind} for item in items)
    dump = profiles.parent / "cluster.json"
    dump.write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": saved}))
    told = await plan("--cluster", dump)

    assert "Nothing to do." in told, told


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
            {"preload_release": "Blue!"},
            {"preload_owner": "pod/hub-1"},
            {"preload_resources": {"limits": {"nvidia.com/gpu": "1"}}},
            {"preload_resources": {"claims": {}}},
            {"preload_resources": {"requests": {"cpu": "lots"}}},
            {"preload_resources": {"limits": {"memory": "-1"}}},
            {"preload_resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
            {"preload_extra_images": {"": []}},
            {"preload_extra_images": {" x ": []}},
            {"preload_extra_images": {"a b": []}},
            {"preload_extra_images": {"quay.io/Site/x:1": []}},
            {"preload_pulls_per_node": 0},
            {"preload_strategy": "magic"},
        ],
        ids=str,
    )
    def test_what_cannot_be_is_refused(self, settings: dict[str, object]) -> None:
        with pytest.raises(TraitError):
            PreloadSettings(**settings)
