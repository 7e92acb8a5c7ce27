"""Limits hold for form, link and REST alike, in races too, and are shown before they bite."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from cluster_thread import ClusterThread
from hub_profiles import PROFILES, MakeHub
from other_process import wait_until
from running_hub import Browser, RunningHub, message_on

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(240)]

LIMITS = """
c.GPUSpawner.limits = {
    "default": {"gpus": 1, "servers": 2},
    "groups": {"research": {"gpus": 2}},
    "together": {"research": {"gpus": 2}},
}
c.JupyterHub.load_groups = {"research": {"users": ["rosalind", "francis"]}}
"""


def choices(hub: RunningHub, user: str) -> dict[str, dict[str, object]]:
    profiles = hub.rest("GET", f"gpu-spawner/offers?user={user}").json()["profiles"]
    return {choice["key"]: choice for profile in profiles for choice in profile["choices"]}


class TestOneUser:
    def test_refused_by_rest_link_and_form_with_the_same_sentence(self, make_hub: MakeHub) -> None:
        hub = make_hub(PROFILES + LIMITS)
        sentence = "You hold 0 of the 1 GPU you may hold; this choice alone takes 2."
        answer = hub.start("ada", {"profile": "gpus", "count": 2})
        assert (answer.status_code, answer.json()["message"]) == (403, sentence)
        browser = Browser(hub, "ada")
        by_link = browser.get("spawn?opt-profile=gpus&opt-count=2")
        assert sentence in message_on(by_link.text)
        by_form = browser.post_form({"offer": "gpus/h100/whole/2"})
        assert sentence in message_on(by_form.text)
        assert hub.start("rosalind", {"profile": "gpus", "count": 2}).status_code in (201, 202)
        hub.stop("rosalind")

    def test_shown_before_it_bites(self, make_hub: MakeHub) -> None:
        hub = make_hub(PROFILES + LIMITS)
        hub.add_user("ada")
        wait_until(lambda: choices(hub, "ada")["gpus/h100/whole/1"]["free"], "the hub has counted")
        found = choices(hub, "ada")
        assert found["gpus/h100/whole/1"]["over_limit"] is None
        assert found["gpus/h100/whole/1"]["starts_now"] is True
        assert "this choice alone takes 2" in str(found["gpus/h100/whole/2"]["over_limit"])
        assert found["gpus/h100/whole/2"]["starts_now"] is False
        page = Browser(hub, "ada").get("spawn").text
        assert "You hold 0 of 1 GPU, 0 of 2 servers." in page
        assert "over your limit" in page

        assert hub.start("ada", {"profile": "gpus", "count": 1}).status_code in (201, 202)
        again = hub.start("ada", {"profile": "gpus", "count": 1}, server="second")
        assert again.status_code == 403
        assert "You hold 1 of the 1 GPU" in again.json()["message"]
        assert hub.start("ada", {"profile": "cpu"}, server="second").status_code in (201, 202)
        third = hub.start("ada", {"profile": "cpu"}, server="third")
        assert "You hold 2 of the 2 servers" in third.json()["message"]

        hub.stop("ada", "second")
        hub.stop("ada")
        document = hub.rest("GET", "gpu-spawner/offers?user=ada").json()
        assert document["holding"] == "You hold 0 of 1 GPU, 0 of 2 servers."

    def test_what_ran_before_the_hub_restarted_still_counts(
        self, make_hub: MakeHub, cluster: ClusterThread
    ) -> None:
        first = make_hub(PROFILES + LIMITS)
        first.start("ada", {"profile": "gpus", "count": 1})
        wait_until(lambda: first.user("ada")["servers"][""]["ready"], "the server is ready", 60)
        database = f'c.JupyterHub.db_url = "sqlite:///{first.folder}/hub.sqlite"\n'
        first.process.kill()
        first.process.wait()
        second = make_hub(PROFILES + LIMITS + database)
        assert len(cluster.pods("ada")) == 1
        answer = second.start("ada", {"profile": "gpus", "count": 1}, server="another")
        assert answer.status_code == 403, answer.text
        second.stop("ada")
        document = second.rest("GET", "gpu-spawner/offers?user=ada").json()
        assert document["holding"] == "You hold 0 of 1 GPU, 0 of 2 servers."


class TestTogether:
    def test_members_share_what_the_group_has(self, make_hub: MakeHub) -> None:
        hub = make_hub(PROFILES + LIMITS)
        assert hub.start("rosalind", {"profile": "gpus", "count": 2}).status_code in (201, 202)
        answer = hub.start("francis", {"profile": "gpus", "count": 1})
        assert answer.status_code == 403
        assert "The members of research together hold 2" in answer.json()["message"]
        hub.stop("rosalind")
        assert hub.start("francis", {"profile": "gpus", "count": 1}).status_code in (201, 202)
        hub.stop("francis")


def runners(cluster: ClusterThread) -> set[str]:
    owners = {pod["metadata"]["annotations"]["hub.jupyter.org/username"] for pod in cluster.pods()}
    return {owner for owner in owners if owner.startswith("runner")}


class TestRace:
    def test_ten_users_for_three_seats_with_one_each(
        self, make_hub: MakeHub, cluster: ClusterThread
    ) -> None:
        """Four GPUs, of which one is taken: three servers, and seven sentences."""
        hub = make_hub(PROFILES + LIMITS)
        cluster.occupy("h100-1", 1, "race-busy")
        users = [hub.add_user(f"runner{number}") for number in range(10)]
        try:
            wait_until(
                lambda: choices(hub, "runner0")["gpus/h100/whole/1"]["free"] == 3, "three seats"
            )
            with ThreadPoolExecutor(20) as pool:
                # Everybody tries twice at once, for two servers: a limit of one GPU each.
                answers = list(
                    pool.map(
                        lambda one: hub.start(one[0], {"profile": "gpus", "count": 1}, one[1]),
                        [(user, server) for user in users for server in ("", "other")],
                    )
                )
            accepted = [answer for answer in answers if answer.status_code in (201, 202)]
            assert len(accepted) == 3
            refused = [answer for answer in answers if answer.status_code in (403, 409)]
            assert len(refused) == 17
            assert all(answer.json()["message"].endswith(".") for answer in refused)
            winners = {str(one.request.url).split("/users/")[1].split("/")[0] for one in accepted}
            assert len(winners) == 3
            # A pod is made a moment after the answer.
            wait_until(lambda: runners(cluster) >= winners, "a pod of each")
            assert runners(cluster) == winners
        finally:
            for user in users:
                hub.stop(user)
                hub.stop(user, "other")
            cluster.vacate("race-busy")
