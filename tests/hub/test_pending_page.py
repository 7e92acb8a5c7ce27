"""Cancelling a start ends that start, and nobody's running work."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from cluster_thread import ClusterThread
from hub_pages import signed_in
from hub_profiles import STUCK, MakeHub
from other_process import wait_until
from playwright.sync_api import Browser
from running_hub import RunningHub, running_hub

pytestmark = [pytest.mark.browser, pytest.mark.hosts, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, cluster: ClusterThread) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("stuck")
    with running_hub(folder, STUCK, kubeconfig=cluster.kubeconfig, base_url="/base/") as running:
        yield running


def is_running(hub: RunningHub, name: str, server: str = "") -> bool:
    return bool(hub.user(name).get("servers", {}).get(server, {}).get("ready"))


def is_over(hub: RunningHub, name: str, server: str = "") -> bool:
    known = hub.user(name).get("servers", {}).get(server)
    return known is None or bool(known["stopped"])


def test_a_named_server_is_cancelled_and_the_default_one_runs_on(
    hub: RunningHub, chrome: Browser, cluster: ClusterThread, user: str
) -> None:
    server = "second"
    hub.start(user, {"profile": "cpu"})
    wait_until(lambda: is_running(hub, user), "the default server runs", 60)
    hub.start(user, {"profile": "stuck"}, server=server)
    with signed_in(chrome, hub, user) as page:
        page.goto(hub.url(f"spawn-pending/{user}/{server}"))
        cancel = page.get_by_role("button", name="Cancel this start")
        cancel.focus()
        found = Axe().run(page, context="#gpu-spawner-pending").response["violations"]
        assert [one["id"] for one in found] == []
        # No other button pretends to do the same.
        assert page.get_by_role("button", name="Stop").count() == 0

        page.keyboard.press("Enter")
        page.wait_for_url(f"**/hub/spawn/{user}/second")
    wait_until(lambda: is_over(hub, user, server), "the start is over", 60)
    assert is_running(hub, user)
    wait_until(lambda: len(cluster.pods(user)) == 1, "one pod is left", 60)


def test_an_admin_cancels_the_start_of_another_user(
    hub: RunningHub, chrome: Browser, cluster: ClusterThread, user: str
) -> None:
    hub.start("admin", {"profile": "cpu"})
    wait_until(lambda: is_running(hub, "admin"), "the admin's server runs", 60)
    hub.start(user, {"profile": "stuck"})
    with signed_in(chrome, hub, "admin") as page:
        page.goto(hub.url(f"spawn-pending/{user}"))
        page.get_by_role("button", name="Cancel this start").click()
        wait_until(lambda: is_over(hub, user), "the start is over", 60)
    assert is_running(hub, "admin")
    wait_until(lambda: cluster.pods(user) == [], "no pod is left", 60)
    hub.stop("admin")


def test_it_is_in_the_reader_s_language(hub: RunningHub, chrome: Browser, user: str) -> None:
    hub.start(user, {"profile": "stuck"})
    with signed_in(chrome, hub, user, locale="de-DE") as page:
        page.goto(hub.url(f"spawn-pending/{user}"))
        assert page.locator("#gpu-spawner-pending").get_attribute("lang") == "de"
        page.route("**/api/users/**", lambda route: route.abort())
        page.get_by_role("button", name="Diesen Start abbrechen").click()
        page.get_by_text("Der Hub antwortet nicht.").wait_for()


def test_a_page_of_the_site_s_own_is_kept(
    chrome: Browser, make_hub: MakeHub, tmp_path: Path
) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "spawn_pending.html").write_text(
        '{% extends "templates/spawn_pending.html" %}'
        "{% block message %}<p>Patience, says the site.</p>{% endblock %}"
    )
    config = f"{STUCK}\nc.JupyterHub.template_paths = [{str(folder)!r}]\n"
    other = make_hub(config)
    other.start("cy", {"profile": "stuck"})
    with signed_in(chrome, other, "cy") as page:
        page.goto(other.url("spawn-pending/cy"))
        assert page.get_by_text("Patience, says the site.").is_visible()
        page.get_by_role("button", name="Cancel this start").click()
        page.wait_for_url("**/hub/spawn/cy**")
    other.stop("cy")
