"""A hub holds its profiles against its cluster, and tells admins what could never start."""

from typing import Any

import pytest
from cluster_thread import ClusterThread
from hub_profiles import PROFILES, MakeHub
from other_process import wait_until
from running_hub import Browser, RunningHub

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]

PRODUCT = "nvidia.com/gpu.product"
MISFITS = f"""
c.GPUSpawner.flavors["b200"] = {{
    "display_name": "NVIDIA B200", "node_labels": {{"{PRODUCT}": "NVIDIA-B200"}},
}}
c.GPUSpawner.profiles["40-b200"] = {{
    "display_name": "Large", "images": ["torch"], "gpu": {{"flavors": ["b200"], "share": "whole"}},
}}
"""


def told(hub: RunningHub) -> list[str]:
    answer = hub.rest("GET", "gpu-spawner/inventory")
    assert answer.status_code == 200, answer.text
    problems: list[str] = answer.json()["cluster_problems"]
    return problems


def label(cluster: ClusterThread, value: str | None) -> None:
    """Give the node without GPUs a product label, or take it away."""
    labels: dict[str, Any] = {"metadata": {"labels": {PRODUCT: value}}}
    cluster.call(cluster.cluster.client.patch("/api/v1/nodes/cpu-1", labels))


def test_what_could_never_start_is_told_and_told_anew(
    make_hub: MakeHub, cluster: ClusterThread
) -> None:
    hub = make_hub(PROFILES + MISFITS)

    too_many, no_node = wait_until(lambda: told(hub), "the hub has checked its profiles")
    assert "20-gpus: gpu.count: got 4, but the largest node of flavor 'h100' has 2" in too_many
    assert "40-b200: gpu.flavors: flavor 'b200' matches no node" in no_node
    told_once = hub.log().partition("Some choices can never start on this cluster as it is:")[2]
    assert too_many in told_once
    assert no_node in told_once
    metrics = hub.rest("GET", "../metrics").text
    assert "gpu_spawner_cluster_problems 2.0" in metrics
    assert "gpu_spawner_catalog_problems 0.0" in metrics
    page = Browser(hub, "admin").get("gpu-spawner/admin").text
    assert "Some choices can never start on this cluster as it is" in page

    label(cluster, "NVIDIA-B200")
    try:
        wait_until(
            lambda: "no node of flavor 'b200' offers nvidia.com/gpu" in " ".join(told(hub)),
            "the hub has checked again",
        )
    finally:
        label(cluster, None)
