"""Form, link and REST are three ways to the same server."""

from typing import Any

import pytest
from cluster_thread import ClusterThread
from other_process import wait_until
from running_hub import Browser, RunningHub

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]

OPTIONS = {"profile": "gpus", "flavor": "h100", "share": "whole", "count": 2, "image": "torch-old"}


def essence(pod: dict[str, Any]) -> dict[str, Any]:
    """Take from a pod all that a choice decides, without what differs from start to start."""
    spec = pod["spec"]
    (container,) = spec["containers"]
    return {
        "image": container["image"],
        "resources": container["resources"],
        "environment": {
            variable["name"]: variable.get("value")
            for variable in container["env"]
            if variable["name"].startswith(("GPU_SPAWNER", "NVIDIA"))
        },
        "mounts": [mount for mount in container.get("volumeMounts", []) if "shm" in mount["name"]],
        "volumes": [volume for volume in spec.get("volumes", []) if "shm" in volume["name"]],
        "labels": {
            key: value for key, value in pod["metadata"]["labels"].items() if "gpu-spawner" in key
        },
        "tolerations": spec.get("tolerations", []),
        # What steers, and never refuses, depends on which nodes have the image by now.
        "affinity": (spec.get("affinity") or {})
        .get("nodeAffinity", {})
        .get("requiredDuringSchedulingIgnoredDuringExecution"),
    }


class TestSameServer:
    def test_form_link_and_rest(self, hub: RunningHub, cluster: ClusterThread, user: str) -> None:
        browser = Browser(hub, user)
        link = "&".join(f"opt-{name}={value}" for name, value in OPTIONS.items())
        fields = {"offer": "gpus/h100/whole/2", "profile-option-gpus--image": "torch-old"}
        ways = {
            "form": lambda: browser.post_form(fields),
            "files": lambda: browser.post_form(fields, files={"unrelated": b""}),
            "link": lambda: browser.get(f"spawn?{link}", allow_redirects=False),
            "REST": lambda: hub.start(user, OPTIONS),
            "REST, texts": lambda: hub.start(user, {**OPTIONS, "count": "2"}),
            "REST, again": lambda: hub.start(user),
        }
        made = {}
        for way, start in ways.items():
            answer = start()
            assert answer.status_code in (201, 202, 302), f"{way}: {answer.text}"
            ((pod,),) = [wait_until(lambda: cluster.pods(user), f"a pod by {way}")]
            made[way] = essence(pod)
            assert hub.user(user)["servers"][""]["user_options"] == OPTIONS
            hub.stop(user)
            assert cluster.pods(user) == []
        first = made["form"]
        assert first["image"] == "example.org/torch:0"
        assert first["resources"]["limits"]["nvidia.com/gpu"] == "2"
        assert next(t["key"] for t in first["tolerations"] if t["operator"] == "Exists") == (
            "nvidia.com/gpu"
        )
        assert all(one == first for one in made.values())

    def test_a_gpu_does_not_leak_into_the_next_server(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        assert hub.start(user, {"profile": "gpus"}).status_code in (201, 202)
        hub.stop(user)
        assert hub.start(user, {"profile": "cpu"}).status_code in (201, 202)
        ((pod,),) = [wait_until(lambda: cluster.pods(user), "a pod")]
        made = essence(pod)
        assert "nvidia.com/gpu" not in made["resources"].get("limits", {})
        assert "nvidia.com/gpu" not in [t.get("key") for t in made["tolerations"]]
        assert made["environment"]["NVIDIA_VISIBLE_DEVICES"] == "void"
        assert not made["volumes"]

    def test_no_options_start_the_default(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        assert hub.start(user).status_code in (201, 202)
        ((pod,),) = [wait_until(lambda: cluster.pods(user), "a pod")]
        assert pod["metadata"]["labels"]["gpu-spawner.jupyter.org/profile"] == "cpu"

    def test_a_named_server(self, hub: RunningHub, cluster: ClusterThread, user: str) -> None:
        browser = Browser(hub, user)
        answer = browser.post_form({"offer": "gpus/h100/whole/1"}, path=f"spawn/{user}/training")
        assert answer.status_code == 302, answer.text
        ((pod,),) = [wait_until(lambda: cluster.pods(user), "a pod")]
        assert pod["metadata"]["annotations"]["hub.jupyter.org/servername"] == "training"
        servers = hub.user(user)["servers"]
        assert servers["training"]["user_options"]["profile"] == "gpus"

    def test_an_administrator_for_somebody_else(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        admin = Browser(hub, "admin")
        page = admin.get(f"spawn/{user}").text
        assert f"user={user}&amp;" in page
        answer = admin.post_form({"offer": "cpu/cpu"}, path=f"spawn/{user}")
        assert answer.status_code == 302, answer.text
        assert wait_until(lambda: cluster.pods(user), "a pod")


class TestProgress:
    def test_it_speaks_sentences(self, hub: RunningHub, user: str) -> None:
        hub.start(user, {"profile": "gpus"})
        with hub.progress(user) as events:
            steps = list(events)
        assert steps[-1]["ready"]
        told = [step for step in steps if "raw_event" in step]
        for step in told:
            assert "[Normal]" not in step["message"]
            assert step["raw_event"]["message"] in step["html_message"].replace("&#34;", '"')
