"""Access, earlier names, amounts and images of one's own: the same by form, link and REST."""

import html
import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from cluster_thread import ClusterThread
from hub_profiles import PROFILES
from other_process import wait_until
from rule_profiles import BOUNDED, RULES
from running_hub import Browser, RunningHub, message_on, named_events_of, running_hub

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(240)]

FOUR = {"profile": "gpus", "flavor": "h100", "share": "whole", "count": 4}
WORDS = "Four GPUs are for <research>; ask Ada."


@pytest.fixture(scope="module")
def rules_hub(
    tmp_path_factory: pytest.TempPathFactory, cluster: ClusterThread
) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("rules")
    with running_hub(folder, PROFILES + RULES + BOUNDED, kubeconfig=cluster.kubeconfig) as running:
        running.wait_counted()
        yield running


def _offers(hub: RunningHub, user: str) -> dict[str, object]:
    hub.add_user(user)
    document: dict[str, object] = hub.rest("GET", f"gpu-spawner/offers?user={user}").json()
    return document


class TestAccess:
    def test_form_link_and_rest_refuse_with_the_admins_words(self, rules_hub: RunningHub) -> None:
        answer = rules_hub.start("grace", FOUR)
        assert (answer.status_code, answer.json()["message"]) == (403, WORDS)
        browser = Browser(rules_hub, "grace")
        link = {f"opt-{key}": value for key, value in FOUR.items()}
        shown = "Four GPUs are for &lt;research&gt;; ask Ada."
        assert shown in message_on(browser.get(f"spawn?{urlencode(link)}").text)
        assert shown in message_on(browser.post_form({"offer": "gpus/h100/whole/4"}).text)
        closed = rules_hub.start("grace", {"profile": "closed"})
        assert closed.json()["message"] == "Write to research@example.org."
        hidden = rules_hub.start("grace", {"profile": "gpus", "image": "torch-old"})
        assert hidden.status_code == 400
        assert not rules_hub.user("grace").get("servers", {}).get("", {}).get("pending")

    def test_the_page_shows_what_is_denied_and_not_what_is_hidden(
        self, rules_hub: RunningHub
    ) -> None:
        page = Browser(rules_hub, "grace").get("spawn").text
        assert "Write to research@example.org." in page
        assert "Four GPUs are for &lt;research&gt;; ask Ada." in page
        assert re.search(r'value="gpus/h100/whole/4"[^>]* disabled', page)
        assert "torch-old" not in page
        assert "For the research group" not in page
        member = Browser(rules_hub, "rosalind").get("spawn").text
        assert "torch-old" in member
        assert "Not open to you" not in member

    def test_options_are_refused_alike(self, rules_hub: RunningHub) -> None:
        words, shown = "More is for <research>.", "More is for &lt;research&gt;."
        browser = Browser(rules_hub, "grace")
        page = browser.get("spawn").text
        assert page.count(shown) == 2
        assert "profile-option-bounded--own_image" not in page
        assert page.count('name="profile-option-bounded--cpu"') == 1
        for option, value, refusal in (
            ("own_image", "quay.io/jupyter/base-notebook:1", words),
            ("memory", "2Gi", words),
            ("cpu", "2", "bounded has no cpu '2'; there is 1."),
        ):
            wish = {"profile": "bounded", option: value}
            answer = rules_hub.start("grace", wish)
            assert answer.json()["message"] == refusal
            assert answer.status_code == (403 if refusal == words else 400)
            link = {f"opt-{key}": text for key, text in wish.items()}
            by_link = browser.get(f"spawn?{urlencode(link)}").text
            assert refusal in html.unescape(message_on(by_link))
            form = {"offer": "bounded/cpu", f"profile-option-bounded--{option}": value}
            assert refusal in html.unescape(message_on(browser.post_form(form).text))
        offers = _offers(rules_hub, "grace")["profiles"]
        assert isinstance(offers, list)
        bounded = next(one for one in offers if one["profile"] == "bounded")
        assert bounded["denied"] == [
            {"choice": None, "image": None, "option": name, "because": words}
            for name in ("own_image", "memory")
        ]
        assert (bounded["cpu_choices"], bounded["own_image"]) == ([1.0], None)
        member = Browser(rules_hub, "rosalind").get("spawn").text
        assert shown not in member
        assert "profile-option-bounded--own_image" in member

    def test_one_user_by_name(self, rules_hub: RunningHub) -> None:
        assert "ask Ada" not in Browser(rules_hub, "ada").get("spawn").text
        # Whether four are free is another matter.
        assert rules_hub.start("ada", FOUR).status_code != 403
        rules_hub.stop("ada")

    def test_an_admin_starts_with_the_other_users_rights(self, rules_hub: RunningHub) -> None:
        rules_hub.add_user("grace")
        rules_hub.rest("POST", "groups/research/users", {"users": ["admin"]})
        admin = Browser(rules_hub, "admin")
        page = admin.get("spawn/grace").text
        assert "Write to research@example.org." in page
        refused = admin.post_form({"offer": "gpus/h100/whole/4"}, path="spawn/grace")
        assert "ask Ada" in message_on(refused.text)

    def test_an_open_page_hears_of_a_group_that_was_left(self, rules_hub: RunningHub) -> None:
        rules_hub.add_user("francis")
        rules_hub.rest("POST", "groups/research/users", {"users": ["francis"]})
        page = Browser(rules_hub, "francis").get("spawn").text
        shape = re.search(r"shape=([0-9a-f]+)", page)
        assert shape is not None
        path = f"gpu-spawner/offers/stream?user=francis&shape={shape[1]}"
        with rules_hub.rest("GET", path, stream=True) as answer:
            events = named_events_of(answer)
            assert next(events)[0] == "offers"
            left = rules_hub.rest("DELETE", "groups/research/users", {"users": ["francis"]})
            assert left.status_code == 200, left.text
            assert next(name for name, _ in events if name == "catalog")
        assert rules_hub.start("francis", FOUR).status_code == 403

    def test_json_says_what_is_denied(self, rules_hub: RunningHub) -> None:
        document = _offers(rules_hub, "grace")
        assert document["denied"] == [
            {
                "profile": "closed",
                "display_name": "Closed",
                "because": "Write to research@example.org.",
            }
        ]
        assert "torch-old" not in str(document)


class TestEarlierNames:
    def test_old_names_start_what_they_are_called_now(
        self, rules_hub: RunningHub, cluster: ClusterThread
    ) -> None:
        browser = Browser(rules_hub, "lise")
        sent = browser.post_form({"offer": "old-gpus/h100/whole/1"})
        assert sent.status_code == 302, message_on(sent.text)
        wait_until(lambda: cluster.pods("lise"), "the pod is there")
        stored = rules_hub.user("lise")["servers"][""]["user_options"]
        assert stored["profile"] == "gpus"
        rules_hub.stop("lise")

    def test_the_page_says_so_once(self, rules_hub: RunningHub) -> None:
        browser = Browser(rules_hub, "grace")
        refused = browser.post_form({"offer": "old-gpus/h100/whole/4"})
        assert "ask Ada" in message_on(refused.text)
        answer = rules_hub.start("grace", {"profile": "cpu", "image": "scientific"})
        assert answer.status_code in (201, 202)
        rules_hub.stop("grace")
        page = Browser(rules_hub, "grace").get("spawn").text
        assert "data-renamed=" in page
        assert "old-gpus" in page


class TestAmounts:
    def test_what_is_chosen_is_what_the_pod_gets(
        self, rules_hub: RunningHub, cluster: ClusterThread
    ) -> None:
        browser = Browser(rules_hub, "marie")
        sent = browser.post_form(
            {
                "offer": "choosing/cpu",
                "profile-option-choosing--cpu": "2",
                "profile-option-choosing--memory": "2Gi",
                "profile-option-choosing--own_image": "",
            }
        )
        assert sent.status_code == 302, message_on(sent.text)
        pod = wait_until(lambda: cluster.pods("marie"), "the pod is there")[0]
        resources = pod["spec"]["containers"][0]["resources"]
        assert resources["limits"]["cpu"] == "2"
        environment = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
        assert environment["GPU_SPAWNER_MAX_LIFETIME_SECONDS"] == "43200"
        rules_hub.stop("marie")

    def test_more_than_any_node_has_is_refused_and_shown(self, rules_hub: RunningHub) -> None:
        answer = rules_hub.start("marie", {"profile": "choosing", "cpu": 1000})
        assert answer.status_code == 409, answer.text
        path = "gpu-spawner/offers/stream?user=marie&amounts=profile%3Dchoosing%26cpu%3D1000"
        with rules_hub.rest("GET", path, stream=True) as stream:
            _, news = next(named_events_of(stream))
        assert news["tiles"]["choosing/cpu"]["state"] == "impossible"
        assert news["tiles"]["cpu/cpu"]["state"] in ("ready", "cold")


class TestOwnImage:
    def test_allowed_ones_start(self, rules_hub: RunningHub, cluster: ClusterThread) -> None:
        answer = rules_hub.start(
            "emmy", {"profile": "choosing", "own_image": "quay.io/jupyter/base-notebook:1"}
        )
        assert answer.status_code in (201, 202), answer.text
        pod = wait_until(lambda: cluster.pods("emmy"), "the pod is there")[0]
        assert pod["spec"]["containers"][0]["image"] == "quay.io/jupyter/base-notebook:1"
        assert "imagePullSecrets" not in pod["spec"]
        rules_hub.stop("emmy")
        page = Browser(rules_hub, "emmy").get("spawn").text
        assert 'value="quay.io/jupyter/base-notebook:1"' in page

    @pytest.mark.parametrize(
        "reference", ["quay.io/evil/a", "base-notebook", "quay.io/jupyter/a/b", "x" * 9000]
    )
    def test_others_are_refused_in_one_sentence(
        self, rules_hub: RunningHub, reference: str
    ) -> None:
        answer = rules_hub.start("emmy", {"profile": "choosing", "own_image": reference})
        assert answer.status_code == 400
        assert len(answer.json()["message"]) < 300
        browser = Browser(rules_hub, "emmy")
        query = urlencode({"opt-profile": "choosing", "opt-own_image": reference})
        assert "quay.io/jupyter/" in message_on(browser.get(f"spawn?{query}").text)
