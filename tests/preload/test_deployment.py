"""The manifest for preloading by itself: an API server takes it, and its command can be run."""

from pathlib import Path
from typing import Any

import yaml
from preloading import NAMESPACE

from gpu_spawner.cli.catalogs import read_config
from gpu_spawner.cli.command_line import make_parser
from gpu_spawner.hub.preloading import preload_options
from gpu_spawner.hub.settings import read_settings
from gpu_spawner.hub.spawner import GPUSpawner
from gpu_spawner.sim.cluster import Cluster

LAYERS = Path(__file__).resolve().parents[2] / "helm-values"


def documents() -> dict[str, dict[str, Any]]:
    text = (LAYERS / "preload-deployment.yaml").read_text("utf-8")
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


async def test_an_api_server_takes_its_pods(cluster: Cluster) -> None:
    """The embedded cluster has no Deployments; a pod of this one is what it checks."""
    found = documents()
    core = f"/api/v1/namespaces/{NAMESPACE}"
    await cluster.client.create(f"{core}/configmaps", found["ConfigMap"])
    await cluster.client.create(f"{core}/serviceaccounts", {"metadata": {"name": "hub"}})
    deployment = found["Deployment"]["spec"]
    template = deployment["template"]
    named = {**template["metadata"], "name": "gpu-spawner-preload-1"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": template["spec"]}
    made = await cluster.client.create(f"{core}/pods?dryRun=All", pod)

    assert made["spec"]["serviceAccountName"] == "hub"
    assert deployment["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_what_it_mounts_is_there_and_what_it_runs_exists(tmp_path: Path) -> None:
    """The profiles are the ConfigMap of the layer that mounts them, the account the chart's."""
    found = documents()
    spec = found["Deployment"]["spec"]["template"]["spec"]
    layer = yaml.safe_load((LAYERS / "profiles-from-configmap.yaml").read_text("utf-8"))
    profiles = layer["hub"]["extraVolumes"][0]["configMap"]["name"]
    mounted = [one["configMap"]["name"] for one in spec["volumes"] if "configMap" in one]

    assert mounted == [found["ConfigMap"]["metadata"]["name"], profiles]
    assert spec["serviceAccountName"] == "hub"

    (container,) = spec["containers"]
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    for name, text in found["ConfigMap"]["data"].items():
        (tmp_path / name).write_text(text)
    program, *words = container["command"]
    here = [word.replace(mounts["config"], str(tmp_path)) for word in words]
    config = read_config(make_parser().parse_args(here))
    settings = read_settings(GPUSpawner, config)

    assert program == "gpu-spawner"
    assert str(settings.profiles_dir) == mounts["profiles"]
    assert preload_options(settings).policy.is_on
