"""Admins see every GPU and who holds it, as JSON and as a page; nobody else does."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_schemas import misfits
from cluster_thread import ClusterThread
from form_elements import Elements
from hub_profiles import PROFILES, MakeHub
from other_process import wait_until
from running_hub import Browser, RunningHub

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]

PATH = "gpu-spawner/inventory"


def inventory(hub: RunningHub) -> dict[str, dict[str, object]]:
    """Return the nodes; a hub that has just started does not know them yet."""

    def read() -> list[dict[str, object]]:
        answer = hub.rest("GET", PATH)
        assert answer.status_code == 200, answer.text
        nodes: list[dict[str, object]] = answer.json()["nodes"]
        return nodes

    return {str(node["name"]): node for node in wait_until(read, "the hub has read the nodes")}


@pytest.fixture
def busy(cluster: ClusterThread, hub: RunningHub) -> Iterator[None]:
    """Somebody else's pod holds one GPU of the second node."""
    cluster.occupy("h100-2", 1, "inventory-busy")
    wait_until(lambda: inventory(hub)["h100-2"]["holders"], "the hub sees the pod")
    yield
    cluster.vacate("inventory-busy")
    wait_until(lambda: not inventory(hub)["h100-2"]["holders"], "the hub sees that it is gone")


@pytest.fixture
def server(hub: RunningHub, user: str) -> str:
    """A user whose server with two GPUs runs."""
    assert hub.start(user, {"profile": "gpus", "count": 2}).status_code in (201, 202)
    wait_until(lambda: hub.user(user)["servers"][""]["ready"], "the server is ready", 60)
    return user


class TestJson:
    @pytest.mark.usefixtures("user", "busy")
    def test_nodes_devices_and_holders(self, hub: RunningHub, server: str) -> None:
        nodes = inventory(hub)
        assert set(nodes) == {"h100-1", "h100-2"}
        (device,) = nodes["h100-1"]["devices"]
        expected = {"resource": "nvidia.com/gpu", "total": 2, "used": 2, "free": 0}
        assert device == {**expected, "is_up_to": False}
        (holder,) = nodes["h100-1"]["holders"]
        assert holder["user"] == server
        assert holder["profile"] == "gpus"
        assert holder["devices"] == {"nvidia.com/gpu": 2}
        assert holder["last_activity"] >= holder["since"] - 60
        (other,) = nodes["h100-2"]["holders"]
        assert (other["namespace"], other["pod"], other["user"]) == (
            "default",
            "inventory-busy",
            "",
        )
        assert other["last_activity"] is None
        assert nodes["h100-2"]["flavors"] == ["h100"]

    @pytest.mark.usefixtures("user", "busy")
    def test_every_gpu_and_who_holds_it(self, hub: RunningHub, server: str) -> None:
        nodes = inventory(hub)
        held = {
            name: [[one["pod"] for one in gpu["holders"]] for gpu in node["gpus"]]
            for name, node in nodes.items()
        }
        (pod,) = {gpu["holders"][0]["pod"] for gpu in nodes["h100-1"]["gpus"]}
        assert held == {"h100-1": [[pod], [pod]], "h100-2": [["inventory-busy"], []]}
        gpu = nodes["h100-1"]["gpus"][0]
        # Kubernetes does not say which.
        assert (gpu["device"], gpu["resource"], gpu["state"]) == (None, "nvidia.com/gpu", "held")
        (holder,) = gpu["holders"]
        assert (holder["user"], holder["server"]) == (server, "")
        (told,) = nodes["h100-1"]["holders"]
        assert holder["since"] == told["since"]
        assert [one["state"] for one in nodes["h100-2"]["gpus"]] == ["held", "free"]

    @pytest.mark.usefixtures("server", "busy")
    def test_the_answer_is_as_its_schema_says(self, hub: RunningHub) -> None:
        inventory(hub)
        assert misfits(hub.rest("GET", PATH).json(), "inventory") == []

    def test_one_node_alone(self, hub: RunningHub) -> None:
        inventory(hub)
        answer = hub.rest("GET", f"{PATH}?node=h100-2").json()
        assert [node["name"] for node in answer["nodes"]] == ["h100-2"]
        assert hub.rest("GET", f"{PATH}?node=%3Cb%3E").json()["nodes"] == []

    @pytest.mark.usefixtures("server")
    def test_images_that_were_pulled(self, hub: RunningHub) -> None:
        wait_until(lambda: "torch" in inventory(hub)["h100-1"]["images"], "the image is reported")

    def test_pods_that_wait(self, cluster: ClusterThread, hub: RunningHub) -> None:
        container = {
            "name": "large",
            "image": "example.org/large:1",
            "resources": {"limits": {"nvidia.com/gpu": "64"}},
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "too-large"},
            "spec": {"containers": [container], "tolerations": [{"operator": "Exists"}]},
        }
        cluster.call(cluster.cluster.client.create("/api/v1/namespaces/default/pods", pod))
        try:

            def waiting() -> list[dict[str, object]]:
                found = hub.rest("GET", PATH).json()["waiting"]
                return [one for one in found if one["because"]]

            (one,) = wait_until(waiting, "the hub sees why the pod waits")
            assert one["devices"] == {"nvidia.com/gpu": 64}
            assert "Insufficient nvidia.com/gpu" in str(one["because"])
        finally:
            cluster.vacate("too-large")

    def test_unchanged_inventory_is_not_sent_again(self, hub: RunningHub) -> None:
        hub.wait_not_modified(PATH)

    def test_a_cordoned_node_has_nothing_free_to_offer(
        self, hub: RunningHub, cluster: ClusterThread
    ) -> None:
        def cordon(*, on: bool) -> None:
            body = {"spec": {"unschedulable": on}}
            cluster.call(cluster.cluster.client.patch("/api/v1/nodes/h100-2", body))
            wait_until(lambda: inventory(hub)["h100-2"]["cordoned"] is on, "the hub sees it")

        cordon(on=True)
        try:
            page = Browser(hub, "admin").get("gpu-spawner/admin").text
            assert "cordoned" in page
            assert re.search(r'gs-admin-number">2<small> of 4</small>', page)
        finally:
            cordon(on=False)


class TestWhoMay:
    def test_a_user_may_not(self, hub: RunningHub, user: str) -> None:
        browser = Browser(hub, user)
        assert browser.get(f"api/{PATH}").status_code in (403, 404)
        assert browser.get("gpu-spawner/admin").status_code in (403, 404)

    def test_nobody_without_signing_in(self, hub: RunningHub) -> None:
        assert hub.rest("GET", PATH, token="no-such-token").status_code == 403


class TestPage:
    @pytest.mark.usefixtures("user", "busy")
    def test_an_admin_sees_who_holds_what(self, hub: RunningHub, server: str) -> None:
        page = Browser(hub, "admin").get("gpu-spawner/admin")
        assert page.status_code == 200
        assert server in page.text
        assert "default/inventory-busy" in page.text
        assert "2 GPUs and shares of h100-1, one by one" in page.text
        assert "Free: 1 &times; nvidia.com/gpu" in page.text
        assert Elements(page.text).of("main", id="gpu-spawner-admin")

    def test_the_way_there_is_beside_jupyterhubs_own_links(
        self, hub: RunningHub, user: str
    ) -> None:
        for path in ("home", "admin", "spawn", "gpu-spawner/admin"):
            links = Elements(Browser(hub, "admin").get(path).text).of("a", **{"class": "nav-link"})
            hrefs = [link["href"] for link in links]
            assert [href for href in hrefs if href == "/hub/gpu-spawner/admin"] == [hrefs[-1]]
            assert len(hrefs) > 2
        for path in ("home", "spawn"):
            assert "gpu-spawner/admin" not in Browser(hub, user).get(path).text

    def test_a_page_of_the_sites_own_without_that_place_is_kept(
        self, make_hub: MakeHub, tmp_path: Path
    ) -> None:
        (tmp_path / "page.html").write_text(
            '{% extends "templates/page.html" %}'
            "{% block nav_bar %}<nav>Of the site</nav>{% endblock %}"
        )
        other = make_hub(f"{PROFILES}\nc.JupyterHub.template_paths = [{str(tmp_path)!r}]\n")
        for path in ("home", "admin", "spawn", "gpu-spawner/admin"):
            page = Browser(other, "admin").get(path)
            assert page.status_code == 200
            assert "<nav>Of the site</nav>" in page.text

    def test_what_others_wrote_is_text(self, hub: RunningHub, cluster: ClusterThread) -> None:
        """A label of a node and a reason of a pod are anybody's; here the name of a user."""
        name = hub.add_user("<b>bold")
        assert hub.start(name, {"profile": "gpus", "count": 1}).status_code in (201, 202)
        try:
            wait_until(lambda: cluster.pods(name), "a pod")
            page = wait_until(
                lambda: (
                    (text := Browser(hub, "admin").get("gpu-spawner/admin").text)
                    and ("bold" in text)
                    and text
                ),
                "the page names the user",
            )
            assert "<b>bold" not in str(page)
            assert "&lt;b&gt;bold" in str(page)
        finally:
            hub.stop(name)
