"""An API server takes everything that any choice would create: not one field unknown, none wrong.

Nothing is made: ``kubectl create --dry-run=server`` asks for the whole of admission and keeps
nothing. Against ``GPU_SPAWNER_KUBECONFIG`` it is a real API server that judges.
"""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from claim_profiles import CATALOG
from cluster_thread import NAMESPACE, ClusterThread
from kubernetes_asyncio.client import Configuration
from kubespawner.clients import load_config as forget_cluster
from traitlets.config import Config

from gpu_spawner.catalog_files import read_catalog, read_directory
from gpu_spawner.core.catalog.access import without_access_rules
from gpu_spawner.core.catalog.compile import compile_ways
from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.options import parse_form_key, parse_options
from gpu_spawner.hub.rendering import idle_spawner, render
from gpu_spawner.kube.rights import FEATURES, manifests

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "preload"
ACCOUNTS = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
ACCOUNTS_NAMED = ("notebooks", "gpu-experiments")
"""By profiles; an API server admits no pod of an account that is not there."""


@pytest.fixture(autouse=True)
def no_shared_state() -> Iterator[None]:
    """KubeSpawner remembers the cluster it found for the whole process."""
    before = getattr(Configuration, "_default", None)
    forget_cluster.cache_clear()
    yield
    forget_cluster.cache_clear()
    Configuration._default = before


@pytest.fixture
def accounts(cluster: ClusterThread) -> Iterator[None]:
    client = cluster.cluster.client
    for name in ACCOUNTS_NAMED:
        cluster.call(client.create(ACCOUNTS, {"metadata": {"name": name}}))
    yield
    for name in ACCOUNTS_NAMED:
        cluster.call(client.delete(f"{ACCOUNTS}/{name}"))


def dry_run(cluster: ClusterThread, documents: list[dict[str, Any]]) -> list[str]:
    """Return what of it would be created, or fail with what was refused."""
    finished = subprocess.run(
        [
            str(Path(sys.executable).with_name("kubectl")),
            f"--kubeconfig={cluster.kubeconfig}",
            "create",
            "--dry-run=server",
            "--validate=strict",
            "--output=name",
            "--filename=-",
        ],
        input=yaml.safe_dump_all(json.loads(json.dumps(documents))),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "Warning" not in finished.stderr
    return finished.stdout.split()


def selections(catalog: Catalog) -> Iterator[Selection]:
    """Yield every choice by every way that serves it, and every image once."""
    for profile in catalog.profiles:
        for choice in profile.choices:
            options = parse_form_key(choice.key)
            for way in compile_ways(catalog, parse_options(catalog, options, groups=())):
                yield way.selection
        for image in profile.images:
            options = {"profile": profile.slug, "image": image}
            yield parse_options(catalog, options, groups=())


async def rendered(catalog: Catalog, config: Config) -> AsyncIterator[dict[str, Any]]:
    with idle_spawner(config, "ada") as spawner:
        for selection in selections(catalog):
            for document in (await render(spawner, catalog, selection)).documents:
                yield json.loads(json.dumps(document))
            spawner.clear_state()


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("which", ["the shipped profiles", "every way there is"])
async def test_every_choice_is_admitted(cluster: ClusterThread, which: str) -> None:
    shipped = which.startswith("the shipped")
    catalog = without_access_rules(
        read_directory(ROOT / "profiles") if shipped else read_catalog(mapping=CATALOG)
    )
    config = Config()
    config.KubeSpawner.namespace = NAMESPACE
    config.KubeSpawner.storage_pvc_ensure = True
    config.KubeSpawner.storage_capacity = "1Gi"
    config.KubeSpawner.services_enabled = True
    # What is the same for many choices is asked about once.
    documents = {
        json.dumps(document, sort_keys=True): document
        async for document in rendered(catalog, config)
    }
    admitted = dry_run(cluster, list(documents.values()))

    assert len(admitted) == len(documents)
    kinds = {name.split("/")[0] for name in admitted}
    assert {"pod", "persistentvolumeclaim", "service"} <= kinds
    assert "resourceclaimtemplate.resource.k8s.io" in kinds


def test_the_preloaders_daemon_sets_are_admitted(cluster: ClusterThread) -> None:
    documents = []
    for path in sorted(GOLDEN.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            document["metadata"]["namespace"] = NAMESPACE
            documents.append(document)

    assert len(dry_run(cluster, documents)) == len(documents) >= 3


def test_the_roles_are_admitted(cluster: ClusterThread) -> None:
    documents = manifests(
        tuple(FEATURES), namespace=NAMESPACE, service_account="hub", release="jhub"
    )

    assert len(dry_run(cluster, documents)) == len(documents)
