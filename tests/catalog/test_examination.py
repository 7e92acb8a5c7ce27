"""What the doctor finds: each thing that stands in the way is named, with what to change."""

from typing import Any

import pytest

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.examination import Finding, Verdict, examine
from gpu_spawner.core.cluster.snapshot import Snapshot

DRA = "resource.k8s.io"
PRODUCT = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}


def node(name: str, gpus: int = 0, labels: dict[str, str] | None = None, **more: Any) -> Any:
    allocatable = {"cpu": "64", "memory": "512Gi", "pods": "110"}
    if gpus:
        allocatable["nvidia.com/gpu"] = str(gpus)
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": more.get("spec", {}),
        "status": {
            "allocatable": allocatable,
            "conditions": [{"type": "Ready", "status": "True"}],
            "images": [{"names": ["example.org/a:1"], "sizeBytes": 1}],
        },
    }


def slice_of(node_name: str, *, of: int = 1, driver: str = "gpu.nvidia.com") -> Any:
    return {
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node_name}-{driver}"},
        "spec": {
            "driver": driver,
            "nodeName": node_name,
            "pool": {"name": node_name, "generation": 1, "resourceSliceCount": of},
            "devices": [{"name": "gpu-0"}],
        },
    }


CLASS = {"kind": "DeviceClass", "metadata": {"name": "gpu.nvidia.com"}, "spec": {}}


def findings(*objects: Any, groups: tuple[str, ...] = (), catalog: Any = None) -> list[Finding]:
    return examine(Snapshot.from_objects(objects), groups, catalog)


def troubles(found: list[Finding], verdict: Verdict = Verdict.TROUBLE) -> list[str]:
    assert all(one.cure for one in found if one.verdict is verdict)
    return [one.what for one in found if one.verdict is verdict]


class TestCluster:
    def test_a_cluster_in_order_wants_nothing(self) -> None:
        found = findings(node("a", 8, PRODUCT), slice_of("b"), node("b"), CLASS, groups=(DRA,))
        assert [one for one in found if one.cure] == []
        assert "8 nvidia.com/gpu and 1 devices of gpu.nvidia.com" in found[0].what

    def test_nodes_that_may_not_be_read(self) -> None:
        (only,) = examine(Snapshot(unknown={"nodes": "the hub may not read nodes"}), ())
        assert only.verdict is Verdict.TROUBLE
        assert "may not read nodes" in only.what
        assert "gpu-spawner rbac" in only.cure

    def test_no_gpu_anywhere(self) -> None:
        assert "No node offers a GPU." in troubles(findings(node("a")))

    def test_a_gpu_that_nobody_hands_out(self) -> None:
        found = findings(node("a", 8, PRODUCT), node("b", 0, {"nvidia.com/gpu.present": "true"}))
        assert troubles(found) == ["Node b has a GPU that nobody hands out."]

    def test_a_node_for_claims_is_not_silent(self) -> None:
        labelled = node("b", 0, {"nvidia.com/gpu.present": "true"})
        assert troubles(findings(labelled, slice_of("b"), CLASS, groups=(DRA,))) == []

    def test_nodes_without_labels_are_named_and_counted(self) -> None:
        found = findings(*[node(f"n{number}", 8) for number in range(8)])
        (what,) = troubles(found, Verdict.ADVICE)
        assert what == "Nodes n0, n1, n2, n3, n4 and 3 more have no label nvidia.com/gpu.product."

    def test_gpus_cut_differently_in_the_single_strategy(self) -> None:
        product = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-MIG-INVALID"}
        assert "not all cut alike" in troubles(findings(node("a", 1, product)))[0]

    def test_a_drained_node(self) -> None:
        drained = node("a", 8, PRODUCT, spec={"unschedulable": True})
        (what,) = troubles(findings(drained), Verdict.ADVICE)
        assert what == "Node a has GPUs that nobody can be given: cordoned or not ready."

    def test_one_gpu_handed_out_twice(self) -> None:
        found = findings(node("a", 8, PRODUCT), slice_of("a"), CLASS, groups=(DRA,))
        assert "hand the same GPU out twice" in troubles(found)[0]

    def test_devices_without_a_class(self) -> None:
        found = findings(node("a"), slice_of("a"), groups=(DRA,))
        assert "no DeviceClass" in troubles(found)[0]

    def test_a_pool_that_is_not_whole(self) -> None:
        found = findings(node("a"), slice_of("a", of=2), CLASS, groups=(DRA,))
        assert "Incomplete pools of devices: gpu.nvidia.com/a" in troubles(found)[0]


CATALOG = {
    "flavors": {
        "h100": {
            "display_name": "NVIDIA H100",
            "memory": "80GB",
            "node_labels": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
        },
    },
    "images": {"torch": {"image": "example.org/torch:1", "display_name": "PyTorch"}},
    "10-gpus": {
        "display_name": "GPUs",
        "images": ["torch"],
        "gpu": {"flavors": ["h100"], "share": "whole", "count": [1, 16]},
    },
}


class TestCatalog:
    def test_what_no_node_can_serve(self) -> None:
        catalog = read_mapping(CATALOG, source="profiles")
        found = troubles(findings(node("a", 8, PRODUCT), catalog=catalog))
        assert len(found) == 1
        assert "gpu.count" in found[0]
        assert "16" in found[0]

    @pytest.mark.parametrize(
        ("key", "block", "group", "name"),
        [
            ("kai", {"queue": "research"}, "scheduling.run.ai", "KAI"),
            ("volcano", {}, "scheduling.volcano.sh", "Volcano"),
        ],
    )
    def test_a_scheduler_that_is_not_there(
        self, key: str, block: dict[str, Any], group: str, name: str
    ) -> None:
        flavor = {**CATALOG["flavors"]["h100"], key: block}
        profile = {**CATALOG["10-gpus"], "gpu": {"flavors": ["h100"], "share": {"memory": "10Gi"}}}
        catalog = read_mapping(
            {**CATALOG, "flavors": {"h100": flavor}, "10-gpus": profile}, source="profiles"
        )
        found = troubles(findings(node("a", 8, PRODUCT), catalog=catalog))
        assert any(f"had by {name}, and the cluster has no {group}" in one for one in found)
        found = troubles(findings(node("a", 8, PRODUCT), groups=(group,), catalog=catalog))
        assert not any("the cluster has no" in one for one in found)

    def test_a_queue_without_kueue(self) -> None:
        profile = {**CATALOG["10-gpus"], "kueue": {"queue": "notebooks"}}
        profile["gpu"] = {"flavors": ["h100"], "share": "whole"}
        catalog = read_mapping({**CATALOG, "10-gpus": profile}, source="profiles")
        found = troubles(findings(node("a", 8, PRODUCT), catalog=catalog))
        assert found == ["Profiles gpus wait in Kueue's queues, and the cluster has no Kueue."]
