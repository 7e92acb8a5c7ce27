"""A hub whose pages may run no inline script and load nothing from elsewhere."""

from collections.abc import Iterator

import pytest
from cluster_thread import ClusterThread
from hub_pages import signed_in
from hub_profiles import PROFILES
from other_process import wait_until
from playwright.sync_api import Browser
from running_hub import RunningHub, running_hub

pytestmark = [pytest.mark.browser, pytest.mark.hosts, pytest.mark.timeout(240)]

STRICT = f"""{PROFILES}
c.JupyterHub.tornado_settings = {{
    "slow_spawn_timeout": 1,
    "headers": {{"Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'"}},
}}
c.GPUSpawner.stuck_seconds = 6
c.GPUSpawner.profiles["60-stuck"] = {{
    **c.GPUSpawner.profiles["10-cpu"],
    "display_name": "Stuck",
    "default": False,
    "kubespawner_override": {{
        "volumes": [{{"name": "more", "secret": {{"secretName": "gone"}}}}],
        "volume_mounts": [{{"name": "more", "mountPath": "/more"}}],
    }},
}}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, cluster: ClusterThread) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("strict")
    with running_hub(folder, STRICT, kubeconfig=cluster.kubeconfig) as running:
        yield running


def test_the_numbers_are_live_and_nothing_of_ours_is_blocked(
    hub: RunningHub, chrome: Browser, cluster: ClusterThread, user: str
) -> None:
    with signed_in(chrome, hub, user) as page:
        blocked: list[str] = []
        page.on("console", lambda said: blocked.append(f"{said.text} {said.location}"))
        page.goto(hub.url("spawn"))
        page.wait_for_selector("#gpu-spawner.gs-live", state="attached")
        label = page.locator('label:has(input[value="gpus/h100/whole/1"])')
        wait_until(lambda: "4 of 4 free" in label.inner_text(), "the number is there")
        cluster.occupy("h100-1", 1, "busy-strict")
        wait_until(lambda: "3 of 4 free" in label.inner_text(), "the number follows the cluster")
        cluster.vacate("busy-strict")
        label.click()
        # Bootstrap's own style sheet has images in it.
        assert [one for one in blocked if "gpu-spawner" in one] == []
        assert page.evaluate("typeof window.jhdata") == "undefined"


def test_a_start_is_followed_and_a_failure_is_told(
    hub: RunningHub, chrome: Browser, user: str
) -> None:
    with signed_in(chrome, hub, user) as page:
        page.goto(hub.url("spawn?opt-profile=stuck"))
        page.wait_for_url("**/hub/spawn-pending/**")
        # JupyterHub's page of a start that has failed already shows it elsewhere.
        message = page.locator("body")
        wait_until(lambda: "secret or a setting" in message.inner_text(), "the reason is told")
        page.wait_for_selector("#progress-details[open]", timeout=60_000)
        # A reload tells it again.
        page.reload()
        assert "secret or a setting" in page.inner_text("body")


def test_a_start_that_succeeds_leads_to_the_server(
    hub: RunningHub, chrome: Browser, user: str
) -> None:
    hub.start(user, {"profile": "cpu"})
    with signed_in(chrome, hub, user) as page:
        page.goto(hub.url(f"spawn-pending/{user}"))
        page.wait_for_url(f"**/user/{user}/**")
