"""Say what a starting server is waiting for, or why it failed: one sentence, and what to do.

Decides from the pod and its events as the API has them; the raw events stay available to whoever
wants them. A diagnosis is final when waiting longer cannot help, so that a hopeless start ends at
once. Whatever is missing or malformed in the input leads to a vaguer sentence, never to an error.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gpu_spawner.core.catalog.model import Image
from gpu_spawner.core.diagnosis.container_failures import (
    Failure,
    explain_exit,
    explain_pod_failure,
    explain_waiting,
)
from gpu_spawner.core.diagnosis.device_words import explain_claim_creation, explain_preparation
from gpu_spawner.core.diagnosis.unschedulable import explain_unschedulable
from gpu_spawner.core.wording import say_bytes, say_duration

__all__ = ["Category", "Diagnosis", "diagnose"]

NOTEBOOK: Final = "notebook"
"""KubeSpawner's name of the container that is the server."""

_MAX_DETAIL: Final = 300
_SECONDS_LENGTH: Final = len("2026-01-01T00:00:00")
_KUEUE: Final = "kueue.x-k8s.io/"
# KAI says Unschedulable, HAMi FilteringFailed; both write FailedScheduling's words into it.
_REFUSALS: Final = ("FailedScheduling", "Unschedulable", "FilteringFailed")
_COURSE: Final = ("FailedScheduling", "Scheduled", "Pulling", "Pulled", "Created", "Started")


class Category(StrEnum):
    """Where a start stands."""

    CREATING = "creating"
    QUEUED = "queued"
    WAITING = "waiting"
    SCALING_UP = "scaling-up"
    SCHEDULED = "scheduled"
    PULLING = "pulling"
    STARTING = "starting"
    READY = "ready"
    TROUBLE = "trouble"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What a start is waiting for, or why it failed.

    Attributes:
        summary: one sentence for the user, without anything the cluster wrote.
        detail: what the cluster wrote, or more facts; bounded, and not safe as HTML.
        resolution: what to do next; empty where there is nothing to do but wait.
        is_final: whether waiting longer cannot help.
    """

    category: Category
    summary: str
    detail: str = ""
    resolution: str = ""
    is_final: bool = False


def diagnose(
    pod: Mapping[str, Any] | None,
    events: Iterable[Mapping[str, Any]] = (),
    *,
    image: Image | None = None,
    pull_seconds: float | None = None,
) -> Diagnosis:
    """Diagnose a server's start.

    Args:
        pod: the pod as the API has it; None before it exists.
        events: events of the pod in any order; those of another pod of the same name are ignored.
        image: what the catalog knows about the image, for its size.
        pull_seconds: how long pulling it is expected to take.
    """
    if not isinstance(pod, Mapping):
        return Diagnosis(category=Category.CREATING, summary="Asking the cluster for the server.")
    story = _own_events(pod, events)
    status = _mapping(pod.get("status"))
    return (
        _ended(pod, status)
        or _unplaced(pod, status, story)
        or _container_trouble(pod, status, story)
        or _on_node(status, story, image, pull_seconds)
    )


def _ended(pod: Mapping[str, Any], status: Mapping[str, Any]) -> Diagnosis | None:
    """Diagnose a pod that has failed, finished, or is being taken away."""
    phase, reason = _text(status.get("phase")), _text(status.get("reason"))
    message = _text(status.get("message"))
    disruption = _condition(status, "DisruptionTarget")
    is_disrupted = disruption.get("status") == "True"
    known = explain_pod_failure(reason, message) if phase == "Failed" else None
    if known is None and is_disrupted:
        why, text = _text(disruption.get("reason")), _text(disruption.get("message"))
        known = explain_pod_failure(why, text)
    if known is not None:
        return _failed(known)
    if phase in ("Failed", "Succeeded"):
        ended = _terminated(pod, status)
        if ended is not None:
            return _failed(ended)
        return Diagnosis(
            category=Category.FAILED,
            summary="The server ended." if phase == "Succeeded" else "The server's pod failed.",
            detail=f"{reason}: {message}"[:_MAX_DETAIL] if reason or message else "",
            resolution="Start it again.",
            is_final=True,
        )
    if _mapping(pod.get("metadata")).get("deletionTimestamp"):
        return Diagnosis(
            category=Category.FAILED,
            summary="The server is being stopped.",
            resolution="Start it again once it has stopped.",
            is_final=True,
        )
    return None


def _unplaced(
    pod: Mapping[str, Any], status: Mapping[str, Any], story: list[Mapping[str, Any]]
) -> Diagnosis | None:
    """Diagnose a pod that has no node yet."""
    spec = _mapping(pod.get("spec"))
    if spec.get("nodeName"):
        return None
    placed = _condition(status, "PodScheduled")
    gates = [_text(gate.get("name")) for gate in _list(spec.get("schedulingGates"))]
    if gates or placed.get("reason") == "SchedulingGated":
        is_queued = not gates or any(name.startswith(_KUEUE) for name in gates)
        return Diagnosis(
            category=Category.QUEUED,
            summary="In the queue: the server starts when its turn comes."
            if is_queued
            else "Waiting: the cluster holds the server back until all is ready for it.",
            detail=_text(placed.get("message")),
        )
    claim = _last(story, "FailedResourceClaimCreation")
    if claim is not None:
        trouble = explain_claim_creation(_message(claim))
        return Diagnosis(
            category=Category.TROUBLE,
            summary=trouble.summary,
            detail=_message(claim),
            resolution=trouble.resolution,
        )
    scaling = _last(story, "TriggeredScaleUp", "Nominated", "NotTriggerScaleUp", "FailedScaleUp")
    if scaling is not None and scaling.get("reason") in ("TriggeredScaleUp", "Nominated"):
        return Diagnosis(
            category=Category.SCALING_UP,
            summary="Waiting for a new node, which is being started; this takes a few minutes.",
            detail=_message(scaling),
        )
    return _refused(placed, story)


def _refused(placed: Mapping[str, Any], story: list[Mapping[str, Any]]) -> Diagnosis:
    """Diagnose a pod for which no scheduler has found a node."""
    message = _text(placed.get("message"))
    refused = _last(story, *_REFUSALS)
    if not message and refused is not None:
        message = _message(refused)
    if message:
        why = explain_unschedulable(message)
        return Diagnosis(
            category=Category.WAITING,
            summary=why.summary,
            detail=why.detail,
            resolution=why.resolution,
        )
    if _last(story, "Pipelined") is not None:
        return Diagnosis(
            category=Category.WAITING,
            summary="Waiting for a GPU that another server is just giving back.",
        )
    return Diagnosis(category=Category.WAITING, summary="Looking for a node with room.")


def _container_trouble(
    pod: Mapping[str, Any], status: Mapping[str, Any], story: list[Mapping[str, Any]]
) -> Diagnosis | None:
    """Diagnose containers that cannot start, or that crash."""
    # Older kubelets say only "Back-off pulling image" in the status, and why in an event.
    why = _last(story, "Failed")
    for container in _containers(status):
        waiting = _mapping(_mapping(container.get("state")).get("waiting"))
        reason = _text(waiting.get("reason"))
        message = _text(waiting.get("message"))
        if reason == "ImagePullBackOff" and why is not None:
            message = f"{message} {_message(why)}"
        failure = explain_waiting(reason, message)
        if failure is not None:
            return _failed(failure)
        if reason == "CrashLoopBackOff":
            last = _mapping(_mapping(container.get("lastState")).get("terminated"))
            return _failed(_exit_of(pod, container, last), prefix="It keeps failing: ")
    ended = _terminated(pod, status)
    return _failed(ended) if ended is not None else None


def _on_node(
    status: Mapping[str, Any],
    story: list[Mapping[str, Any]],
    image: Image | None,
    pull_seconds: float | None,
) -> Diagnosis:
    """Diagnose a pod whose node is at work on it."""
    notebook = _notebook(status)
    if notebook.get("ready") is True:
        return Diagnosis(
            category=Category.READY, summary="The server runs; JupyterHub is connecting to it."
        )
    if _mapping(_mapping(notebook.get("state")).get("running")):
        probe = _last(story, "Unhealthy")
        return Diagnosis(
            category=Category.STARTING,
            summary="The server is starting.",
            detail=_message(probe) if probe is not None else "",
        )
    latest = _last(
        story,
        *("Scheduled", "Pulling", "Pulled", "Created", "Started"),
        *_NODE_TROUBLE,
    )
    reason = _text(latest.get("reason")) if latest is not None else ""
    if latest is not None and reason in _NODE_TROUBLE:
        return _node_trouble(_NODE_TROUBLE[reason], _message(latest))
    if reason == "Pulling":
        return _pulling(latest, image, pull_seconds)
    if reason in ("Pulled", "Created", "Started"):
        return Diagnosis(
            category=Category.STARTING, summary="The node has the image; the server is starting."
        )
    return Diagnosis(category=Category.SCHEDULED, summary="A node was found; it is preparing.")


def _node_trouble(summary: str, message: str) -> Diagnosis:
    resolution = "If this goes on, stop the server and start it again."
    if not summary:
        trouble = explain_preparation(message)
        summary, resolution = trouble.summary, trouble.resolution
    return Diagnosis(
        category=Category.TROUBLE, summary=summary, detail=message, resolution=resolution
    )


_NODE_TROUBLE: Final[Mapping[str, str]] = {
    "FailedMount": "The node cannot reach the home volume yet; it tries again.",
    "FailedAttachVolume": "The home volume cannot be attached to the node yet; it tries again.",
    "FailedCreatePodSandBox": "The node cannot set up the server's network yet; it tries again.",
    "FailedPrepareDynamicResources": "",  # its message tells more
}


def _pulling(
    event: Mapping[str, Any] | None, image: Image | None, pull_seconds: float | None
) -> Diagnosis:
    message = _message(event) if event is not None else ""
    # Init containers and sidecars have images of their own, of which nothing is known here.
    is_ours = image is not None and f'"{image.reference}"' in message
    size = image.size_bytes if image is not None and is_ours else None
    what = f"a {say_bytes(size)} image" if size else "the image"
    how_long = f" (about {say_duration(pull_seconds)})" if pull_seconds and is_ours else ""
    return Diagnosis(
        category=Category.PULLING, summary=f"Pulling {what}{how_long}.", detail=message
    )


def _terminated(pod: Mapping[str, Any], status: Mapping[str, Any]) -> Failure | None:
    """Explain the container that ended: a failed init container before the server itself."""
    for container in _containers(status):
        ended = _mapping(_mapping(container.get("state")).get("terminated"))
        is_init = container.get("name") != NOTEBOOK
        if ended and not (is_init and ended.get("exitCode") == 0):
            return _exit_of(pod, container, ended)
    return None


def _exit_of(
    pod: Mapping[str, Any], container: Mapping[str, Any], ended: Mapping[str, Any]
) -> Failure:
    code = ended.get("exitCode")
    limit = ""
    for declared in _list(_mapping(pod.get("spec")).get("containers")):
        if declared.get("name") == container.get("name"):
            resources = _mapping(declared.get("resources"))
            limit = _text(_mapping(resources.get("limits")).get("memory"))
    failure = explain_exit(
        _text(ended.get("reason")), code if isinstance(code, int) else -1, memory_limit=limit
    )
    name = _text(container.get("name"))
    if name and name != NOTEBOOK:
        return Failure(
            summary=f"A container beside the server failed: {name[:63]}.",
            detail=failure.summary,
            resolution="Tell the administrators of this hub.",
        )
    return Failure(
        summary=failure.summary,
        resolution=failure.resolution,
        detail=_text(ended.get("message")),
        is_final=failure.is_final,
    )


def _failed(failure: Failure, prefix: str = "") -> Diagnosis:
    return Diagnosis(
        category=Category.FAILED if failure.is_final else Category.TROUBLE,
        summary=f"{prefix}{failure.summary}",
        detail=failure.detail[:_MAX_DETAIL],
        resolution=failure.resolution,
        is_final=failure.is_final,
    )


def _own_events(
    pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Order events by time, without those of an earlier pod that had the same name."""
    uid = _text(_mapping(pod.get("metadata")).get("uid"))
    own = []
    for event in events:
        subject = _text(_mapping(_mapping(event).get("involvedObject")).get("uid"))
        if not uid or not subject or uid == subject:
            own.append(_mapping(event))
    return sorted(own, key=_when)


def _when(event: Mapping[str, Any]) -> tuple[str, int]:
    """Return in which second an event last happened, and its place in the course of a start.

    The scheduler writes microseconds and the kubelet whole seconds: within one second only the
    course tells what came first.
    """
    reason = event.get("reason")
    rank = _COURSE.index(reason) if reason in _COURSE else len(_COURSE)
    for value in (
        _mapping(event.get("series")).get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
        _mapping(event.get("metadata")).get("creationTimestamp"),
    ):
        if value:
            return str(value)[:_SECONDS_LENGTH], rank
    return "", rank


def _last(story: list[Mapping[str, Any]], *reasons: str) -> Mapping[str, Any] | None:
    return next((event for event in reversed(story) if event.get("reason") in reasons), None)


def _message(event: Mapping[str, Any]) -> str:
    text = event.get("message") or event.get("note")  # events.k8s.io/v1 calls it note
    return " ".join(_text(text).split())[:_MAX_DETAIL]


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    for condition in _list(status.get("conditions")):
        if condition.get("type") == kind:
            return condition
    return {}


def _containers(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*_list(status.get("initContainerStatuses")), *_list(status.get("containerStatuses"))]


def _notebook(status: Mapping[str, Any]) -> Mapping[str, Any]:
    for container in _list(status.get("containerStatuses")):
        if container.get("name") == NOTEBOOK:
            return container
    return {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, (list, tuple)):
        return []
    return [item for item in value if isinstance(item, Mapping)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
