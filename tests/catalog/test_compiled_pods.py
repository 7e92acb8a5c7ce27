"""Compiled settings in KubeSpawner's hands: the pod that is made is the pod that is counted."""

from typing import Any

import pytest
from catalog_builders import SHIPPED
from kubernetes_asyncio.client import ApiClient
from kubespawner.objects import make_pod

from gpu_spawner.catalog_files import read_directory
from gpu_spawner.core.catalog.access import without_access_rules
from gpu_spawner.core.catalog.compile import compile_selection, compile_ways
from gpu_spawner.core.catalog.options import parse_form_key, parse_options
from gpu_spawner.core.catalog.site_pod import SitePod, request_of, settings_of
from gpu_spawner.core.placement.pod_request import request_from_pod

pytestmark = pytest.mark.hosts

CATALOG = without_access_rules(read_directory(SHIPPED))
KEYS = [choice.key for profile in CATALOG.profiles for choice in profile.choices]
ARGUMENTS = {
    "cpu_guarantee": "cpu_guarantee",
    "cpu_limit": "cpu_limit",
    "environment": "env",
    "extra_containers": "extra_containers",
    "extra_labels": "labels",
    "extra_resource_guarantees": "extra_resource_guarantees",
    "extra_resource_limits": "extra_resource_limits",
    "image": "image",
    "init_containers": "init_containers",
    "mem_guarantee": "mem_guarantee",
    "mem_limit": "mem_limit",
    "node_affinity_preferred": "node_affinity_preferred",
    "node_affinity_required": "node_affinity_required",
    "node_selector": "node_selector",
    "scheduler_name": "scheduler_name",
    "tolerations": "tolerations",
    "volume_mounts": "volume_mounts",
    "volumes": "volumes",
}
SITE = SitePod(
    settings={
        "cpu_guarantee": 0.05,
        "mem_guarantee": 2**30,
        "node_selector": {"pool": "users"},
        "node_affinity_required": [
            {
                "match_expressions": [
                    {"key": "zone", "operator": "In", "values": [zone]},
                ]
            }
            for zone in ("a", "b")
        ],
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "user"}],
        "extra_containers": [
            {"name": "side", "image": "x", "resources": {"requests": {"cpu": "100m"}}}
        ],
        "init_containers": [
            {
                "name": "proxy",
                "image": "x",
                "restart_policy": "Always",
                "resources": {"limits": {"memory": "64Mi"}},
            }
        ],
        "volumes": [{"name": "home", "empty_dir": {}}],
        "volume_mounts": [{"name": "home", "mount_path": "/home/jovyan"}],
    }
)


def pod_of(settings: dict[str, Any]) -> dict[str, Any]:
    """Make the pod KubeSpawner would make of these settings, as it goes over the wire."""
    given = {ARGUMENTS[name]: value for name, value in settings.items() if name in ARGUMENTS}
    pod = make_pod(name="jupyter-x", cmd=None, port=8888, **given)
    manifest: dict[str, Any] = ApiClient.sanitize_for_serialization(_Serializer(), pod)
    return manifest


class _Serializer(ApiClient):
    """The client's serializer without the client, which needs an event loop."""

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize("site", [SitePod(), SITE], ids=["bare site", "busy site"])
@pytest.mark.parametrize("key", KEYS)
def test_what_is_counted_is_what_is_created(key: str, site: SitePod) -> None:
    for fragment in compile_ways(CATALOG, parse_options(CATALOG, parse_form_key(key), groups=())):
        manifest = pod_of({**site.settings, **settings_of(fragment, site)})
        counted = request_of(fragment, site)
        created = request_from_pod(manifest)
        assert created.requests == counted.requests
        assert created.affinity == counted.affinity
        assert created.preferred == counted.preferred
        assert created.node_selector == counted.node_selector
        assert created.tolerations == counted.tolerations
        assert not created.unknown


@pytest.mark.parametrize("key", KEYS)
def test_the_pod_says_which_choice_it_is(key: str) -> None:
    fragment = compile_selection(CATALOG, parse_options(CATALOG, parse_form_key(key), groups=()))
    manifest = pod_of(settings_of(fragment, SitePod()))
    labels = manifest["metadata"]["labels"]
    options = {
        name.removeprefix("gpu-spawner.jupyter.org/"): value
        for name, value in labels.items()
        if name.startswith("gpu-spawner.jupyter.org/")
    }
    assert parse_options(CATALOG, options, groups=()).choice.key == key
    notebook = manifest["spec"]["containers"][0]
    resources = notebook["resources"]
    for name, amount in fragment.extended_resources.items():
        assert resources["requests"][name] == resources["limits"][name] == str(amount)
