"""What a kubelet says about a pod: container states, phase and conditions.

Pure functions of what is known, worded and ordered as the kubelet's ``getPhase`` and
``GeneratePodReadyCondition`` have it (kubernetes/pkg/kubelet, 1.36).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gpu_spawner.sim.times import time_text

__all__ = [
    "ContainerRecord",
    "PodFacts",
    "Running",
    "Terminated",
    "Waiting",
    "build_status",
    "is_restarted",
    "recovered_record",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A container that does not run yet, or not again yet."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A container that runs."""

    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminated:
    """A container that has ended."""

    exit_code: int
    reason: str
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime
    container_id: str = ""


@dataclass(slots=True, kw_only=True)
class ContainerRecord:
    """What is known of one container; its worker keeps it up to date.

    Attributes:
        last: how it ended before the present state.
        is_ready: whether it counts as ready while it runs.
        claimed: its ``allocatedResourcesStatus``: the claimed devices it uses.
    """

    name: str
    image: str
    state: Waiting | Running | Terminated
    last: Terminated | None = None
    restart_count: int = 0
    is_ready: bool = False
    image_id: str = ""
    container_id: str = ""
    claimed: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """Everything a pod's status is made of.

    Attributes:
        rejection: reason and message where the kubelet refused the pod.
        eviction: message where the kubelet has taken the pod off its node.
        pod_ip: empty until the pod has one.
    """

    spec: Mapping[str, Any]
    host_ip: str
    pod_ip: str
    start_time: datetime
    init_containers: Sequence[ContainerRecord]
    containers: Sequence[ContainerRecord]
    rejection: tuple[str, str] | None = None
    eviction: str = ""


def is_restarted(restart_policy: str, exit_code: int) -> bool:
    """Say whether a container that ended so is started again."""
    return restart_policy == "Always" or (restart_policy == "OnFailure" and exit_code != 0)


def build_status(
    facts: PodFacts, previous: Sequence[Mapping[str, Any]], now: datetime
) -> dict[str, Any]:
    """Return the pod's status; a condition that stays as it was keeps its time.

    Args:
        facts: what is known.
        previous: the conditions written last.
        now: the time of every change.
    """
    status: dict[str, Any] = {
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        "startTime": time_text(facts.start_time),
    }
    if facts.rejection is not None:
        reason, message = facts.rejection
        return status | {"phase": "Failed", "reason": reason, "message": message}
    phase = "Failed" if facts.eviction else _phase(facts)
    status["phase"] = phase
    if facts.eviction:
        status |= {"reason": "Evicted", "message": facts.eviction}
    if facts.pod_ip:
        status |= {"podIP": facts.pod_ip, "podIPs": [{"ip": facts.pod_ip}]}
    known = {each["type"]: each for each in previous}
    status["conditions"] = [
        _with_time(each, known.get(each["type"]), now) for each in _conditions(facts, phase)
    ]
    if facts.init_containers:
        status["initContainerStatuses"] = [_container(each) for each in facts.init_containers]
    status["containerStatuses"] = [_container(each) for each in facts.containers]
    return status


def recovered_record(
    status: Mapping[str, Any], now: datetime, *, is_running: bool
) -> ContainerRecord:
    """Read a container's record back from the status written before a restart of the kubelet.

    A container that ran then and does not now has ended in a way nobody saw.
    """
    state = status.get("state") or {}
    container_id = status.get("containerID") or ""
    last = status.get("lastState") or {}
    recovered: Waiting | Running | Terminated
    if running := state.get("running"):
        started_at = _moment(running.get("startedAt")) or now
        if is_running:
            recovered = Running(started_at=started_at)
        else:
            recovered = Terminated(
                exit_code=137,
                reason="ContainerStatusUnknown",
                message="The container could not be located when the pod was terminated",
                started_at=started_at,
                finished_at=now,
                container_id=container_id,
            )
    elif terminated := state.get("terminated"):
        recovered = _terminated(terminated, now)
    else:
        recovered = Waiting(reason="ContainerCreating")
    return ContainerRecord(
        name=status["name"],
        image=status["image"],
        state=recovered,
        last=_terminated(last["terminated"], now) if last.get("terminated") else None,
        restart_count=status.get("restartCount") or 0,
        image_id=status.get("imageID") or "",
        container_id=container_id,
    )


def _terminated(found: Mapping[str, Any], now: datetime) -> Terminated:
    return Terminated(
        exit_code=found.get("exitCode") or 0,
        reason=found.get("reason") or "",
        message=found.get("message") or "",
        started_at=_moment(found.get("startedAt")),
        finished_at=_moment(found.get("finishedAt")) or now,
        container_id=found.get("containerID") or "",
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _phase(facts: PodFacts) -> str:
    policy = facts.spec.get("restartPolicy") or "Always"
    if not _is_initialized(facts):
        ended = [each.state for each in facts.init_containers if isinstance(each.state, Terminated)]
        has_failed = any(each.exit_code for each in ended)
        return "Failed" if has_failed and policy == "Never" else "Pending"
    states = [each.state for each in facts.containers]
    if any(isinstance(each.state, Waiting) and each.last is None for each in facts.containers):
        return "Pending"
    if not all(isinstance(state, Terminated) for state in states) or policy == "Always":
        return "Running"
    failed = any(state.exit_code for state in states if isinstance(state, Terminated))
    if not failed:
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _is_initialized(facts: PodFacts) -> bool:
    sidecars = {
        each["name"]
        for each in facts.spec.get("initContainers") or ()
        if each.get("restartPolicy") == "Always"
    }
    return all(
        isinstance(each.state, Running)
        if each.name in sidecars
        else isinstance(each.state, Terminated) and each.state.exit_code == 0
        for each in facts.init_containers
    )


def _conditions(facts: PodFacts, phase: str) -> Iterator[dict[str, Any]]:
    if facts.eviction:
        why = {"reason": "TerminationByKubelet", "message": facts.eviction}
        yield _condition("DisruptionTarget", holds=True, **why)
    yield _condition("PodReadyToStartContainers", holds=bool(facts.pod_ip))
    uninitialized = [
        each.name for each in facts.init_containers if not isinstance(each.state, Terminated)
    ]
    if _is_initialized(facts):
        reason = "PodCompleted" if phase == "Succeeded" else ""
        yield _condition("Initialized", holds=True, reason=reason)
    else:
        message = f"containers with incomplete status: [{' '.join(uninitialized)}]"
        yield _condition("Initialized", reason="ContainersNotInitialized", message=message)
    unready = [
        each.name
        for each in facts.containers
        if not (isinstance(each.state, Running) and each.is_ready)
    ]
    for kind in ("Ready", "ContainersReady"):
        if phase == "Succeeded":
            yield _condition(kind, reason="PodCompleted")
        elif phase == "Failed":
            yield _condition(kind, reason="PodFailed")
        elif unready:
            message = f"containers with unready status: [{' '.join(unready)}]"
            yield _condition(kind, reason="ContainersNotReady", message=message)
        else:
            yield _condition(kind, holds=True)


def _condition(
    kind: str, *, holds: bool = False, reason: str = "", message: str = ""
) -> dict[str, Any]:
    condition: dict[str, Any] = {"type": kind, "status": str(holds), "lastProbeTime": None}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _with_time(
    condition: dict[str, Any], previous: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any]:
    if previous is None:
        return condition | {"lastTransitionTime": time_text(now)}
    # A merge leaves what it does not name, and a condition that holds has nothing to explain.
    gone = [key for key in ("reason", "message") if previous.get(key) and key not in condition]
    condition |= dict.fromkeys(gone)
    if previous["status"] == condition["status"]:
        return condition | {"lastTransitionTime": previous["lastTransitionTime"]}
    return condition | {"lastTransitionTime": time_text(now)}


def _container(record: ContainerRecord) -> dict[str, Any]:
    is_running = isinstance(record.state, Running)
    status: dict[str, Any] = {
        "name": record.name,
        "state": _state(record.state),
        "lastState": _state(record.last) if record.last is not None else {},
        "ready": is_running and record.is_ready,
        "restartCount": record.restart_count,
        "image": record.image,
        "imageID": record.image_id,
        "started": is_running,
    }
    if record.container_id:
        status["containerID"] = record.container_id
    if record.claimed:
        status["allocatedResourcesStatus"] = record.claimed
    return status


def _state(state: Waiting | Running | Terminated) -> dict[str, Any]:
    if isinstance(state, Waiting):
        waiting = {"reason": state.reason}
        if state.message:
            waiting["message"] = state.message
        return {"waiting": waiting}
    if isinstance(state, Running):
        return {"running": {"startedAt": time_text(state.started_at)}}
    terminated: dict[str, Any] = {"exitCode": state.exit_code, "reason": state.reason}
    if state.message:
        terminated["message"] = state.message
    if state.started_at is not None:
        terminated["startedAt"] = time_text(state.started_at)
    terminated["finishedAt"] = time_text(state.finished_at)
    if state.container_id:
        terminated["containerID"] = state.container_id
    return {"terminated": terminated}
