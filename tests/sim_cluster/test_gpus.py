"""Simulated devices: allocation, and how a pod sees its own and no others."""

import json

import pytest

from gpu_spawner.sim.fleet import default_fleet
from gpu_spawner.sim.node.gpus import (
    SIMULATED_GPUS_VARIABLE,
    DevicesUnavailableError,
    NodeDevices,
    device_requests,
)
from gpu_spawner.sim.node.nvidia_smi import render


def devices_of(group: str) -> NodeDevices:
    found = next(each for each in default_fleet().nodes if each.name == group)
    return NodeDevices(found, f"{group}-1")


def test_devices_are_given_once_and_taken_back() -> None:
    node = devices_of("h100")
    node.allocate("a", "main", {"nvidia.com/gpu": 5})
    node.allocate("b", "main", {"nvidia.com/gpu": 3})
    seen = [each.id for uid in "ab" for each in node.held_by(uid, "main")]
    assert len(set(seen)) == 8
    with pytest.raises(DevicesUnavailableError, match=r"gpu\. Requested: 1, Available: 0"):
        node.allocate("c", "main", {"nvidia.com/gpu": 1})
    node.release("b")
    node.allocate("c", "main", {"nvidia.com/gpu": 3})
    assert [each.unit for each in node.held_by("c", "main")] == [5, 6, 7]


def test_replicas_of_one_gpu_are_the_same_device() -> None:
    node = devices_of("t4")
    for number in range(5):
        node.allocate(f"pod-{number}", "main", {"nvidia.com/gpu": 1})
    ids = [node.held_by(f"pod-{number}", "main")[0].id for number in range(5)]
    assert len(set(ids[:4])) == 1
    assert ids[4] != ids[0]


def test_a_slice_is_a_mig_device_with_its_own_memory() -> None:
    node = devices_of("a100-mig")
    node.allocate("a", "main", {"nvidia.com/mig-1g.10gb": 1})
    (device,) = node.held_by("a", "main")
    assert device.id.startswith("MIG-")
    assert (device.mig_profile, device.memory_mib) == ("1g.10gb", 9728)


def test_only_extended_resources_are_devices() -> None:
    limits = {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "2", "example.com/fpga": "1"}
    container = {"name": "c", "resources": {"limits": limits}}
    assert device_requests(container, {}) == {"nvidia.com/gpu": 2, "example.com/fpga": 1}
    assert device_requests({"name": "c"}, {}) == {}
    mapping = {"containerName": "c", "resourceName": "nvidia.com/gpu", "requestName": "r"}
    pod = {"status": {"extendedResourceClaimStatus": {"requestMappings": [mapping]}}}
    assert device_requests(container, pod) == {"example.com/fpga": 1}


def test_a_pod_without_devices_sees_none() -> None:
    environment = devices_of("h100").environment(())
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert render(json.loads(environment[SIMULATED_GPUS_VARIABLE]), []) == (
        ["No devices were found"],
        6,
    )


def test_nvidia_smi_shows_the_pods_gpus_and_says_that_they_are_simulated() -> None:
    node = devices_of("h100")
    node.allocate("a", "main", {"nvidia.com/gpu": 2})
    environment = node.environment(node.held_by("a", "main"))
    described = json.loads(environment[SIMULATED_GPUS_VARIABLE])
    table, status = render(described, [])
    assert status == 0
    assert sum("NVIDIA H100 80GB HBM3" in line for line in table) == 2
    assert any("simulated by gpu-spawner" in line for line in table)
    listed, _ = render(described, ["-L"])
    assert len(listed) == 2
    assert all("(simulated)" in line for line in listed)
    query = ["--query-gpu=index,memory.total", "--format=csv,noheader,nounits"]
    assert render(described, query) == (["0, 81559", "1, 81559"], 0)
    assert render(described, ["--query-gpu=fan.speed", "--format=csv"])[1] == 2
    assert render(described, ["topo"])[1] == 2
