"""Who waits for a place is told where they stand, may give up, and is never forgotten."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_thread import NAMESPACE, ClusterThread
from hub_profiles import PROFILES
from other_process import wait_until
from running_hub import Browser, RunningHub, running_hub

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(240)]

ONE = "1 \N{MULTIPLICATION SIGN} NVIDIA H100"
CHOICE = {"profile": "patient", "count": 1}
WAITING = f"""{PROFILES}
c.Spawner.consecutive_failure_limit = 1
c.JupyterHub.cleanup_servers = False
c.GPUSpawner.profiles["40-patient"] = {{
    **c.GPUSpawner.profiles["20-gpus"],
    "display_name": "Patient",
    "max_wait": "30m",
}}
c.GPUSpawner.profiles["50-brief"] = {{
    **c.GPUSpawner.profiles["20-gpus"],
    "display_name": "Brief",
    "max_wait": "4s",
}}
c.KubeSpawner.http_timeout = 5
c.GPUSpawner.stuck_seconds = 2
c.GPUSpawner.profiles["60-stuck"] = {{
    **c.GPUSpawner.profiles["10-cpu"],
    "display_name": "Stuck",
    "default": False,
    "kubespawner_override": {{
        "volumes": [{{"name": "more", "secret": {{"secretName": "gone"}}}}],
        "volume_mounts": [{{"name": "more", "mountPath": "/more"}}],
    }},
}}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, cluster: ClusterThread) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("waiting")
    with running_hub(folder, WAITING, kubeconfig=cluster.kubeconfig) as running:
        yield running


def occupy_all(cluster: ClusterThread) -> None:
    cluster.occupy("h100-1", 2, "busy-1")
    cluster.occupy("h100-2", 2, "busy-2")


def vacate_all(cluster: ClusterThread) -> None:
    left = cluster.call(cluster.cluster.client.get("/api/v1/namespaces/default/pods"))["items"]
    for pod in left:
        if pod["metadata"]["name"].startswith("busy-"):
            cluster.vacate(pod["metadata"]["name"])


def state_of(hub: RunningHub, user: str, count: int = 1) -> str | None:
    profiles = hub.rest("GET", f"gpu-spawner/offers?user={user}").json()["profiles"]
    (state,) = [
        choice["state"]
        for profile in profiles
        for choice in profile["choices"]
        if choice["key"] == f"patient/h100/whole/{count}"
    ]
    return state


@pytest.fixture
def full(hub: RunningHub, cluster: ClusterThread, user: str) -> Iterator[None]:
    """Every GPU is somebody else's."""
    occupy_all(cluster)
    wait_until(lambda: state_of(hub, user) == "busy", "no GPU is left")
    yield
    vacate_all(cluster)
    wait_until(lambda: state_of(hub, user) != "busy", "GPUs are free again")


def told(hub: RunningHub, name: str, words: str) -> dict[str, Any]:
    """Return the first step of a start that says so."""
    with hub.progress(name) as steps:
        return next(step for step in steps if words in step.get("message", ""))


@pytest.mark.usefixtures("full")
class TestTheLine:
    def test_from_the_form_to_the_running_server(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        second = hub.add_user(f"{user}-second")
        offer = "patient/h100/whole/1"

        refused = Browser(hub, user).post_form({"offer": offer})
        assert refused.status_code == 409
        assert "Or wait for it, for up to 30 min." in refused.text
        assert cluster.pods(user) == []

        answer = Browser(hub, user).post_form({"offer": offer, "wait": "true"})
        assert answer.status_code == 302, answer.text
        step = told(hub, user, "You are next")
        assert step["message"] == f"You are next for {ONE}; all 4 GPUs are in use."
        assert 'role="status"' in step["html_message"]

        assert hub.start(second, CHOICE | {"wait": True}).status_code in (201, 202)
        words = told(hub, second, "You are 2nd")["message"]
        assert words == f"You are 2nd of 2 waiting for {ONE}; all 4 GPUs are in use."

        # The first gives up; nothing of that server stays, and the second moves up.
        hub.stop(user)
        assert cluster.pods(user) == []
        assert told(hub, second, "You are next")

        cluster.vacate("busy-1")
        wait_until(lambda: hub.user(second)["servers"][""]["ready"], "the second runs", 90)
        hub.stop(second)

    def test_what_becomes_free_is_kept_for_who_waits(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        assert hub.start(user, {**CHOICE, "count": 2, "wait": True}).status_code in (201, 202)
        wait_until(lambda: cluster.pods(user), "a pod")
        cluster.vacate("busy-1")
        wait_until(lambda: hub.user(user)["servers"][""]["ready"], "the waiting server runs", 90)
        assert state_of(hub, user) == "busy"
        hub.stop(user)

    def test_a_wait_that_runs_out_is_no_failure_of_the_hub(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        hub.start(user, {"profile": "brief", "count": 1, "wait": True})
        assert "No place became free within 4 s." in hub.failure(user)
        wait_until(lambda: not cluster.pods(user), "the pod is removed")
        # One counted failure would end the hub, a moment later.
        assert hub.start(user, {"profile": "brief", "count": 4}).status_code == 409
        assert hub.start(user, {"profile": "gone"}).status_code == 400
        assert "consecutive spawn failures" not in hub.log()

    def test_only_where_the_profile_allows_it(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        answer = hub.start(user, {"profile": "gpus", "count": 1, "wait": True})
        assert answer.status_code == 409
        assert "wait" not in answer.json()["message"]
        assert cluster.pods(user) == []

    def test_what_no_node_has_is_not_waited_for(self, hub: RunningHub, user: str) -> None:
        answer = hub.start(user, {"profile": "patient", "count": 4, "wait": True})
        assert answer.status_code == 409
        assert "wait" not in answer.json()["message"]

    def test_nonsense_is_refused(self, hub: RunningHub, user: str) -> None:
        for value in ("perhaps", 3, [True], {}):
            answer = hub.start(user, CHOICE | {"wait": value})
            assert answer.status_code == 400
            assert "wait" in answer.json()["message"]


class TestFragments:
    def test_what_is_free_and_does_not_help_is_said(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        cluster.occupy("h100-1", 1, "busy-1")
        cluster.occupy("h100-2", 1, "busy-2")
        try:
            wait_until(lambda: state_of(hub, user, 2) == "busy", "no node has two")
            assert hub.start(user, {**CHOICE, "count": 2, "wait": True}).status_code < 300
            told_so = told(hub, user, "You are next")["message"]
            assert told_so == (
                f"You are next for 2{ONE[1:]}; 2 GPUs are free, but on two different nodes."
            )
            hub.stop(user)
        finally:
            vacate_all(cluster)


class TestStuck:
    def test_what_somebody_must_mend_ends_the_start_and_is_told_on_the_next_page(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        browser = Browser(hub, user)
        assert "The last start failed" not in browser.get("spawn").text
        answer = hub.start(user, {"profile": "stuck"})
        reason = "The server needs a secret or a setting that does not exist."
        # JupyterHub answers when the start fails, or after some seconds, whichever comes first.
        has_failed = answer.status_code >= 400
        assert reason in (answer.json()["message"] if has_failed else hub.failure(user))
        wait_until(lambda: not cluster.pods(user), "the pod is removed")
        for _ in range(2):
            page = browser.get("spawn").text
            assert f"The last start failed just now. {reason}" in page

        # A form that is refused meanwhile has a reason of its own.
        refused = browser.post_form({"offer": "gone/cpu"}).text
        assert "There is no profile" in refused
        assert "The last start failed" not in refused

        # It is about this server alone, and until the next start.
        assert "The last start failed" not in browser.get(f"spawn/{user}/other").text
        hub.start(user, {"profile": "cpu"})
        wait_until(lambda: hub.user(user)["servers"][""]["ready"], "another choice runs", 60)
        hub.stop(user)
        assert "The last start failed" not in browser.get("spawn").text


class TestRestart:
    """A place in the line outlives the hub."""

    @pytest.fixture
    def restarted(self, tmp_path: Path, cluster: ClusterThread) -> Iterator[RunningHub]:
        """Have pat wait when the hub is killed, and a new one take over."""
        folder = tmp_path / "hub"
        config = f"{WAITING}c.JupyterHub.init_spawners_timeout = 1\n"
        occupy_all(cluster)
        try:
            with running_hub(folder, config, kubeconfig=cluster.kubeconfig) as hub:
                wait_until(lambda: state_of(hub, hub.add_user("pat")) == "busy", "no GPU is left")
                hub.start("pat", CHOICE | {"wait": True})
                told(hub, "pat", "You are next")
                hub.process.kill()
                hub.process.wait()
            with running_hub(folder, config, kubeconfig=cluster.kubeconfig) as hub:
                yield hub
        finally:
            vacate_all(cluster)
            for pod in cluster.pods("pat"):
                path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}"
                cluster.call(cluster.cluster.client.delete(path))

    def test_the_pod_waits_on_and_its_server_runs_when_there_is_a_place(
        self, restarted: RunningHub, cluster: ClusterThread
    ) -> None:
        (pod,) = cluster.pods("pat")
        wait_until(lambda: restarted.user("pat")["servers"][""]["pending"] == "spawn", "pending")
        assert told(restarted, "pat", "You are next")
        page = Browser(restarted, "pat").get("spawn")
        assert "spawn-pending" in page.url
        assert "Cancel this start" in page.text

        cluster.vacate("busy-1")
        with restarted.progress("pat") as steps:
            assert next(step for step in steps if step.get("ready") or step.get("failed"))["ready"]
        (same,) = cluster.pods("pat")
        assert same["metadata"]["uid"] == pod["metadata"]["uid"]
        wait_until(lambda: restarted.user("pat")["servers"][""]["ready"], "it runs")
        restarted.stop("pat")
        assert cluster.pods("pat") == []

    def test_it_can_be_cancelled_and_leaves_nothing(
        self, restarted: RunningHub, cluster: ClusterThread
    ) -> None:
        wait_until(lambda: restarted.user("pat")["servers"][""]["pending"] == "spawn", "pending")
        assert restarted.rest("DELETE", "users/pat/server").status_code in (202, 204)
        wait_until(lambda: cluster.pods("pat") == [], "the pod is gone", 60)
        wait_until(lambda: restarted.user("pat")["servers"][""]["stopped"], "it is over", 60)
        vacate_all(cluster)
        wait_until(lambda: state_of(restarted, "pat") != "busy", "GPUs are free")
        restarted.start("pat", CHOICE)
        wait_until(lambda: restarted.user("pat")["servers"][""]["ready"], "it runs", 60)
        restarted.stop("pat")
