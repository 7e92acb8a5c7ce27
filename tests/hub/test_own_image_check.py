"""Where the admin wants that, an image that a user brings is asked about before a start."""

from collections.abc import Iterator

import pytest
from cluster_thread import ClusterThread
from hub_profiles import PROFILES
from rule_profiles import RULES
from running_hub import Browser, RunningHub, message_on, running_hub

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(240)]

# What a registry says is tested beside this; here it is said without a network.
SAID = """
from gpu_spawner.hub.registries import Answer, Registries

async def ask(self, reference, name, max_bytes):
    if name.path.endswith("gone"):
        return Answer(problem=f"There is no image {reference} that everybody may pull.")
    if name.path.endswith("silent"):
        return Answer(problem=f"{name.host} could not be asked.", is_known=False)
    return Answer()

Registries.ask = ask
c.GPUSpawner.own_image_check = True
"""
REQUIRED = "c.GPUSpawner.own_image_check_required = True\n"


@pytest.fixture(scope="module", params=[False, True], ids=["asked", "required"])
def checking(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    cluster: ClusterThread,
) -> Iterator[tuple[RunningHub, bool]]:
    config = PROFILES + RULES + SAID + (REQUIRED if request.param else "")
    folder = tmp_path_factory.mktemp("own-images")
    with running_hub(folder, config, kubeconfig=cluster.kubeconfig) as running:
        yield running, request.param


def image(name: str) -> dict[str, str]:
    return {"profile": "choosing", "own_image": f"quay.io/jupyter/{name}:1"}


def test_asked_before_a_start(checking: tuple[RunningHub, bool], cluster: ClusterThread) -> None:
    hub, is_required = checking
    sentence = "There is no image quay.io/jupyter/gone:1 that everybody may pull."
    answer = hub.start("ada", image("gone"))
    assert (answer.status_code, answer.json()["message"]) == (400, sentence)
    # A start without options repeats what was accepted last, not this.
    assert hub.user("ada")["servers"][""]["user_options"] == {}
    shown = Browser(hub, "ada").post_form(
        {
            "offer": "choosing/cpu",
            "profile-option-choosing--own_image": "quay.io/jupyter/gone:1",
        }
    )
    assert shown.status_code == 400
    assert sentence in message_on(shown.text)
    assert cluster.pods("ada") == []

    unsure = hub.start("ada", image("silent"))
    if is_required:
        assert unsure.status_code == 400
        assert unsure.json()["message"] == "quay.io could not be asked."
        assert cluster.pods("ada") == []
    else:
        assert unsure.status_code in (201, 202)
        hub.stop("ada")
    assert hub.start("ada", image("there")).status_code in (201, 202)
    hub.stop("ada")
