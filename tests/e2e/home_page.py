"""What a researcher does on JupyterHub's home page."""

from other_process import wait_until
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from running_demo import RunningDemo

LOADING_MILLISECONDS = 2000


def ask_to_stop(page: Page, demo: RunningDemo) -> None:
    """Stop the own server; the button is there a moment before its script has taken it over."""
    page.goto(f"{demo.url}/hub/home")

    def is_asked() -> bool:
        try:
            with page.expect_request(
                lambda request: request.method == "DELETE", timeout=LOADING_MILLISECONDS
            ):
                page.click("#stop")
        except PlaywrightTimeoutError:
            return False
        return True

    wait_until(is_asked, "the hub is asked to stop the server")
