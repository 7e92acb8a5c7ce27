"""Each step of a start, told as it was then: whatever has become of the pod since."""

from typing import Any

import pytest

from gpu_spawner.core.diagnosis.expected_pull import ExpectedPull
from gpu_spawner.core.diagnosis.steps import diagnose_step

PULLS = {
    "quay.io/site/torch:1": ExpectedPull(10_000_000_000, 100.0),
    "nvcr.io/nim/model:1": ExpectedPull(6_000_000_000, 600.0),
}
NEW: dict[str, Any] = {"metadata": {"uid": "1"}, "spec": {}, "status": {"phase": "Pending"}}
RUNS: dict[str, Any] = {
    "metadata": {"uid": "1"},
    "spec": {"nodeName": "n"},
    "status": {
        "phase": "Running",
        "containerStatuses": [{"name": "notebook", "ready": True, "state": {"running": {}}}],
    },
}
FAILS: dict[str, Any] = {
    "metadata": {"uid": "1"},
    "spec": {"nodeName": "n"},
    "status": {
        "phase": "Pending",
        "containerStatuses": [
            {"name": "notebook", "state": {"waiting": {"reason": "InvalidImageName"}}}
        ],
    },
}


def event(reason: str, message: str = "", uid: str = "1") -> dict[str, Any]:
    return {"reason": reason, "message": message, "involvedObject": {"uid": uid}}


@pytest.mark.parametrize("pod", [NEW, RUNS, FAILS], ids=["new", "runs", "fails"])
@pytest.mark.parametrize(
    ("happened", "said"),
    [
        (
            event("FailedScheduling", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."),
            "Waiting for a free GPU.",
        ),
        (event("TriggeredScaleUp"), "Waiting for a new node"),
        (event("Scheduled"), "A node was found"),
        (
            event("Pulling", 'Pulling image "quay.io/site/torch:1"'),
            "Pulling a 10 GB image (about 2 min).",
        ),
        (
            event("Pulling", 'Pulling image "nvcr.io/nim/model:1"'),
            "Pulling a 6 GB image (about 10 min).",
        ),
        (event("Pulling", 'Pulling image "else:1"'), "Pulling the image."),
        (event("Pulled"), "The node has the image"),
        (event("FailedMount"), "volume"),
    ],
    ids=lambda value: value["reason"] if isinstance(value, dict) else "",
)
def test_a_step_is_told_from_its_event(
    pod: dict[str, Any], happened: dict[str, Any], said: str
) -> None:
    found = diagnose_step(pod, happened, pulls=PULLS)

    assert found is not None
    assert said in found.summary


@pytest.mark.parametrize(
    "happened", [event("Unheard"), event("Unhealthy"), event("Pulling", uid="2")]
)
def test_what_is_over_and_has_no_words_is_left_to_the_cluster(happened: dict[str, Any]) -> None:
    assert diagnose_step(RUNS, happened, pulls=PULLS) is None


def test_trouble_that_lasts_is_told_at_any_event() -> None:
    found = diagnose_step(FAILS, event("Failed"))

    assert found is not None
    assert found.is_final
