"""Pages of a running hub in a browser, as a signed-in user sees them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page
from running_hub import RunningHub


@contextmanager
def signed_in(chrome: Browser, hub: RunningHub, username: str, **options: Any) -> Iterator[Page]:
    """Sign a user in, in a browser profile of their own; the page shows the hub's home."""
    context = chrome.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    page.goto(f"{hub.url('login')}?next={hub.base_url}hub/home")
    page.fill("#username_input", username)
    page.click("#login_submit")
    page.wait_for_url("**/hub/home")
    yield page
    context.close()
