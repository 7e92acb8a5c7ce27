"""Pulls as pods meet them: refused, throttled, slow, one after the other, never."""

import base64
import json
import os
from typing import Any

import pytest
from lab_pods import NAMESPACE, Pods
from waiting import until

from gpu_spawner.sim.cluster import Cluster
from gpu_spawner.sim.image_names import made_up_digest

pytestmark = pytest.mark.skipif(
    "GPU_SPAWNER_KUBECONFIG" in os.environ, reason="images are the simulated nodes' own matter"
)

Json = dict[str, Any]
PREFIX = 'rpc error: code = {} desc = failed to pull and unpack image "docker.io/library/small:1": '
RESOLVE = 'failed to resolve reference "docker.io/library/small:1": '


@pytest.mark.parametrize(
    ("facts", "code", "why"),
    [
        pytest.param(
            {"missing": True}, "NotFound", "docker.io/library/small:1: not found", id="missing"
        ),
        pytest.param(
            {"denied": True},
            "Unknown",
            "pull access denied, repository does not exist or may require authorization: server "
            "message: insufficient_scope: authorization failed",
            id="denied",
        ),
        pytest.param(
            {"login": "ada:secret"},
            "Unknown",
            "pull access denied, repository does not exist or may require authorization: server "
            "message: insufficient_scope: authorization failed",
            id="without credentials",
        ),
        pytest.param(
            {"throttled": True},
            "Unknown",
            "429 Too Many Requests - Server message: toomanyrequests: You have reached your "
            "unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit",
            id="throttled",
        ),
        pytest.param(
            {"unreachable": True},
            "Unknown",
            'failed to do request: Head "https://registry-1.docker.io/v2/library/small/manifests/'
            '1": dial tcp: lookup registry-1.docker.io: no such host',
            id="unreachable",
        ),
    ],
)
async def test_a_pull_that_fails_says_why_and_is_tried_again(
    cluster: Cluster, pods: Pods, facts: Json, code: str, why: str
) -> None:
    cluster.registry.change("small:*", **facts)
    await pods.create("one", "sleep", "600", image="small:1")
    waiting = await pods.wait_waiting("one", "ImagePullBackOff")
    message = waiting["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    start = f'Back-off pulling image "small:1": ErrImagePull: {PREFIX.format(code)}'
    assert message.startswith(start)
    assert message.endswith(why)
    await pods.wait_told("one", "Failed", "Error: ImagePullBackOff")
    events = await pods.events("one")
    reasons = [(reason, text.partition(": rpc")[0]) for reason, text in events]
    assert reasons[:6] == [
        ("Scheduled", f"Successfully assigned {NAMESPACE}/one to cpu-1"),
        ("Pulling", 'Pulling image "small:1"'),
        ("Failed", 'Failed to pull image "small:1"'),
        ("Failed", "Error: ErrImagePull"),
        ("BackOff", 'Back-off pulling image "small:1"'),
        ("Failed", "Error: ImagePullBackOff"),
    ]
    cluster.registry.restore("small:*")
    await pods.wait_phase("one", "Running")
    pulled = await pods.wait_event("one", "Pulled")
    assert pulled.startswith('Successfully pulled image "small:1" in ')
    assert pulled.endswith(" including waiting). Image size: 1000000 bytes.")


async def add_secret(cluster: Cluster, name: str, user: str, password: str) -> None:
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    config = json.dumps({"auths": {"https://index.docker.io/v1/": {"auth": auth}}})
    await cluster.client.create(
        f"/api/v1/namespaces/{NAMESPACE}/secrets",
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(config.encode()).decode()},
        },
    )


async def test_a_pull_secret_opens_an_image_for_those_who_have_it(
    cluster: Cluster, pods: Pods
) -> None:
    cluster.registry.change("small:*", login="ada:secret")
    await add_secret(cluster, "right", "ada", "secret")
    await add_secret(cluster, "wrong", "ada", "guess")

    def having(name: str) -> Json:
        return {"pod": {"imagePullSecrets": [{"name": name}]}, "image": "small:1"}

    await pods.create("wrong", "sleep", "600", **having("wrong"))
    await pods.wait_waiting("wrong", "ImagePullBackOff")
    await pods.create("right", "sleep", "600", **having("right"))
    await pods.wait_phase("right", "Running")
    # The image is on the node now, but only for those who could have pulled it.
    await pods.create("again", "sleep", "600", **having("right"))
    await pods.wait_phase("again", "Running")
    text = 'Container image "small:1" already present on machine and can be accessed by the pod'
    assert await pods.wait_event("again", "Pulled") == text
    await pods.create("none", "sleep", "600", image="small:1", imagePullPolicy="Never")
    await pods.wait_waiting("none", "ErrImageNeverPull")
    await pods.create("late", "sleep", "600", **having("nowhere"))
    assert await pods.wait_event("late", "FailedToRetrieveImagePullSecret") == (
        "Unable to retrieve some image pull secrets (nowhere); attempting to pull the image may "
        "not succeed."
    )


async def test_never_means_never(pods: Pods) -> None:
    await pods.create("one", "sleep", "600", image="small:1", imagePullPolicy="Never")
    waiting = await pods.wait_waiting("one", "ErrImageNeverPull")
    text = 'Container image "small:1" is not present with pull policy of Never'
    status = waiting["status"]["containerStatuses"][0]
    assert status["state"]["waiting"]["message"] == text
    await pods.wait_told("one", "ErrImageNeverPull", text)
    await pods.wait_told("one", "Failed", "Error: ErrImageNeverPull")


async def test_a_tag_that_moves_moves_only_for_those_who_always_ask(
    cluster: Cluster, pods: Pods
) -> None:
    await pods.create("one", "sleep", "600", image="small:1")
    first = (await pods.wait_phase("one", "Running"))["status"]["containerStatuses"][0]["imageID"]
    assert first == f"docker.io/library/small@{made_up_digest('docker.io/library/small:1')}"
    moved = f"sha256:{'1' * 64}"
    cluster.registry.change("small:*", digest=moved)
    await pods.create("lazy", "sleep", "600", image="small:1")
    lazy = await pods.wait_phase("lazy", "Running")
    assert lazy["status"]["containerStatuses"][0]["imageID"] == first
    await pods.create("keen", "sleep", "600", image="small:1", imagePullPolicy="Always")
    keen = await pods.wait_phase("keen", "Running")
    assert keen["status"]["containerStatuses"][0]["imageID"].endswith(moved)

    async def says() -> bool:
        node = await cluster.client.get("/api/v1/nodes/cpu-1")
        names = [each["names"] for each in node["status"]["images"]]
        return [first] in names and [
            f"docker.io/library/small@{moved}",
            "docker.io/library/small:1",
        ] in names

    await until(says, "the old image has lost its tag")


async def test_image_volumes_are_had_before_containers_start(cluster: Cluster, pods: Pods) -> None:
    mount = {"name": "data", "mountPath": "/data"}
    volume = {"name": "data", "image": {"reference": "gone:1", "pullPolicy": "IfNotPresent"}}
    await pods.create("one", "sleep", "600", volumeMounts=[mount], pod={"volumes": [volume]})
    await pods.wait_waiting("one", "ImagePullBackOff")
    # The container's own image was not even looked at.
    assert not [text for reason, text in await pods.events("one") if reason == "Pulled"]
    cluster.registry.change("gone:*", missing=False, size="1M")
    await pods.wait_phase("one", "Running")
    await pods.wait_event("one", "Started")
    pulled = [text for reason, text in await pods.events("one") if reason == "Pulled"]
    assert pulled[0].startswith('Successfully pulled image "gone:1"')
    assert pulled[1].startswith('Container image "there:1" already present')


async def test_images_without_programs_run_what_they_have_and_what_is_mounted(
    cluster: Cluster, pods: Pods
) -> None:
    cluster.registry.change("small:*", shell=False)
    await pods.create("shell", "/bin/sh", "-c", "true", image="small:1")
    failed = await pods.wait(
        "shell",
        lambda pod: pod["status"].get("containerStatuses", [{}])[0].get("lastState"),
        "has failed",
    )
    ended = failed["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert ended["message"].endswith(
        'exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown'
    )
    await pods.wait_waiting("shell", "CrashLoopBackOff")
    once = {"restartPolicy": "Never"}
    await pods.create("once", "sleep", "1", image="small:1", pod=once)
    stopped = await pods.wait_phase("once", "Failed")
    state = stopped["status"]["containerStatuses"][0]["state"]["terminated"]
    assert state["message"].endswith('exec: "sleep": executable file not found in $PATH: unknown')


async def test_images_of_one_pod_are_pulled_one_after_the_other(
    cluster: Cluster, pods: Pods
) -> None:
    cluster.registry.change("*", size="2M")
    other = {"name": "other", "image": "second:1", "command": ["sleep", "600"]}
    main = {"name": "main", "image": "first:1", "command": ["sleep", "600"]}
    await pods.create("one", pod={"containers": [main, other]})
    await pods.wait_phase("one", "Running")
    await pods.wait_told("one", "Started", times=2)
    order = [text for reason, text in await pods.events("one") if reason in ("Pulling", "Pulled")]
    words = [text.split('"')[0].split()[0] + text.split('"')[1] for text in order]
    assert words == ["Pullingfirst:1", "Successfullyfirst:1", "Pullingsecond:1", words[-1]]
