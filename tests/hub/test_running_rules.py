"""While a server runs its user is told when it stops: on the home page, the spawn page, by API."""

import re
import time
from collections.abc import Iterator

import pytest
from browsing import pages_of
from cluster_thread import ClusterThread
from form_elements import Elements
from hub_profiles import PROFILES
from other_process import wait_until
from playwright.sync_api import Browser as Chrome
from running_hub import Browser, RunningHub, running_hub

from gpu_spawner.hub.lifetimes import RunningServer

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(240)]

RULES = f"""{PROFILES}
c.GPUSpawner.profiles["10-cpu"] |= {{"max_lifetime": "12h", "idle_timeout": "1h"}}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, cluster: ClusterThread) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("rules-while-running")
    with running_hub(folder, RULES, kubeconfig=cluster.kubeconfig) as running:
        yield running


def test_the_rule_is_told_while_the_server_runs(hub: RunningHub, user: str) -> None:
    browser = Browser(hub, user)
    rule = "It may be unused for 1 h."
    assert rule not in browser.get("home").text
    hub.start(user, {"profile": "cpu"})
    wait_until(lambda: hub.user(user)["servers"][""]["ready"], "it runs", 60)

    for path in ("home", f"spawn/{user}/second"):
        text = browser.get(path).text
        said = re.search(r"The default server runs, and stops in (.+?) unless it is used\.", text)
        assert said, path
        assert "h" in said[1] or "min" in said[1]
        assert rule in text

    offers = hub.rest("GET", f"gpu-spawner/offers?user={user}").json()
    (one,) = offers["running"]
    assert one["server"] == ""
    assert one["unless_used"] is True
    assert one["because"] == rule
    assert time.time() < one["stops_at"] < time.time() + 3700

    hub.stop(user)
    assert rule not in browser.get("home").text
    assert hub.rest("GET", f"gpu-spawner/offers?user={user}").json()["running"] == []


def test_the_home_page_is_in_the_reader_s_language(hub: RunningHub, user: str) -> None:
    hub.start(user, {"profile": "cpu"})
    wait_until(lambda: hub.user(user)["servers"][""]["ready"], "it runs", 60)
    answer = Browser(hub, user).get("home", headers={"Accept-Language": "de-DE"})
    text = answer.content.decode()
    (told,) = Elements(text).of("ul", id="gpu-spawner-running")
    assert told["lang"] == "de"
    assert told["aria-label"] == "Wann Server enden"
    assert re.search(r"Der Standardserver läuft und endet in .+, wenn er nicht benutzt wird", text)
    assert "It may be unused" not in text
    hub.stop(user)


@pytest.mark.browser
def test_an_open_page_follows_what_runs(hub: RunningHub, chrome: Chrome, user: str) -> None:
    with pages_of(chrome, hub) as open_as:
        page = open_as(user, f"spawn/{user}/second")
        told = page.locator("[data-gs=running]")
        assert told.is_hidden()
        hub.start(user, {"profile": "cpu"})
        told.get_by_text("The default server runs, and stops in").wait_for(timeout=60_000)
        hub.stop(user)
        told.wait_for(state="hidden", timeout=60_000)


def test_a_server_without_a_rule_is_not_spoken_of(hub: RunningHub, user: str) -> None:
    hub.start(user, {"profile": "gpus", "count": 1})
    wait_until(lambda: hub.user(user)["servers"][""]["ready"], "it runs", 60)
    assert "server runs, and stops" not in Browser(hub, user).get("home").text


@pytest.mark.parametrize(
    ("server", "now", "words"),
    [
        (
            RunningServer(7200.0, "", is_idle=False, because="It may run for 12 h."),
            0.0,
            "The default server runs, and stops in 2 h. It may run for 12 h.",
        ),
        (
            RunningServer(60.0, "x\n", is_idle=True, because="It may be unused for 1 h."),
            50.0,
            (
                "The server 'x\N{REPLACEMENT CHARACTER}' runs, and stops at any moment unless it "
                "is used. It may be unused for 1 h."
            ),
        ),
    ],
)
def test_in_words(server: RunningServer, now: float, words: str) -> None:
    assert server.words(now) == words
