"""Nothing is free: a user waits for a place, is told where they stand, and gives it up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from other_process import wait_until
from running_demo import RunningDemo, running_demo
from spawn_page import ONE_H100, TWO_H100, radio, start, tile

pytestmark = [pytest.mark.browser, pytest.mark.hosts, pytest.mark.timeout(300)]

FLEET = Path(__file__).with_name("small_fleet.yaml")
BUTTON = "#spawn_form [type=submit]"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    with running_demo(tmp_path_factory.mktemp("waiting"), f"--cluster={FLEET}") as running:
        yield running


def test_wait_for_a_place_and_give_it_up(demo, sign_in, screenshot):
    first, second = sign_in("ann"), sign_in("ben")
    box = second.locator("#gs-wait")
    tile(second, TWO_H100).click()
    assert not box.is_visible()  # it is free

    start(first, TWO_H100)
    box.wait_for(state="visible", timeout=60_000)
    assert (
        "If no place is free, wait for one, for up to 2 h"
        in second.locator(".gs-wait").inner_text()
    )
    assert second.locator(BUTTON).inner_text().startswith("Start: ")
    box.focus()
    second.keyboard.press("Space")
    assert second.locator(BUTTON).inner_text().startswith("Wait for: ")
    screenshot(second, "wait-for-it")
    found = Axe().run(second, context="#spawn_form")
    assert [violation["id"] for violation in found.response["violations"]] == []

    second.keyboard.press("Enter")
    message = second.locator("#progress-message [role=status]")
    second.wait_for_function(
        "() => document.querySelector('#progress-message')?.innerText.startsWith('You are next')",
        timeout=60_000,
    )
    assert "all 4 GPUs are in use" in message.inner_text()
    screenshot(second, "waiting")
    found = Axe().run(second, context="#progress-message")
    assert [violation["id"] for violation in found.response["violations"]] == []
    assert demo.pods("ben")

    # A reload tells it all again.
    second.reload()
    second.wait_for_function(
        "() => document.querySelector('#progress-message')?.innerText.startsWith('You are next')",
        timeout=60_000,
    )
    second.get_by_role("button", name="Cancel this start").click()
    second.wait_for_url("**/hub/spawn/ben**", timeout=60_000)
    wait_until(lambda: demo.pods("ben") == [], "nothing of the server is left", 60)

    # What was chosen is chosen again, the wish to wait too.
    second.goto(f"{demo.url}/hub/spawn")
    second.wait_for_selector("#spawn_form")
    assert radio(second, TWO_H100).is_checked()
    assert box.is_checked()
    tile(second, ONE_H100).click()
    assert box.is_visible()
