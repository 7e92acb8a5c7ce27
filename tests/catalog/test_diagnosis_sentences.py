"""What users read while they wait and when a start fails, as a page that a person can review.

Run with ``UPDATE_GOLDEN=1`` to write the file anew, and review the difference.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from catalog_builders import catalog_of
from pseudo_language import left_in_english

from gpu_spawner.core.diagnosis.expected_pull import ExpectedPull
from gpu_spawner.core.diagnosis.pod_diagnosis import diagnose
from gpu_spawner.hub.languages import choose_language, shipped_languages

GOLDEN = Path(__file__).parents[1] / "golden" / "diagnosis"
IMAGE = catalog_of().images["torch"]
PULLS = {IMAGE.reference: ExpectedPull(size_bytes=IMAGE.size_bytes, seconds=170.0)}
_NO_NODE = "0/5 nodes are available: {}. no new claims to deallocate, preemption: 0/5 nodes."

REFUSED = [
    "3 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint(s)",
    "3 Insufficient nvidia.com/mig-1g.10gb, 2 node(s) were unschedulable",
    "5 node(s) had untolerated taint {nvidia.com/gpu: present}",
    "5 node(s) didn't match Pod's node affinity/selector",
    "3 Insufficient memory, 2 Insufficient cpu",
    "5 cannot allocate all claims",
    "5 request gpu: device class gpu.nvidia.com does not exist",
    "5 resource claim gpu is in the process of being allocated",
    "5 resourceclaim in use",
    "5 resourceclaim gpu is being deleted",
    "5 resourceclaim not available on the node",
    "5 cannot fit resource",
    "5 cannot schedule extended resource claim",
    "5 timed out trying to allocate devices",
    "5 invalid resource pools were encountered",
    "3 CardInsufficientMemory, 2 node unregistered",
    "5 CardInsufficientCore",
    "5 CardTypeMismatch",
    "5 node(s) had volume node affinity conflict",
    "5 node(s) exceed max volume count",
    "5 Too many pods",
    'persistentvolumeclaim "claim-ann" not found',
    "pod has unbound immediate PersistentVolumeClaims",
]
SCALING = [
    ("TriggeredScaleUp", "pod triggered scale-up: [{gpu 0->1 (max: 4)}]"),
    ("Nominated", "Pod should schedule on: nodeclaim/gpu-x"),
    ("NotTriggerScaleUp", "pod didn't trigger scale-up: 2 max node group size reached"),
    ("FailedScaleUp", "scale-up failed: quota exceeded"),
]
CLAIMS = [
    ("FailedResourceClaimCreation", 'resource claim template "gpu-spawner-1" not found'),
    ("FailedResourceClaimCreation", "exceeded quota: gpus"),
    ("FailedResourceClaimCreation", "is forbidden: User cannot create"),
]
ON_THE_NODE = [
    ("Scheduled", ""),
    ("Pulling", 'Pulling image "quay.io/other"'),
    ("Pulling", f'Pulling image "{IMAGE.reference}"'),
    ("Pulled", ""),
    ("Started", ""),
    ("FailedMount", 'MountVolume.SetUp failed for volume "s": secret "tokens" not found'),
    ("FailedMount", "Unable to attach or mount volumes: timed out waiting for the condition"),
    ("FailedAttachVolume", 'Multi-Attach error for volume "pvc-1"'),
    ("FailedMount", "driver name nfs.csi.k8s.io not found in the list of registered CSI drivers"),
    ("FailedCreatePodSandBox", "failed to setup network"),
    ("FailedPrepareDynamicResources", "requested device is already allocated to different claim"),
    ("FailedPrepareDynamicResources", "DRA driver gpu.nvidia.com is not registered"),
]
WAITING = [
    ("ErrImagePull", "manifest unknown"),
    ("ErrImagePull", "unauthorized: authentication required"),
    ("ErrImagePull", "toomanyrequests: rate limit"),
    ("ErrImagePull", "no space left on device"),
    ("ErrImagePull", "no match for platform in manifest"),
    ("ImagePullBackOff", "Back-off pulling image"),
    ("InvalidImageName", ""),
    ("ErrImageNeverPull", ""),
    ("CreateContainerConfigError", 'secret "x" not found'),
    ("CreateContainerError", ""),
    ("RunContainerError", ""),
]
ENDED = [
    ("OOMKilled", 137),
    ("Error", 1),
    ("Error", 126),
    ("Error", 127),
    ("Error", 137),
    ("Error", 139),
    ("Completed", 0),
]
GIVEN_UP = [
    ("UnexpectedAdmissionError", "Allocate failed due to no healthy devices present"),
    ("UnexpectedAdmissionError", "Allocate failed due to requested number of devices unavailable"),
    ("OutOfcpu", ""),
    ("Evicted", "The node was low on resource: ephemeral-storage"),
    ("Preempted", ""),
    ("NodeLost", ""),
    ("NodeShutdown", ""),
    ("DeadlineExceeded", ""),
    ("Unheard", "of"),
]


def pod(node: str = "n", phase: str = "Pending", **status: Any) -> dict[str, Any]:
    limits = {"limits": {"memory": "8Gi"}}
    containers = [{"name": "notebook", "resources": limits}]
    spec = {"containers": containers} | ({"nodeName": node} if node else {})
    return {"metadata": {"uid": "u"}, "spec": spec, "status": {"phase": phase, **status}}


def unplaced(message: str, reason: str = "Unschedulable") -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return pod(node="", conditions=[condition])


def event(reason: str, message: str) -> dict[str, Any]:
    return {"reason": reason, "message": message, "involvedObject": {"uid": "u"}}


def container(**state: Any) -> list[dict[str, Any]]:
    return [{"name": "notebook", "ready": False, "state": state}]


def review(say: Callable[[str], str] = str) -> str:
    def told(raw: str, pod_: dict[str, Any], *events: dict[str, Any]) -> str:
        found = diagnose(pod_, events, pulls=PULLS)
        mark = " [ends]" if found.is_final else " [ends if it stays so]" if found.is_stuck else ""
        lines = [f"{raw.strip()}", f"    {say(found.summary)}{mark}"]
        resolution = say(found.resolution)
        return "\n".join([*lines, f"    {resolution}"] if resolution else lines)

    full = unplaced(_NO_NODE.format("5 Insufficient nvidia.com/gpu"))
    parts = {
        "No node takes the pod": [told(why, unplaced(_NO_NODE.format(why))) for why in REFUSED],
        "In a queue": [told("SchedulingGated", unplaced("gated", "SchedulingGated"))],
        "An autoscaler": [told(f"{why}: {text}", full, event(why, text)) for why, text in SCALING],
        "The claim": [told(f"{why}: {text}", full, event(why, text)) for why, text in CLAIMS],
        "On the node": [
            told(f"{why}: {text}", pod(), event(why, text)) for why, text in ON_THE_NODE
        ],
        "It does not answer": [
            told(
                "Unhealthy",
                pod(containerStatuses=container(running={"startedAt": "x"})),
                event("Unhealthy", "Readiness probe failed"),
            )
        ],
        "A container cannot start": [
            told(
                f"{why}: {text}",
                pod(containerStatuses=container(waiting={"reason": why, "message": text})),
            )
            for why, text in WAITING
        ],
        "The server ended": [
            told(
                f"{why} {code}",
                pod(
                    phase="Failed",
                    containerStatuses=container(terminated={"reason": why, "exitCode": code}),
                ),
            )
            for why, code in ENDED
        ],
        "The pod was given up": [
            told(f"{why}: {text}", pod(phase="Failed", reason=why, message=text))
            for why, text in GIVEN_UP
        ],
    }
    blocks = [f"== {title}\n\n" + "\n".join(lines) for title, lines in parts.items()]
    return "\n\n".join(blocks) + "\n"


@pytest.mark.parametrize("tag", shipped_languages())
def test_the_sentences_are_those_that_were_reviewed(tag: str) -> None:
    text = review(choose_language(tag, [tag]).say)
    path = GOLDEN / ("sentences.txt" if tag == "en" else f"sentences.{tag}.txt")
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def test_every_sentence_can_be_translated() -> None:
    left: list[str] = []
    review(lambda text: left.append(left_in_english(text)) or "")
    assert len(left) > 100
    assert set(left) == {""}


def test_whatever_ends_a_start_says_what_to_do() -> None:
    entries = review().replace("\n    ", "\t").splitlines()
    ending = [entry for entry in entries if "[ends" in entry]
    assert len(ending) > 20
    assert [entry for entry in ending if entry.count("\t") < 2] == []
