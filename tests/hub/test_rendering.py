"""What ``render`` prints is what an API server takes: of every choice, by every mechanism."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from claim_profiles import CATALOG
from kubernetes_asyncio.client import Configuration
from kubespawner.clients import load_config as forget_cluster
from traitlets.config import Config

from gpu_spawner.catalog_files import read_catalog, read_directory
from gpu_spawner.core.catalog.access import without_access_rules
from gpu_spawner.core.catalog.compile import compile_ways
from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.options import parse_form_key, parse_options
from gpu_spawner.core.errors import ConfigError, OptionError
from gpu_spawner.hub.rendering import (
    Rendering,
    idle_spawner,
    load_config,
    read_configured,
    render,
)
from gpu_spawner.kube.client import ClusterClient, Request
from gpu_spawner.sim.apiserver.server import ApiServer

pytestmark = pytest.mark.hosts

ROOT = Path(__file__).parents[2]
SHIPPED = without_access_rules(read_directory(ROOT / "profiles"))
EVERYTHING = read_catalog(mapping=CATALOG)
SITE = Config(
    {
        "KubeSpawner": {
            "namespace": "jhub",
            "storage_pvc_ensure": True,
            "storage_capacity": "10Gi",
            "services_enabled": True,
            "extra_containers": [{"name": "beside", "image": "example.org/beside:1"}],
            "scheduler_name": "jhub-user-scheduler",
        }
    }
)
PATHS = {
    "Namespace": "/api/v1/namespaces",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "Pod": "/api/v1/namespaces/{}/pods",
    "ResourceClaimTemplate": "/apis/resource.k8s.io/v1/namespaces/{}/resourceclaimtemplates",
    "Service": "/api/v1/namespaces/{}/services",
}


def every_way(catalog: Catalog) -> Iterator[Selection]:
    for profile in catalog.profiles:
        for choice in profile.choices:
            options = parse_form_key(choice.key)
            for image in profile.images:
                selection = parse_options(catalog, {**options, "image": image}, groups=())
                for way in compile_ways(catalog, selection):
                    yield way.selection


def name_of(selection: Selection) -> str:
    return f"{selection.choice.key}/{selection.image}/{selection.mechanism}"


WAYS = [
    pytest.param(catalog, selection, id=name_of(selection))
    for catalog in (SHIPPED, EVERYTHING)
    for selection in every_way(catalog)
]


@pytest.fixture(autouse=True)
def no_shared_state() -> Iterator[None]:
    """KubeSpawner remembers the cluster it found for the whole process."""
    before = getattr(Configuration, "_default", None)
    forget_cluster.cache_clear()
    yield
    forget_cluster.cache_clear()
    Configuration._default = before


@pytest.fixture
async def client() -> AsyncIterator[ClusterClient]:
    server = ApiServer()
    await server.start()
    configuration = Configuration(host=server.url)
    token = server.kubeconfig()["users"][0]["user"]["token"]
    configuration.api_key["BearerToken"] = f"Bearer {token}"
    async with ClusterClient(configuration) as client:
        accounts = "/api/v1/namespaces/jhub/serviceaccounts"
        for path, name in (
            (PATHS["Namespace"], "jhub"),
            (accounts, "notebooks"),
            (accounts, "gpu-experiments"),
        ):
            request = Request("POST", path, body={"metadata": {"name": name}})
            await client.send(request, doing=f"making {name}", timeout_seconds=5.0)
        yield client
    await server.stop()


async def rendered(catalog: Catalog, selection: Selection, config: Config = SITE) -> Rendering:
    with idle_spawner(config, "ada") as spawner:
        return await render(spawner, catalog, selection)


@pytest.mark.parametrize(("catalog", "selection"), WAYS)
async def test_the_api_server_takes_it(
    client: ClusterClient, catalog: Catalog, selection: Selection
) -> None:
    strict = {"dryRun": "All", "fieldValidation": "Strict"}
    for document in (await rendered(catalog, selection)).documents:
        kubernetes_validate.validate(json.loads(json.dumps(document)), "1.36", strict=True)
        path = PATHS[document["kind"]].format(document["metadata"].get("namespace"))
        request = Request("POST", path, strict, document)
        await client.send(request, doing=f"trying a {document['kind']}", timeout_seconds=5.0)


def chosen(key: str, catalog: Catalog = EVERYTHING) -> Selection:
    return parse_options(catalog, parse_form_key(key), groups=())


class TestDocuments:
    async def test_everything_a_start_creates_is_there_in_order(self) -> None:
        found = await rendered(EVERYTHING, chosen("beside/h200/whole/1"))
        assert [document["kind"] for document in found.documents] == [
            "PersistentVolumeClaim",
            "ResourceClaimTemplate",
            "ResourceClaimTemplate",
            "Pod",
            "Service",
        ]
        assert {document["metadata"]["namespace"] for document in found.documents} == {"jhub"}
        names = [one["metadata"]["name"] for one in found.documents[1:3]]
        claims = found.documents[3]["spec"]["resourceClaims"]
        assert [claim["resourceClaimTemplateName"] for claim in claims] == names

    async def test_a_namespace_for_each_user(self) -> None:
        config = Config({"KubeSpawner": {"enable_user_namespaces": True}})
        first, pod = (
            await rendered(SHIPPED, chosen("data-science-cpu/cpu", SHIPPED), config)
        ).documents
        assert first["kind"] == "Namespace"
        assert first["metadata"]["name"] == pod["metadata"]["namespace"]

    async def test_the_sites_hook_has_its_say(self) -> None:
        def hook(spawner: Any, pod: Any) -> Any:
            del spawner
            pod.metadata.labels["seen"] = pod.spec.resource_claims[0].name
            return pod

        config = Config({"KubeSpawner": {"modify_pod_hook": hook}})
        found = await rendered(EVERYTHING, chosen("parts/l40s/memory-10Gi/1"), config)
        assert found.documents[-1]["metadata"]["labels"]["seen"] == "gpu"

    async def test_a_note_tells_of_other_ways(self) -> None:
        found = await rendered(EVERYTHING, chosen("whole/h200/whole/1"))
        assert "This is by whole, for h200; there are other ways: dra-whole." in found.notes[0]

    async def test_a_mechanism_that_does_not_serve_it_is_refused_with_those_that_do(self) -> None:
        selection = replace(chosen("whole/h200/whole/1"), mechanisms=("hami",))
        with pytest.raises(OptionError, match="there is whole or dra-whole"):
            await rendered(EVERYTHING, selection)


class TestConfiguration:
    def test_the_catalog_of_a_configuration(self, tmp_path: Path) -> None:
        path = tmp_path / "jupyterhub_config.py"
        path.write_text(
            "c = get_config()\n"
            "c.GPUSpawner.images = {'a': {'image': 'a/b:1', 'display_name': 'A'}}\n"
            "c.GPUSpawner.profiles = {'one': {'display_name': 'One', 'images': ['a']}}\n"
        )
        catalog = read_configured(load_config(path))
        assert [profile.slug for profile in catalog.profiles] == ["one"]

    def test_without_a_catalog_it_says_so(self) -> None:
        with pytest.raises(ConfigError, match="profiles_dir"):
            read_configured(load_config(None))

    @pytest.mark.parametrize("text", ["import nothing_of_this_name\n", "c.X = = 1\n", "1 / 0\n"])
    def test_one_that_fails_is_named(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "jupyterhub_config.py"
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"jupyterhub_config\.py: cannot be read"):
            load_config(path)

    async def test_a_setting_kubespawner_does_not_take(self) -> None:
        config = Config({"KubeSpawner": {"delete_grace_period": "long"}})
        with pytest.raises(ConfigError, match="delete_grace_period"):
            await rendered(SHIPPED, chosen("data-science-cpu/cpu", SHIPPED), config)
