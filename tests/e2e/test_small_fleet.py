"""A fleet with one place left: two users race for it, and then nothing is free."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from home_page import ask_to_stop
from other_process import wait_until
from playwright.sync_api import Page
from running_demo import RunningDemo, running_demo
from spawn_page import TWO_H100, seats_free, start, tile

pytestmark = [pytest.mark.browser, pytest.mark.hosts, pytest.mark.timeout(300)]

FLEET = Path(__file__).with_name("small_fleet.yaml")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    with running_demo(tmp_path_factory.mktemp("small"), f"--cluster={FLEET}") as running:
        yield running


def was_refused(page: Page) -> bool:
    return page.locator(".spawn-error-msg").count() > 0


class TestTheLastPlace:
    """Two users race for the last place: one gets it, the other a sentence and a working page."""

    def test_one_server_one_sentence(self, demo, sign_in, screenshot):
        pages = {name: sign_in(name) for name in ("ann", "ben")}
        for page in pages.values():
            assert seats_free(page, TWO_H100) == 1
            tile(page, TWO_H100).click()

        for page in pages.values():
            # Do not wait for the answer: both requests are under way at once.
            page.evaluate("document.querySelector('#spawn_form [type=submit]').click()")
        wait_until(lambda: demo.pods("ann") or demo.pods("ben"), "one server starts")
        (loser,) = wait_until(
            lambda: [name for name, page in pages.items() if was_refused(page)],
            "somebody is refused",
        )

        (winner,) = [name for name in pages if name != loser]
        assert [name for name in pages if demo.pods(name)] == [winner]
        page = pages[loser]
        words = page.locator(".spawn-error-msg").inner_text()
        assert "H100" in words
        assert "Traceback" not in page.content()

        # Everything is busy now, and the page is alive: what is given back appears by itself.
        assert seats_free(page, TWO_H100) == 0
        assert "busy" in tile(page, TWO_H100).inner_text()
        screenshot(page, "everything-busy")
        pages[winner].wait_for_url("**/user/**", timeout=90_000)
        ask_to_stop(pages[winner], demo)
        wait_until(lambda: seats_free(page, TWO_H100) == 1, "the place is offered again", 60)
        start(page, TWO_H100)
        wait_until(lambda: demo.pods(loser), "the loser's second try starts")
