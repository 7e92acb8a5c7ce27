"""Every state of our pages, as everybody can use it: axe finds nothing, and a picture is kept.

In each of them the API answers as its schemas say.
"""

import html
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_schemas import misfits
from axe_playwright_python.sync_playwright import Axe
from browsing import Open, pages_of
from cluster_thread import ClusterThread
from hub_account import Account
from hub_profiles import PROFILES
from other_process import wait_until
from playwright.sync_api import Browser, Page
from rule_profiles import RULES
from running_hub import RunningHub, running_hub

pytestmark = [pytest.mark.browser, pytest.mark.hosts, pytest.mark.timeout(300)]

STATES = """
c.GPUSpawner.limits = {"users": {"limited": {"gpus": 1}}}
c.GPUSpawner.stuck_seconds = 0
c.GPUSpawner.flavors["grown"] = {
    "display_name": "Grown H100", "node_labels": {"example.org/pool": "grown"}, "autoscale": {},
}
c.GPUSpawner.images["missing"] = {"image": "example.org/missing:1", "display_name": "Missing"}
c.GPUSpawner.images["huge"] = {
    "image": "example.org/huge-state:1", "display_name": "Huge", "size": "4GB",
}
c.GPUSpawner.profiles |= {
    "45-growing": {
        "display_name": "On nodes that are started",
        "images": ["torch"],
        "gpu": {"flavors": ["grown"], "share": "whole"},
        "max_wait": "10m",
    },
    "46-failing": {"display_name": "Fails", "images": ["missing"]},
    "47-huge": {"display_name": "A large image", "images": ["huge"]},
}
c.GPUSpawner.profiles["20-gpus"]["max_wait"] = "30m"
"""
# What the page itself is made from; nothing where it is not the spawn page.
OFFERS = """async () => {
    const root = document.getElementById("gpu-spawner");
    if (!root) return null;
    const url = new URL(root.dataset.stream.replace("/stream", ""), location.href);
    const form = new URL(root.closest("form").action);
    url.searchParams.set("_xsrf", form.searchParams.get("_xsrf"));
    return (await fetch(url)).json();
}"""
ONE, TWO, FOUR = (f"gpus/h100/whole/{count}" for count in (1, 2, 4))
Look = Callable[..., None]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, cluster: ClusterThread) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("states")
    with running_hub(folder, PROFILES + RULES + STATES, kubeconfig=cluster.kubeconfig) as running:
        yield running


@pytest.fixture
def open_page(chrome: Browser, hub: RunningHub) -> Iterator[Open]:
    with pages_of(chrome, hub) as open_as:
        yield open_as


@pytest.fixture
def look(screenshots: Path | None) -> Look:
    """Keep a picture, and let axe look at what is ours."""

    def look_at(page: Page, name: str, context: Any = "#spawn_form") -> None:
        offers = page.evaluate(OFFERS)
        assert offers is None or misfits(offers, "offers") == []
        if screenshots:
            page.screenshot(path=str(screenshots / f"state-{name}.png"), full_page=True)
        found = Axe().run(page, context=context).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []

    return look_at


def pick(page: Page, offer: str, state: str = "tile") -> None:
    radio = page.locator(f'.gs-{state} input[value="{offer}"]')
    radio.wait_for(state="attached")
    page.click(f'label:has(input[value="{offer}"])')


@pytest.fixture
def full(cluster: ClusterThread) -> Iterator[None]:
    """Three of four GPUs are somebody else's, so that two and more are not to be had."""
    # Names of their own: a pod that is vacated takes a moment to go.
    first, second = f"states-{next(_numbers)}", f"states-{next(_numbers)}"
    cluster.occupy("h100-1", 2, first)
    cluster.occupy("h100-2", 1, second)
    yield
    cluster.vacate(first)
    cluster.vacate(second)


def test_free_and_cold(open_page: Open, hub: RunningHub, user: str, look: Look) -> None:
    hub.start(user, {"profile": "cpu"})
    wait_until(lambda: hub.user(user)["servers"][""]["ready"], "an image is on a node", 90)
    page = open_page("ada")
    pick(page, "cpu/cpu", "ready")
    look(page, "ready")
    pick(page, "huge/cpu", "cold")
    look(page, "cold")


@pytest.mark.usefixtures("user", "full")
def test_busy_and_waiting(open_page: Open, hub: RunningHub, user: str, look: Look) -> None:
    page = open_page(user)
    pick(page, TWO, "busy")
    assert page.locator(".gs-instead, [data-gs=picked] button").count()
    look(page, "busy")
    page.check("#gs-wait")
    look(page, "wait")
    page.click("#spawn_form [type=submit]")
    page.wait_for_function(
        "() => document.querySelector('#progress-message')?.innerText.startsWith('You are next')"
    )
    page.click("#progress-details summary")
    # JupyterHub's own bar has no name.
    progress = {"include": [".container:has(#progress-message)"], "exclude": ["#progress-bar"]}
    look(page, "progress", progress)
    hub.stop(user)


def test_a_node_is_started_first(open_page: Open, look: Look) -> None:
    page = open_page("ada")
    pick(page, "growing/grown/whole/1", "scale_up")
    assert "a node is started first" in page.inner_text('[data-gs="picked"]')
    assert page.locator(".gs-closed").count() == 0
    look(page, "scale-up")


def test_closed(open_page: Open, look: Look) -> None:
    page = open_page("grace")
    page.locator(f'.gs-denied input[value="{FOUR}"]').wait_for(state="attached")
    look(page, "denied")
    page.select_option('[data-amount="cpu"]', "1000")
    page.locator('.gs-impossible input[value="choosing/cpu"]').wait_for(state="attached")
    look(page, "impossible")


def test_over_the_limit(open_page: Open, look: Look) -> None:
    page = open_page("limited")
    pick(page, TWO, "limit")
    assert "You hold 0 of 1 GPU" in page.inner_text("#gpu-spawner")
    look(page, "limit")


def test_refused(open_page: Open, look: Look) -> None:
    page = open_page("ada")
    page.click(".gs-own summary")
    pick(page, "choosing/cpu")
    page.fill(".gs-own input", "quay.io/elsewhere/image:1")
    page.click("#spawn_form [type=submit]")
    page.wait_for_selector(".spawn-error-msg")
    look(page, "refused")


def test_failed(open_page: Open, hub: RunningHub, user: str, look: Look) -> None:
    hub.start(user, {"profile": "failing"})
    said = hub.failure(user)
    wait_until(lambda: not hub.user(user)["servers"].get("", {}).get("pending"), "it is over")
    page = open_page(user)
    assert html.unescape(page.inner_text("#gs-failure")).strip()
    assert said
    look(page, "failed")


def test_unknown(chrome: Browser, cluster: ClusterThread, tmp_path: Path, look: Look) -> None:
    account = Account(cluster, "sees-nothing", tmp_path)
    with (
        running_hub(tmp_path / "hub", PROFILES, kubeconfig=account.kubeconfig) as blind,
        pages_of(chrome, blind) as open_as,
    ):
        page = open_as("ada", is_live=False)
        page.locator(".gs-dark").wait_for()
        assert misfits(blind.rest("GET", "gpu-spawner/inventory").json(), "inventory") == []
        look(page, "unknown")


@pytest.mark.usefixtures("user", "full")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_admin(open_page: Open, hub: RunningHub, look: Look, scheme: str) -> None:
    assert misfits(hub.rest("GET", "gpu-spawner/inventory").json(), "inventory") == []
    page = open_page("admin", "gpu-spawner/admin", is_live=False, color_scheme=scheme)
    page.locator("#gpu-spawner-admin table").first.wait_for()
    page.locator("#gpu-spawner-admin details summary").first.click()
    look(page, f"admin-{scheme}", "#gpu-spawner-admin")
