"""Other hubs: with mistakes, with KubeSpawner's own profiles, elsewhere, without a watch."""

import os
import subprocess
from pathlib import Path

import pytest
from cluster_thread import ClusterThread
from form_elements import Elements
from hub_profiles import PROFILES, MakeHub
from other_process import wait_until
from running_hub import Browser, RunningHub, launch, message_on
from test_offers_api import open_stream, stream_url
from test_refusals import free_now

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(240)]

FLAVORS = """
h100:
  display_name: NVIDIA H100
  memory: 80GB
  node_labels: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}
"""
IMAGES = "torch: {image: example.org/torch:1, display_name: PyTorch}\n"
PROFILE = """
display_name: {name}
images: [torch]
gpu: {{flavors: [h100], share: whole, count: [1, 2]}}
resources: {{cpu: {{request: 1}}, memory: {{request: 1Gi}}}}
"""

OF_KUBESPAWNER = """
c.JupyterHub.spawner_class = "gpu"
c.KubeSpawner.profile_list = [
    {"display_name": "Small", "slug": "small", "kubespawner_override": {"mem_limit": "1G"}},
    {"display_name": "Large", "slug": "large", "kubespawner_override": {"mem_limit": "2G"}},
]
"""

OF_FANCY_PROFILES = """
c.JupyterHub.spawner_class = "gpu"
c.KubeSpawner.additional_profile_form_template_paths = ["/srv/fancy-profiles/templates"]
c.KubeSpawner.profile_list = [
    {
        "display_name": "Small",
        "slug": "small",
        "profile_options": {
            "image": {
                "display_name": "Image",
                "dynamic_image_building": {"enabled": True},
                "unlisted_choice": {
                    "enabled": True,
                    "display_name": "Image",
                    "validation_regex": "^.+:.+$",
                    "kubespawner_override": {"image": "{value}"},
                },
                "choices": {"a": {"display_name": "A", "kubespawner_override": {"image": "a:1"}}},
            },
        },
    },
]
"""


@pytest.fixture
def profiles_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "flavors.yaml").write_text(FLAVORS)
    (folder / "images.yaml").write_text(IMAGES)
    (folder / "10-train.yaml").write_text(PROFILE.format(name="Training"))
    return folder


def ended(folder: Path, config: str, cluster: ClusterThread) -> tuple[int, str]:
    """Start a hub that cannot start; return its exit status and its log."""
    folder.mkdir(exist_ok=True)
    hub = launch(folder, config, {"KUBECONFIG": str(cluster.kubeconfig)})
    try:
        return hub.process.wait(timeout=60), hub.log()
    except subprocess.TimeoutExpired:
        hub.process.kill()
        hub.process.wait()
        raise AssertionError(f"the hub did not end:\n{hub.log()}") from None


class TestMistakes:
    @pytest.mark.parametrize(
        "how",
        [
            'c.JupyterHub.spawner_class = "gpu"\nc.GPUSpawner.profiles_dir = {folder!r}\n',
            "import gpu_spawner\ngpu_spawner.configure(c, profiles_dir={folder!r})\n",
        ],
        ids=["traits", "configure"],
    )
    def test_a_hub_with_mistakes_ends_with_all_of_them(
        self, tmp_path: Path, profiles_dir: Path, cluster: ClusterThread, how: str
    ) -> None:
        (profiles_dir / "20-wrong.yaml").write_text(
            "display_name: Wrong\nimages: [torch]\ncolour: red\n"
            "gpu: {flavors: [h100], share: whole, count: 0}\n"
        )
        status, log = ended(tmp_path / "hub", how.format(folder=str(profiles_dir)), cluster)
        assert status == os.EX_CONFIG
        assert "20-wrong.yaml:3" in log
        assert "20-wrong.yaml:4" in log
        assert "Traceback" not in log

    def test_so_it_does_with_overrides_that_make_no_pod(
        self, tmp_path: Path, profiles_dir: Path, cluster: ClusterThread
    ) -> None:
        (profiles_dir / "20-wrong.yaml").write_text(
            PROFILE.format(name="Wrong")
            + "kubespawner_override:\n"
            + "  environment:\n    A: 5\n    B: '{nosuch}'\n"
            + "  volumes: [{name: a, emptyDri: {}}]\n"
            + "  bogus: 1\n"
        )
        config = (
            f'c.JupyterHub.spawner_class = "gpu"\nc.GPUSpawner.profiles_dir = "{profiles_dir}"\n'
        )
        status, log = ended(tmp_path / "hub", config, cluster)
        assert status == os.EX_CONFIG
        for line, key in ((8, "environment.A"), (9, "environment.B"), (10, "volumes[0]")):
            assert f"20-wrong.yaml:{line}: kubespawner_override.{key}: " in log
        assert "20-wrong.yaml:11: kubespawner_override.bogus: " in log
        assert "Traceback" not in log

    def test_configure_knows_its_settings(self, tmp_path: Path, cluster: ClusterThread) -> None:
        config = "import gpu_spawner\ngpu_spawner.configure(c, profile_dir='/x')\n"
        status, log = ended(tmp_path / "hub", config, cluster)
        assert status == 1
        assert "configure() got profile_dir" in log


def replace_text(path: Path, text: str) -> None:
    """Write a file so that nobody reads a half of it."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


class TestEditedProfiles:
    def test_edits_arrive_and_broken_ones_do_not(
        self, make_hub: MakeHub, profiles_dir: Path
    ) -> None:
        hub = make_hub(
            "import gpu_spawner\n"
            f"gpu_spawner.configure(c, profiles_dir={str(profiles_dir)!r},\n"
            "                      profiles_reload_seconds=0.2)\n"
        )
        browser = Browser(hub, "ada")
        page = browser.get("spawn").text
        assert "Training" in page
        with open_stream(browser, stream_url(page)) as answer:
            replace_text(profiles_dir / "20-serve.yaml", PROFILE.format(name="Serving"))
            wait_until(lambda: "Serving" in browser.get("spawn").text, "the new profile is shown")
            assert any(line == b"event: catalog" for line in answer.iter_lines(chunk_size=1))

        replace_text(profiles_dir / "20-serve.yaml", "display_name: Broken\nimages: [gone]\n")
        wait_until(lambda: "with mistakes" in hub.log(), "the mistake is logged")
        assert "20-serve.yaml:2" in hub.log()
        assert "Serving" in browser.get("spawn").text

        (profiles_dir / "20-serve.yaml").unlink()
        wait_until(lambda: "Serving" not in browser.get("spawn").text, "the profile is gone")
        assert hub.log().count("with mistakes") == 1


class TestPlainKubeSpawner:
    def test_a_profile_list_alone_works_as_there(
        self, make_hub: MakeHub, cluster: ClusterThread
    ) -> None:
        hub = make_hub(OF_KUBESPAWNER)
        browser = Browser(hub, "plain")
        page = browser.get("spawn").text
        assert 'name="profile"' in page
        assert "gpu-spawner" not in page
        assert browser.post_form({"profile": "large"}).status_code == 302
        ((pod,),) = [wait_until(lambda: cluster.pods("plain"), "a pod")]
        limits = pod["spec"]["containers"][0]["resources"]["limits"]
        assert limits["memory"] == "2147483648"
        hub.stop("plain")
        assert hub.rest("GET", "gpu-spawner/offers?user=plain").status_code == 404

    def test_a_callable_profile_list_works_as_there(self, make_hub: MakeHub) -> None:
        hub = make_hub(
            'c.JupyterHub.spawner_class = "gpu"\n'
            "async def profiles(spawner):\n"
            "    return [{'display_name': f'For {spawner.user.name}'}]\n"
            "c.KubeSpawner.profile_list = profiles\n"
        )
        assert "For ada" in Browser(hub, "ada").get("spawn").text

    def test_both_show_ours_and_say_so(self, make_hub: MakeHub) -> None:
        hub = make_hub(OF_KUBESPAWNER + PROFILES)
        page = Browser(hub, "ada").get("spawn").text
        assert 'name="offer"' in page
        assert "Small" not in page
        assert hub.log().count("KubeSpawner.profile_list is set as well") == 1

    def test_what_fancy_profiles_left_in_place_decides_nothing(
        self, make_hub: MakeHub, cluster: ClusterThread
    ) -> None:
        hub = make_hub(OF_FANCY_PROFILES + PROFILES)
        browser = Browser(hub, "fancy")
        page = browser.get("spawn").text
        assert 'name="offer"' in page
        assert "Small" not in page
        evil = {"profile-option-small--image--unlisted-choice": "example.org/any:1"}
        assert browser.post_form({"profile": "small", **evil}).status_code == 400
        answer = browser.post_form({"profile": "cpu", "image--unlisted-choice": "x:1", **evil})
        assert answer.status_code == 302
        ((pod,),) = [wait_until(lambda: cluster.pods("fancy"), "a pod")]
        assert pod["spec"]["containers"][0]["image"] == "example.org/scipy:1"
        hub.stop("fancy")


class TestElsewhere:
    def test_another_base_url(self, make_hub: MakeHub) -> None:
        hub = make_hub(PROFILES, base_url="/some/where/")
        browser = Browser(hub, "ada")
        page = browser.get("spawn").text
        elements = Elements(page)
        for tag, name in (("link", "href"), ("script", "src")):
            (address,) = [
                str(one[name]) for one in elements.of(tag) if "gpu-spawner" in (one.get(name) or "")
            ]
            assert address.startswith("/some/where/hub/gpu-spawner/static/")
            answer = browser.session.get(f"http://127.0.0.1:{hub.port}{address}", timeout=10)
            assert answer.status_code == 200
            assert "max-age=" in answer.headers["Cache-Control"]
        with open_stream(browser, stream_url(page)) as answer:
            assert next(answer.iter_lines()) == b"event: offers"


class TestEnd:
    def test_a_hub_ends_without_leftovers(self, make_hub: MakeHub) -> None:
        hub = make_hub(PROFILES)
        browser = Browser(hub, "ada")
        with open_stream(browser, stream_url(browser.get("spawn").text)) as answer:
            assert next(answer.iter_lines()) == b"event: offers"
            hub.process.terminate()
            hub.process.wait(timeout=30)
        assert "...done" in hub.log()
        for complaint in ("Unclosed", "was destroyed", "never retrieved", "Traceback"):
            assert complaint not in hub.log()


class TestWithoutNumbers:
    def test_unknown_is_said_and_not_refused(
        self, make_hub: MakeHub, cluster: ClusterThread
    ) -> None:
        hub = make_hub(PROFILES + "c.GPUSpawner.watch_cluster = False\n")
        browser = Browser(hub, "ada")
        page = browser.get("spawn").text
        assert "What is free is not known" in page
        assert browser.post_form({"offer": "gpus/h100/whole/1"}).status_code == 302
        assert wait_until(lambda: cluster.pods("ada"), "a pod")
        hub.stop("ada")


class TestSettingsThatMakeNoPod:
    def test_the_page_is_there_and_the_log_says_why(self, make_hub: MakeHub) -> None:
        hub = make_hub(PROFILES + "c.KubeSpawner.extra_resource_limits = {'a.org/b': 'many'}\n")
        page = Browser(hub, "ada").get("spawn")
        assert page.status_code == 200
        assert "the settings of this hub have a mistake" in page.text
        assert "make no valid pod" in hub.log()
        assert "many" in hub.log()


class TestSettingsThatBuildNoPod:
    @pytest.mark.parametrize(
        "setting",
        [
            "c.KubeSpawner.environment = {'A': 5}",
            "c.KubeSpawner.environment = {'A': '{nosuch}'}",
            "c.KubeSpawner.volumes = [{'name': 'a', 'emptyDri': {}}]",
        ],
    )
    def test_the_user_hears_a_sentence_and_the_log_has_the_cause(
        self, make_hub: MakeHub, cluster: ClusterThread, setting: str
    ) -> None:
        hub = make_hub(
            f"{PROFILES}{setting}\nc.JupyterHub.authenticate_prometheus = False\n"
            # The answer to the POST is to be the refusal.
            'c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 60}\n'
        )
        answer = hub.start("ada", {"profile": "cpu"})
        assert answer.status_code == 409
        assert "tell the administrators" in answer.json()["message"]
        assert "nosuch" not in answer.json()["message"]
        assert hub.log().count("gpu-demo/jupyter-ada cannot be built") == 1
        assert cluster.pods("ada") == []
        metrics = Browser(hub, "admin").get("metrics").text
        assert 'gpu_spawner_starts_failed_total{profile="cpu",reason="gpu_settings"} 1.0' in metrics


class TestFailingPods:
    """With starts that may wait, and GPUs that are all somebody else's."""

    @pytest.fixture(params=[60])
    def waiting_hub(
        self, request: pytest.FixtureRequest, make_hub: MakeHub, cluster: ClusterThread
    ) -> RunningHub:
        """Give a hub; the parameter is the seconds that a start may take."""
        hub = make_hub(
            PROFILES
            + "c.GPUSpawner.refuse_when_full = False\n"
            + f"c.KubeSpawner.start_timeout = {request.param}\n"
            # Else there is time to pull the image, too.
            + "c.GPUSpawner.pull_bytes_per_second = 1e12\n"
            + "c.JupyterHub.authenticate_prometheus = False\n"
        )
        hub.add_user("ada")
        cluster.occupy("h100-1", 2, "busy-1")
        cluster.occupy("h100-2", 2, "busy-2")
        wait_until(lambda: free_now(hub, "ada", "gpus/h100/whole/1") == 0, "no GPU is left")
        return hub

    @pytest.fixture(autouse=True)
    def vacate(self, cluster: ClusterThread):
        yield
        cluster.vacate("busy-1")
        cluster.vacate("busy-2")

    def test_a_failed_pod_ends_the_start_at_once(
        self, waiting_hub: RunningHub, cluster: ClusterThread
    ) -> None:
        hub = waiting_hub
        assert hub.start("ada", {"profile": "gpus"}).status_code == 202
        ((pod,),) = [wait_until(lambda: cluster.pods("ada"), "a pod")]
        cluster.fail(pod, "UnexpectedAdmissionError", "Allocate failed due to no healthy devices")
        message = hub.failure("ada")
        assert message.startswith("Spawn failed: ")
        assert "did not start within" not in message
        assert "UnexpectedAdmissionError" not in message
        wait_until(lambda: cluster.pods("ada") == [], "the failed pod is removed")

    @pytest.mark.parametrize("waiting_hub", [7], indirect=True)
    def test_a_wait_that_runs_out_says_what_it_waited_for(
        self, waiting_hub: RunningHub, cluster: ClusterThread
    ) -> None:
        hub = waiting_hub
        assert hub.start("ada", {"profile": "gpus"}).status_code == 202
        message = hub.failure("ada")
        assert "did not start within" in message
        assert "GPU" in message
        wait_until(lambda: cluster.pods("ada") == [], "the pod is removed")
        assert free_now(hub, "ada", "gpus/h100/whole/1") == 0
        metrics = Browser(hub, "admin").get("metrics").text
        counted = [
            line
            for line in metrics.splitlines()
            if "spawn_duration_seconds_count" in line and not line.endswith(" 0.0")
        ]
        assert counted
        assert not [line for line in counted if 'status="error"' in line]
        assert message_on(Browser(hub, "ada").get("spawn").text) == ""
