"""Each reader gets our sentences in their language; programs and logs get English."""

import html
from collections.abc import Iterator
from itertools import islice

import pytest
from cluster_thread import ClusterThread
from form_elements import Elements
from hub_profiles import STUCK
from other_process import wait_until
from running_hub import Browser, RunningHub, events_of, message_on, named_events_of, running_hub

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]

REFUSED = "4 \N{MULTIPLICATION SIGN} NVIDIA H100 kann jetzt nicht starten: Kein Knoten hat 4 davon"
GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}


# Whoever posts a form is answered before the server runs, and sees its steps.
CONFIG = f"""{STUCK}
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, cluster: ClusterThread) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("readers")
    with running_hub(folder, CONFIG, kubeconfig=cluster.kubeconfig) as running:
        yield running


def browser_of(hub: RunningHub, user: str, accept_language: str = "de-AT,de;q=0.9") -> Browser:
    browser = Browser(hub, user)
    browser.session.headers["Accept-Language"] = accept_language
    return browser


def language_of(page: str) -> str | None:
    (root,) = Elements(page).of("div", id="gpu-spawner")
    return root["lang"]


class TestForm:
    def test_it_is_in_the_readers_language(self, hub: RunningHub, user: str) -> None:
        def is_counted() -> str:
            page = browser_of(hub, user).get("spawn").content.decode()
            return page if "Kein Knoten hat 4 davon; höchstens sind es 2" in page else ""

        page = wait_until(is_counted, "the cluster is known")
        assert language_of(page) == "de"
        assert "Umgebung" in page
        assert "Environment" not in page

    @pytest.mark.parametrize("accept", ["tlh", "", "en-GB, de;q=0.5", "\N{SNOWMAN};q=x".encode()])
    def test_everybody_else_reads_english(self, hub: RunningHub, user: str, accept: str) -> None:
        page = browser_of(hub, user, accept).get("spawn").text
        assert language_of(page) == "en"
        assert "Environment" in page

    def test_two_readers_of_one_user(self, hub: RunningHub, user: str) -> None:
        """What is kept of a page for the next reader is kept for each language."""
        pages = [browser_of(hub, user, one).get("spawn").text for one in ("de", "en", "de", "en")]
        assert [language_of(page) for page in pages] == ["de", "en", "de", "en"]
        assert ["Umgebung" in page for page in pages] == [True, False, True, False]

    def test_a_refusal_by_form(self, hub: RunningHub, user: str) -> None:
        answer = browser_of(hub, user).post_form({"offer": "gpus/h100/whole/4"})
        answer.encoding = "utf-8"
        assert answer.status_code == 409
        message = message_on(answer.text)
        assert REFUSED in html.unescape(message)
        assert "Jetzt frei: 2 \N{MULTIPLICATION SIGN} NVIDIA H100." in html.unescape(message)
        assert language_of(answer.text) == "de"
        assert "4 \N{MULTIPLICATION SIGN} NVIDIA H100 cannot start now" in hub.log()

    def test_a_refusal_by_link(self, hub: RunningHub, user: str) -> None:
        answer = browser_of(hub, user).get("spawn?opt-profile=gpus&opt-count=3")
        assert answer.status_code == 400
        assert "gpus hat nicht count &#39;3&#39;; es gibt 1, 2 oder 4." in message_on(answer.text)

    def test_what_was_sent_is_escaped(self, hub: RunningHub, user: str) -> None:
        answer = browser_of(hub, user).post_form({"offer": "gpus/<script>alert(1)/whole/1"})
        assert answer.status_code == 400
        assert "gpus hat nicht flavor" in message_on(answer.text)
        assert "<script>alert" not in answer.text

    def test_what_is_no_text(self, hub: RunningHub, user: str) -> None:
        answer = browser_of(hub, user).get("spawn?opt-profile=%ff")
        assert answer.status_code == 400
        assert "Die Auswahl ist nicht lesbar" in html.unescape(answer.text)


class TestPrograms:
    def test_a_refusal_by_rest(self, hub: RunningHub, user: str) -> None:
        options = {"profile": "gpus", "count": 4}
        answer = hub.rest("POST", f"users/{user}/server", options, headers=GERMAN)
        assert answer.status_code == 409
        assert "cannot start now: no node has 4 of these" in answer.json()["message"]

    def test_offers(self, hub: RunningHub, user: str) -> None:
        def are_alike() -> bool:
            """Ask in two languages; something may have changed between the two."""
            english, german = (
                hub.rest("GET", f"gpu-spawner/offers?user={user}", headers=headers).json()
                for headers in ({}, GERMAN)
            )
            return bool(english["profiles"]) and english["profiles"] == german["profiles"]

        wait_until(are_alike, "the offers are in one language")


class TestStreams:
    def test_what_changes_on_the_page(self, hub: RunningHub, user: str) -> None:
        browser = browser_of(hub, user)
        (root,) = Elements(browser.get("spawn").text).of("div", id="gpu-spawner")
        address = f"http://127.0.0.1:{hub.port}{root['data-stream']}"
        with browser.session.get(
            address, params={"_xsrf": browser.xsrf}, stream=True, timeout=30
        ) as answer:
            ((name, news),) = islice(named_events_of(answer), 1)
        assert name == "offers"
        tile = news["tiles"]["gpus/h100/whole/4"]
        assert (tile["label"], tile["because"]) == (
            "keine",
            "Kein Knoten hat 4 davon; höchstens sind es 2",
        )

    @pytest.fixture
    def started(self, hub: RunningHub, user: str) -> Iterator[Browser]:
        browser = browser_of(hub, user)
        answer = browser.post_form({"offer": "stuck/cpu"})
        assert answer.status_code == 302, answer.text
        yield browser
        hub.stop(user)

    def test_the_steps_of_a_start(self, hub: RunningHub, user: str, started: Browser) -> None:
        with started.session.get(
            hub.url(f"api/users/{user}/server/progress"),
            params={"_xsrf": started.xsrf},
            stream=True,
            timeout=60,
        ) as answer:
            assert answer.status_code == 200, answer.text
            found = next(step for step in events_of(answer) if "Knoten" in step.get("message", ""))
        assert found["message"] == "Ein Knoten ist gefunden; er bereitet sich vor."
        assert '<span lang="de">' in found["html_message"]
