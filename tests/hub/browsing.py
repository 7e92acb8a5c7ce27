"""Pages of a hub in a browser, signed in."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from playwright.sync_api import Browser, Page
from running_hub import RunningHub

Open = Callable[..., Page]
"""Opens a page of the hub as a user: ``open(name, path, is_live=True, **context)``."""


@contextmanager
def pages_of(chrome: Browser, hub: RunningHub) -> Iterator[Open]:
    """Give a way to open pages, and close all of them at the end."""
    with ExitStack() as stack:

        def open_as(
            username: str, path: str = "spawn", *, is_live: bool = True, **options: Any
        ) -> Page:
            # Without transitions: in the middle of one, axe finds colours that nobody can read.
            usual = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
            context = chrome.new_context(**{**usual, **options})
            stack.callback(context.close)
            page = context.new_page()
            page.goto(hub.url("login"))
            page.fill("#username_input", username)
            page.click("#login_submit")
            page.wait_for_selector("#username_input", state="detached")
            page.goto(hub.url(path))
            if is_live:
                page.wait_for_selector("#gpu-spawner.gs-live, .gs-live", state="attached")
            return page

        yield open_as
