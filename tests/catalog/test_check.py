"""What is told when a catalog meets a cluster that cannot serve it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from catalog_builders import catalog_of, documents, make_node, snapshot_of

from gpu_spawner.catalog_files import read_directory, read_mapping
from gpu_spawner.core.catalog.check import check_against_cluster
from gpu_spawner.core.catalog.site_pod import SitePod
from gpu_spawner.core.cluster.snapshot import Snapshot

GPU = "nvidia.com/gpu"


def healthy() -> list[dict[str, Any]]:
    """Return a cluster that can serve every choice of the small catalog."""
    slices = {GPU: 8, "nvidia.com/mig-1g.10gb": 7, "nvidia.com/mig-3g.40gb": 2}
    return [
        make_node("cpu"),
        make_node("h100", product="NVIDIA-H100", resources={GPU: 8}),
        make_node("a100", product="NVIDIA-A100", resources=slices),
        make_node("t4", product="Tesla-T4-SHARED", resources={GPU: 4}),
    ]


def told(
    *items: dict[str, Any], site: SitePod | None = None, **entries: dict[str, Any]
) -> list[str]:
    """Change entries of the small catalog (``p20_gpus``), and list what is told of the cluster."""
    mapping = documents()
    for name, changes in entries.items():
        mapping[name.removeprefix("p").replace("_", "-") if name[1].isdigit() else name] |= changes
    catalog = read_mapping(mapping, source="profiles")
    problems = check_against_cluster(catalog, snapshot_of(*items), site)
    return [str(problem).removeprefix("profiles: ") for problem in problems]


def test_nothing_where_all_is_well() -> None:
    assert told(*healthy()) == []


def test_busy_cordoned_and_not_ready_are_no_mistakes() -> None:
    nodes = healthy()
    nodes[1]["spec"]["unschedulable"] = True
    nodes[2]["spec"]["taints"].append(
        {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    )
    assert told(*nodes) == []


def test_nodes_that_are_unknown() -> None:
    (problem,) = check_against_cluster(catalog_of(), Snapshot(unknown={"nodes": "forbidden"}))
    assert str(problem) == "cluster: nodes are unknown: forbidden."


def test_an_empty_cluster() -> None:
    assert told()[0] == "10-cpu: the cluster has no node. Add one."


def without(name: str, *more: dict[str, Any]) -> list[dict[str, Any]]:
    return [*(node for node in healthy() if node["metadata"]["name"] != name), *more]


@pytest.mark.parametrize(
    ("nodes", "problem"),
    [
        pytest.param(
            without("h100"),
            "20-gpus: gpu.flavors: flavor 'h100' matches no node: nvidia.com/gpu.product is to be "
            "NVIDIA-H100, and nodes have NVIDIA-A100 and Tesla-T4-SHARED. "
            "Did you mean 'NVIDIA-A100'?",
            id="no such GPU",
        ),
        pytest.param(
            without("t4", make_node("t4", product="Tesla-T4", resources={GPU: 4})),
            "30-slices: gpu.flavors: flavor 't4' matches no node: nvidia.com/gpu.product is to be "
            "Tesla-T4-SHARED, and nodes have NVIDIA-A100, NVIDIA-H100 and Tesla-T4. "
            "Did you mean 'Tesla-T4'?",
            id="not shared",
        ),
        pytest.param(
            without(
                "a100",
                make_node(
                    "a100",
                    product="NVIDIA-A100",
                    resources={GPU: 8, "nvidia.com/mig-3g.40gb": 2},
                ),
            ),
            "30-slices: gpu.share: no node of flavor 'a100' offers nvidia.com/mig-1g.10gb; "
            "they offer nvidia.com/gpu and nvidia.com/mig-3g.40gb. "
            "Choose a share that they offer, or configure the nodes' device plugin.",
            id="no such slice",
        ),
        pytest.param(
            without("h100", make_node("h100", product="NVIDIA-H100")),
            "20-gpus: gpu.share: no node of flavor 'h100' offers nvidia.com/gpu; "
            "they offer nothing of nvidia.com. "
            "Choose a share that they offer, or configure the nodes' device plugin.",
            id="no device plugin",
        ),
        pytest.param(
            without("h100", make_node("h100", product="NVIDIA-H100", resources={GPU: 2})),
            "20-gpus: gpu.count: got 4, but the largest node of flavor 'h100' has 2 of "
            "nvidia.com/gpu. Remove 4: the devices of one server are on one node.",
            id="not so many",
        ),
        pytest.param(
            without(
                "h100",
                make_node(
                    "h100",
                    product="NVIDIA-H100",
                    resources={GPU: 8},
                    taints=[{"key": "team", "value": "x", "effect": "NoSchedule"}],
                ),
            ),
            "20-gpus: tolerations: every node of flavor 'h100' is tainted team=x:NoSchedule. "
            "Tolerate it.",
            id="taint",
        ),
        pytest.param(
            without(
                "t4",
                make_node(
                    "t4",
                    product="Tesla-T4-SHARED",
                    resources={GPU: 4},
                    labels={
                        "nvidia.com/cuda.runtime-version.major": "11",
                        "nvidia.com/cuda.runtime-version.minor": "8",
                    },
                ),
            ),
            "30-slices: images: image 'torch' cannot run on any node of flavor 't4': the driver "
            "offers CUDA 11.8, the image needs 12.0. "
            "Use another image, or update the nodes' driver.",
            id="driver",
        ),
        pytest.param(
            without(
                "t4",
                make_node(
                    "t4",
                    product="Tesla-T4-SHARED",
                    resources={GPU: 4},
                    labels={"kubernetes.io/arch": "arm64"},
                ),
            ),
            "30-slices: images: image 'torch' cannot run on any node of flavor 't4': the node is "
            "arm64, the image is for amd64. Use an image that is built for these nodes.",
            id="architecture",
        ),
    ],
)
def test_what_no_node_could_satisfy(nodes: list[dict[str, Any]], problem: str) -> None:
    assert told(*nodes) == [problem]


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        pytest.param(
            {"cpu": {"request": 64}},
            "10-cpu: resources.cpu: a server requests 64 of cpu; the largest node has 32. "
            "Lower the request.",
            id="cpu",
        ),
        pytest.param(
            {"memory": {"request": "256Gi"}},
            "10-cpu: resources.memory: a server requests 256Gi of memory; "
            "the largest node has 128Gi. Lower the request.",
            id="memory",
        ),
    ],
)
def test_requests_above_every_node(resources: dict[str, Any], problem: str) -> None:
    assert told(*healthy(), p10_cpu={"resources": resources}) == [problem]


def test_amounts_to_choose_above_every_node() -> None:
    resources = {"cpu": {"choices": [1, 1000]}}
    (problem,) = told(*healthy(), p10_cpu={"resources": resources})
    assert "resources.cpu" in problem
    assert "requests 1000 of cpu" in problem


def test_requests_that_grow_above_every_node() -> None:
    (problem,) = told(*healthy(), p20_gpus={"resources": {"per_gpu": {"cpu": {"request": 9}}}})[:1]
    assert problem == (
        "20-gpus: resources.cpu: a server with count 4 requests 36 of cpu; "
        "the largest node of flavor 'a100' has 32. Lower the request."
    )


def test_requests_that_no_single_node_meets_together() -> None:
    nodes = [
        make_node("fast", resources={"memory": "1Gi"}),
        make_node("large", resources={"cpu": "1"}),
        *without("cpu"),
    ]
    for node in nodes[2:]:
        node["status"]["allocatable"]["cpu"] = "1"
    resources = {"cpu": {"request": 2}, "memory": {"request": "2Gi"}}
    assert told(*nodes, p10_cpu={"resources": resources}) == [
        (
            "10-cpu: resources: a server fits no single node: none has enough of cpu and memory "
            "together. Lower the requests."
        )
    ]


def test_a_node_selector_that_selects_nothing() -> None:
    assert told(*healthy(), p10_cpu={"node_selector": {"pool": "x"}}) == [
        (
            "10-cpu: node_selector: every node is excluded: pool is absent, wanted x. "
            "Correct node_selector, or the site's node affinity."
        )
    ]


def test_the_sites_settings_count() -> None:
    """A sidecar that every server has leaves one CPU of 32."""
    site = SitePod(settings={"extra_containers": [{"resources": {"requests": {"cpu": "31"}}}]})
    assert told(*healthy(), site=site) == []
    (first, *_) = told(*healthy(), site=site, p20_gpus={"resources": {"cpu": {"request": 2}}})
    assert first == (
        "20-gpus: resources.cpu: a server with count 1 requests 33 of cpu; "
        "the largest node of flavor 'a100' has 32. Lower the request."
    )


def test_a_node_selector_by_name() -> None:
    """Nodes that look alike otherwise are told apart where a profile looks at their names."""
    nodes = [make_node(name) for name in "ab"]
    for node in nodes:
        node["metadata"]["labels"]["kubernetes.io/hostname"] = node["metadata"]["name"]
    for name, is_there in (("a", True), ("b", True), ("z", False)):
        selector = {"kubernetes.io/hostname": name}
        found = told(*healthy(), *nodes, p10_cpu={"node_selector": selector})
        assert (found == []) is is_there


def test_two_flavors_that_claim_the_same_nodes() -> None:
    """Also where one names the shared form of the product."""
    mapping = documents()
    mapping["flavors"]["other"] = {
        "display_name": "Other",
        "node_labels": {"nvidia.com/gpu.product": "Tesla-T4-SHARED"},
    }
    problems = check_against_cluster(
        read_mapping(mapping, source="profiles"), snapshot_of(*healthy())
    )
    assert [str(problem) for problem in problems] == [
        (
            "profiles: flavors: t4: 'other' and 't4' both claim node t4. "
            "Make their node_labels differ: every GPU is counted for one flavor."
        )
    ]


class TestOtherLabels:
    """Flavors of other vendors, and of nodes without NVIDIA's labels, are told apart by value."""

    def told(self, labels: dict[str, Any], *nodes: dict[str, Any]) -> list[str]:
        mapping = documents()
        mapping["flavors"]["mi300"]["node_labels"] = labels
        mapping["20-gpus"] |= {
            "images": ["base"],
            "gpu": {"flavors": ["mi300"], "share": "whole"},
        }
        catalog = read_mapping(mapping, source="profiles")
        problems = check_against_cluster(catalog, snapshot_of(*healthy(), *nodes))
        return [str(problem).removeprefix("profiles: ") for problem in problems]

    def amd(self, **labels: str) -> dict[str, Any]:
        return make_node("amd", resources={"amd.com/gpu": 8}, labels=labels)

    def test_match(self) -> None:
        assert (
            self.told({"vendor": "amd", "model": ["a", "b"]}, self.amd(vendor="amd", model="b"))
            == []
        )

    def test_are_nowhere(self) -> None:
        assert self.told({"vendor": "amd"}) == [
            (
                "20-gpus: gpu.flavors: flavor 'mi300' matches no node: vendor is to be amd, "
                "and nodes have no value at all. Correct node_labels of 'mi300' in flavors.yaml."
            )
        ]

    def test_are_not_together(self) -> None:
        nodes = [self.amd(vendor="amd"), make_node("x", labels={"model": "a"})]
        assert self.told({"vendor": "amd", "model": "a"}, *nodes) == [
            (
                "20-gpus: gpu.flavors: flavor 'mi300' matches no node: none has all of its labels. "
                "Correct node_labels of 'mi300' in flavors.yaml."
            )
        ]


def test_problems_have_the_line_of_the_block(tmp_path: Path) -> None:
    mapping = documents()
    mapping["20-gpus"]["gpu"] = [
        {"flavors": ["a100"], "share": "whole", "count": 1},
        {"flavors": ["h100"], "share": "whole", "count": [1, 16]},
    ]
    for name, entry in mapping.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(entry, sort_keys=False))
    catalog = read_directory(tmp_path)
    (problem,) = check_against_cluster(catalog, snapshot_of(*healthy()))
    lines = (tmp_path / "20-gpus.yaml").read_text().splitlines()
    assert problem.key == "gpu[1].count"
    assert problem.file == str(tmp_path / "20-gpus.yaml")
    assert lines[problem.line - 1].strip() == "count:"
    assert "h100" in "".join(lines[: problem.line])
