"""A reader whose browser asks for German: our part of every page is in it, live numbers too."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from babel.messages.pofile import read_po
from playwright.sync_api import Page
from spawn_page import EIGHT_H100, ONE_H100, TWO_H100, seats_free, start, tile

from gpu_spawner.hub.languages import LOCALE_DIRECTORY

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

BUTTON = "#spawn_form [type=submit]"
ADMINS = ".gs-lead, legend h2, h3, select, [data-gs=one-image], [data-gs=image-facts]"
"""What an admin wrote, which is shown as it is."""


def english_pieces() -> set[str]:
    """Return every run of at least two words in our messages that German does not have as well."""
    with (LOCALE_DIRECTORY / "de" / "LC_MESSAGES" / "gpu_spawner.po").open("rb") as file:
        catalog = read_po(file, locale="de")
    german = "\n".join(
        text
        for message in catalog
        for text in (message.string if isinstance(message.string, tuple) else [message.string])
    )
    pieces = set()
    for message in catalog:
        for text in message.id if isinstance(message.id, tuple) else (message.id,):
            pieces |= {piece.strip(" .,:;()") for piece in re.split(r"\{\w+\}", text)}
    return {piece for piece in pieces if " " in piece and piece not in german}


def our_words(page: Page) -> str:
    """Return all that we say on the spawn page: what is shown, and what is only read out."""
    return str(
        page.evaluate(
            """admins => {
                const ours = document.querySelector("#gpu-spawner").cloneNode(true);
                ours.querySelectorAll(admins).forEach((one) => one.remove());
                const said = [ours.textContent];
                for (const one of ours.querySelectorAll("*")) {
                    said.push(one.getAttribute("aria-label") || "", one.dataset.because || "");
                }
                return said.join("\\n");
            }""",
            ADMINS,
        )
    )


def english_on(page: Page) -> list[str]:
    words = our_words(page)
    return sorted(piece for piece in english_pieces() if piece in words)


def test_nothing_of_ours_is_in_english(sign_in, screenshot):
    page = sign_in("greta", locale="de-DE")
    tile(page, EIGHT_H100).click()
    assert page.locator("#gpu-spawner").get_attribute("lang") == "de"
    assert page.locator(BUTTON).inner_text().startswith("Starten: 8 ")
    assert english_on(page) == []
    screenshot(page, "german")
    found = Axe().run(page, context="#spawn_form")
    assert [violation["id"] for violation in found.response["violations"]] == []

    # The numbers that come later are in the same language.
    before = tile(page, ONE_H100).inner_text()
    other = sign_in("oliver")
    assert other.locator("#gpu-spawner").get_attribute("lang") == "en"
    assert other.locator(BUTTON).inner_text().startswith("Start: ")
    assert len(english_on(other)) > 10
    assert seats_free(other, TWO_H100) > 0
    start(other, TWO_H100)
    page.wait_for_function(
        "([offer, before]) => document.querySelector(`input[value='${offer}']`)"
        ".closest('.gs-tile').innerText !== before",
        arg=[ONE_H100, before],
        timeout=60_000,
    )
    assert english_on(page) == []
    assert re.search(r"Zahlen von (jetzt|vor \d+ s)", our_words(page))


def test_a_start_is_told_in_german(sign_in, screenshot):
    page = sign_in("gustav", locale="de-DE")
    start(page, ONE_H100)
    page.locator('#progress-message [lang="de"]').first.wait_for(timeout=60_000)
    screenshot(page, "german-progress")
    text = page.locator('#progress-message [lang="de"]').first.inner_text()
    assert [piece for piece in english_pieces() if piece in text] == []


def test_a_page_without_a_script_is_german_as_well(sign_in):
    page = sign_in("gerda", locale="de-DE", java_script_enabled=False)
    assert page.locator("#gpu-spawner").get_attribute("lang") == "de"
    assert "Umgebung" in page.locator("#gpu-spawner").inner_text()
    assert "Wenn kein Platz frei ist" in page.locator(".gs-wait").inner_text()
