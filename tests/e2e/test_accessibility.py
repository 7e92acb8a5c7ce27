"""Everybody can use the page: axe finds nothing, in light, dark and at phone width."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from spawn_page import EIGHT_H100, ONE_H100, TWO_H100, radio, tile

pytestmark = [pytest.mark.browser, pytest.mark.hosts, pytest.mark.timeout(300)]

WAYS = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 800}, "device_scale_factor": 2},
}


@pytest.mark.parametrize("way", WAYS)
def test_axe_finds_nothing_in_the_form(sign_in, screenshot, way):
    page = sign_in(f"user-{way}", **WAYS[way])
    tile(page, TWO_H100).click()
    screenshot(page, f"page-{way}")

    found = Axe().run(page, context="#spawn_form")

    assert [
        (violation["id"], [node["html"] for node in violation["nodes"]])
        for violation in found.response["violations"]
    ] == []


def test_the_whole_page_fits_a_phone(sign_in):
    """Nothing makes the page scroll sideways."""
    page = sign_in("phone", **WAYS["phone"])

    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    assert overflow <= 0


def test_a_choice_can_be_made_with_the_keyboard(sign_in):
    """Tab reaches the group, arrows move in it, Enter starts; the order is that of the page."""
    page = sign_in("keys")
    radio(page, ONE_H100).focus()

    page.keyboard.press("ArrowRight")

    assert radio(page, TWO_H100).is_checked()
    assert not radio(page, EIGHT_H100).is_checked()


def test_a_link_preselects_and_does_not_start(demo, sign_in):
    page = sign_in("linked")

    page.goto(f"{demo.url}/hub/home")
    page.goto(f"{demo.url}/hub/spawn#profile=pytorch-gpus&flavor=h100-80gb&count=2")
    page.wait_for_selector("#spawn_form")
    page.wait_for_function(
        "value => document.querySelector(`input[name=offer][value='${value}']`).checked",
        arg=TWO_H100,
    )

    assert demo.pods("linked") == []
