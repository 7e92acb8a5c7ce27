"""What is told of claimed devices when a catalog meets the demo's cluster."""

import json
from typing import Any

import pytest
from catalog_builders import REPOSITORY

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.check import check_against_cluster
from gpu_spawner.core.cluster.snapshot import Snapshot

CLUSTER = REPOSITORY / "tests" / "golden" / "catalog" / "cluster.json"
ITEMS: list[dict[str, Any]] = json.loads(CLUSTER.read_text(encoding="utf-8"))["items"]


def told(
    dra: dict[str, Any],
    share: Any = "whole",
    *,
    count: int = 1,
    items: list[dict[str, Any]] = ITEMS,
    **flavor: Any,
) -> list[str]:
    mapping = {
        "flavors": {"x": {"display_name": "X", "memory": "48GB", "dra": dra, **flavor}},
        "images": {"base": {"image": "quay.io/site/base:1", "display_name": "Base"}},
        "10-it": {
            "display_name": "It",
            "images": ["base"],
            "gpu": {"flavors": ["x"], "share": share, "count": count},
        },
    }
    problems = check_against_cluster(
        read_mapping(mapping, source="profiles"), Snapshot.from_objects(items, as_of=0.0)
    )
    return [str(problem).removeprefix("profiles: ") for problem in problems]


def without(*kinds: str) -> list[dict[str, Any]]:
    return [item for item in ITEMS if item["kind"] not in kinds]


@pytest.mark.parametrize(
    ("dra", "arguments"),
    [
        ({"attributes": {"productName": "NVIDIA H200"}}, {"count": 7}),
        ({"attributes": {"productName": "NVIDIA B200"}}, {"count": 8}),
        ({"min_memory": "100Gi"}, {}),
        (
            {"memory_capacity": "memory", "attributes": {"productName": "NVIDIA L40S"}},
            {"share": {"memory": "10Gi"}},
        ),
        ({"mig_device_class": "mig.nvidia.com"}, {"share": {"mig": "3g.90gb"}, "memory": "180GB"}),
    ],
    ids=str,
)
def test_nothing_where_all_is_well(dra: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Devices in use, and devices that are ill, are no mistakes."""
    assert told(dra, **arguments) == []


@pytest.mark.parametrize(
    ("dra", "arguments", "problem"),
    [
        pytest.param(
            {"device_class": "gpu.nvidia.org"},
            {},
            "flavors: x.dra.device_class: got 'gpu.nvidia.org', but the cluster has "
            "gpu.nvidia.com and mig.nvidia.com. Did you mean 'gpu.nvidia.com'?",
            id="no such class",
        ),
        pytest.param(
            {},
            {"items": without("DeviceClass", "ResourceSlice", "ResourceClaim")},
            "flavors: x.dra.device_class: got 'gpu.nvidia.com', but the cluster has no "
            "DeviceClass. Install the driver, or correct the name.",
            id="no driver",
        ),
        pytest.param(
            {"attributes": {"productname": "NVIDIA H200"}},
            {},
            "flavors: x.dra.attributes.productname: no device of the class has this attribute; ",
            id="no such attribute",
        ),
        pytest.param(
            {"attributes": {"productName": "NVIDIA-H200"}},
            {},
            "flavors: x.dra.attributes.productName: got 'NVIDIA-H200'; devices have "
            "'NVIDIA B200', 'NVIDIA H200' and 'NVIDIA L40S'. Did you mean 'NVIDIA H200'?",
            id="the label's spelling",
        ),
        pytest.param(
            {"selectors": ['device.attributes["gpu.nvidia.com"].colour == "red"']},
            {},
            "flavors: x.dra.selectors: a selector fails on a device, which stops every such "
            "pod: no such key: colour.",
            id="an attribute nobody asked for first",
        ),
        pytest.param(
            {"min_memory": "1Ti"},
            {},
            "flavors: x.dra.device_class: no device of 'gpu.nvidia.com' is what share whole asks "
            "for. Compare with kubectl get resourceslices -o yaml.",
            id="more memory than any",
        ),
        pytest.param(
            {"memory_capacity": "ram"},
            {"share": {"memory": "10Gi"}},
            "flavors: x.dra.memory_capacity: got 'ram'; the devices of the class have copyEngines, "
            "decoders, encoders, jpegEngines, memory, multiprocessors and ofaEngines. "
            "Use one of these.",
            id="no such capacity",
        ),
        pytest.param(
            {"memory_capacity": "memory", "attributes": {"productName": "NVIDIA H200"}},
            {"share": {"memory": "10Gi"}},
            "flavors: x.dra.device_class: no device of 'gpu.nvidia.com' is what share memory-10Gi "
            "asks for.",
            id="GPUs that are not divided",
        ),
        pytest.param(
            {"mig_device_class": "mig.nvidia.com"},
            {"share": {"mig": "1g.10gb"}},
            "flavors: x.dra.mig_device_class: no device is a slice 1g.10gb; there are 1g.23gb, "
            "1g.45gb, 2g.45gb, 3g.90gb, 4g.90gb and 7g.180gb. "
            "Have the GPUs cut so, or offer other slices.",
            id="no such slice",
        ),
        pytest.param(
            {"attributes": {"productName": "NVIDIA L40S"}},
            {"count": 8},
            "10-it: gpu.count: got 8, but the largest node of flavor 'x' has 4 such devices. "
            "Remove 8: the devices of one server are on one node.",
            id="not so many on one node",
        ),
    ],
)
def test_what_no_device_can_be(
    dra: dict[str, Any], arguments: dict[str, Any], problem: str
) -> None:
    (found,) = told(dra, **arguments)
    assert found.startswith(problem), found


@pytest.mark.parametrize(
    ("second", "told_of"),
    [
        pytest.param({"min_memory": "100Gi"}, 1, id="the same devices"),
        pytest.param({"attributes": {"productName": "NVIDIA B200"}}, 0, id="others"),
    ],
)
def test_two_flavors_of_a_profile_that_select_the_same_devices(
    second: dict[str, Any], told_of: int
) -> None:
    flavors = {
        "h200": {"attributes": {"productName": "NVIDIA H200"}},
        "large": second,
    }

    def problems(*profiles: list[str]) -> list[str]:
        mapping: dict[str, Any] = {
            "flavors": {
                name: {"display_name": name, "memory": "141GB", "dra": dra}
                for name, dra in flavors.items()
            },
            "images": {"base": {"image": "quay.io/site/base:1", "display_name": "Base"}},
        }
        for number, names in enumerate(profiles):
            mapping[f"10-p{number}"] = {
                "display_name": "It",
                "images": ["base"],
                "gpu": {"flavors": names, "share": "whole"},
            }
        catalog = read_mapping(mapping, source="profiles")
        found = check_against_cluster(catalog, Snapshot.from_objects(ITEMS, as_of=0.0))
        return [str(problem) for problem in found]

    said = problems(["h200", "large"])
    assert len(said) == told_of
    for problem in said:
        assert problem.startswith(
            "profiles: 10-p0: gpu.flavors: 'h200' and 'large' select the same devices. "
        )
    assert problems(["h200"], ["large"]) == []


def test_slices_that_may_not_be_read() -> None:
    mapping = {
        "flavors": {"x": {"display_name": "X", "dra": {}}},
        "images": {"base": {"image": "quay.io/site/base:1", "display_name": "Base"}},
        "10-it": {
            "display_name": "It",
            "images": ["base"],
            "gpu": {"flavors": ["x"], "share": "whole"},
        },
    }
    seen = Snapshot.from_objects(without("ResourceSlice"), as_of=0.0)
    blind = Snapshot(nodes=seen.nodes, pods=seen.pods, unknown={"resourceslices": "forbidden"})
    problems = check_against_cluster(read_mapping(mapping), blind)
    assert [str(problem) for problem in problems] == [
        "cluster: resourceslices are unknown: forbidden."
    ]


class TestResourcesOfDeviceClasses:
    """Some nodes have a GPU resource as a number, some as devices that a class stands behind."""

    def told(self, product: str, count: int, items: list[dict[str, Any]]) -> list[str]:
        labels = {"nvidia.com/gpu.product": product}
        return told({}, count=count, items=items, mechanisms=["whole"], node_labels=labels)

    @pytest.mark.parametrize("kinds", [(), ("DeviceClass", "ResourceSlice", "ResourceClaim")])
    def test_more_than_a_node_has_as_a_number(self, kinds: tuple[str, ...]) -> None:
        items = without(*kinds)
        assert self.told("NVIDIA-H100-80GB-HBM3", 8, items) == []
        assert self.told("NVIDIA-H100-80GB-HBM3", 16, items) == [
            (
                "10-it: gpu.count: got 16, but the largest node of flavor 'x' has 8 of "
                "nvidia.com/gpu. Remove 16: the devices of one server are on one node."
            )
        ]

    def test_more_than_a_node_has_as_devices(self) -> None:
        assert self.told("NVIDIA-H200", 7, ITEMS) == []
        assert self.told("NVIDIA-H200", 16, ITEMS) == [
            (
                "10-it: gpu.count: got 16, but the largest node of flavor 'x' has 8 of "
                "nvidia.com/gpu. Remove 16: the devices of one server are on one node."
            )
        ]

    def test_devices_whose_driver_has_not_told_of_them(self) -> None:
        assert self.told("NVIDIA-H200", 16, without("ResourceSlice")) == []
