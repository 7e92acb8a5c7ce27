"""A refused form comes back as its user left it, and says which field to correct."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from cluster_thread import ClusterThread
from form_elements import Elements
from hub_pages import signed_in
from hub_profiles import PROFILES
from playwright.sync_api import Browser
from rule_profiles import RULES
from running_hub import Browser as Session
from running_hub import RunningHub, message_on, running_hub

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(240)]

OWN = "profile-option-gpus--own_image"
TYPED = 'quay.io/jupyter/base!"<b>'
CONFIG = f"""{PROFILES}{RULES}
c.GPUSpawner.profiles["20-gpus"]["own_image"] = {{"allowed": ["quay.io/jupyter/*"]}}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, cluster: ClusterThread) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("refused")
    with running_hub(folder, CONFIG, kubeconfig=cluster.kubeconfig) as running:
        yield running


def checked(page: Elements) -> list[str | None]:
    return [one["value"] for one in page.of("input", type="radio") if "checked" in one]


class TestForm:
    def test_what_was_typed_and_chosen_stays(self, hub: RunningHub, user: str) -> None:
        answer = Session(hub, user).post_form({"offer": "gpus/h100/whole/2", OWN: TYPED})
        assert answer.status_code == 400
        page = Elements(answer.text)
        assert checked(page) == ["gpus/h100/whole/2"]
        (field,) = page.of("input", name=OWN)
        assert field["value"] == TYPED
        assert field["aria-invalid"] == "true"
        problem, help_text = (field["aria-describedby"] or "").split()
        assert page.of("p", id=problem)
        assert page.of("small", id=help_text)
        assert page.of("a", href=f"#{field['id']}")
        assert [one for one in page.of("input") if "aria-invalid" in one] == [field]
        assert "is not an image with its registry" in message_on(answer.text)

    @pytest.mark.parametrize(
        ("fields", "tile", "wrong"),
        [
            (
                {
                    "offer": "choosing/cpu",
                    "profile-option-choosing--cpu": "3",
                    "profile-option-choosing--memory": "2Gi",
                },
                "choosing/cpu",
                "profile-option-choosing--cpu",
            ),
            (
                {"offer": "gpus/h100/whole/2", "profile-option-gpus--image": "torch-old"},
                "gpus/h100/whole/2",
                "",
            ),
            ({"offer": "gpus/h100/whole/4"}, "gpus/h100/whole/1", ""),
        ],
        ids=["amount", "denied image", "denied count"],
    )
    def test_what_is_granted_of_it_stays(
        self, hub: RunningHub, user: str, fields: dict[str, str], tile: str, wrong: str
    ) -> None:
        answer = Session(hub, user).post_form(fields)
        assert answer.status_code in (400, 403)
        page = Elements(answer.text)
        assert checked(page) == [tile]
        invalid = [one for one in page.of("select") if "aria-invalid" in one]
        if wrong:
            assert [one["name"] for one in invalid] == [wrong]
        if "profile-option-choosing--memory" in fields:
            chosen = [one["value"] for one in page.of("option") if "selected" in one]
            assert "2Gi" in chosen

    @pytest.mark.parametrize("fields", [{}, {"offer": "gone/cpu"}, {"offer": ["a/cpu", "b/cpu"]}])
    def test_where_nothing_of_it_is_granted_the_usual_choice_is_preselected(
        self, hub: RunningHub, user: str, fields: dict[str, str]
    ) -> None:
        answer = Session(hub, user).post_form(fields)
        assert answer.status_code == 400
        assert checked(Elements(answer.text)) == ["cpu/cpu"]

    def test_a_named_server_s_page_stays_that_server_s(self, hub: RunningHub, user: str) -> None:
        """JupyterHub asks the default server's spawner for the form of a refused one."""
        path = f"spawn/{user}/second"
        answer = Session(hub, user).post_form({"offer": "gpus/h100/whole/2", OWN: TYPED}, path)
        assert answer.status_code == 400
        (root,) = Elements(answer.text).of("div", id="gpu-spawner")
        assert "server=second" in (root["data-stream"] or "")
        assert root["data-link"] == f"/hub/{path}"

    def test_a_refusal_leaves_nothing_behind(self, hub: RunningHub, user: str) -> None:
        session = Session(hub, user)
        session.post_form({"offer": "gpus/h100/whole/2", OWN: TYPED})
        page = Elements(session.get("spawn").text)
        assert checked(page) == ["cpu/cpu"]
        assert not [one for _, one in page.found if "aria-invalid" in one]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_keyboard_is_where_something_must_be_corrected(
    hub: RunningHub, chrome: Browser, user: str, scheme: str
) -> None:
    with signed_in(chrome, hub, user, color_scheme=scheme) as page:
        page.goto(hub.url("spawn#profile=gpus&count=2"))
        own = page.locator(f'[name="{OWN}"]')
        page.locator(".gs-own summary").nth(1).click()
        own.fill(TYPED)
        own.press("Enter")
        page.wait_for_selector("[aria-invalid]")
        assert page.evaluate("document.activeElement.name") == OWN
        found = Axe().run(page, context="#spawn_form").response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
        page.keyboard.press("Tab")
        page.click("[data-gs=correct]")
        assert page.evaluate("document.activeElement.name") == OWN
