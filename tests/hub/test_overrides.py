"""The escape hatch is checked against the KubeSpawner that is installed."""

from typing import Any

import pytest
from page_examples import CATALOG

from gpu_spawner import GPUSpawner
from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.hub.overrides import find_override_problems

pytestmark = pytest.mark.hosts


def catalog_with(override: dict[str, Any]) -> Catalog:
    return read_mapping(
        {
            "images": {"scipy": {"image": "example.org/scipy:1", "display_name": "SciPy"}},
            "cpu": {
                "display_name": "CPU",
                "images": ["scipy"],
                "resources": {"cpu": {"request": 1}, "memory": {"request": "1Gi"}},
                "kubespawner_override": override,
            },
        }
    )


class TestOverrides:
    def test_what_kubespawner_takes_is_fine(self) -> None:
        override = {
            "start_timeout": 600,
            "environment": {"A": "b"},
            "lifecycle_hooks": {"postStart": {"exec": {"command": ["true"]}}},
            "default_url": "/lab",
            "fs_gid": 100,
            "working_dir": None,
        }
        assert find_override_problems(catalog_with(override), GPUSpawner) == []
        assert find_override_problems(CATALOG, GPUSpawner) == []

    def test_every_mistake_is_told(self) -> None:
        override = {"start_timeout": "long", "enviroment": {"A": "b"}}
        problems = find_override_problems(catalog_with(override), GPUSpawner)
        told = sorted(str(problem) for problem in problems)
        assert len(told) == 2
        assert "kubespawner_override.enviroment" in told[0]
        assert "Did you mean 'environment'?" in told[0]
        assert "kubespawner_override.start_timeout: got 'long'" in told[1]
