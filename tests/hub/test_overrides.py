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

    @pytest.mark.parametrize(
        ("override", "key", "words"),
        [
            ({"environment": {"B": "b", "A": 5}}, "environment.A", "a text is expected"),
            ({"environment": {"A": True}}, "environment.A", "got a truth value"),
            ({"environment": {"A": "{nosuch}"}}, "environment.A", "fill in for '{nosuch}'"),
            ({"environment": {"A": '{"a": {}}'}}, "environment.A", "twice: {{ and }}"),
            ({"volumes": [{"name": "a"}, {"name": "b", "emptyDri": {}}]}, "volumes[1]", "emptyDri"),
            ({"volumes": {"a": "b"}}, "volumes.a", "'dict'"),
            ({"extra_pod_config": {"dnsPolcy": "None"}}, "extra_pod_config.dnsPolcy", "dnsPolcy"),
            ({"lifecycle_hooks": {"stop": {}}}, "lifecycle_hooks.stop", "'stop'"),
            ({"storage_extra_labels": {"a": "{b}"}}, "storage_extra_labels.a", "{b}"),
            ({"pod_name_template": "{who}"}, "pod_name_template", "{who}"),
            ({"user_namespace_labels": {"a": "{"}}, "user_namespace_labels.a", "braces"),
        ],
    )
    def test_what_no_pod_can_be_built_with(
        self, override: dict[str, Any], key: str, words: str
    ) -> None:
        (problem,) = find_override_problems(catalog_with(override), GPUSpawner)
        assert problem.file == "c.GPUSpawner.profiles: cpu"
        assert problem.key == f"kubespawner_override.{key}"
        assert words in f"{problem.message} {problem.cure}"

    def test_what_is_filled_in_is_fine(self) -> None:
        override = {
            "environment": {"A": "{username}", "B": "{{}}", "C": {"value_from": {}}, "D": None},
            "volumes": {"home": {"name": "home-{user_server}", "emptyDir": {}}},
            "init_containers": [{"name": "a", "image": "b", "command": ["echo", "{userid}"]}],
        }
        assert find_override_problems(catalog_with(override), GPUSpawner) == []

    def test_a_site_may_fill_in_more(self) -> None:
        class SiteSpawner(GPUSpawner):
            def _expand_user_properties(self, template: str, *rest: Any) -> Any:
                return super()._expand_user_properties(template.replace("{team}", "a"), *rest)

        override = {"environment": {"A": "{team}"}}
        assert find_override_problems(catalog_with(override), SiteSpawner) == []
        assert find_override_problems(catalog_with(override), GPUSpawner) != []

    def test_nothing_is_held_against_profiles_where_no_pod_can_be_tried(self) -> None:
        class NeedsAHub(GPUSpawner):
            def get_env(self) -> Any:
                return {"TEAM": self.user.spawners[""].name}

        override = {"environment": {"A": "{username}"}}
        assert find_override_problems(catalog_with(override), NeedsAHub) == []

    def test_every_mistake_is_told(self) -> None:
        override = {"start_timeout": "long", "enviroment": {"A": "b"}}
        problems = find_override_problems(catalog_with(override), GPUSpawner)
        told = sorted(str(problem) for problem in problems)
        assert len(told) == 2
        assert "kubespawner_override.enviroment" in told[0]
        assert "Did you mean 'environment'?" in told[0]
        assert "kubespawner_override.start_timeout: got 'long'" in told[1]
