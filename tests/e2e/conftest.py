"""The whole demo as a newcomer starts it, and a browser to use it with.

- ``demo``: one demo for all tests of a module; each test uses users of its own.
- ``browser``: headless Chromium.
- ``sign_in``: a page of a fresh browser profile, signed in as a user and showing the spawn page.
- ``screenshot``: keeps a picture where ``GPU_SPAWNER_SCREENSHOTS`` names a folder.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from running_demo import RunningDemo, running_demo

SignIn = Callable[..., Page]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    with running_demo(tmp_path_factory.mktemp("demo")) as running:
        yield running
        # Its hub has the rights that gpu-spawner rbac prints: they were enough for every test.
        assert "forbidden" not in running.hub_log().lower()
        assert "may not" not in running.hub_log()


# Not for the session: while Playwright runs, no asynchronous test can.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium,
            # Root in a container has no sandbox; the rest keeps Chromium from calling home.
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
            ],
        )
        yield launched
        launched.close()


@pytest.fixture
def sign_in(browser: Browser, demo: RunningDemo) -> Iterator[SignIn]:
    contexts: list[BrowserContext] = []

    def sign_in_as(username: str, **context_options: Any) -> Page:
        options = {"viewport": {"width": 1280, "height": 900}, **context_options}
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{demo.url}/hub/login?next=%2Fhub%2Fspawn")
        page.fill("#username_input", username)
        page.click("#login_submit")
        page.wait_for_selector("#spawn_form")
        return page

    yield sign_in_as
    for context in contexts:
        context.close()


@pytest.fixture
def screenshot() -> Callable[..., None]:
    folder = os.environ.get("GPU_SPAWNER_SCREENSHOTS")

    def keep(page: Page, name: str, *, full_page: bool = True) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=f"{folder}/{name}.png", full_page=full_page)

    return keep
