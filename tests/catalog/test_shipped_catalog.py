"""The shipped profiles, compiled: reviewed files say what each choice becomes.

Run with ``UPDATE_GOLDEN=1`` to write the files anew, and review the difference.
"""

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from catalog_builders import REPOSITORY, SHIPPED

from gpu_spawner.catalog_files import read_directory, read_mapping
from gpu_spawner.catalog_files.schemas import render_schema, schema_directory
from gpu_spawner.core.catalog.access import without_access_rules
from gpu_spawner.core.catalog.check import check_against_cluster
from gpu_spawner.core.catalog.compile import compile_ways
from gpu_spawner.core.catalog.model import Catalog, Profile
from gpu_spawner.core.catalog.options import parse_form_key, parse_options
from gpu_spawner.core.catalog.site_pod import SitePod, claims_of, settings_of
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.offers.board import OfferBoard

GOLDEN = REPOSITORY / "tests" / "golden" / "catalog"
CATALOG = read_directory(SHIPPED)
OPEN = without_access_rules(CATALOG)

# What zero-to-jupyterhub sets for every server.
SITE = SitePod(
    settings={
        "tolerations": [
            {"key": "hub.jupyter.org/dedicated", "operator": "Equal", "value": "user"},
        ],
        "node_affinity_preferred": [],
        "node_selector": {},
        "extra_resource_limits": {},
        "extra_resource_guarantees": {},
        "scheduler_name": "release-user-scheduler",
        "mem_guarantee": 1 << 30,
        "volumes": {"home": {"name": "home", "persistentVolumeClaim": {"claimName": "claim-x"}}},
        "volume_mounts": {"home": {"name": "home", "mountPath": "/home/jovyan"}},
    }
)


def agree(path: Path, text: str) -> None:
    """Hold a text against a reviewed file, or write it."""
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def compiled(catalog: Catalog, profile: Profile) -> dict[str, Any]:
    """Compile every way of every choice of a profile with its default image."""
    found = {}
    for choice in profile.choices:
        selection = parse_options(catalog, parse_form_key(choice.key), groups=())
        found[choice.key] = [
            {
                "settings": settings_of(fragment, SITE),
                "claims": [
                    {
                        "name": claim.name,
                        "containers": claim.containers,
                        "template": claim.template.name,
                        "spec": claim.template.spec,
                    }
                    for claim in claims_of(fragment)
                ],
            }
            for fragment in compile_ways(catalog, selection)
        ]
    # Through JSON, so that YAML writes out what is equal.
    return json.loads(json.dumps(found))


@pytest.mark.parametrize("profile", CATALOG.profiles, ids=lambda profile: profile.slug)
def test_compiled_profiles(profile: Profile) -> None:
    text = yaml.safe_dump(compiled(OPEN, profile), sort_keys=True, width=100)
    agree(GOLDEN / f"{profile.slug}.yaml", text)


def demo_cluster() -> Snapshot:
    text = (GOLDEN / "cluster.json").read_text(encoding="utf-8")
    return Snapshot.from_objects(json.loads(text)["items"], as_of=0.0)


def test_offers_on_the_demo_cluster() -> None:
    """What the page says of every choice while tenants hold some of the fleet."""
    lines = []
    for offer in OfferBoard(CATALOG).update(demo_cluster()):
        lines.append(f"{offer.slug}: {offer.because}")
        lines += [
            f"  {count.flavor} {count.share}: {count.free} of {count.total} {count.unit}"
            for count in offer.flavors
        ]
        lines += [
            f"  {choice.key}: {choice.state.word if choice.state is not None else 'unknown'} "
            f"{choice.free}/{choice.total}: {choice.because}"
            for choice in offer.choices
        ]
    agree(GOLDEN / "offers.txt", "\n".join(lines) + "\n")


def test_the_demo_cluster_can_serve_every_choice() -> None:
    assert check_against_cluster(CATALOG, demo_cluster(), SITE) == []


def test_schemas_are_current() -> None:
    """``python -m gpu_spawner.catalog_files.schemas`` writes them anew."""
    for name, text in render_schema().items():
        assert json.loads((schema_directory() / name).read_text()) == json.loads(text), name


def test_shipped_files_follow_the_schemas_they_name() -> None:
    for path in SHIPPED.glob("*.yaml"):
        first_line, text = path.read_text().partition("\n")[0], path.read_text()
        schema = SHIPPED / first_line.rpartition("=")[2]
        jsonschema.validate(yaml.safe_load(text), json.loads(schema.read_text()))


def test_files_and_inline_mapping_are_the_same_language() -> None:
    mapping = {path.stem: yaml.safe_load(path.read_text()) for path in SHIPPED.glob("*.yaml")}
    assert read_mapping(mapping) == CATALOG
