"""DaemonSets in the simulated cluster: where their pods are, how they change and how they end.

The same holds on a real API server, whose own controller then does the work.
"""

import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from daemon_sets import TOLERATES_GPUS, DaemonSets
from lab_pods import NAMESPACE
from waiting import until

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.cluster import Cluster
from gpu_spawner.sim.daemonsets.api_calls import DaemonApi
from gpu_spawner.sim.daemonsets.template_hash import template_hash
from gpu_spawner.sim.node.processes import start_process
from gpu_spawner.sim.recorder import EventRecorder

Json = dict[str, Any]

ALL = ("cpu-1", "gpu-1", "gpu-2")


@pytest.fixture
def sets(cluster: Cluster) -> DaemonSets:
    return DaemonSets(cluster)


async def label(cluster: Cluster, node: str, **labels: str | None) -> None:
    await cluster.client.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": labels}})


async def taint(cluster: Cluster, node: str, *effects: str) -> None:
    taints = [{"key": "k", "effect": effect} for effect in effects]
    await cluster.client.patch(f"/api/v1/nodes/{node}", {"spec": {"taints": taints or None}})


def images(pods: dict[str, list[Json]]) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for on_node in pods.values() for pod in on_node}


def only(image: str) -> Callable[[dict[str, list[Json]]], bool]:
    """Return a test of whether all pods have this image."""
    return lambda pods: images(pods) == {image}


async def test_one_pod_on_every_node_that_lets_it(sets: DaemonSets) -> None:
    await sets.create(tolerations=TOLERATES_GPUS)
    await sets.wait_on(*ALL)
    found = await sets.wait_status(numberReady=3)
    assert found["status"] == {
        "currentNumberScheduled": 3,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 3,
        "numberReady": 3,
        "observedGeneration": 1,
        "updatedNumberScheduled": 3,
        "numberAvailable": 3,
    }
    kind, text = await sets.wait_event("SuccessfulCreate")
    assert (kind, text.split("-")[0]) == ("Normal", "Created pod: pull")


async def test_taints_keep_new_pods_away_and_end_the_others_only_if_they_say_so(
    cluster: Cluster, sets: DaemonSets
) -> None:
    await sets.create()
    await sets.wait_on("cpu-1")
    await taint(cluster, "cpu-1", "NoSchedule")
    await sets.wait_status(desiredNumberScheduled=0, numberMisscheduled=1)
    await sets.wait_on("cpu-1")
    await taint(cluster, "cpu-1", "NoExecute")
    await sets.wait_on()
    await taint(cluster, "cpu-1")
    await sets.wait_on("cpu-1")
    await sets.wait_status(desiredNumberScheduled=1, numberMisscheduled=0, numberReady=1)


async def test_a_cordoned_node_gets_its_pod_all_the_same(
    cluster: Cluster, sets: DaemonSets
) -> None:
    await cluster.cordon_node("cpu-1")
    await sets.create()
    await sets.wait_on("cpu-1")


async def test_pods_follow_labels(cluster: Cluster, sets: DaemonSets) -> None:
    wanted = {"key": "disk", "operator": "In", "values": ["fast"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    await sets.create(affinity=affinity, tolerations=TOLERATES_GPUS)
    await sets.wait_status(observedGeneration=1, desiredNumberScheduled=0)
    await label(cluster, "gpu-2", disk="fast")
    await sets.wait_on("gpu-2")
    await label(cluster, "gpu-1", disk="fast")
    await sets.wait_on("gpu-1", "gpu-2")
    await label(cluster, "gpu-2", disk=None)
    await sets.wait_on("gpu-1")


@pytest.mark.skipif("GPU_SPAWNER_KUBECONFIG" in os.environ, reason="it collects pods in its time")
async def test_nodes_that_join_and_leave(cluster: Cluster, sets: DaemonSets) -> None:
    await sets.create()
    await sets.wait_on("cpu-1")
    name = await cluster.add_node("cpu")
    await sets.wait_on("cpu-1", name)
    await sets.wait_status(numberReady=2)
    await cluster.lose_node(name)
    # It tolerates that for ever, but is not ready meanwhile; the node takes no new ones.
    await sets.wait_status(desiredNumberScheduled=1, numberMisscheduled=1, numberReady=1)
    await cluster.return_node(name)
    await sets.wait_status(desiredNumberScheduled=2, numberMisscheduled=0, numberReady=2)


async def test_a_new_template_replaces_one_pod_after_the_other(sets: DaemonSets) -> None:
    await sets.create(tolerations=TOLERATES_GPUS)
    before = await sets.wait_on(*ALL)
    await sets.wait_status(numberReady=3)
    # It is never ready, so nothing else may be taken away after the first.
    await sets.set_image("gone:1")
    after = await sets.wait_pods(
        lambda pods: pods.keys() == set(ALL) and images(pods) == {"idle:1", "gone:1"}, "one is new"
    )
    await sets.wait_status(updatedNumberScheduled=1, numberUnavailable=1, observedGeneration=2)
    kept = [node for node in ALL if images({node: after[node]}) == {"idle:1"}]
    assert len(kept) == 2
    assert all(
        after[node][0]["metadata"]["uid"] == before[node][0]["metadata"]["uid"] for node in kept
    )
    # The one that is in the way is replaced at once.
    await sets.set_image("idle:2")
    await sets.wait_status(updatedNumberScheduled=3, numberAvailable=3, observedGeneration=3)
    assert images(await sets.wait_on(*ALL)) == {"idle:2"}
    assert (await sets.wait_event("SuccessfulDelete"))[1].startswith("Deleted pod: pull-")


async def test_revisions_are_kept_and_come_back(sets: DaemonSets) -> None:
    await sets.create(spec={"revisionHistoryLimit": 1})
    await sets.wait_status(numberReady=1)
    for image in ("idle:2", "idle:1", "idle:3"):
        await sets.set_image(image)
        await sets.wait_pods(only(image), image)
        await sets.wait_status(updatedNumberScheduled=1, numberAvailable=1)

    async def is_short() -> bool:
        return [each["revision"] for each in await sets.revisions()] == [3, 4]

    await until(is_short, "the second revision is forgotten, and the first is the third")
    daemon = await sets.get()
    newest = (await sets.revisions())[-1]
    expected = template_hash(daemon["spec"]["template"])
    assert newest["metadata"]["name"] == f"pull-{expected}"
    assert newest["metadata"]["labels"]["controller-revision-hash"] == expected
    assert newest["data"]["spec"]["template"]["$patch"] == "replace"
    assert newest["metadata"]["ownerReferences"][0]["uid"] == daemon["metadata"]["uid"]


async def test_two_templates_of_one_hash_are_told_apart(cluster: Cluster, sets: DaemonSets) -> None:
    made = await sets.create("other", nodeSelector={"nobody": "has-this"})
    expected = template_hash({**made["spec"]["template"], "metadata": {"labels": {"app": "pull"}}})
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/controllerrevisions"
    metadata = {"name": f"pull-{expected}", "namespace": NAMESPACE}
    head = {"apiVersion": "apps/v1", "kind": "ControllerRevision"}
    other = {**head, "metadata": metadata, "data": {"spec": {}}, "revision": 1}
    await cluster.client.create(path, other)
    await sets.create(nodeSelector={"nobody": "has-this"})
    daemon = await sets.wait_status(collisionCount=1, observedGeneration=1)
    names = {each["metadata"]["name"] for each in await sets.revisions()}
    assert f"pull-{template_hash(daemon['spec']['template'], 1)}" in names


async def test_on_delete_waits_for_somebody_to_delete(cluster: Cluster, sets: DaemonSets) -> None:
    await sets.create(spec={"updateStrategy": {"type": "OnDelete"}})
    pods = await sets.wait_on("cpu-1")
    await sets.wait_status(numberReady=1)
    await sets.set_image("idle:2")
    await sets.wait_status(observedGeneration=2, updatedNumberScheduled=0)
    name = pods["cpu-1"][0]["metadata"]["name"]
    await cluster.client.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}")
    await sets.wait_status(updatedNumberScheduled=1)
    assert images(await sets.wait_on("cpu-1")) == {"idle:2"}


async def test_a_surge_keeps_the_old_pod_until_the_new_one_serves(
    cluster: Cluster, sets: DaemonSets
) -> None:
    rolling = {"maxSurge": 1, "maxUnavailable": 0}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    await sets.create(spec={"updateStrategy": strategy})
    await sets.wait_status(numberReady=1)
    await sets.set_image("gone:1")
    await sets.wait_pods(lambda pods: images(pods) == {"idle:1", "gone:1"}, "both are there")
    await sets.wait_status(currentNumberScheduled=1, observedGeneration=2)
    if cluster.server is not None:
        cluster.registry.change("gone:*", missing=False, command=[], size="1M")
        await sets.wait_pods(lambda pods: images(pods) == {"gone:1"}, "the new one is alone")


async def test_failed_pods_are_replaced_and_told_of(cluster: Cluster, sets: DaemonSets) -> None:
    await sets.create()
    pods = await sets.wait_on("cpu-1")
    await sets.wait_status(numberReady=1)
    pod = pods["cpu-1"][0]["metadata"]
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['name']}/status"
    await cluster.client.patch(path, {"status": {"phase": "Failed", "reason": "Evicted"}})
    kind, text = await sets.wait_event("FailedDaemonPod")
    name = f"{NAMESPACE}/{pod['name']}"
    assert kind == "Warning"
    assert text == f"Found failed daemon pod {name} on node cpu-1, will try to kill it"
    again = await sets.wait_pods(
        lambda pods: "cpu-1" in pods and pods["cpu-1"][0]["metadata"]["uid"] != pod["uid"], "anew"
    )
    assert len(again["cpu-1"]) == 1


async def test_pods_that_are_refused_are_told_of_and_tried_again(
    cluster: Cluster, sets: DaemonSets
) -> None:
    quotas = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    await cluster.client.create(quotas, {**quota, "spec": {"hard": {"pods": "0"}}})

    async def counts() -> bool:
        return bool((await cluster.client.get(f"{quotas}/none")).get("status", {}).get("hard"))

    await until(counts, "the quota counts")
    await sets.create()
    kind, text = await sets.wait_event("FailedCreate")
    assert kind == "Warning"
    assert text.startswith('Error creating: pods "pull-')
    assert "exceeded quota: none" in text
    await cluster.client.delete(f"{quotas}/none")
    await sets.wait_on("cpu-1")


async def test_a_pod_counts_once_it_was_ready_for_long_enough(sets: DaemonSets) -> None:
    await sets.create(spec={"minReadySeconds": 3600})
    await sets.wait_status(numberReady=1, numberAvailable=0, numberUnavailable=1)
    await sets.patch({"spec": {"minReadySeconds": 1}})
    await sets.wait_status(numberReady=1, numberAvailable=1, numberUnavailable=0)


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
async def test_a_daemonset_takes_its_pods_along(
    cluster: Cluster, sets: DaemonSets, policy: str
) -> None:
    await sets.create()
    await sets.wait_on("cpu-1")
    await _delete(cluster, policy)
    await sets.wait_on()

    async def is_gone() -> bool:
        there = await cluster.client.get_or_none(f"{sets.path}/pull")
        return there is None and not await sets.revisions()

    await until(is_gone, "it and its history are gone")


async def test_orphans_stay_and_are_taken_in_again(cluster: Cluster, sets: DaemonSets) -> None:
    await sets.create()
    before = (await sets.wait_on("cpu-1"))["cpu-1"][0]["metadata"]
    await _delete(cluster, "Orphan")

    async def is_gone() -> bool:
        return await cluster.client.get_or_none(f"{sets.path}/pull") is None

    await until(is_gone, "it is gone")
    orphan = (await sets.wait_on("cpu-1"))["cpu-1"][0]["metadata"]
    assert orphan["uid"] == before["uid"]
    assert "ownerReferences" not in orphan
    again = await sets.create()
    await sets.wait_status(currentNumberScheduled=1)
    adopted = (await sets.wait_on("cpu-1"))["cpu-1"][0]["metadata"]
    assert adopted["uid"] == before["uid"]
    assert adopted["ownerReferences"][0]["uid"] == again["metadata"]["uid"]


async def test_one_that_is_being_deleted_takes_no_orphan_in(
    cluster: Cluster, sets: DaemonSets
) -> None:
    """Though its controller has not heard of that yet: who belongs to one that goes goes too."""
    await sets.create()
    name = (await sets.wait_on("cpu-1"))["cpu-1"][0]["metadata"]["name"]
    held = {"metadata": {"finalizers": ["orphan", "example.org/held"]}}
    known = await cluster.client.patch(f"{sets.path}/pull", held)
    await cluster.client.delete(f"{sets.path}/pull")
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}"

    async def is_orphan() -> bool:
        return "ownerReferences" not in (await cluster.client.get(path))["metadata"]

    await until(is_orphan, "its pod is let go")
    api = DaemonApi(cluster.client, EventRecorder(cluster.client, "late"))
    with pytest.raises(ClusterError, match="pull has just been deleted"):
        await api.adopt(known, path, await cluster.client.get(path))
    assert await is_orphan()
    # Else the namespace could not go.
    await cluster.client.patch(f"{sets.path}/pull", {"metadata": {"finalizers": None}})


async def test_a_pod_whose_labels_change_is_let_go(cluster: Cluster, sets: DaemonSets) -> None:
    await sets.create()
    before = (await sets.wait_on("cpu-1"))["cpu-1"][0]["metadata"]
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{before['name']}"
    await cluster.client.patch(path, {"metadata": {"labels": {"app": "debugged"}}})
    after = (await sets.wait_on("cpu-1"))["cpu-1"][0]["metadata"]
    assert after["uid"] != before["uid"]
    assert "ownerReferences" not in (await cluster.client.get(path))["metadata"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
async def test_kubectl_follows_a_rollout_and_takes_it_back(
    cluster: Cluster, sets: DaemonSets
) -> None:
    async def kubectl(*words: str) -> str:
        log = cluster.state_dir / f"kubectl-{words[1]}.log"
        process = await start_process(
            ["kubectl", "-n", NAMESPACE, "rollout", *words, "daemonset/pull"],
            env={
                "HOME": str(cluster.state_dir),
                "KUBECONFIG": str(cluster.kubeconfig_path),
                "PATH": os.environ["PATH"],
            },
            cwd=cluster.state_dir,
            log_file=log,
            pid_file=cluster.state_dir / "kubectl.pid",
        )
        assert await process.wait() == 0, log.read_text()
        return log.read_text()

    await sets.create(tolerations=TOLERATES_GPUS)
    assert "successfully rolled out" in await kubectl("status", "--timeout=30s")
    await sets.set_image("idle:2")
    text = await kubectl("status", "--timeout=60s", "--watch")
    assert 'daemon set "pull" successfully rolled out' in text
    assert images(await sets.wait_on(*ALL)) == {"idle:2"}
    assert "1         <none>\n2         <none>" in await kubectl("history", "--revision=0")
    await kubectl("undo", "--to-revision=1")
    await sets.wait_pods(lambda pods: images(pods) == {"idle:1"}, "as before")


async def _delete(cluster: Cluster, policy: str) -> None:
    """Delete the DaemonSet as a client does that says what becomes of its pods."""
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets"
    finalizer = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(policy)
    if finalizer:
        body = {"metadata": {"finalizers": [finalizer]}}
        await cluster.client.patch(f"{path}/pull", body)
    await cluster.client.delete(f"{path}/pull")
