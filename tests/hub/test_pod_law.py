"""The law that makes offers true: the pod that is created is the pod that was counted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kubernetes_asyncio.client import ApiClient, V1Container, V1ResourceRequirements
from traitlets.config import Config

from gpu_spawner import GPUSpawner
from gpu_spawner.catalog_files import read_directory
from gpu_spawner.core.catalog.compile import compile_selection, compile_ways
from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.site_pod import request_of, settings_of
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod
from gpu_spawner.hub.applied import AppliedSettings
from gpu_spawner.hub.site import placement_site, site_pod

pytestmark = pytest.mark.hosts

SHIPPED = Path(__file__).parents[2] / "profiles"

PLAIN: dict[str, Any] = {}
LIKE_Z2JH: dict[str, Any] = {
    "profile_list": [],
    "tolerations": [
        {"key": "hub.jupyter.org/dedicated", "value": "user", "effect": "NoSchedule"},
        {"key": "hub.jupyter.org_dedicated", "value": "user", "effect": "NoSchedule"},
    ],
    "node_selector": {"pool": "users"},
    "node_affinity_required": [
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]},
    ],
    "node_affinity_preferred": [
        {
            "weight": 100,
            "preference": {
                "matchExpressions": [
                    {"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}
                ]
            },
        }
    ],
    "mem_guarantee": "1G",
    "cpu_limit": 1.5,
    "extra_resource_limits": {"example.org/widget": "1"},
    "scheduler_name": "z2jh-user-scheduler",
    "priority_class_name": "z2jh-default-priority",
    "init_containers": [
        V1Container(  # as zero-to-jupyterhub appends it
            name="block-cloud-metadata",
            image="example.org/tools:1",
            resources=V1ResourceRequirements(requests={"cpu": "3", "memory": "20Gi"}),
        )
    ],
    "extra_containers": [
        {
            "name": "sidecar",
            "image": "example.org/sidecar:1",
            "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "200Mi"}},
        }
    ],
    "volumes": {"home": {"name": "home", "persistentVolumeClaim": {"claimName": "{username}"}}},
    "volume_mounts": {"home": {"name": "home", "mountPath": "/home/jovyan"}},
    "environment": {"WHO": "{username}"},
    "extra_labels": {"team": "research"},
    "storage_pvc_ensure": True,
}


def every_selection(catalog: Catalog) -> Iterator[Selection]:
    for profile in catalog.profiles:
        for choice in profile.choices:
            for image in profile.images:
                whole = Selection(
                    profile=profile.slug,
                    flavor=choice.flavor,
                    flavors=choice.flavors,
                    share=choice.share,
                    count=choice.count,
                    image=image,
                )
                yield from (way.selection for way in compile_ways(catalog, whole))


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KubeSpawner wants to know a cluster, even if it never speaks to it."""
    path = tmp_path / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    # The client library read the variable when it was imported.
    monkeypatch.setattr(
        "kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path)
    )


def make_spawner(site: dict[str, Any]) -> GPUSpawner:
    return GPUSpawner(config=Config({"KubeSpawner": site}), _mock=True)


async def manifest_of(spawner: GPUSpawner) -> dict[str, Any]:
    pod = await spawner.get_pod_manifest()
    async with ApiClient() as client:
        manifest: dict[str, Any] = client.sanitize_for_serialization(pod)
    return manifest


def as_counted(request: PodRequest, counted: PodRequest) -> PodRequest:
    """Leave out what names one user or one pod, and what only an image knows."""
    return msgspec.structs.replace(
        request,
        labels=counted.labels,
        namespace=counted.namespace,
        architectures=counted.architectures,
        min_cuda=counted.min_cuda,
    )


@pytest.mark.usefixtures("kubeconfig")
class TestPodIsWhatWasCounted:
    @pytest.mark.parametrize("site", [PLAIN, LIKE_Z2JH], ids=["plain", "like-z2jh"])
    async def test_every_choice_of_the_shipped_catalog(self, site: dict[str, Any]) -> None:
        catalog = read_directory(SHIPPED)
        spawner = make_spawner(site)
        for selection in every_selection(catalog):
            fragment = compile_selection(catalog, selection)
            counted = request_of(fragment, placement_site(spawner, spawner.site_setting))
            spawner.apply_fragment(fragment)
            created = request_from_pod(
                await manifest_of(spawner),
                claim_specs={claim.template.name: claim.template.spec for claim in fragment.claims},
                volumes_bind_anywhere=True,
            )

            assert as_counted(created, counted) == counted, selection

    @pytest.mark.parametrize("site", [PLAIN, LIKE_Z2JH], ids=["plain", "like-z2jh"])
    async def test_no_choice_leaves_a_trace(self, site: dict[str, Any]) -> None:
        catalog = read_directory(SHIPPED)
        untouched = await manifest_of(make_spawner(site))
        spawner = make_spawner(site)
        applied = AppliedSettings(spawner)
        fresh = {}
        for selection in every_selection(catalog):
            lonely = make_spawner(site)
            alone = AppliedSettings(lonely)
            settings = settings_of(
                compile_selection(catalog, selection), site_pod(lonely, alone.site_value)
            )
            alone.apply(settings)
            fresh[selection] = await manifest_of(lonely)
            applied.apply(
                settings_of(
                    compile_selection(catalog, selection), site_pod(spawner, applied.site_value)
                )
            )
            assert await manifest_of(spawner) == fresh[selection]
        applied.undo()
        assert await manifest_of(spawner) == untouched
        assert len({json.dumps(manifest, sort_keys=True) for manifest in fresh.values()}) > 1

    async def test_the_site_keeps_what_it_has_set(self) -> None:
        catalog = read_directory(SHIPPED)
        spawner = make_spawner(LIKE_Z2JH)
        applied = AppliedSettings(spawner)
        for selection in every_selection(catalog):
            fragment = compile_selection(catalog, selection)
            applied.apply(settings_of(fragment, site_pod(spawner, applied.site_value)))
            spec = (await manifest_of(spawner))["spec"]

            assert {"pool": "users"}.items() <= spec["nodeSelector"].items()
            keys = [toleration.get("key") for toleration in spec["tolerations"]]
            assert "hub.jupyter.org/dedicated" in keys
            assert [container["name"] for container in spec["initContainers"]] == [
                "block-cloud-metadata"
            ]
            assert [container["name"] for container in spec["containers"]][:2] == [
                "notebook",
                "sidecar",
            ]
            assert "home" in [volume["name"] for volume in spec["volumes"]]
            limits = spec["containers"][0]["resources"]["limits"]
            assert limits["example.org/widget"] == "1"
            terms = spec["affinity"]["nodeAffinity"][
                "requiredDuringSchedulingIgnoredDuringExecution"
            ]["nodeSelectorTerms"]
            assert all(
                any(expression["key"] == "zone" for expression in term["matchExpressions"])
                for term in terms
            )
