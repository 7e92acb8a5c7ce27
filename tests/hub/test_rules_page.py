"""What the page shows of rules, in a browser: closed choices, links, filters, own images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import Open, pages_of
from cluster_thread import ClusterThread
from hub_profiles import PROFILES
from playwright.sync_api import Browser, Page
from rule_profiles import RULES
from running_hub import RunningHub, running_hub

pytestmark = [pytest.mark.browser, pytest.mark.hosts, pytest.mark.timeout(240)]

MANY = """
for number in (50, 60, 70):
    c.GPUSpawner.profiles[f"{number}-more-{number}"] = {
        "display_name": f"More of it ({number})", "images": ["scipy"], "category": "Teaching",
    }
"""
FOUR = "gpus/h100/whole/4"


@pytest.fixture(scope="module")
def many_hub(
    tmp_path_factory: pytest.TempPathFactory, cluster: ClusterThread
) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("many")
    config = PROFILES + RULES + MANY
    with running_hub(folder, config, kubeconfig=cluster.kubeconfig) as running:
        running.add_user("ada")
        running.wait_counted()
        yield running


@pytest.fixture
def open_page(chrome: Browser, many_hub: RunningHub) -> Iterator[Open]:
    with pages_of(chrome, many_hub) as open_as:
        yield open_as


def checked(page: Page) -> str:
    return str(page.evaluate("document.querySelector('input[name=offer]:checked').value"))


WAYS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 800}},
}


@pytest.mark.parametrize("way", WAYS)
def test_axe_finds_nothing_with_everything_open(
    open_page: Open, way: str, screenshots: Path | None
) -> None:
    page = open_page("ada" if way == "light" else "grace", "spawn#profile=old-gpus", **WAYS[way])
    page.click(".gs-own summary")
    page.fill(".gs-own input", "quay.io/jupyter/base-notebook:1")
    page.click('[data-gs="copy"]')
    if screenshots:
        page.screenshot(path=str(screenshots / f"rules-{way}.png"), full_page=True)
    found = Axe().run(page, context="#spawn_form").response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


class TestLinks:
    def test_earlier_names_in_a_link_are_understood_and_told(self, open_page: Open) -> None:
        page = open_page("grace", "spawn#profile=old-gpus&count=2")
        assert checked(page) == "gpus/h100/whole/2"
        assert "'old-gpus' is now PyTorch on whole GPUs." in page.inner_text("#gpu-spawner")

    def test_a_link_to_what_is_closed_says_why(self, open_page: Open) -> None:
        page = open_page("grace", "spawn#profile=gpus&count=4")
        assert checked(page) != FOUR
        assert "Four GPUs are for <research>" in page.inner_text('[data-gs="renamed"]')
        page = open_page("grace", "spawn#profile=closed")
        assert "Write to research@example.org." in page.inner_text('[data-gs="renamed"]')

    @pytest.mark.parametrize("path", ["spawn", "spawn/grace/second"])
    def test_the_copied_link_opens_the_same_choice(self, open_page: Open, path: str) -> None:
        page = open_page("grace", path)
        page.select_option('[data-amount="cpu"]', "2")
        page.evaluate("delete Navigator.prototype.clipboard")
        page.click('[data-gs="copy"]')
        link = page.input_value(".gs-copy input")
        assert page.evaluate("document.activeElement.selectionEnd") == len(link)
        again = open_page("grace")
        again.goto("about:blank")
        again.goto(link)
        again.wait_for_selector("#gpu-spawner.gs-live", state="attached")
        assert checked(again) == "choosing/cpu"
        assert again.input_value('[data-amount="cpu"]') == "2"
        assert f"/hub/{path}#" in link

    def test_the_clipboard_is_used_where_it_may_be(self, open_page: Open) -> None:
        page = open_page("grace", permissions=["clipboard-read", "clipboard-write"])
        page.click('[data-gs="copy"]')
        page.wait_for_function(
            "document.querySelector('[data-gs=copied]').textContent === 'Link copied'"
        )
        assert "#profile=" in page.evaluate("navigator.clipboard.readText()")


class TestPicking:
    def test_more_cpu_than_any_node_has_is_shown_at_once(self, open_page: Open) -> None:
        page = open_page("grace")
        page.select_option('[data-amount="cpu"]', "1000")
        page.wait_for_selector('.gs-impossible input[value="choosing/cpu"]', state="attached")
        page.select_option('[data-amount="cpu"]', "1")
        page.wait_for_selector(
            ".gs-tile:not(.gs-impossible) input[value='choosing/cpu']", state="attached"
        )

    def test_an_own_image_is_on_the_button(self, open_page: Open) -> None:
        page = open_page("grace")
        page.click(".gs-own summary")
        page.fill(".gs-own input", "quay.io/jupyter/base-notebook:1")
        assert "quay.io/jupyter/base-notebook:1" in page.inner_text("#spawn_form [type=submit]")

    def test_the_filter_narrows_and_keeps_what_is_picked(self, open_page: Open) -> None:
        page = open_page("grace")
        page.focus('[data-by="category"]')
        page.keyboard.press("ArrowDown")
        page.wait_for_function("document.querySelector('[data-by=category]').value === 'Teaching'")
        shown = page.locator(".gs-card:visible h2").all_inner_texts()
        assert shown[0] == "Data science on CPU"  # it is what the button starts
        assert all("More" in title or "choose" in title for title in shown[1:])
        assert "5 of 7 profiles" in page.inner_text('[data-gs="shown"]')


def test_without_a_script_everything_is_there(chrome: Browser, many_hub: RunningHub) -> None:
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(many_hub.url("login"))
    page.fill("#username_input", "lise")
    page.click("#login_submit")
    page.goto(many_hub.url("spawn"))
    assert page.locator(".gs-card:visible").count() == 7
    assert page.locator('[data-gs="filter"]:visible').count() == 0
    assert page.locator('select[name="profile-option-choosing--cpu"]:visible').count() == 1
    context.close()
