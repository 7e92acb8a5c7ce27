"""What is said about GPUs: claims, shared cards, queues, kubelets. Each with what to do next."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.diagnosis.device_words import WAITS
from gpu_spawner.core.diagnosis.pod_diagnosis import Category, Diagnosis, diagnose
from gpu_spawner.core.diagnosis.unschedulable import explain_unschedulable

PREEMPTION = (
    " still not schedulable, preemption: 0/3 nodes are available:"
    " 3 Preemption is not helpful for scheduling."
)


def waiting_pod(message: str = "", reason: str = "Unschedulable", **spec: Any) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return {
        "metadata": {"name": "jupyter-x", "uid": "u"},
        "spec": {"containers": [{"name": "notebook"}], **spec},
        "status": {"phase": "Pending", "conditions": [condition]},
    }


def event(reason: str, message: str) -> dict[str, Any]:
    return {"reason": reason, "message": message, "involvedObject": {"uid": "u"}}


@pytest.mark.parametrize(
    ("message", "summary", "detail", "does_more"),
    [
        (
            "0/3 nodes are available: 3 cannot allocate all claims." + PREEMPTION,
            "Waiting for a GPU that matches to become free.",
            "Of 3 nodes, 3 have no free GPU that matches.",
            False,
        ),
        (
            "0/3 nodes are available: 3 request gpu: device class gpu.nvidia.com does not exist."
            + PREEMPTION,
            "Waiting: the cluster has no driver for the GPU that was chosen.",
            "Of 3 nodes, 3 know no such kind of device.",
            True,
        ),
        (
            "running PreFilter plugin: request gpu: device class x does not exist",
            "Waiting: the cluster has no driver for the GPU that was chosen.",
            "running PreFilter plugin: request gpu: device class x does not exist",
            True,
        ),
        (
            "0/1 nodes are available: 1 invalid resource pools were encountered.",
            "Waiting: a GPU driver says contradictory things about its devices.",
            "Of 1 node, 1 has a GPU driver that contradicts itself.",
            True,
        ),
        (
            '0/2 nodes are available: resourceclaim "x-gpu-1" is being deleted.',
            "Waiting: the claim of an earlier server is being deleted.",
            'resourceclaim "x-gpu-1" is being deleted',
            True,
        ),
        (
            "0/2 nodes are available: resource claim hub/x is in the process of being allocated.",
            "Waiting: the claim for the GPU is in use for a moment; the cluster tries again.",
            "resource claim hub/x is in the process of being allocated",
            False,
        ),
        (
            "0/2 nodes are available: 2 resourceclaim not available on the node.",
            "Waiting: the GPU the server was given is on a node that has no room.",
            "Of 2 nodes, 2 do not have the GPU that the server's claim holds.",
            True,
        ),
        (
            (
                "0/4 nodes are available: 1 2/2 CardInsufficientMemory, 1 1/4 CardCordoned,"
                " 2/4 CardInsufficientMemory, 2 node unregistered. preemption: 0/4 nodes are"
                " available: 4 No preemption victims found for incoming pod."
            ),
            "Waiting for a GPU with enough memory left.",
            (
                "Of 4 nodes, 1 has no GPU with enough memory left, 1 has GPUs that are"
                " broken or put"
                " aside and 2 do not share their GPUs."
            ),
            True,
        ),
        (
            "0/2 nodes are unavailable: 2 not enough gpu fitted on this node.",
            "Waiting for a GPU with enough memory left.",
            "Of 2 nodes, 2 have no GPU with enough memory left.",
            True,
        ),
        (
            (
                "no nodes with enough resources were found: 2 node(s) didn't have enough resources:"
                " GPUs."
            ),
            "Waiting for a GPU that can be shared further.",
            (
                "no nodes with enough resources were found: 2 node(s) didn't have enough resources:"
                " GPUs"
            ),
            True,
        ),
        (
            (
                "Non-preemptible workload is over quota. Workload requested 0.5 GPUs, but research"
                " quota is 2 GPUs, while 2 GPUs are already allocated for non-preemptible pods."
            ),
            "Waiting: the quota for GPUs is used up.",
            (
                "Non-preemptible workload is over quota. Workload requested 0.5 GPUs, but research"
                " quota is 2 GPUs, while 2 GPUs are alre"
            ),
            True,
        ),
        (
            "research quota has reached the allowable limit of GPUs. Limit is 2 GPUs",
            "Waiting: the quota for GPUs is used up.",
            "research quota has reached the allowable limit of GPUs. Limit is 2 GPUs",
            True,
        ),
    ],
)
def test_why_no_gpu_was_found(message: str, summary: str, detail: str, does_more: bool) -> None:  # noqa: FBT001 - a parameter of the test
    found = diagnose(waiting_pod(message))
    assert found.category is Category.WAITING
    assert not found.is_final
    assert (found.summary, found.detail) == (summary, detail)
    assert bool(found.resolution) is does_more


@pytest.mark.parametrize(
    ("reason", "message", "summary"),
    [
        (
            "FilteringFailed",
            "2 nodes CardInsufficientMemory(a,b)",
            "Waiting for a GPU with enough memory left.",
        ),
        (
            "Unschedulable",
            (
                "no nodes with enough resources were found: 1 non MIG jobs cant run on a node with"
                " MigStrategy='mixed'."
            ),
            "Waiting: no node that shares its GPUs has room.",
        ),
        (
            "Pipelined",
            "Pod hub/x was assigned to node n, waiting for resources",
            "Waiting for a GPU that another server is just giving back.",
        ),
        (
            "FailedResourceClaimCreation",
            'PodResourceClaim gpu: resource claim template "gpu-spawner-1": not found',
            "What describes the claim for the GPU has gone; the cluster tries again.",
        ),
        (
            "FailedResourceClaimCreation",
            "PodResourceClaim gpu: create ResourceClaim x: exceeded quota: claims",
            "The quota for GPU claims is used up; the cluster tries again.",
        ),
        (
            "FailedResourceClaimCreation",
            "PodResourceClaim gpu: the wind blew it away",
            "The cluster could not prepare the claim for the GPU; it tries again.",
        ),
    ],
)
def test_events_of_a_pod_without_a_node(reason: str, message: str, summary: str) -> None:
    pod = waiting_pod()
    assert diagnose(pod, [event(reason, message)]).summary == summary


@pytest.mark.parametrize(
    ("message", "summary"),
    [
        (
            (
                "Failed to prepare dynamic resources: prepare dynamic resources:"
                " NodePrepareResources"
                " failed for ResourceClaim x: requested device gpu-0 is already"
                " allocated to different"
                " claim 1f"
            ),
            "The node is still taking the GPU back from an earlier server.",
        ),
        (
            (
                "Failed to prepare dynamic resources: old ResourceClaim with same name"
                " x and different"
                " UID 1 still exists (previous pod force-deleted?!)"
            ),
            "The node is still taking the GPU back from an earlier server.",
        ),
        (
            "Failed to prepare dynamic resources: DRA driver gpu.nvidia.com is not registered",
            "The node's GPU driver is not running; the node tries again.",
        ),
        ("something else", "The node cannot prepare the GPU yet; it tries again."),
    ],
)
def test_a_node_that_cannot_prepare_the_gpu(message: str, summary: str) -> None:
    pod = waiting_pod(nodeName="n")
    found = diagnose(pod, [event("FailedPrepareDynamicResources", message)])
    assert found.category is Category.TROUBLE
    assert found.summary == summary
    assert found.resolution


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            (
                "Pod was rejected: Allocate failed due to rpc error: code = Unknown desc = invalid"
                " request for sharing GPU (time-slicing), maximum request size for"
                " shared resources is"
                " 1; found 2, which is unexpected"
            ),
            "one share of a GPU",
        ),
        ("Allocate failed due to no binding pod found on node n", "by a scheduler that was not"),
        ("no healthy devices present; cannot allocate unhealthy devices", "broke down"),
        ("Allocate failed due to who knows", "could not hand out the GPU it had promised"),
    ],
)
def test_a_kubelet_that_refuses_ends_the_start(message: str, words: str) -> None:
    pod = waiting_pod(nodeName="n")
    pod["status"] = {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": message}
    found = diagnose(pod)
    assert found.is_final
    assert words in found.summary
    assert found.resolution


@pytest.mark.parametrize(
    ("gates", "summary"),
    [
        (
            ["kueue.x-k8s.io/admission"],
            "In the queue: the server starts when its turn comes.",
        ),
        (
            ["example.com/warm-up"],
            "Waiting: the cluster holds the server back until all is ready for it.",
        ),
    ],
)
def test_a_gated_pod_waits_and_has_not_failed(gates: list[str], summary: str) -> None:
    pod = waiting_pod(
        "Scheduling is blocked due to non-empty scheduling gates",
        "SchedulingGated",
        schedulingGates=[{"name": name} for name in gates],
    )
    found = diagnose(pod)
    assert found.category is Category.QUEUED
    assert found.summary == summary
    assert not found.is_final


def test_the_ordinary_reasons_come_after_those_of_gpus() -> None:
    message = "0/4 nodes are available: 2 Insufficient cpu, 2 cannot allocate all claims."
    assert explain_unschedulable(message).summary.startswith("Waiting for a GPU that matches")
    assert explain_unschedulable("0/2 nodes are available: 2 Too many pods.").resolution == ""


@given(message=st.text(max_size=300))
def test_anything_a_scheduler_says_gives_a_sentence(message: str) -> None:
    found: Diagnosis = diagnose(waiting_pod(message))
    assert found.summary.endswith(".")


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.words)
def test_what_is_said_is_a_sentence(wait: Any) -> None:
    for text in (wait.wait, wait.resolution or "."):
        assert text.endswith(".")
    assert not wait.words.endswith(".")
