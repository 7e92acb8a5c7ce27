"""What a researcher sees and does on the spawn page, in words; the selectors are here alone."""

import re

from other_process import wait_until
from playwright.sync_api import Locator, Page

TWO_H100 = "pytorch-gpus/h100-80gb/whole/2"
ONE_H100 = "pytorch-gpus/h100-80gb/whole/1"
EIGHT_H100 = "pytorch-gpus/h100-80gb/whole/8"


def tile(page: Page, offer: str) -> Locator:
    """Find the tile of one choice: what is clicked, and what says how many are free."""
    return page.locator("label.gs-tile").filter(has=radio(page, offer))


def radio(page: Page, offer: str) -> Locator:
    return page.locator(f'input[name="offer"][value="{offer}"]')


def seats_free(page: Page, offer: str) -> int:
    """Read how many servers of this choice would start now, once the page knows."""

    def told() -> str:
        text = tile(page, offer).inner_text()
        return "" if "not known" in text else text

    found = re.search(r"(\d+)(?: of \d+)?\s+free", wait_until(told, f"{offer} is counted"))
    return int(found[1]) if found else 0


def start(page: Page, offer: str) -> None:
    """Pick a choice and press the one button."""
    tile(page, offer).click()
    page.click("#spawn_form [type=submit]")
