"""Diagnoses: one sentence for every way in which a start can wait or fail."""

from typing import Any

import pytest
from catalog_builders import catalog_of
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.diagnosis.expected_pull import ExpectedPull
from gpu_spawner.core.diagnosis.pod_diagnosis import Category, Diagnosis, diagnose
from gpu_spawner.core.diagnosis.unschedulable import explain_unschedulable

IMAGE = catalog_of().images["torch"]
PULLS = {IMAGE.reference: ExpectedPull(IMAGE.size_bytes, 100.0)}


def pod(
    *,
    phase: str = "Pending",
    node: str = "n",
    containers: list[dict[str, Any]] | None = None,
    conditions: list[dict[str, Any]] | None = None,
    metadata: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
    **status: Any,
) -> dict[str, Any]:
    return {
        "metadata": {"name": "jupyter-x", "uid": "u1", **(metadata or {})},
        "spec": {
            **({"nodeName": node} if node else {}),
            "containers": [
                {"name": "notebook", "resources": {"limits": {"memory": "8Gi"}}},
            ],
            **(spec or {}),
        },
        "status": {
            "phase": phase,
            "conditions": conditions or [],
            "containerStatuses": containers or [],
            **status,
        },
    }


def state(*, name: str = "notebook", ready: bool = False, **states: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "state": states}


def event(
    reason: str, message: str = "", *, at: str = "2026-01-01T00:00:00Z", uid: str = "u1"
) -> dict[str, Any]:
    return {
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
        "involvedObject": {"kind": "Pod", "uid": uid},
    }


def unscheduled(message: str, reason: str = "Unschedulable") -> list[dict[str, Any]]:
    return [{"type": "PodScheduled", "status": "False", "reason": reason, "message": message}]


PULLING = event("Pulling", f'Pulling image "{IMAGE.reference}"')
FULL = "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient nvidia.com/gpu."


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            diagnose(None),
            Diagnosis(category=Category.CREATING, summary="Asking the cluster for the server."),
            id="no pod yet",
        ),
        pytest.param(
            diagnose(pod(node="")),
            Diagnosis(category=Category.WAITING, summary="Looking for a node with room."),
            id="not looked at yet",
        ),
        pytest.param(
            diagnose(pod(node="", conditions=unscheduled(FULL))),
            Diagnosis(
                category=Category.WAITING,
                summary="Waiting for a free GPU.",
                detail="Of 3 nodes, 1 is cordoned and 2 have too few free GPUs.",
            ),
            id="no GPU free",
        ),
        pytest.param(
            diagnose(pod(node=""), [event("FailedScheduling", FULL)]),
            Diagnosis(
                category=Category.WAITING,
                summary="Waiting for a free GPU.",
                detail="Of 3 nodes, 1 is cordoned and 2 have too few free GPUs.",
            ),
            id="no GPU free, by event",
        ),
        pytest.param(
            diagnose(
                pod(node="", conditions=unscheduled(FULL)),
                [event("TriggeredScaleUp", "pod triggered scale-up: [{gpu 0->1 (max: 4)}]")],
            ),
            Diagnosis(
                category=Category.SCALING_UP,
                summary="Waiting for a new node, which is being started; this takes a few minutes.",
                detail="pod triggered scale-up: [{gpu 0->1 (max: 4)}]",
            ),
            id="scaling up",
        ),
        pytest.param(
            diagnose(
                pod(node="", conditions=unscheduled(FULL)),
                [
                    event("TriggeredScaleUp", at="2026-01-01T00:00:00Z"),
                    event("NotTriggerScaleUp", at="2026-01-01T00:00:01Z"),
                ],
            ),
            Diagnosis(
                category=Category.WAITING,
                summary="Waiting for a free GPU.",
                detail="Of 3 nodes, 1 is cordoned and 2 have too few free GPUs.",
                resolution="The cluster can start no other node for it: wait, or choose other "
                "hardware.",
            ),
            id="scaling up no more",
        ),
        pytest.param(
            diagnose(pod(node="", conditions=unscheduled("gated", "SchedulingGated"))),
            Diagnosis(
                category=Category.QUEUED,
                summary="In the queue: the server starts when its turn comes.",
                detail="gated",
            ),
            id="gated",
        ),
        pytest.param(
            diagnose(
                pod(node="", spec={"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]})
            ),
            Diagnosis(
                category=Category.QUEUED,
                summary="In the queue: the server starts when its turn comes.",
            ),
            id="gated, before the condition",
        ),
        pytest.param(
            diagnose(pod(node=""), [event("FailedResourceClaimCreation", "no template")]),
            Diagnosis(
                category=Category.TROUBLE,
                summary="The cluster could not prepare the claim for the GPU; it tries again.",
                detail="no template",
                resolution="If this goes on, tell the administrators of this hub.",
            ),
            id="claim",
        ),
        pytest.param(
            diagnose(pod(), [event("Scheduled")]),
            Diagnosis(category=Category.SCHEDULED, summary="A node was found; it is preparing."),
            id="scheduled",
        ),
        pytest.param(
            diagnose(pod(), [event("Scheduled"), PULLING], pulls=PULLS),
            Diagnosis(
                category=Category.PULLING,
                summary="Pulling a 10 GB image (about 2 min).",
                detail='Pulling image "quay.io/site/torch:1"',
            ),
            id="pulling",
        ),
        pytest.param(
            diagnose(pod(), [event("Pulling", 'Pulling image "x"')], pulls=PULLS),
            Diagnosis(
                category=Category.PULLING,
                summary="Pulling the image.",
                detail='Pulling image "x"',
            ),
            id="pulling the image of another container",
        ),
        pytest.param(
            diagnose(pod(), [PULLING, event("Pulled", at="2026-01-01T00:00:00.5Z")], pulls=PULLS),
            Diagnosis(
                category=Category.STARTING,
                summary="The node has the image; the server is starting.",
            ),
            id="pulled",
        ),
        pytest.param(
            diagnose(pod(), [event("Scheduled"), event("FailedMount", "timed out\n waiting")]),
            Diagnosis(
                category=Category.TROUBLE,
                summary="The node cannot reach the home volume yet; it tries again.",
                detail="timed out waiting",
                resolution="If this goes on, stop the server and start it again.",
            ),
            id="volume",
        ),
        pytest.param(
            diagnose(pod(phase="Running", containers=[state(running={"startedAt": "x"})])),
            Diagnosis(category=Category.STARTING, summary="The server is starting."),
            id="started",
        ),
        pytest.param(
            diagnose(pod(phase="Running", containers=[state(ready=True, running={"a": 1})])),
            Diagnosis(
                category=Category.READY,
                summary="The server runs; JupyterHub is connecting to it.",
            ),
            id="ready",
        ),
    ],
)
def test_a_start_that_goes_on(found: Diagnosis, expected: Diagnosis) -> None:
    assert found == expected


def waiting(reason: str, message: str = "") -> Diagnosis:
    return diagnose(pod(containers=[state(waiting={"reason": reason, "message": message})]))


@pytest.mark.parametrize(
    ("reason", "message", "summary", "is_final"),
    [
        (
            "ErrImagePull",
            "rpc error: code = NotFound desc = failed to pull: quay.io/x:1: not found",
            "The image does not exist in its registry.",
            True,
        ),
        (
            "ImagePullBackOff",
            "unexpected status 401 Unauthorized",
            "The registry does not let this cluster pull the image.",
            True,
        ),
        (
            "ErrImagePull",
            "no match for platform in manifest: not found",
            "The image is not built for this node's kind of processor.",
            True,
        ),
        (
            "ErrImagePull",
            "write /var/lib/containerd: no space left on device",
            "The node has no disk space left for the image.",
            True,
        ),
        (
            "ErrImagePull",
            "toomanyrequests: You have reached your pull rate limit",
            "The registry limits how often this cluster may pull; it is tried again.",
            False,
        ),
        (
            "ImagePullBackOff",
            'Back-off pulling image "x"',
            "The image could not be pulled; it is tried again.",
            False,
        ),
        ("InvalidImageName", "", "The name of the image is not valid.", True),
        (
            "CreateContainerConfigError",
            'secret "x" not found',
            "The server refers to a secret or a setting that is missing.",
            True,
        ),
        (
            "CreateContainerError",
            "context deadline exceeded",
            "The node could not create the server's container; it is tried again.",
            False,
        ),
    ],
)
def test_a_container_that_cannot_start(
    reason: str, message: str, summary: str, *, is_final: bool
) -> None:
    found = waiting(reason, message)
    assert (found.summary, found.is_final) == (summary, is_final)
    assert found.category is (Category.FAILED if is_final else Category.TROUBLE)
    assert found.resolution


def test_why_a_pull_is_put_off_may_be_in_an_event() -> None:
    stuck = pod(containers=[state(waiting={"reason": "ImagePullBackOff", "message": "Back-off"})])
    why = event("Failed", 'Failed to pull image "x": manifest unknown')
    assert diagnose(stuck, [why]).summary == "The image does not exist in its registry."


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", ""])
def test_ordinary_waiting_is_no_trouble(reason: str) -> None:
    assert waiting(reason).category is Category.SCHEDULED


@pytest.mark.parametrize(
    ("terminated", "summary"),
    [
        (
            {"reason": "OOMKilled", "exitCode": 137},
            "The server used more memory than its limit (8Gi) and was killed.",
        ),
        (
            {"reason": "Error", "exitCode": 137},
            "The server was killed, probably for using too much memory.",
        ),
        (
            {"reason": "Error", "exitCode": 127},
            "The image has no such start command; is JupyterHub's server installed in it?",
        ),
        ({"reason": "Error", "exitCode": 3}, "The server ended with an error (exit code 3)."),
        ({"reason": "StartError", "exitCode": 128}, "The image's start command could not be run."),
        ({"reason": "Completed", "exitCode": 0}, "The server ended by itself."),
        ({"exitCode": "?"}, "The server ended with an error (exit code -1)."),
    ],
)
@pytest.mark.parametrize("phase", ["Running", "Failed"])
def test_a_server_that_ended(terminated: dict[str, Any], summary: str, phase: str) -> None:
    found = diagnose(pod(phase=phase, containers=[state(terminated=terminated)]))
    assert (found.category, found.summary, found.is_final) == (Category.FAILED, summary, True)
    assert found.resolution


def test_a_server_that_keeps_crashing() -> None:
    crashed = state(waiting={"reason": "CrashLoopBackOff"})
    crashed["lastState"] = {"terminated": {"exitCode": 1}}
    found = diagnose(pod(phase="Running", containers=[crashed]))
    assert found.summary == "It keeps failing: The server ended with an error (exit code 1)."
    assert found.is_final


def test_a_sidecar_that_failed_is_named() -> None:
    failed = state(name="nim", terminated={"exitCode": 137, "reason": "OOMKilled"})
    found = diagnose(pod(phase="Running", containers=[failed, state(running={"a": 1})]))
    assert found.summary == "A container beside the server failed: nim."


def test_an_init_container_that_is_done_is_no_failure() -> None:
    done = state(name="prepare", terminated={"exitCode": 0})
    found = diagnose(pod(containers=[state(waiting={})], initContainerStatuses=[done]))
    assert not found.is_final


@pytest.mark.parametrize(
    ("reason", "summary"),
    [
        ("UnexpectedAdmissionError", "The node could not hand out the GPU it had promised."),
        ("OutOfnvidia.com/gpu", "Another pod took the place on the node at the last moment."),
        ("OutOfpods", "Another pod took the place on the node at the last moment."),
        ("Evicted", "The node ran short of memory or disk and evicted the server."),
        ("NodeLost", "The server's node was lost."),
        ("Terminated", "The server's node was shut down."),
        ("DeadlineExceeded", "The server reached the longest time it may run."),
    ],
)
def test_a_pod_that_failed_is_final(reason: str, summary: str) -> None:
    found = diagnose(pod(phase="Failed", reason=reason, message="why  it\nwas"))
    assert (found.category, found.summary, found.is_final) == (Category.FAILED, summary, True)
    assert found.detail == "why it was"
    assert found.resolution


def test_a_pod_that_failed_for_an_unheard_of_reason() -> None:
    found = diagnose(pod(phase="Failed", reason="Odd", message="text"))
    assert found.summary == "The server's pod failed."
    assert found.detail == "Odd: text"


@pytest.mark.parametrize(
    ("reason", "summary"),
    [
        ("PreemptionByScheduler", "Something more important took the server's place."),
        ("DeletionByTaintManager", "The server's node was lost."),
        ("TerminationByKubelet", "The node ran short of memory or disk and evicted the server."),
        ("EvictionByEvictionAPI", "The server's node was shut down."),
    ],
)
def test_a_disrupted_pod_says_by_what(reason: str, summary: str) -> None:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason}
    found = diagnose(
        pod(
            phase="Running",
            conditions=[condition],
            metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"},
        )
    )
    assert (found.summary, found.is_final) == (summary, True)


def test_a_pod_that_is_being_deleted() -> None:
    found = diagnose(pod(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}))
    assert (found.summary, found.is_final) == ("The server is being stopped.", True)


def test_events_of_an_earlier_pod_are_not_ours() -> None:
    """A server that is started again has a pod of the same name."""
    found = diagnose(pod(), [event("FailedMount", uid="u0"), event("Scheduled")])
    assert found.category is Category.SCHEDULED


def test_events_are_put_in_order() -> None:
    late = event("Pulling", at="2026-01-01T00:00:02Z")
    early = {**event("Scheduled"), "lastTimestamp": None, "eventTime": "2026-01-01T00:00:01.5Z"}
    assert diagnose(pod(), [late, early]).category is Category.PULLING


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("metadata", "spec", "status", "phase", "reason", "message", "conditions"),
                    *("containerStatuses", "name", "state", "waiting", "terminated", "nodeName"),
                    *("type", "exitCode", "lastState", "series", "involvedObject", "containers"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(anything, st.lists(anything, max_size=3))
def test_anything_is_diagnosed(odd_pod: Any, odd_events: list[Any]) -> None:
    """Whatever the API or a person sends, there is a sentence and no error."""
    found = diagnose(odd_pod, odd_events)
    assert found.summary.endswith(".")


class TestUnschedulable:
    @pytest.mark.parametrize(
        ("message", "summary", "detail"),
        [
            (
                (
                    "0/5 nodes are available: 1 node(s) had untolerated taint {team: x}, "
                    "4 Insufficient nvidia.com/mig-1g.10gb. preemption: 0/5 nodes are available: "
                    "1 Preemption is not helpful for scheduling, 4 No preemption victims found."
                ),
                "Waiting for a free 1g.10gb slice.",
                (
                    "Of 5 nodes, 1 is reserved for other work or not ready and "
                    "4 have too few free 1g.10gb slices."
                ),
            ),
            (
                "0/1 nodes are available: 1 node(s) had volume node affinity conflict.",
                "Waiting: the home volume can be reached only from other nodes.",
                "Of 1 node, 1 cannot reach the home volume.",
            ),
            (
                (
                    "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. "
                    "preemption: 0/2 nodes are available: 2 Preemption is not helpful."
                ),
                "Waiting for the home volume to be made.",
                "pod has unbound immediate PersistentVolumeClaims",
            ),
            (
                "0/4 nodes are available: 3 Too many pods, 1 gone fishing.",
                "Waiting for a node with room.",
                "Of 4 nodes, 3 run as many pods as they may and 1 says 'gone fishing'.",
            ),
            ("", "Waiting for a node.", ""),
        ],
    )
    def test_says_what_is_waited_for(self, message: str, summary: str, detail: str) -> None:
        found = explain_unschedulable(message)
        assert (found.summary, found.detail) == (summary, detail)

    @given(st.text(max_size=200))
    def test_takes_any_text(self, text: str) -> None:
        assert explain_unschedulable(text).summary.startswith("Waiting")
        assert explain_unschedulable(f"0/3 nodes are available: {text}").summary.endswith(".")


def test_events_of_one_second_are_read_in_the_course_of_a_start() -> None:
    """The scheduler writes microseconds, the kubelet whole seconds."""
    scheduled = event("Scheduled", "Successfully assigned jhub/jupyter-ada to h100-1")
    scheduled = {**scheduled, "lastTimestamp": None, "eventTime": "2026-11-23T10:00:00.654321Z"}
    pulling = event("Pulling", 'Pulling image "quay.io/jupyter/pytorch-notebook:cuda13"')
    pulling = {**pulling, "lastTimestamp": "2026-11-23T10:00:00Z"}

    found = [diagnose(pod(), order) for order in ([scheduled, pulling], [pulling, scheduled])]

    assert [each.category for each in found] == [Category.PULLING, Category.PULLING]
