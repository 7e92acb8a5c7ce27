"""Every way of having a GPU, from the page to a terminal and back: counted down, and counted back.

One server at a time of each kind the demo's fleet offers. Where two choices are served by the same
devices the test says by how much the other one falls.
"""

import urllib.request
from typing import Any

import pytest
from other_process import wait_until
from playwright.sync_api import Page
from running_demo import RunningDemo
from spawn_page import seats_free, start
from test_main_job import in_jupyterlab, stop_server

pytestmark = [pytest.mark.browser, pytest.mark.hosts, pytest.mark.timeout(300)]

MIG_SLICE = "gpu-slice/a100-80gb/mig-1g.10gb/1"
SHARED_T4 = "gpu-slice/t4/replica/1"
H200_BY_CLAIM = "pytorch-research/h200-141gb/whole/2"
MADE_SLICE = "slice-on-demand/b200-180gb/mig-1g.23gb/1"
PART_OF_L40S = "gpu-memory/l40s-48gb/memory-10Gi/1"
WITH_MODEL = "llm-inference/h100-80gb/whole/1"
EXPERIMENTS = "experiments/cpu"


def notebook(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = [one for one in pod["spec"]["containers"] if one["name"] == "notebook"]
    return dict(container)


def claims(demo: RunningDemo) -> list[dict[str, Any]]:
    """List the claims of servers; those of the fleet's tenants stand elsewhere."""
    found: list[dict[str, Any]] = demo.kubectl("get", "resourceclaims", "-n", "gpu-demo")["items"]
    return found


def devices(claim: dict[str, Any]) -> list[str]:
    results = claim["status"]["allocation"]["devices"]["results"]
    return [result["device"] for result in results]


def server(demo: RunningDemo, page: Page, username: str, offer: str) -> dict[str, Any]:
    """Start a choice from the page, work in JupyterLab, and return the pod."""
    start(page, offer)
    in_jupyterlab(page, username)
    (pod,) = demo.pods(username)
    return pod


class TestOneOfEach:
    @pytest.mark.parametrize(
        ("username", "offer"),
        [
            ("mia", MIG_SLICE),
            ("theo", SHARED_T4),
            ("hana", H200_BY_CLAIM),
            ("dina", MADE_SLICE),
            ("luis", PART_OF_L40S),
        ],
    )
    def test_spawned_counted_down_stopped_counted_back(
        self, demo, sign_in, screenshot, username, offer
    ):
        watcher = sign_in("bystander-of-mechanisms")
        before = seats_free(watcher, offer)
        assert before > 1
        page = sign_in(username)

        pod = server(demo, page, username, offer)
        wait_until(lambda: seats_free(watcher, offer) == before - 1, "it is counted down")
        screenshot(page, f"mechanism-{username}")
        limits = notebook(pod)["resources"].get("limits") or {}
        held = claims(demo)
        if offer == MIG_SLICE:
            assert limits["nvidia.com/mig-1g.10gb"] == "1"
        elif offer == SHARED_T4:
            assert limits["nvidia.com/gpu"] == "1"
        else:
            (claim,) = held
            assert claim["metadata"]["ownerReferences"][0]["name"] == pod["metadata"]["name"]
            assert notebook(pod)["resources"]["claims"]
            assert len(devices(claim)) == (2 if offer == H200_BY_CLAIM else 1)
        if offer == PART_OF_L40S:
            (result,) = held[0]["status"]["allocation"]["devices"]["results"]
            assert result["consumedCapacity"] == {"memory": "10Gi"}
        if offer == MADE_SLICE:
            assert "-mig-1g" in devices(held[0])[0]

        stop_server(page, demo, username)
        wait_until(lambda: seats_free(watcher, offer) == before, "it is counted back")
        wait_until(lambda: not claims(demo), "no claim is left", 20)


class TestModelServer:
    def test_a_model_server_answers_beside_the_notebook(self, demo, sign_in, screenshot):
        page = sign_in("nima")
        pod = server(demo, page, "nima", WITH_MODEL)
        statuses = {one["name"]: one for one in pod["status"]["containerStatuses"]}
        screenshot(page, "with-model")

        assert set(statuses) == {"notebook", "nim"}
        assert all(one["ready"] for one in statuses.values())
        (nim,) = [one for one in pod["spec"]["containers"] if one["name"] == "nim"]
        assert nim["resources"]["limits"]["nvidia.com/gpu"] == "1"
        (key,) = [one for one in nim["env"] if one["name"] == "NGC_API_KEY"]
        assert key["valueFrom"]["secretKeyRef"] == {"name": "ngc", "key": "api-key"}
        address = f"http://{pod['status']['podIP']}:8000/v1/models"
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert b"llama" in answer.read()
        stop_server(page, demo, "nima")


class TestExperiments:
    def test_only_the_group_sees_it_and_it_runs_as_its_account(self, demo, sign_in):
        outsider = sign_in("outsider-of-experiments")
        assert outsider.locator(f'input[value="{EXPERIMENTS}"]').count() == 0
        page = sign_in("ada")
        pod = server(demo, page, "ada", EXPERIMENTS)
        assert pod["spec"]["serviceAccountName"] == "gpu-experiments"
        stop_server(page, demo, "ada")
