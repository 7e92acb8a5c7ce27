"""A real hub preloads: the images arrive by themselves, the page knows, and a start is steered."""

from typing import Any

import pytest
from cluster_thread import PRELOADING as ELSEWHERE
from cluster_thread import ClusterThread
from hub_profiles import PROFILES, MakeHub
from running_hub import Browser, wait_until

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(240)]

# A namespace of its own: another hub of these tests preloads in the servers' own.
PRELOADING = f"""{PROFILES}
c.GPUSpawner.profiles["20-gpus"]["preload"] = "always"
c.GPUSpawner.profiles["10-cpu"]["preload"] = "never"
c.GPUSpawner.profiles["30-secret"]["preload"] = "never"
c.GPUSpawner.preload_namespace = "{ELSEWHERE}"
"""
SETS = f"/apis/apps/v1/namespaces/{ELSEWHERE}/daemonsets"


def daemon_sets(cluster: ClusterThread) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.call(cluster.cluster.client.get(SETS))["items"]
    return found


def test_a_hub_preloads_and_its_page_knows(cluster: ClusterThread, make_hub: MakeHub) -> None:
    hub = make_hub(PRELOADING)
    grace = Browser(hub, "grace")

    def readiness() -> Any:
        offers = grace.get("api/gpu-spawner/offers").json()
        choices = [choice for one in offers["profiles"] for choice in one["choices"]]
        return next(one["images"] for one in choices if one["key"] == "gpus/h100/whole/1")

    def is_everywhere() -> bool:
        known = readiness().values()  # nothing, while nothing is known
        return bool(known) and all(
            (one["ready_nodes"], one["fitting_nodes"]) == (2, 2) for one in known
        )

    def preloaded() -> set[str]:
        return {
            one["metadata"]["annotations"]["gpu-spawner.jupyter.org/preload-image"]
            for one in daemon_sets(cluster)
        }

    # Not at once: another test may have brought the images before.
    both = {"example.org/torch:1", "example.org/torch:0"}
    wait_until(lambda: preloaded() == both, "both images are preloaded", 60)
    wait_until(is_everywhere, "both images are on both nodes", 60)

    def torch() -> Any:
        told = hub.rest("GET", "gpu-spawner/inventory").json()["preload"]["images"]
        return next(one for one in told if one["image"] == "example.org/torch:1")

    wait_until(lambda: torch()["ready"] == ["h100-1", "h100-2"], "admins are told so", 30)
    assert (torch()["wanted"], torch()["next_try"]) == (2, None)
    page = Browser(hub, "admin").get("gpu-spawner/admin").text
    assert "Preloaded images" in page
    assert "example.org/torch:1" in page
    assert "Traceback" not in hub.log()


def test_a_node_that_joins_counts_only_once_it_has_the_image(
    cluster: ClusterThread, make_hub: MakeHub
) -> None:
    """Whatever the page is asked in between, it promises no node that would have to pull."""
    grace = Browser(make_hub(PRELOADING), "grace")
    image = "example.org/torch:1"
    said: list[tuple[int | None, int, int]] = []

    def look() -> tuple[int | None, int]:
        """Read the page, then the machines: what they have may only have grown in between."""
        offers = grace.get("api/gpu-spawner/offers").json()
        choices = [choice for one in offers["profiles"] for choice in one["choices"]]
        found = next(one["images"] for one in choices if one["key"] == "gpus/h100/whole/1")["torch"]
        holding = sum(
            node.images.has(image)
            for name, node in list(cluster.cluster.kubelet.nodes.items())
            if name.startswith("h100")
        )
        said.append((found["ready_nodes"], found["fitting_nodes"], holding))
        return found["ready_nodes"], found["fitting_nodes"]

    wait_until(lambda: look() == (2, 2), "the image is on both nodes", 60)
    joined = cluster.call(cluster.cluster.add_node("h100"))
    try:
        wait_until(lambda: look() == (3, 3), "the image is on the new node, too", 60)
    finally:
        cluster.call(cluster.cluster.remove_node(joined))

    assert all((ready or 0) <= holding for ready, _, holding in said)


def test_switched_off_the_next_hub_tidies_up(cluster: ClusterThread, make_hub: MakeHub) -> None:
    make_hub(f"{PRELOADING}\nc.GPUSpawner.preload = False\n")
    wait_until(lambda: not daemon_sets(cluster), "the DaemonSets are gone", 60)
