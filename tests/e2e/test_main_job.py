"""The main job: a newcomer picks two H100s on the spawn page and works in JupyterLab."""

import os
import signal

import pytest
from home_page import ask_to_stop
from other_process import wait_until
from playwright.sync_api import Page, expect
from running_demo import RunningDemo
from spawn_page import EIGHT_H100, ONE_H100, TWO_H100, radio, seats_free, start, tile

pytestmark = [pytest.mark.browser, pytest.mark.hosts, pytest.mark.timeout(300)]

SPAWN_MILLISECONDS = 90_000


def in_jupyterlab(page: Page, username: str) -> None:
    """Wait until JupyterLab of this user can be used."""
    page.wait_for_url(f"**/user/{username}/lab**", timeout=SPAWN_MILLISECONDS)
    page.wait_for_selector(".jp-Launcher", timeout=SPAWN_MILLISECONDS)


def run_in_notebook(page: Page, code: str) -> str:
    """Open a Python notebook from the launcher, run one cell, and return what it printed."""
    page.click('.jp-LauncherCard[data-category="Notebook"]')
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=SPAWN_MILLISECONDS)
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    cell.click()
    page.keyboard.type(code)
    page.keyboard.press("Shift+Enter")
    output = page.locator(".jp-Notebook .jp-OutputArea-output").first
    output.wait_for(timeout=SPAWN_MILLISECONDS)
    return output.inner_text()


def stop_server(page: Page, demo: RunningDemo, username: str) -> None:
    """Stop the server from the hub's home page, as its user does."""
    ask_to_stop(page, demo)
    wait_until(lambda: not demo.pods(username), f"the pod of {username} is gone", 60)


class TestTwoH100:
    """Pick 2 x H100, work, stop: the numbers on another user's page follow."""

    def test_from_the_page_to_a_working_kernel_and_back(self, demo, sign_in, screenshot):
        watcher = sign_in("bystander")
        watcher.evaluate("window.stayed = true")
        before = seats_free(watcher, ONE_H100)
        page = sign_in("ada", viewport={"width": 1180, "height": 1180})
        tile(page, TWO_H100).click()
        page.evaluate("window.scrollTo(0, 0)")
        screenshot(page, "spawn-page", full_page=False)

        start(page, TWO_H100)
        (pod,) = wait_until(lambda: demo.pods("ada"), "the pod exists")
        wait_until(lambda: seats_free(watcher, ONE_H100) == before - 2, "two fewer are shown")
        in_jupyterlab(page, "ada")
        printed = run_in_notebook(page, "print(6 * 7)")
        screenshot(page, "jupyterlab")
        (pod,) = demo.pods("ada")
        node = demo.kubectl("get", "node", pod["spec"]["nodeName"])

        assert printed.strip() == "42"
        assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
        tolerated = [each.get("key") for each in pod["spec"]["tolerations"]]
        assert "nvidia.com/gpu" in tolerated
        assert "H100" in node["metadata"]["labels"]["nvidia.com/gpu.product"]

        stop_server(page, demo, "ada")
        wait_until(lambda: seats_free(watcher, ONE_H100) == before, "both are given back")
        assert watcher.evaluate("window.stayed"), "the page was loaded anew"


class TestRestartOfTheHub:
    """A hub that is killed comes back to the servers that never stopped."""

    def test_servers_survive_and_counts_are_right(self, demo, sign_in):
        page = sign_in("grace")
        before = seats_free(page, ONE_H100)
        start(page, TWO_H100)
        in_jupyterlab(page, "grace")
        (pod,) = demo.pods("grace")
        killed = demo.hub_pid()

        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: killed not in demo.processes(), "the killed hub is gone")
        wait_until(demo.is_up, "the hub is back", 60)

        other = sign_in("hopper")
        (still,) = demo.pods("grace")
        assert still["metadata"]["uid"] == pod["metadata"]["uid"]
        wait_until(lambda: seats_free(other, ONE_H100) == before - 2, "the count is right")
        assert run_in_notebook(page, "print('alive')").strip() == "alive"
        stop_server(page, demo, "grace")
        wait_until(lambda: seats_free(other, ONE_H100) == before, "nothing leaked")


class TestNothingFree:
    """A choice that cannot start is refused at once, with a sentence and a working page."""

    def test_a_full_choice_says_why_and_starts_nothing(self, demo, sign_in):
        page = sign_in("edsger")
        words = tile(page, EIGHT_H100).inner_text().lower()

        assert "free" not in words
        assert words.strip()
        radio(page, EIGHT_H100).evaluate(
            "input => { input.disabled = false; input.checked = true; }"
        )
        page.click("#spawn_form [type=submit]")
        alert = page.locator(".spawn-error-msg")
        expect(alert).to_be_visible()

        assert "H100" in alert.inner_text()
        assert "Traceback" not in page.content()
        assert seats_free(page, ONE_H100) > 0
        assert demo.pods("edsger") == []


class TestWithoutJavaScript:
    """The page is complete without JavaScript."""

    def test_numbers_can_be_read_and_a_choice_posted(self, browser, demo):
        context = browser.new_context(java_script_enabled=False)
        try:
            page = context.new_page()
            page.goto(f"{demo.url}/hub/login?next=%2Fhub%2Fspawn")
            page.fill("#username_input", "barbara")
            page.click("#login_submit")
            assert seats_free(page, ONE_H100) > 0

            start(page, "data-science-cpu/cpu")
            wait_until(lambda: demo.pods("barbara"), "the pod exists")
        finally:
            context.close()
