"""The inventory of devices that are had by claims: what there is, and which pod holds what."""

from dataclasses import replace
from typing import Any

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.offers.inventory import Stock, take_inventory

EMPTY = Catalog(profiles=(), flavors={}, images={})


def device(name: str, product: str, profile: str = "", **more: Any) -> dict[str, Any]:
    attributes = {"productName": {"string": product}}
    if profile:
        attributes["profile"] = {"string": profile}
    return {"name": name, "attributes": attributes, **more}


def cluster(*devices: dict[str, Any], held: tuple[str, ...] = ()) -> Snapshot:
    node = {
        "kind": "Node",
        "metadata": {"name": "a"},
        "status": {"allocatable": {"cpu": "8", "pods": "110"}},
    }
    pool = {"name": "a", "generation": 1, "resourceSliceCount": 1}
    found = {
        "kind": "ResourceSlice",
        "metadata": {"name": "a-gpus"},
        "spec": {
            "driver": "gpu.nvidia.com",
            "nodeName": "a",
            "pool": pool,
            "devices": list(devices),
        },
    }
    pod = {
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "uid": "u-1"},
        "spec": {"nodeName": "a", "containers": [{"name": "c"}]},
        "status": {"phase": "Running"},
    }
    results = [
        {"request": "gpu", "driver": "gpu.nvidia.com", "pool": "a", "device": name} for name in held
    ]
    claim = {
        "kind": "ResourceClaim",
        "metadata": {"name": "c", "namespace": "n", "uid": "c-1"},
        "spec": {},
        "status": {
            "allocation": {"devices": {"results": results}},
            "reservedFor": [{"resource": "pods", "name": "p", "uid": "u-1"}],
        },
    }
    return Snapshot.from_objects([node, found, pod, *([claim] if held else [])])


def test_whole_devices_and_who_holds_them() -> None:
    snapshot = cluster(
        device("gpu-0", "NVIDIA H200"), device("gpu-1", "NVIDIA H200"), held=("gpu-1",)
    )
    inventory = take_inventory(snapshot, EMPTY)
    assert inventory.nodes is not None
    (node,) = inventory.nodes
    assert node.stocks == (Stock(resource="NVIDIA H200", total=2, used=1),)
    (holder,) = node.holders
    assert (holder.pod, holder.devices) == ("p", (("NVIDIA H200", 1),))


def test_slices_that_are_alternatives_are_told_as_up_to() -> None:
    counters = [{"counterSet": "gpu-0", "counters": {"memory": {"value": "1"}}}]
    parts = [
        device(f"gpu-0-{number}", "NVIDIA B200", "1g.23gb", consumesCounters=counters)
        for number in range(7)
    ]
    (node,) = take_inventory(cluster(*parts, held=("gpu-0-3",)), EMPTY).nodes or ()
    assert node.stocks == (Stock(resource="NVIDIA B200 1g.23gb", total=7, used=1, is_up_to=True),)


def test_without_claims_what_is_used_is_unknown() -> None:
    snapshot = replace(cluster(device("gpu-0", "NVIDIA H200")), claims=None)
    (node,) = take_inventory(snapshot, EMPTY).nodes or ()
    assert node.stocks[0].used is None
    assert node.stocks[0].free is None


def test_a_device_without_attributes_goes_by_its_name() -> None:
    (node,) = take_inventory(cluster({"name": "thing-7"}), EMPTY).nodes or ()
    assert node.stocks[0].resource == "thing-7"
