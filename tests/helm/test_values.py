"""Every layer of helm-values is what the chart takes, and makes a hub that starts.

The chart's own schema and the configuration that its hub is left with were recorded from charts 4.4
and 5.0-dev; tests that read those recordings skip without them. With ``Z2JH_CHART`` naming a
packaged chart and ``helm`` on the PATH, the layers are rendered with real Helm as well.
"""

import base64
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_asyncio.client import Configuration
from kubespawner.clients import load_config as forget_cluster
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from traitlets.config import Config

from gpu_spawner import GPUSpawner
from gpu_spawner._version import __version__
from gpu_spawner.catalog_files import read_directory
from gpu_spawner.core.catalog.access import visible_to, without_access_rules
from gpu_spawner.core.catalog.compile import compile_ways
from gpu_spawner.core.catalog.limits import read_limits
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.options import parse_form_key, parse_options
from gpu_spawner.hub.catalog_source import CatalogSource
from gpu_spawner.hub.rendering import idle_spawner, read_configured, render
from gpu_spawner.hub.settings import Settings, read_settings
from gpu_spawner.kube.rights import manifests

HERE = Path(__file__).parents[2]
LAYERS = HERE / "helm-values"
RECORDED = HERE.parent / "shared" / "data" / "z2jh"
CHARTS = ("4.4.0", "5.0.0-dev")
PRIORITY = "jhub-default-priority"
"""The priority class that the chart makes for a release "jhub" where it is told to."""

pytestmark = pytest.mark.hosts

WITH_PROFILES = {
    "cpu-only": {"data-science-cpu", "data-science-large"},
    "whole-gpu": {"pytorch-gpus"},
    "mig": {"gpu-slice"},
    "time-sliced": {"shared-gpu"},
    "dra": {"claimed-gpus", "slice-on-demand", "gpu-memory"},
    "hami": {"part-of-a-gpu"},
    "volcano": {"part-of-a-v100"},
    "kai": {"fraction-of-a-gpu"},
}
"""What each layer that brings profiles brings, on top of ``common``."""
FROM_FILES = {"profiles-from-files"}
FROM_CONFIGMAP = {"profiles-from-configmap"}
"""Its profiles are in no value: ``kubectl create configmap`` puts the folder there."""
ON_TOP = {"limits-and-groups", "preload"}
"""Layers that go on top of ``whole-gpu``."""
WITHOUT_PROFILES = {"common", "install-init-container"}

COMBINATIONS: tuple[tuple[str, ...], ...] = (
    ("common",),
    *(("common", layer) for layer in WITH_PROFILES),
    *(("common", "whole-gpu", layer) for layer in sorted(ON_TOP)),
    ("common", "profiles-from-files"),
    ("common", "profiles-from-configmap"),
    ("common", "install-init-container", "whole-gpu"),
    ("common", *WITH_PROFILES, *sorted(ON_TOP)),
)


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Merge values as Helm does: mappings deeply, everything else by replacing."""
    result = dict(first)
    for key, value in second.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if both else value
    return result


def layer(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((LAYERS / f"{name}.yaml").read_text())
    return values


def values_of(names: Sequence[str], start: Mapping[str, Any] | None = None) -> dict[str, Any]:
    values = dict(start or {})
    for name in names:
        values = merged(values, layer(name))
    return values


@cache
def _chart(version: str, what: str) -> Any:
    if not RECORDED.is_dir():
        pytest.skip("the recordings of the chart, ../shared/data/z2jh, are absent")
    text = (RECORDED / version / what).read_text()
    return json.loads(text) if what.endswith(".json") else yaml.safe_load(text)


def hub_config(version: str, names: Sequence[str], more: Mapping[str, Any] | None = None) -> Config:
    """Return what the chart's hub would be configured with: its defaults, then the layers' values.

    ``more`` are values on top of the layers'.
    """
    values = merged(values_of(names), more or {})
    recorded = _chart(version, "hub-config-chart-defaults.json")
    of_the_chart = merged(recorded, {"KubeSpawner": spawner_settings(values)})
    return Config(merged(of_the_chart, values["hub"]["config"]))


def spawner_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the chart's hub makes of values beside ``hub``; fail at one that is not known."""
    single = dict(values.get("singleuser", {}))
    scheduling = dict(values.get("scheduling", {}))
    memory = single.pop("memory", {})
    found = {
        "start_timeout": single.pop("startTimeout", None),
        "mem_guarantee": memory.get("guarantee"),
        "mem_limit": memory.get("limit"),
    }
    settings = {name: value for name, value in found.items() if value is not None}
    settings["profile_list"] = single.pop("profileList", [])
    if scheduling.pop("userScheduler", {}).get("enabled") is False:
        settings["scheduler_name"] = None
    if scheduling.pop("podPriority", {}).get("enabled"):
        settings["priority_class_name"] = PRIORITY
    # The pullers are pods of the chart's own.
    others = {key for key in values if key not in {"hub", "singleuser", "scheduling", "prePuller"}}
    assert {*single, *scheduling, *others} == set(), "say here what the chart makes of it"
    return settings


def catalog_of(version: str, names: Sequence[str]) -> Catalog:
    return CatalogSource(read_settings(GPUSpawner, hub_config(version, names))).read()


def test_every_layer_is_tested() -> None:
    # Manifests for kubectl stand beside the layers.
    files = [path for path in LAYERS.glob("*.yaml") if "\napiVersion:" not in path.read_text()]
    found = {path.stem for path in files}
    assert found == set(WITH_PROFILES) | FROM_FILES | FROM_CONFIGMAP | ON_TOP | WITHOUT_PROFILES


def test_the_rights_are_those_that_the_command_prints() -> None:
    found = list(yaml.safe_load_all((LAYERS / "rbac.yaml").read_text()))
    features = ("availability", "claims", "preload")
    assert found == manifests(features, namespace="jhub", service_account="hub", release="jhub")


@pytest.mark.parametrize("version", CHARTS)
@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
class TestChart:
    def test_its_schema_takes_the_values(self, version: str, names: tuple[str, ...]) -> None:
        values = values_of(names, _chart(version, "values.yaml"))
        validator = jsonschema.Draft7Validator(_chart(version, "values.schema.json"))
        assert [error.message for error in validator.iter_errors(values)] == []

    def test_the_hub_spawns_with_our_class(self, version: str, names: tuple[str, ...]) -> None:
        assert hub_config(version, names)["JupyterHub"]["spawner_class"] == "gpu"


@pytest.mark.parametrize("version", CHARTS)
class TestCatalog:
    @pytest.mark.parametrize("name", WITH_PROFILES)
    def test_each_layer_has_its_profiles(self, version: str, name: str) -> None:
        catalog = catalog_of(version, ("common", name))
        assert {profile.slug for profile in catalog.profiles} == WITH_PROFILES[name]

    def test_layers_add_up(self, version: str) -> None:
        catalog = catalog_of(version, ("common", *WITH_PROFILES))
        expected = set().union(*WITH_PROFILES.values())
        assert {profile.slug for profile in catalog.profiles} == expected


async def pods_of(
    version: str, names: Sequence[str], more: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the pod of every choice by every mechanism, as the chart's hub would build it."""
    config = hub_config(version, names, more)
    catalog = without_access_rules(read_configured(config))
    pods = {}
    for profile in catalog.profiles:
        for choice in profile.choices:
            selection = parse_options(catalog, parse_form_key(choice.key), groups=())
            for way in compile_ways(catalog, selection):
                with idle_spawner(config, "ada") as spawner:
                    found = await render(spawner, catalog, way.selection)
                (pod,) = [one for one in found.documents if one["kind"] == "Pod"]
                pods[f"{choice.key}/{way.selection.mechanism}"] = pod
    return pods


CHARTS_OWN = "jhub-user-scheduler"
SCHEDULERS = {
    "whole": CHARTS_OWN,
    "mig": CHARTS_OWN,
    "replica": CHARTS_OWN,
    "": CHARTS_OWN,
    "dra-whole": None,
    "dra-mig": None,
    "dra-capacity": None,
    "hami": None,
    "volcano": "volcano",
    "kai": "kai-scheduler",
}
"""Which scheduler a server names, by mechanism, where the chart's user-scheduler is on."""


@pytest.fixture
def forgotten_cluster() -> Iterator[None]:
    """KubeSpawner remembers the cluster it found for the whole process."""
    before = getattr(Configuration, "_default", None)
    forget_cluster.cache_clear()
    yield
    forget_cluster.cache_clear()
    Configuration._default = before


@pytest.mark.usefixtures("forgotten_cluster")
@pytest.mark.parametrize("version", CHARTS)
@pytest.mark.parametrize("name", [*WITH_PROFILES, *sorted(ON_TOP)])
class TestPods:
    """What the chart gives every server stays, whatever a profile adds."""

    async def test_the_sites_part_stays(self, version: str, name: str) -> None:
        below = ("common", "whole-gpu") if name in ON_TOP else ("common",)
        given = _chart(version, "hub-config-chart-defaults.json")["KubeSpawner"]
        pods = await pods_of(version, (*below, name))
        assert pods
        for key, pod in pods.items():
            kubernetes_validate.validate(json.loads(json.dumps(pod)), "1.36", strict=True)
            spec = pod["spec"]
            assert [one for one in given["tolerations"] if one not in spec["tolerations"]] == []
            (first, *_) = spec["initContainers"]
            assert first["name"] == "block-cloud-metadata", key
            assert first["securityContext"]["privileged"] is True
            purpose = given["node_affinity_preferred"][0]
            affinity = spec["affinity"]["nodeAffinity"]
            assert purpose in affinity["preferredDuringSchedulingIgnoredDuringExecution"]
            home = {"mountPath": "/home/jovyan", "name": "volume-ada"}
            assert home in spec["containers"][0]["volumeMounts"]
            assert given["extra_labels"].items() <= pod["metadata"]["labels"].items()
            assert spec["priorityClassName"] == PRIORITY, key

    @pytest.mark.parametrize("has_user_scheduler", [True, False])
    async def test_each_goes_to_the_right_scheduler(
        self, version: str, name: str, *, has_user_scheduler: bool
    ) -> None:
        below = ("common", "whole-gpu") if name in ON_TOP else ("common",)
        scheduler = {"enabled": has_user_scheduler}
        more = {"scheduling": {"userScheduler": scheduler}}
        for key, pod in (await pods_of(version, (*below, name), more)).items():
            expected = SCHEDULERS[key.rpartition("/")[2]]
            if expected == CHARTS_OWN and not has_user_scheduler:
                expected = None
            assert pod["spec"].get("schedulerName") == expected, key

    async def test_gpus_are_asked_for_in_one_way(self, version: str, name: str) -> None:
        """By a resource, a claim or an annotation, and beside CPU and memory."""
        below = ("common", "whole-gpu") if name in ON_TOP else ("common",)
        for key, pod in (await pods_of(version, (*below, name))).items():
            resources = pod["spec"]["containers"][0]["resources"]
            assert {"cpu", "memory"} <= set(resources["requests"]), key
            ways = [
                any("/" in one for one in resources["limits"]),
                bool(resources.get("claims")),
                bool({"gpu-fraction", "gpu-memory"} & set(pod["metadata"].get("annotations", ()))),
            ]
            assert sum(ways) == (0 if name == "cpu-only" else 1), key


def test_a_folder_of_profiles_is_read_as_a_configmap_is_mounted(tmp_path: Path) -> None:
    """Every file is a link into a folder that a change swaps as a whole."""
    shipped = sorted((HERE / "profiles").iterdir())
    assert sum(len(path.read_bytes()) for path in shipped) < 1_000_000
    hidden = tmp_path / "..2026_11_23"
    hidden.mkdir()
    (tmp_path / "..data").symlink_to(hidden.name)
    for path in shipped:
        assert re.fullmatch(r"[-._a-zA-Z0-9]+", path.name), "a key of a ConfigMap"
        (hidden / path.name).write_bytes(path.read_bytes())
        (tmp_path / path.name).symlink_to(f"..data/{path.name}")
    config = hub_config(CHARTS[0], ("common", "profiles-from-configmap"))
    config["GPUSpawner"]["profiles_dir"] = str(tmp_path)
    expected = read_directory(HERE / "profiles")
    assert [one.slug for one in read_configured(config).profiles] == [
        one.slug for one in expected.profiles
    ]


def test_the_layer_about_preloading_has_the_defaults() -> None:
    written = layer("preload")["hub"]["config"]["GPUSpawner"]
    assert written == {name: getattr(GPUSpawner, name).default() for name in written}
    # Who preloads, where and for whom: an admin who needs one of these writes it in other values.
    left_out = {
        "preload_elsewhere",
        "preload_namespace",
        "preload_owner",
        "preload_release",
        "preload_resources",
    }
    every = {name for name in Settings.class_traits(config=True) if name.startswith("preload")}
    assert every - set(written) == left_out


@pytest.mark.parametrize("version", CHARTS)
def test_servers_have_what_the_common_layer_gives_them(version: str) -> None:
    with_layer = hub_config(version, ("common",))["KubeSpawner"]
    assert (with_layer["start_timeout"], with_layer["mem_guarantee"]) == (1200, "1G")
    assert (with_layer["mem_limit"], with_layer["scheduler_name"]) == ("4G", None)


def test_limits_are_read_and_close_what_they_say() -> None:
    config = hub_config(CHARTS[0], ("common", "whole-gpu", "limits-and-groups"))
    limits = read_limits(config["GPUSpawner"]["limits"], source="limits-and-groups.yaml")
    assert limits.for_user("nobody", frozenset()) != limits.for_user("nobody", {"research"})
    catalog = read_configured(config)
    counts = {}
    for group in ("nobody", "course-ml101", "research"):
        seen = visible_to(catalog, {group})
        counts[group] = {one.count for profile in seen.profiles for one in profile.choices}
    assert counts == {"nobody": set(), "course-ml101": {1, 2}, "research": {1, 2, 4, 8}}


IN_THE_HUB_IMAGE = {
    "aiohttp",
    "jinja2",
    "jupyterhub",
    "jupyterhub-kubespawner",
    "kubernetes_asyncio",
    "prometheus_client",
    "pydantic",
    "pyyaml",
    "traitlets",
}
"""Of what we require, what the chart's hub image has: JupyterHub's and KubeSpawner's own needs."""


def requirement(text: str) -> str:
    """Write a requirement in one way: the name as indexes know it, the bounds in order."""
    parsed = Requirement(text)
    return f"{canonicalize_name(parsed.name)}{parsed.specifier}"


def test_the_init_container_installs_what_the_image_lacks() -> None:
    (container,) = layer("install-init-container")["hub"]["initContainers"]
    command = container["command"]
    installed = {requirement(one) for one in command[command.index("--no-deps") + 1 :]}
    settings = configparser.ConfigParser()
    settings.read(HERE / "setup.cfg")
    lines = settings["options"]["install_requires"].splitlines()
    ours = [Requirement(line) for line in lines if line and not line.startswith("#")]
    lacking = [one for one in ours if one.name.lower() not in IN_THE_HUB_IMAGE]
    assert len(lacking) == len(ours) - len(IN_THE_HUB_IMAGE)
    expected = {requirement(str(one)) for one in lacking}
    assert installed == expected | {f"jupyterhub-gpuspawner=={__version__}"}


def test_the_images_are_those_of_one_chart() -> None:
    """One chart and one version of ours, in the Dockerfile and in the layers that name an image."""
    text = (LAYERS / "Dockerfile").read_text()
    (chart,) = re.findall(r"(?m)^ARG CHART=(\S+)$", text)
    assert chart in CHARTS
    assert (
        f"--build-arg CHART={chart} -t REGISTRY/hub-with-gpu-spawner:{chart}-{__version__} " in text
    )
    assert layer("common")["hub"]["image"]["tag"] == f"{chart}-{__version__}"
    installing = layer("install-init-container")["hub"]
    assert installing["image"]["tag"] == chart
    assert installing["initContainers"][0]["image"] == f"{installing['image']['name']}:{chart}"


def test_what_is_no_part_of_the_package_stays_out_of_the_image() -> None:
    """The Dockerfile copies the top of the repository; what builds the package is all it needs."""
    ignored = (HERE / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*", "what is not named stays out"
    kept = {line.removeprefix("!") for line in ignored[1:] if line.startswith("!")}
    assert kept == {
        "LICENSE",
        "README.md",
        "gpu_spawner",
        "helm-values",
        "profiles",
        "pyproject.toml",
        "setup.cfg",
    }
    assert all((HERE / name).exists() for name in kept)
    assert "**/__pycache__" in ignored[1:]


@pytest.fixture(scope="module")
def packaged_chart() -> str:
    chart = os.environ.get("Z2JH_CHART", "")
    if not chart:
        pytest.skip("Z2JH_CHART names no packaged chart (jupyterhub-<version>.tgz)")
    if shutil.which("helm") is None:
        pytest.skip("Z2JH_CHART is set, but there is no helm on the PATH")
    return chart


def rendered(chart: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what Helm makes of the layers."""
    files = [text for name in names for text in ("-f", str(LAYERS / f"{name}.yaml"))]
    command = ["helm", "template", "jhub", chart, "-n", "jhub", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


LOAD = """
import sys
from pathlib import Path
from gpu_spawner.hub.catalog_source import CatalogSource
from gpu_spawner.hub.settings import read_settings
from gpu_spawner.kube.rights import manifests
from jupyterhub.app import JupyterHub

hub = JupyterHub()
hub.load_config_file(sys.argv[1])
settings = read_settings(hub.spawner_class, hub.config)
place = str(Path(sys.argv[1]).parent)
settings.profiles_dir = settings.profiles_dir.replace("/usr/local/etc/jupyterhub", place)
print(hub.spawner_class.__name__)
print(*[profile.slug for profile in CatalogSource(settings).read().profiles])
"""


def loaded(objects: Sequence[Mapping[str, Any]], folder: Path) -> list[str]:
    """Run the chart's own configuration, mounted as in the hub's pod.

    Returns:
        The name of the spawner class, and the slugs of its profiles.
    """
    hub = {one["kind"]: one for one in objects if one["metadata"]["name"] == "hub"}
    place = folder / "jupyterhub"
    for part, kind in (("config", "ConfigMap"), ("secret", "Secret")):
        (place / part).mkdir(parents=True)
        for key, text in (hub[kind].get("data") or {}).items():
            content = base64.b64decode(text) if kind == "Secret" else text.encode()
            (place / part / key).write_bytes(content)
        for key, text in (hub[kind].get("stringData") or {}).items():
            (place / part / key).write_text(text)
    (container,) = hub["Deployment"]["spec"]["template"]["spec"]["containers"]
    for mount in container["volumeMounts"]:
        if "/gpu-profiles/" in mount["mountPath"]:
            target = Path(mount["mountPath"].replace("/usr/local/etc/jupyterhub", str(place)))
            target.parent.mkdir(exist_ok=True)
            target.write_bytes((place / "secret" / mount["subPath"]).read_bytes())
    for name in ("jupyterhub_config.py", "z2jh.py"):
        text = (place / "config" / name).read_text()
        text = text.replace("/usr/local/etc/jupyterhub", str(place))
        # libcurl only makes the hub's own requests faster, and need not be installed here.
        (place / name).write_text(text.replace("AsyncHTTPClient.configure(", "str("))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(place / "jupyterhub_config.py")],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(HERE),
            "PROXY_API_SERVICE_PORT": "8001",
            "PROXY_PUBLIC_SERVICE_PORT": "80",
            "HUB_SERVICE_PORT": "8081",
            "POD_NAMESPACE": "jhub",
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-2:]


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_helm_renders_them(packaged_chart: str, names: tuple[str, ...]) -> None:
    kinds = {one["kind"] for one in rendered(packaged_chart, names)}
    assert {"Deployment", "Secret", "ConfigMap"} <= kinds
    assert "DaemonSet" not in kinds, "the chart's image pullers are off"


WITH_PROFILES_IN_VALUES = [
    names for names in COMBINATIONS if names != ("common",) and not FROM_CONFIGMAP & set(names)
]


@pytest.mark.parametrize("names", WITH_PROFILES_IN_VALUES, ids="+".join)
def test_the_charts_own_hub_loads_them(
    packaged_chart: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    brings = {**WITH_PROFILES, "profiles-from-files": {"pytorch-gpus"}}
    expected = set().union(*(brings.get(name, set()) for name in names))
    spawner, slugs = loaded(rendered(packaged_chart, names), tmp_path)
    assert spawner == "GPUSpawner"
    assert set(slugs.split()) == expected
