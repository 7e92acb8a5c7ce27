"""A pool of GPUs that an autoscaler grows, from the page to the running server."""

import html
import re
from collections.abc import Iterator

import pytest
from cluster_thread import ClusterThread
from hub_profiles import PROFILES
from other_process import wait_until
from running_hub import Browser, RunningHub, running_hub

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(300)]

ONE = "growing/grown/whole/1"
GROWING = """
c.GPUSpawner.stuck_seconds = 1
c.GPUSpawner.flavors["grown"] = {
    "display_name": "Grown H100",
    "node_labels": {"example.org/pool": "grown"},
    "autoscale": {"start_time": "2m", "gpus_per_node": 2, "max_nodes": 1},
}
c.GPUSpawner.profiles["40-growing"] = {
    "display_name": "On nodes that are started",
    "images": ["torch"],
    "gpu": {"flavors": ["grown"], "share": "whole", "count": [1, 4]},
    "resources": {"cpu": {"request": 1}, "memory": {"request": "1Gi"}},
}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, cluster: ClusterThread) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("growing")
    with running_hub(folder, PROFILES + GROWING, kubeconfig=cluster.kubeconfig) as running:
        yield running


def node_of_flavor(cluster: ClusterThread, pool: str | None) -> str:
    """Let a node of the pool come, or go again."""
    nodes = cluster.call(cluster.cluster.client.get("/api/v1/nodes"))["items"]
    name = next(one for node in nodes if (one := node["metadata"]["name"]).startswith("h100"))
    change = {"metadata": {"labels": {"example.org/pool": pool}}}
    cluster.call(cluster.cluster.client.patch(f"/api/v1/nodes/{name}", change))
    return str(name)


def radio(page: str, key: str) -> str:
    found = re.search(rf'<input type="radio"[^>]*value="{key}"[^>]*>', page)
    assert found is not None
    return found[0]


def test_from_the_page_to_the_running_server(
    hub: RunningHub, cluster: ClusterThread, user: str
) -> None:
    hub.wait_counted()
    browser = Browser(hub, user)
    page = html.unescape(browser.get("spawn").text)
    assert "disabled" not in radio(page, ONE)
    assert "disabled" in radio(page, "growing/grown/whole/4")
    assert "No node has this GPU; a node is started first, which takes about 2 min" in page
    assert "+2 min to start it" in page
    offers = hub.rest("GET", f"gpu-spawner/offers?user={user}").json()["profiles"]
    (choice,) = [one for each in offers for one in each["choices"] if one["key"] == ONE]
    assert (choice["state"], choice["starts_now"], choice["free"]) == ("scale_up", False, 0)
    assert choice["node_start_seconds"] == 120

    answer = browser.post_form({"offer": ONE})
    assert answer.status_code == 302, answer.text
    wait_until(lambda: cluster.pods(user), "a pod")
    with hub.progress(user) as steps:
        assert any("Waiting" in step.get("message", "") for step in steps)
    assert hub.user(user)["servers"][""]["pending"] == "spawn"
    try:
        name = node_of_flavor(cluster, "grown")
        wait_until(lambda: hub.user(user)["servers"][""]["ready"], "the server runs", 90)
        (pod,) = cluster.pods(user)
        assert pod["spec"]["nodeName"] == name
        hub.stop(user)
    finally:
        node_of_flavor(cluster, None)


def test_what_no_new_node_has_is_refused(hub: RunningHub, user: str) -> None:
    answer = hub.start(user, {"profile": "growing", "count": 4})
    assert answer.status_code == 409
    assert "no node has this GPU" in answer.json()["message"]
