"""Fleet descriptions: what the shipped one shows, and mistakes told all at once."""

from pathlib import Path

import pytest

from gpu_spawner.core.errors import ConfigError
from gpu_spawner.sim.fleet import Fleet, default_fleet, parse_fleet, read_fleet
from gpu_spawner.sim.fleet_objects import node_allocatable, node_manifest, tenant_pods
from gpu_spawner.sim.image_registry import ImageRegistry

SMALL = """
images:
  "*slow*": {size: 5G}
  "*gone*": {missing: true}
  "*idle*": {command: []}
nodes:
  - {name: cpu, count: 2, cpu: 4, memory: 8Gi, images: [a:1, {image: "b:1", only: [2]}]}
"""

WRONG = """
nodes:
  - name: H100
    cpu: many
    memory: 1Tib
    gpu: {product: X, count: 0, family: a}
    colour: red
  - {name: a, count: 2, cpu: 1, memory: 1Gi}
tenants: [{namespace: x, pods: [{name: y, count: -1}]}]
imges: {}
"""


def group_of(fleet: Fleet, name: str) -> dict[str, str]:
    group = next(each for each in fleet.nodes if each.name == name)
    return node_allocatable(group)


def test_the_shipped_fleet_has_every_kind_of_gpu_node_and_something_busy() -> None:
    fleet = default_fleet()
    assert len(fleet.node_names) == 14
    assert group_of(fleet, "h100")["nvidia.com/gpu"] == "8"
    assert group_of(fleet, "t4")["nvidia.com/gpu"] == "16"
    mixed = group_of(fleet, "a100-mig")
    assert (mixed["nvidia.com/gpu"], mixed["nvidia.com/mig-3g.40gb"]) == ("2", "4")
    assert "nvidia.com/gpu" not in group_of(fleet, "h200")
    held = [
        pod["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/mig-3g.40gb")
        for tenant in fleet.tenants
        for pod in tenant_pods(tenant, "d")
    ]
    assert held.count("1") == 8, "one MIG size is taken completely"


def test_gpu_nodes_carry_the_labels_of_gpu_feature_discovery() -> None:
    fleet = default_fleet()
    nodes = {group.name: node_manifest(group, f"{group.name}-1", "d") for group in fleet.nodes}
    labels = {name: node["metadata"]["labels"] for name, node in nodes.items()}
    assert labels["t4"]["nvidia.com/gpu.product"] == "Tesla-T4-SHARED"
    assert labels["t4"]["nvidia.com/gpu.sharing-strategy"] == "time-slicing"
    assert labels["h100"]["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"
    assert labels["a100-mig"]["nvidia.com/mig.strategy"] == "mixed"
    assert labels["a100-mig"]["nvidia.com/mig-1g.10gb.memory"] == "9728"
    assert not any(key.startswith("nvidia.com/") for key in labels["cpu"])
    assert nodes["h100-drained"]["spec"]["unschedulable"] is True


def test_images_are_described_by_pattern_and_may_be_on_some_nodes_only() -> None:
    fleet = parse_fleet(SMALL, source="small.yaml")
    (group,) = fleet.nodes
    assert group.images_of("cpu-1") == ("a:1",)
    assert group.images_of("cpu-2") == ("a:1", "b:1")
    assert fleet.image_facts("quay.io/x/slow:1").size == 5_000_000_000
    assert fleet.image_facts("gone").is_missing
    registry = ImageRegistry(fleet.image_facts, default_command=fleet.default_command)
    assert registry.command_of("idle:1") == ()
    assert registry.command_of("other") == ("jupyterhub-singleuser",)


def test_all_mistakes_are_told_at_once_each_with_its_line() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_fleet(WRONG, source="f.yaml")
    places = [(problem.line, problem.key) for problem in caught.value.problems]
    assert places == [
        (3, "nodes.0.name"),
        (4, "nodes.0.cpu"),
        (5, "nodes.0.memory"),
        (6, "nodes.0.gpu.compute"),
        (6, "nodes.0.gpu.count"),
        (6, "nodes.0.gpu.memory_mib"),
        (7, "nodes.0.colour"),
        (9, "tenants.0.pods.0.count"),
        (10, "imges"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("nodes: [", "is not YAML", id="broken syntax"),
        pytest.param("", "should be a valid dictionary", id="empty"),
        pytest.param("nodes: []", "at least 1", id="no nodes"),
        pytest.param(
            "nodes: [{name: a, cpu: 1, memory: 1Gi}, {name: a, cpu: 1, memory: 1Gi}]",
            "second node named 'a-1'",
            id="one name twice",
        ),
        pytest.param(
            "nodes: [{name: a, cpu: 1, memory: 1Gi}]\n"
            "tenants: [{namespace: t, pods: [{name: p, node: b-1}]}]",
            "'b-1' is not a node of this fleet. The nodes are: a-1",
            id="tenant on a node that is not",
        ),
    ],
)
def test_mistakes_of_the_whole(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=r"f\.yaml") as caught:
        parse_fleet(text, source="f.yaml")
    assert expected in str(caught.value)


def test_a_file_that_is_not_there_is_a_mistake_like_others(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_fleet(tmp_path / "none.yaml")
