"""Offers as JSON and as a stream: what this user may pick, and nothing an admin would not show."""

import threading
import time
from itertools import islice

import pytest
import requests
from api_schemas import misfits
from cluster_thread import ClusterThread
from form_elements import Elements
from hub_profiles import PROFILES, MakeHub
from other_process import wait_until
from running_hub import Browser, RunningHub, named_events_of

from gpu_spawner.hub.handlers import MIN_INTERVAL_SECONDS

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]

KEY = "gpus/h100/whole/1"


def stream_url(page: str) -> str:
    (root,) = Elements(page).of("div", id="gpu-spawner")
    return str(root["data-stream"])


def open_stream(browser: Browser, url: str) -> requests.Response:
    address = f"http://127.0.0.1:{browser.hub.port}{url}"
    answer = browser.session.get(address, params={"_xsrf": browser.xsrf}, stream=True, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    return answer


class TestJson:
    def test_it_says_what_the_form_says(self, hub: RunningHub, user: str) -> None:
        document = hub.rest("GET", f"gpu-spawner/offers?user={user}").json()
        assert misfits(document, "offers") == []
        by_slug = {profile["profile"]: profile for profile in document["profiles"]}
        assert list(by_slug) == ["cpu", "gpus"]
        assert by_slug["cpu"]["default"]
        choices = {choice["key"]: choice for choice in by_slug["gpus"]["choices"]}
        one, four = choices[KEY], choices["gpus/h100/whole/4"]
        assert one["options"] == {"profile": "gpus", "flavor": "h100", "share": "whole", "count": 1}
        assert one["state"] in ("cold", "ready")  # other tests have the image pulled
        assert (one["starts_now"], one["free"], one["total"]) == (True, 4, 4)
        assert (four["state"], four["starts_now"], four["free"]) == ("impossible", False, 0)
        assert four["because"]
        assert four["alternative"] == "gpus/h100/whole/2"
        assert document["age_seconds"] <= 60
        assert abs(document["as_of"] - time.time()) < 60

    def test_it_names_no_node_and_nobody(self, hub: RunningHub) -> None:
        text = hub.rest("GET", "gpu-spawner/offers?user=rosalind").text
        for name in ("h100-1", "h100-2", "cpu-1", "kubernetes.io", "example.org/torch"):
            assert name not in text

    def test_unchanged_offers_are_not_sent_again(self, hub: RunningHub, user: str) -> None:
        hub.wait_not_modified(f"gpu-spawner/offers?user={user}")

    def test_only_who_may_start_a_server_may_look(self, hub: RunningHub, user: str) -> None:
        own = Browser(hub, user)
        xsrf = {"X-XSRFToken": own.xsrf}
        assert own.get("api/gpu-spawner/offers", headers=xsrf).status_code == 200
        other = own.get("api/gpu-spawner/offers?user=rosalind", headers=xsrf)
        assert other.status_code in (403, 404)
        assert "secret" not in other.text
        assert requests.get(hub.url("api/gpu-spawner/offers"), timeout=10).status_code == 403
        assert own.get("api/gpu-spawner/offers?user=nobody", headers=xsrf).status_code in (403, 404)


class TestStream:
    def test_another_server_is_seen(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        watcher = Browser(hub, "rosalind")
        url = stream_url(watcher.get("spawn").text)
        with open_stream(watcher, url) as answer:
            tiles = (
                news["tiles"][KEY]
                for name, news in named_events_of(answer)
                if name == "offers" and KEY in news["tiles"]
            )
            assert next(tiles)["free"] == 4
            threading.Thread(target=hub.start, args=(user, {"profile": "gpus"})).start()
            # Its image may arrive on a node first.
            news = next(tile for tile in tiles if tile["free"] != 4)
            assert (news["free"], news["label"]) == (3, "3 of 4 free")
        wait_until(lambda: cluster.pods(user), "a pod")

    def test_it_follows_the_cluster_and_no_clock(
        self, make_hub: MakeHub, cluster: ClusterThread
    ) -> None:
        """A pod is on the page within two seconds: it is told of, and nothing has to be asked.

        This hub's stream sends nothing by the clock; all that holds news up is its pace.
        """
        assert MIN_INTERVAL_SECONDS < 1
        hub = make_hub(
            f"{PROFILES}\nfrom gpu_spawner.hub import handlers\n"
            "handlers.KEEP_ALIVE_SECONDS = float('inf')\n"
        )
        browser = Browser(hub, "rosalind")
        with open_stream(browser, stream_url(browser.get("spawn").text)) as answer:
            counts = (
                news["tiles"][KEY]["free"]
                for name, news in named_events_of(answer)
                if name == "offers" and KEY in news["tiles"]
            )
            assert 4 in counts  # a hub that has just started knows nothing of the cluster yet
            cluster.occupy("h100-1", 2, "busy-1")
            try:
                assert 2 in counts
            finally:
                cluster.vacate("busy-1")
            assert 4 in counts

    def test_it_stays_alive_while_nothing_happens(self, hub: RunningHub, user: str) -> None:
        browser = Browser(hub, user)
        with open_stream(browser, stream_url(browser.get("spawn").text)) as answer:
            names = list(islice(named_events_of(answer), 2))
        assert names[0][0] == "offers"
        assert names[1][0] in ("age", "offers")

    def test_a_page_of_an_older_catalog_is_told(self, hub: RunningHub, user: str) -> None:
        browser = Browser(hub, user)
        browser.get("spawn")
        with open_stream(browser, "/hub/api/gpu-spawner/offers/stream?shape=older") as answer:
            assert next(named_events_of(answer))[0] == "catalog"

    def test_another_site_cannot_open_it(self, hub: RunningHub, user: str) -> None:
        browser = Browser(hub, user)
        headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site"}
        answer = browser.get("api/gpu-spawner/offers/stream", headers=headers, stream=True)
        assert answer.status_code == 403
        answer.close()
