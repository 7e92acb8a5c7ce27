"""A "no" comes at once, in one sentence, creates nothing, and leaves a working page."""

import html
from collections.abc import Iterator

import pytest
from cluster_thread import ClusterThread
from form_elements import Elements
from other_process import wait_until
from running_hub import Browser, RunningHub, message_on

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]


def free_now(hub: RunningHub, user: str, key: str) -> int:
    profiles = hub.rest("GET", f"gpu-spawner/offers?user={user}").json()["profiles"]
    choices = {choice["key"]: choice for profile in profiles for choice in profile["choices"]}
    free: int = choices[key]["free"]
    return free


@pytest.fixture
def full(hub: RunningHub, cluster: ClusterThread, user: str) -> Iterator[None]:
    """Every GPU but one is somebody else's."""
    cluster.occupy("h100-1", 2, "busy-1")
    cluster.occupy("h100-2", 1, "busy-2")
    wait_until(lambda: free_now(hub, user, "gpus/h100/whole/1") == 1, "one GPU is left")
    yield
    hub.stop(user)
    cluster.vacate("busy-1")
    cluster.vacate("busy-2")
    wait_until(lambda: free_now(hub, user, "gpus/h100/whole/1") == 4, "all GPUs are free again")


def checked_on(page: str) -> list[str | None]:
    return [
        radio["value"] for radio in Elements(page).of("input", name="offer") if "checked" in radio
    ]


@pytest.mark.usefixtures("full")
class TestFull:
    def test_by_form(self, hub: RunningHub, cluster: ClusterThread, user: str) -> None:
        browser = Browser(hub, user)
        fields = {"offer": "gpus/h100/whole/2", "profile-option-gpus--image": "torch-old"}
        answer = browser.post_form(fields)
        answer.encoding = "utf-8"

        assert answer.status_code == 409
        message = html.unescape(message_on(answer.text))
        assert "2 \N{MULTIPLICATION SIGN} NVIDIA H100 cannot start now" in message
        assert "Free now: 1 \N{MULTIPLICATION SIGN} NVIDIA H100" in message
        assert checked_on(answer.text) == ["gpus/h100/whole/2"]
        (chosen,) = [
            option
            for option in Elements(answer.text).of("option")
            if "selected" in option and option["value"] in ("torch", "torch-old")
        ]
        assert chosen["value"] == "torch-old"
        assert cluster.pods(user) == []

    def test_by_form_for_a_named_server(self, hub: RunningHub, user: str) -> None:
        browser = Browser(hub, user)
        answer = browser.post_form({"offer": "gpus/h100/whole/2"}, path=f"spawn/{user}/training")
        assert answer.status_code == 409
        assert checked_on(answer.text) == ["gpus/h100/whole/2"]

    def test_by_link(self, hub: RunningHub, cluster: ClusterThread, user: str) -> None:
        before = hub.log()
        browser = Browser(hub, user)
        answer = browser.get("spawn?opt-profile=gpus&opt-count=2")
        assert answer.status_code == 409
        assert "cannot start now" in message_on(answer.text)
        assert cluster.pods(user) == []
        assert browser.get(f"spawn?_xsrf={browser.xsrf}").status_code == 200
        logged = hub.log().removeprefix(before)
        assert "Traceback" not in logged
        (line,) = [one for one in logged.splitlines() if "Failed to spawn" in one]
        assert line.startswith("[I ")
        assert "cannot start now" in line

    def test_by_rest(self, hub: RunningHub, cluster: ClusterThread, user: str) -> None:
        answer = hub.start(user, {"profile": "gpus", "count": 2})
        assert answer.status_code == 409
        assert "cannot start now" in answer.json()["message"]
        assert cluster.pods(user) == []
        assert hub.user(user)["servers"][""]["stopped"]

    def test_what_is_left_still_starts(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        hub.start(user, {"profile": "gpus", "count": 2})
        assert hub.start(user, {"profile": "gpus", "count": 1}).status_code in (201, 202)
        assert wait_until(lambda: cluster.pods(user), "a pod")


class TestNotAllowed:
    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({"profile": "secret"}, "secret"),
            ({"profile": "gone"}, "gone"),
            ({"profile": "gpus", "count": 3}, "count"),
            ({"profile": "gpus", "image": "scipy"}, "image"),
        ],
    )
    def test_rest(
        self,
        hub: RunningHub,
        cluster: ClusterThread,
        user: str,
        options: dict[str, object],
        field: str,
    ) -> None:
        answer = hub.start(user, options)
        assert answer.status_code == 400
        assert field in answer.json()["message"]
        assert cluster.pods(user) == []

    def test_a_refused_choice_is_not_repeated_by_a_start_without_options(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        assert hub.start(user, {"profile": "gone"}).status_code == 400
        assert hub.start(user).status_code in (201, 202)
        ((pod,),) = [wait_until(lambda: cluster.pods(user), "a pod")]
        assert pod["metadata"]["labels"]["gpu-spawner.jupyter.org/profile"] == "cpu"

    def test_a_group_opens_what_others_do_not_see(self, hub: RunningHub, user: str) -> None:
        assert "For the research group" not in Browser(hub, user).get("spawn").text
        assert "For the research group" in Browser(hub, "rosalind").get("spawn").text
        names = [
            profile["profile"]
            for profile in hub.rest("GET", "gpu-spawner/offers?user=rosalind").json()["profiles"]
        ]
        assert "secret" in names


class TestReload:
    def test_the_address_after_a_refusal_starts_nothing(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        browser = Browser(hub, user)
        answer = browser.post_form({"offer": "nothing/h100/whole/2"})
        assert answer.status_code == 400
        again = browser.get(answer.request.url.partition("/hub/")[2], allow_redirects=False)
        assert again.status_code == 200
        assert message_on(again.text) == ""
        assert cluster.pods(user) == []
