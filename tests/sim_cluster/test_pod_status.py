"""A pod's status from what is known of its containers."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gpu_spawner.sim.node.pod_status import (
    ContainerRecord,
    PodFacts,
    Running,
    Terminated,
    Waiting,
    build_status,
    is_restarted,
    recovered_record,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 13, tzinfo=UTC)
RUNNING = Running(started_at=NOON)
CREATING = Waiting(reason="ContainerCreating")


def ended(code: int) -> Terminated:
    return Terminated(exit_code=code, reason="Error" if code else "Completed", finished_at=NOON)


def record(
    state: Waiting | Running | Terminated, *, name: str = "main", last: Terminated | None = None
) -> ContainerRecord:
    return ContainerRecord(name=name, image="i", state=state, last=last, is_ready=True)


def facts(
    *containers: ContainerRecord,
    policy: str = "Always",
    init: tuple[ContainerRecord, ...] = (),
    sidecars: tuple[str, ...] = (),
    rejection: tuple[str, str] | None = None,
) -> PodFacts:
    init_specs = [
        {"name": each.name} | ({"restartPolicy": "Always"} if each.name in sidecars else {})
        for each in init
    ]
    return PodFacts(
        spec={"restartPolicy": policy, "initContainers": init_specs},
        host_ip="127.70.1.1",
        pod_ip="127.70.16.1",
        start_time=NOON,
        init_containers=init,
        containers=containers,
        rejection=rejection,
    )


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(each for each in status["conditions"] if each["type"] == kind)


@pytest.mark.parametrize(
    ("found", "phase"),
    [
        pytest.param(facts(record(CREATING)), "Pending", id="not started"),
        pytest.param(facts(record(RUNNING)), "Running", id="running"),
        pytest.param(facts(record(RUNNING), record(CREATING)), "Pending", id="one not started"),
        pytest.param(facts(record(CREATING, last=ended(1))), "Running", id="starting again"),
        pytest.param(facts(record(ended(0)), policy="Never"), "Succeeded", id="done"),
        pytest.param(facts(record(ended(1)), policy="Never"), "Failed", id="failed"),
        pytest.param(facts(record(ended(1)), policy="OnFailure"), "Running", id="to be restarted"),
        pytest.param(facts(record(ended(0)), policy="Always"), "Running", id="always restarted"),
        pytest.param(
            facts(record(CREATING), init=(record(RUNNING, name="a"),)), "Pending", id="init runs"
        ),
        pytest.param(
            facts(record(CREATING), init=(record(ended(1), name="a"),), policy="Never"),
            "Failed",
            id="init failed",
        ),
        pytest.param(
            facts(record(RUNNING), init=(record(RUNNING, name="a"),), sidecars=("a",)),
            "Running",
            id="beside a sidecar",
        ),
    ],
)
def test_phase(found: PodFacts, phase: str) -> None:
    assert build_status(found, [], NOON)["phase"] == phase


def test_conditions_say_which_container_is_not_ready() -> None:
    status = build_status(facts(record(CREATING, name="notebook")), [], NOON)
    ready = condition(status, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == "containers with unready status: [notebook]"


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    before = build_status(facts(record(CREATING)), [], NOON)
    after = build_status(facts(record(RUNNING)), before["conditions"], LATER)
    assert condition(after, "Ready")["lastTransitionTime"] == "2026-11-23T13:00:00Z"
    assert condition(after, "Initialized")["lastTransitionTime"] == "2026-11-23T12:00:00Z"


def test_a_rejected_pod_has_failed_with_the_reason() -> None:
    status = build_status(facts(rejection=("UnexpectedAdmissionError", "why")), [], NOON)
    assert (status["phase"], status["reason"]) == ("Failed", "UnexpectedAdmissionError")


def test_container_status_as_kubernetes_writes_it() -> None:
    last = Terminated(
        exit_code=137, reason="Error", started_at=NOON, finished_at=LATER, container_id="c://1"
    )
    one = ContainerRecord(
        name="main",
        image="i:1",
        state=RUNNING,
        last=last,
        restart_count=1,
        is_ready=True,
        image_id="i@sha256:0",
        container_id="c://2",
    )
    (status,) = build_status(facts(one), [], NOON)["containerStatuses"]
    assert status == {
        "name": "main",
        "state": {"running": {"startedAt": "2026-11-23T12:00:00Z"}},
        "lastState": {
            "terminated": {
                "exitCode": 137,
                "reason": "Error",
                "startedAt": "2026-11-23T12:00:00Z",
                "finishedAt": "2026-11-23T13:00:00Z",
                "containerID": "c://1",
            }
        },
        "ready": True,
        "restartCount": 1,
        "image": "i:1",
        "imageID": "i@sha256:0",
        "started": True,
        "containerID": "c://2",
    }
    assert recovered_record(status, NOON, is_running=True).last == last


def test_a_container_that_is_gone_after_a_restart_has_ended_somehow() -> None:
    (status,) = build_status(facts(record(RUNNING)), [], NOON)["containerStatuses"]
    state = recovered_record(status, LATER, is_running=False).state
    assert isinstance(state, Terminated)
    assert (state.exit_code, state.reason) == (137, "ContainerStatusUnknown")


@pytest.mark.parametrize(
    ("policy", "restarted_codes"), [("Always", [0, 1]), ("OnFailure", [1]), ("Never", [])]
)
def test_restart_policy(policy: str, restarted_codes: list[int]) -> None:
    assert [code for code in (0, 1) if is_restarted(policy, code)] == restarted_codes
