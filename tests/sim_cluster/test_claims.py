"""Device claims in the simulated cluster: from a template to devices in a container, and back."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from lab_pods import NAMESPACE, Json, Pods
from waiting import until

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.cluster import Cluster
from gpu_spawner.sim.fleet import Fleet, parse_fleet
from gpu_spawner.sim.node import pod_worker
from gpu_spawner.sim.pod_claims import claims_path

FLEET = """
images:
  "idle:*": {command: []}
nodes:
  - name: whole
    cpu: 16
    memory: 64Gi
    gpu: &gpu
      product: NVIDIA-H200
      family: hopper
      compute: "9.0"
      count: 2
      memory_mib: 143771
      device_plugin: false
      dra: whole
    images: ["there:1", "idle:1"]
  - name: cut
    cpu: 16
    memory: 64Gi
    gpu: {<<: *gpu, product: NVIDIA-B200, count: 1, memory_mib: 183359, dra: dynamic-mig,
          mig_profiles: [1g.23gb, 3g.90gb]}
    images: ["there:1", "idle:1"]
  - name: shared
    cpu: 16
    memory: 64Gi
    gpu: {<<: *gpu, product: NVIDIA-L40S, count: 1, memory_mib: 46068, dra: memory-shares}
    images: ["there:1", "idle:1"]
"""
FOREVER = ("sleep", "600")
TEMPLATES = f"/apis/resource.k8s.io/v1/namespaces/{NAMESPACE}/resourceclaimtemplates"


@pytest.fixture
def fleet() -> Fleet:
    return parse_fleet(FLEET, source="claims fleet")


@pytest.fixture
def claims(cluster: Cluster, pods: Pods) -> "Claims":
    return Claims(cluster, pods)


class Claims:
    """Claims of the namespace, and pods that have them."""

    def __init__(self, cluster: Cluster, pods: Pods) -> None:
        self.cluster = cluster
        self.client = cluster.client
        self.pods = pods

    async def template(self, name: str, model: str, **wish: Any) -> None:
        """Create a template for devices of one model; keys of ``wish`` go into its request."""
        of_model = f'device.attributes["gpu.nvidia.com"].productName == "NVIDIA {model}"'
        exactly = {
            "deviceClassName": "gpu.nvidia.com",
            "selectors": [{"cel": {"expression": of_model}}],
            **wish,
        }
        body = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaimTemplate",
            "metadata": {"name": name},
            "spec": {
                "metadata": {"labels": {"made-of": name}, "annotations": {"note": "kept"}},
                "spec": {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}},
            },
        }
        await self.client.create(TEMPLATES, body)

    async def pod(self, name: str, template: str, *command: str, **more: Any) -> None:
        pod = {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": template}]}
        await self.pods.create(
            name,
            *command,
            resources={"claims": [{"name": "gpu"}]},
            pod={**pod, **more.pop("pod", {})},
            **more,
        )

    async def stubborn(self, name: str, template: str) -> int:
        """Create a pod that ends only when its process is killed, and return the process' id."""
        script = 'trap "" TERM; echo $$$$; while :; do sleep 0.1; done'
        spec = {"terminationGracePeriodSeconds": 60}
        await self.pod(name, template, "sh", "-c", script, pod=spec)
        await self.pods.wait_phase(name, "Running")
        return int(await self.log(name))

    async def all(self) -> list[Json]:
        found: list[Json] = (await self.client.get(claims_path(NAMESPACE)))["items"]
        return found

    async def of(self, pod_name: str) -> Json:
        """Return the one claim that was made for a pod."""
        (claim,) = [
            each
            for each in await self.all()
            if each["metadata"]["ownerReferences"][0]["name"] == pod_name
        ]
        return claim

    async def devices(self, pod_name: str) -> list[str]:
        """Return the devices a pod's claim holds."""
        allocation = (await self.of(pod_name))["status"]["allocation"]
        return [result["device"] for result in allocation["devices"]["results"]]

    async def wait_none(self) -> None:
        async def are_gone() -> bool:
            return not await self.all()

        await until(are_gone, "no claim is left")

    async def log(self, pod_name: str) -> str:
        """Return what a pod has printed, once it has printed something."""
        path = self.cluster.kubelet.log_file(NAMESPACE, pod_name, "main")
        assert path is not None
        await until(lambda: path.exists() and path.read_text(), f"{pod_name} prints")
        return path.read_text()


async def test_a_pod_sees_the_device_it_claimed_and_gives_it_back(claims: Claims) -> None:
    await claims.template("one", "H200")
    await claims.pod("a", "one", "sh", "-c", "nvidia-smi -L; sleep 600")
    pod = await claims.pods.wait_phase("a", "Running")
    claim = await claims.of("a")
    metadata = claim["metadata"]
    assert pod["status"]["resourceClaimStatuses"] == [
        {"name": "gpu", "resourceClaimName": metadata["name"]}
    ]
    assert metadata["name"].startswith("a-gpu-")
    assert metadata["labels"] == {"made-of": "one"}
    assert metadata["annotations"] == {
        "note": "kept",
        "resource.kubernetes.io/pod-claim-name": "gpu",
    }
    assert metadata["finalizers"] == ["resource.kubernetes.io/delete-protection"]
    assert claim["status"]["reservedFor"] == [
        {"resource": "pods", "name": "a", "uid": pod["metadata"]["uid"]}
    ]
    (status,) = pod["status"]["containerStatuses"]
    (shown,) = status["allocatedResourcesStatus"]
    assert shown["name"] == "claim:gpu"
    (slices,) = (
        await claims.client.get(
            "/apis/resource.k8s.io/v1/resourceslices", fieldSelector="spec.nodeName=whole-1"
        )
    )["items"]
    uuid = slices["spec"]["devices"][0]["attributes"]["uuid"]["string"]
    assert await claims.log("a") == f"GPU 0: NVIDIA H200 (UUID: {uuid}) (simulated)\n"
    await claims.pods.delete("a")
    await claims.pods.wait_gone("a")
    await claims.wait_none()


async def test_a_finished_pod_gives_its_device_back_though_it_stays(claims: Claims) -> None:
    await claims.template("both", "H200", count=2)
    await claims.pod("a", "both", "true", pod={"restartPolicy": "Never"})
    await claims.pods.wait_phase("a", "Succeeded")
    await claims.wait_none()
    await claims.pod("b", "both", *FOREVER)
    await claims.pods.wait_phase("b", "Running")
    assert await claims.devices("b") == ["gpu-0", "gpu-1"]


async def test_two_pods_never_get_the_same_device_and_one_that_waits_is_told_why(
    claims: Claims,
) -> None:
    await claims.template("one", "H200")
    names = ["a", "b", "c"]
    await asyncio.gather(*(claims.pod(name, "one", image="idle:1") for name in names))
    running: list[str] = []

    async def two_run() -> bool:
        found = {name: await claims.pods.get(name) for name in names}
        running[:] = [
            name for name, pod in found.items() if pod and pod["status"]["phase"] == "Running"
        ]
        return len(running) == 2

    await until(two_run, "two of three pods run")
    held = [device for name in running for device in await claims.devices(name)]
    assert sorted(held) == ["gpu-0", "gpu-1"]
    (waiting,) = set(names) - set(running)
    assert await claims.pods.wait_event(waiting, "FailedScheduling") == (
        "0/3 nodes are available: 3 cannot allocate all claims. still not schedulable, "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )
    await claims.pods.delete(running[0])
    await claims.pods.wait_phase(waiting, "Running")


async def test_a_pod_that_is_ending_keeps_its_device(claims: Claims) -> None:
    await claims.template("both", "H200", count=2)
    pid = await claims.stubborn("a", "both")
    await claims.pod("b", "both", image="idle:1")
    await claims.pods.wait_event("b", "FailedScheduling")
    await claims.pods.delete("a")
    ending = await claims.of("a")
    assert ending["status"]["allocation"]
    assert "deletionTimestamp" not in ending["metadata"]
    os.kill(pid, signal.SIGKILL)
    await claims.pods.wait_phase("b", "Running")
    assert await claims.pods.get("a") is None


@pytest.fixture
def lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give those who are deleted by force so long that another pod is there before they are over.

    In truth it is a second.
    """
    monkeypatch.setattr(pod_worker, "_LEAST_GRACE_SECONDS", 60)


@pytest.mark.usefixtures("lingering")
async def test_a_device_of_a_pod_deleted_by_force_is_ready_for_others_only_later(
    claims: Claims,
) -> None:
    await claims.template("both", "H200", count=2)
    pid = await claims.stubborn("a", "both")
    uid = (await claims.of("a"))["metadata"]["uid"]
    await claims.pods.delete("a", grace_seconds=0)
    await claims.pods.wait_gone("a")
    await claims.pod("b", "both", image="idle:1")
    message = await claims.pods.wait_event("b", "FailedPrepareDynamicResources")
    claim = (await claims.of("b"))["metadata"]
    assert message == (
        "Failed to prepare dynamic resources: prepare dynamic resources: NodePrepareResources "
        f"failed for ResourceClaim {claim['name']}: error preparing devices for claim "
        f"{NAMESPACE}/{claim['name']}:{claim['uid']}: unable to prepare claim {claim['uid']}: "
        f"requested device gpu-0 is already allocated to different claim {uid}"
    )
    await claims.pods.wait_waiting("b", "ContainerCreating")
    os.kill(pid, signal.SIGKILL)
    await claims.pods.wait_phase("b", "Running")


async def test_slices_cut_on_demand_exclude_the_whole_and_each_other(claims: Claims) -> None:
    profile = 'device.attributes["gpu.nvidia.com"].profile == '
    for name, size in (("small", "1g.23gb"), ("large", "3g.90gb")):
        selectors = [{"cel": {"expression": f'{profile}"{size}"'}}]
        await claims.template(name, "B200", deviceClassName="mig.nvidia.com", selectors=selectors)
    await claims.template("whole", "B200")
    await claims.pod("a", "large", "sh", "-c", "nvidia-smi -L; sleep 600")
    await claims.pods.wait_phase("a", "Running")
    assert (await claims.log("a")).startswith("GPU 0: NVIDIA B200 MIG 3g.90gb (UUID: MIG-")
    await claims.pod("b", "whole", image="idle:1")
    await claims.pods.wait_event("b", "FailedScheduling")
    await asyncio.gather(*(claims.pod(f"s{n}", "small", image="idle:1") for n in range(4)))
    names = [f"s{number}" for number in range(4)]
    looked_at = [await claims.pods.wait(name, _scheduled, "looked at") for name in names]
    running = [pod["metadata"]["name"] for pod in looked_at if _scheduled(pod) == "True"]
    # Three of seven compute slices and four of eight memory slices are taken.
    assert len(running) == 3
    assert len({device for name in running for device in await claims.devices(name)}) == 3


def _scheduled(pod: Json) -> str:
    """Return the status of the condition PodScheduled, empty while there is none."""
    conditions = pod["status"].get("conditions") or ()
    return next((each["status"] for each in conditions if each["type"] == "PodScheduled"), "")


async def test_claims_share_a_gpu_as_far_as_its_memory_goes(claims: Claims) -> None:
    await claims.template("third", "L40S", capacity={"requests": {"memory": "15000Mi"}})
    for name in "abcd":
        await claims.pod(name, "third", image="idle:1")
    for name in "abc":
        await claims.pods.wait_phase(name, "Running")
    results = [
        (await claims.of(name))["status"]["allocation"]["devices"]["results"][0] for name in "abc"
    ]
    assert {result["device"] for result in results} == {"gpu-0"}
    assert {result["consumedCapacity"]["memory"] for result in results} == {"15000Mi"}
    assert len({result["shareID"] for result in results}) == 3
    await claims.pods.wait_event("d", "FailedScheduling")
    await claims.pods.delete("b")
    await claims.pods.wait_phase("d", "Running")


async def test_an_extended_resource_is_had_as_a_device(claims: Claims) -> None:
    await claims.pods.create("a", "sh", "-c", "nvidia-smi -L; sleep 600", gpus=1)
    pod = await claims.pods.wait_phase("a", "Running")
    noted = pod["status"]["extendedResourceClaimStatus"]
    claim = await claims.of("a")
    assert noted == {
        "resourceClaimName": claim["metadata"]["name"],
        "requestMappings": [
            {
                "containerName": "main",
                "resourceName": "nvidia.com/gpu",
                "requestName": "container-0-request-0",
            }
        ],
    }
    assert claim["metadata"]["name"].startswith("a-extended-resources-")
    assert claim["metadata"]["annotations"] == {
        "resource.kubernetes.io/extended-resource-claim": "true"
    }
    assert (await claims.log("a")).count("UUID: GPU-") == 1
    await claims.pods.delete("a")
    await claims.wait_none()


async def test_a_missing_template_is_told_on_the_pod_and_helps_when_it_comes(
    claims: Claims,
) -> None:
    await claims.pod("a", "late", image="idle:1")
    message = await claims.pods.wait_event("a", "FailedResourceClaimCreation")
    assert message == (
        'PodResourceClaim gpu: resource claim template "late": '
        'resourceclaimtemplate.resource.k8s.io "late" not found'
    )
    # One that came later has passed the scheduler, so the other one was looked at as well.
    await claims.pods.create("later", image="idle:1")
    await claims.pods.wait_phase("later", "Running")
    assert not [kind for kind, _ in await claims.pods.events("a") if kind == "FailedScheduling"]
    await claims.template("late", "H200")
    await claims.pods.wait_phase("a", "Running")


async def test_pods_that_name_one_claim_share_its_device_until_the_last_is_gone(
    claims: Claims,
) -> None:
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}
    body = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "ours"},
        "spec": {"devices": {"requests": [request]}},
    }
    names = {"resourceClaims": [{"name": "gpu", "resourceClaimName": "ours"}]}
    for name in "ab":
        await claims.pods.create(
            name, image="idle:1", resources={"claims": [{"name": "gpu"}]}, pod=names
        )
    # The claim that is missing is waited for without a word.
    await claims.client.create(claims_path(NAMESPACE), body)
    bound = [(await claims.pods.wait_phase(name, "Running"))["spec"]["nodeName"] for name in "ab"]
    assert len(set(bound)) == 1
    path = claims_path(NAMESPACE, "ours")
    assert len((await claims.client.get(path))["status"]["reservedFor"]) == 2
    await claims.pods.delete("a")
    await claims.pods.wait_gone("a")
    await until(lambda: _users(claims, path, 1), "one user is left")
    await claims.pods.delete("b")

    async def is_unused() -> bool:
        left = await claims.client.get(path)
        return not left.get("status") and "finalizers" not in left["metadata"]

    await until(is_unused, "nobody uses it")


async def _users(claims: Claims, path: str, count: int) -> bool:
    status = (await claims.client.get(path)).get("status") or {}
    return len(status.get("reservedFor") or ()) == count


async def test_devices_stay_prepared_while_the_kubelet_is_away(
    cluster: Cluster, claims: Claims
) -> None:
    await claims.template("one", "H200")
    await claims.pod("a", "one", *FOREVER)
    await claims.pods.wait_phase("a", "Running")
    before = await claims.devices("a")
    await cluster.stop_kubelet()
    kept = json.loads((cluster.state_dir / "dra" / "whole-1.json").read_text(encoding="utf-8"))
    assert [device["name"] for device in kept[0]["devices"]] == before
    await cluster.start_kubelet()
    await claims.pod("b", "one", *FOREVER)
    await claims.pods.wait_phase("b", "Running")
    assert await claims.devices("b") != before
    await claims.pods.delete("a")
    await claims.pods.wait_gone("a")
    kept = json.loads((cluster.state_dir / "dra" / "whole-1.json").read_text(encoding="utf-8"))
    assert len(kept) == 1


async def test_a_pod_gone_while_the_kubelet_was_away_leaves_its_device_free(
    cluster: Cluster, claims: Claims
) -> None:
    await claims.template("both", "H200", count=2)
    await claims.pod("a", "both", *FOREVER)
    await claims.pods.wait_phase("a", "Running")
    await cluster.stop_kubelet()
    await claims.pods.delete("a", grace_seconds=0)
    await claims.wait_none()
    await cluster.start_kubelet()
    await claims.pod("b", "both", *FOREVER)
    await claims.pods.wait_phase("b", "Running")


async def test_a_broken_gpu_gets_no_more_claims(cluster: Cluster, claims: Claims) -> None:
    await claims.template("one", "H200")
    await cluster.kubelet.break_gpu("whole-1", 0, 79)
    await claims.pod("a", "one", image="idle:1")
    await claims.pods.wait_phase("a", "Running")
    assert await claims.devices("a") == ["gpu-1"]


@pytest.mark.usefixtures("lingering")
async def test_a_pod_on_a_node_that_is_gone_can_be_deleted(
    cluster: Cluster, claims: Claims
) -> None:
    await claims.template("both", "H200", count=2)
    await claims.stubborn("a", "both")
    await claims.pods.delete("a", grace_seconds=0)
    await claims.pod("b", "both", image="idle:1")
    await claims.pods.wait_event("b", "FailedPrepareDynamicResources")
    await cluster.client.delete("/api/v1/nodes/whole-1")

    async def no_slices() -> bool:
        found = await claims.client.get(
            "/apis/resource.k8s.io/v1/resourceslices", fieldSelector="spec.nodeName=whole-1"
        )
        return not found["items"]

    await until(no_slices, "the node's slices are gone")
    await claims.pods.delete("b")
    await claims.pods.wait_gone("b")
    await claims.wait_none()


async def test_slices_deleted_by_hand_come_back(claims: Claims) -> None:
    path = "/apis/resource.k8s.io/v1/resourceslices"
    before = (await claims.client.get(path))["items"]
    for each in before:
        await claims.client.delete(f"{path}/{each['metadata']['name']}")

    async def are_back() -> bool:
        found = (await claims.client.get(path))["items"]
        return len(found) == len(before)

    await until(are_back, "the slices are back")


async def test_an_exhausted_quota_is_told_on_the_pod(claims: Claims) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "gpus"},
        "spec": {
            "hard": {
                "requests.nvidia.com/gpu": "2",
                "gpu.nvidia.com.deviceclass.resource.k8s.io/devices": "3",
            }
        },
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"
    await claims.client.create(path, quota)
    await claims.template("both", "H200", count=2)
    await claims.pods.create("a", image="idle:1", gpus=1)
    await claims.pods.wait_phase("a", "Running")
    # The claim made for the pod is not charged a second time.
    used = (await claims.client.get(f"{path}/gpus"))["status"]["used"]
    assert used == {
        "requests.nvidia.com/gpu": "1",
        "gpu.nvidia.com.deviceclass.resource.k8s.io/devices": "1",
    }
    await claims.pod("b", "both", image="idle:1")
    message = await claims.pods.wait_event("b", "FailedResourceClaimCreation")
    assert "exceeded quota: gpus, requested: requests.nvidia.com/gpu=2" in message


async def test_a_scheduler_that_loses_a_race_takes_back_what_it_wrote(claims: Claims) -> None:
    """A claim that somebody else allocates between decision and writing goes to them."""
    await claims.template("one", "H200")
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}
    body = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "raced"},
        "spec": {"devices": {"requests": [request]}},
    }
    made = await claims.client.create(claims_path(NAMESPACE), body)
    result = {
        "request": "gpu",
        "driver": "gpu.nvidia.com",
        "pool": "whole-1",
        "device": "gpu-1",
    }
    # Without a date the real scheduler could not reserve it: it would try to add one.
    allocation = {"devices": {"results": [result]}, "allocationTimestamp": "2026-01-01T00:00:00Z"}
    status = {"allocation": allocation}
    both = {
        "resourceClaims": [
            {"name": "gpu", "resourceClaimTemplateName": "one"},
            {"name": "second", "resourceClaimName": "raced"},
        ]
    }
    writing = claims.client.replace(
        f"{claims_path(NAMESPACE, 'raced')}/status", {**made, "status": status}
    )
    creating = claims.pods.create(
        "a", image="idle:1", resources={"claims": [{"name": "gpu"}, {"name": "second"}]}, pod=both
    )
    outcomes = await asyncio.gather(creating, writing, return_exceptions=True)
    assert not isinstance(outcomes[0], BaseException)
    # Whoever was first: the pod runs with two different devices.
    assert isinstance(outcomes[1], dict | ClusterError)
    await claims.pods.wait_phase("a", "Running")
    raced = await claims.client.get(claims_path(NAMESPACE, "raced"))
    own = [each for each in await claims.all() if each["metadata"]["name"] != "raced"]
    devices = [
        (found["pool"], found["device"])
        for claim in [raced, *own]
        for found in claim["status"]["allocation"]["devices"]["results"]
    ]
    assert len(set(devices)) == 2


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
async def test_kubectl_describes_a_claim(cluster: Cluster, claims: Claims) -> None:
    await claims.template("one", "H200")
    await claims.pod("a", "one", *FOREVER)
    await claims.pods.wait_phase("a", "Running")
    name = (await claims.of("a"))["metadata"]["name"]
    described = await _kubectl(cluster.kubeconfig_path, "describe", "resourceclaim", name)
    assert "gpu-0" in described
    assert "Reserved For" in described
    listed = await _kubectl(cluster.kubeconfig_path, "get", "resourceclaim,resourceslice")
    assert f"resourceclaim.resource.k8s.io/{name}" in listed
    assert "allocated,reserved" in listed


async def _kubectl(kubeconfig: Path, *arguments: str) -> str:
    command = ["kubectl", "--kubeconfig", str(kubeconfig), "-n", NAMESPACE, *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout
