"""Say what a starting server is waiting for, or why it failed: one sentence, and what to do.

Decides from the pod and its events as the API has them; the raw events stay available to whoever
wants them. A diagnosis is final when waiting longer cannot help, so that a hopeless start ends at
once. Whatever is missing or malformed in the input leads to a vaguer sentence, never to an error.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from gpu_spawner.core.diagnosis.container_failures import (
    Failure,
    explain_exit,
    explain_pod_failure,
    explain_waiting,
)
from gpu_spawner.core.diagnosis.device_words import explain_claim_creation
from gpu_spawner.core.diagnosis.expected_pull import ExpectedPull
from gpu_spawner.core.diagnosis.node_words import NODE_TROUBLES, explain_node_trouble
from gpu_spawner.core.diagnosis.pod_events import (
    as_list,
    as_mapping,
    as_text,
    last_of,
    message_of,
    own_events,
)
from gpu_spawner.core.diagnosis.unschedulable import explain_unschedulable
from gpu_spawner.core.messages import gettext

__all__ = ["IN_QUEUE", "Category", "Diagnosis", "diagnose"]

IN_QUEUE: Final = gettext("In the queue: the server starts when its turn comes.")
NOTEBOOK: Final = "notebook"
"""KubeSpawner's name of the container that is the server."""

_MAX_DETAIL: Final = 300
_KUEUE: Final = "kueue.x-k8s.io/"
# KAI says Unschedulable, HAMi FilteringFailed; both write FailedScheduling's words into it.
_REFUSALS: Final = ("FailedScheduling", "Unschedulable", "FilteringFailed")


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
        is_stuck: whether waiting longer helps only if somebody mends something meanwhile.
    """

    category: Category
    summary: str
    detail: str = ""
    resolution: str = ""
    is_final: bool = False
    is_stuck: bool = False


def diagnose(
    pod: Mapping[str, Any] | None,
    events: Iterable[Mapping[str, Any]] = (),
    *,
    pulls: Mapping[str, ExpectedPull] | None = None,
) -> Diagnosis:
    """Diagnose a server's start.

    Args:
        pod: the pod as the API has it; None before it exists.
        events: events of the pod in any order; those of another pod of the same name are ignored.
        pulls: what to expect of its images, by reference; of others nothing is known.
    """
    if not isinstance(pod, Mapping):
        return Diagnosis(
            category=Category.CREATING, summary=gettext("Asking the cluster for the server.")
        )
    story = own_events(pod, events)
    status = as_mapping(pod.get("status"))
    return (
        _ended(pod, status)
        or _unplaced(pod, status, story)
        or _container_trouble(pod, status, story)
        or _on_node(status, story, pulls or {})
    )


def _ended(pod: Mapping[str, Any], status: Mapping[str, Any]) -> Diagnosis | None:
    """Diagnose a pod that has failed, finished, or is being taken away."""
    phase, reason = as_text(status.get("phase")), as_text(status.get("reason"))
    message = as_text(status.get("message"))
    disruption = _condition(status, "DisruptionTarget")
    is_disrupted = disruption.get("status") == "True"
    known = explain_pod_failure(reason, message) if phase == "Failed" else None
    if known is None and is_disrupted:
        why, text = as_text(disruption.get("reason")), as_text(disruption.get("message"))
        known = explain_pod_failure(why, text)
    if known is not None:
        return _failed(known)
    if phase in ("Failed", "Succeeded"):
        ended = _terminated(pod, status)
        if ended is not None:
            return _failed(ended)
        return Diagnosis(
            category=Category.FAILED,
            summary=gettext("The server ended.")
            if phase == "Succeeded"
            else gettext("The server's pod failed."),
            detail=f"{reason}: {message}"[:_MAX_DETAIL] if reason or message else "",
            resolution=gettext("Start it again."),
            is_final=True,
        )
    if as_mapping(pod.get("metadata")).get("deletionTimestamp"):
        return Diagnosis(
            category=Category.FAILED,
            summary=gettext("The server is being stopped."),
            resolution=gettext("Start it again once it has stopped."),
            is_final=True,
        )
    return None


def _unplaced(
    pod: Mapping[str, Any], status: Mapping[str, Any], story: list[Mapping[str, Any]]
) -> Diagnosis | None:
    """Diagnose a pod that has no node yet."""
    spec = as_mapping(pod.get("spec"))
    if spec.get("nodeName"):
        return None
    placed = _condition(status, "PodScheduled")
    gates = [as_text(gate.get("name")) for gate in as_list(spec.get("schedulingGates"))]
    if gates or placed.get("reason") == "SchedulingGated":
        is_queued = not gates or any(name.startswith(_KUEUE) for name in gates)
        return Diagnosis(
            category=Category.QUEUED,
            summary=IN_QUEUE
            if is_queued
            else gettext("Waiting: the cluster holds the server back until all is ready for it."),
            detail=as_text(placed.get("message")),
        )
    claim = last_of(story, "FailedResourceClaimCreation")
    if claim is not None:
        trouble = explain_claim_creation(message_of(claim))
        return Diagnosis(
            category=Category.TROUBLE,
            summary=trouble.summary,
            detail=message_of(claim),
            resolution=trouble.resolution,
            is_stuck=trouble.is_stuck,
        )
    scaling = last_of(story, "TriggeredScaleUp", "Nominated", "NotTriggerScaleUp", "FailedScaleUp")
    if scaling is not None and scaling.get("reason") in ("TriggeredScaleUp", "Nominated"):
        return Diagnosis(
            category=Category.SCALING_UP,
            summary=gettext(
                "Waiting for a new node, which is being started; this takes a few minutes."
            ),
            detail=message_of(scaling),
        )
    waiting = _refused(placed, story)
    if scaling is None or waiting.resolution:
        return waiting
    could_not = scaling.get("reason") == "FailedScaleUp"
    return replace(
        waiting,
        resolution=gettext("A new node could not be started; the cluster tries again.")
        if could_not
        else gettext("The cluster can start no other node for it: wait, or choose other hardware."),
    )


def _refused(placed: Mapping[str, Any], story: list[Mapping[str, Any]]) -> Diagnosis:
    """Diagnose a pod for which no scheduler has found a node."""
    message = as_text(placed.get("message"))
    refused = last_of(story, *_REFUSALS)
    if not message and refused is not None:
        message = message_of(refused)
    if message:
        why = explain_unschedulable(message)
        return Diagnosis(
            category=Category.WAITING,
            summary=why.summary,
            detail=why.detail,
            resolution=why.resolution,
            is_stuck=why.is_stuck,
        )
    if last_of(story, "Pipelined") is not None:
        return Diagnosis(
            category=Category.WAITING,
            summary=gettext("Waiting for a GPU that another server is just giving back."),
        )
    return Diagnosis(category=Category.WAITING, summary=gettext("Looking for a node with room."))


def _container_trouble(
    pod: Mapping[str, Any], status: Mapping[str, Any], story: list[Mapping[str, Any]]
) -> Diagnosis | None:
    """Diagnose containers that cannot start, or that crash."""
    # Older kubelets say only "Back-off pulling image" in the status, and why in an event.
    why = last_of(story, "Failed")
    for container in _containers(status):
        waiting = as_mapping(as_mapping(container.get("state")).get("waiting"))
        reason = as_text(waiting.get("reason"))
        message = as_text(waiting.get("message"))
        if reason == "ImagePullBackOff" and why is not None:
            message = f"{message} {message_of(why)}"
        failure = explain_waiting(reason, message)
        if failure is not None:
            return _failed(failure)
        if reason == "CrashLoopBackOff":
            last = as_mapping(as_mapping(container.get("lastState")).get("terminated"))
            return _failed(_exit_of(pod, container, last), is_repeated=True)
    ended = _terminated(pod, status)
    return _failed(ended) if ended is not None else None


def _on_node(
    status: Mapping[str, Any],
    story: list[Mapping[str, Any]],
    pulls: Mapping[str, ExpectedPull],
) -> Diagnosis:
    """Diagnose a pod whose node is at work on it."""
    notebook = _notebook(status)
    if notebook.get("ready") is True:
        return Diagnosis(
            category=Category.READY,
            summary=gettext("The server runs; JupyterHub is connecting to it."),
        )
    if as_mapping(as_mapping(notebook.get("state")).get("running")):
        probe = last_of(story, "Unhealthy")
        return Diagnosis(
            category=Category.STARTING,
            summary=gettext("The server is starting.")
            if probe is None
            else gettext("The server is starting; it does not answer yet."),
            detail=message_of(probe) if probe is not None else "",
        )
    latest = last_of(
        story,
        *("Scheduled", "Pulling", "Pulled", "Created", "Started"),
        *NODE_TROUBLES,
    )
    reason = as_text(latest.get("reason")) if latest is not None else ""
    if latest is not None and reason in NODE_TROUBLES:
        return _node_trouble(reason, message_of(latest))
    if reason == "Pulling":
        return _pulling(latest, pulls)
    if reason in ("Pulled", "Created", "Started"):
        return Diagnosis(
            category=Category.STARTING,
            summary=gettext("The node has the image; the server is starting."),
        )
    return Diagnosis(
        category=Category.SCHEDULED, summary=gettext("A node was found; it is preparing.")
    )


def _node_trouble(reason: str, message: str) -> Diagnosis:
    trouble = explain_node_trouble(reason, message)
    return Diagnosis(
        category=Category.TROUBLE,
        summary=trouble.summary,
        detail=message,
        resolution=trouble.resolution,
        is_stuck=trouble.is_stuck,
    )


def _pulling(event: Mapping[str, Any] | None, pulls: Mapping[str, ExpectedPull]) -> Diagnosis:
    message = message_of(event) if event is not None else ""
    found = (pull for reference, pull in pulls.items() if f'"{reference}"' in message)
    pull = next(found, ExpectedPull())
    return Diagnosis(category=Category.PULLING, summary=pull.sentence, detail=message)


def _terminated(pod: Mapping[str, Any], status: Mapping[str, Any]) -> Failure | None:
    """Explain the container that ended: a failed init container before the server itself."""
    for container in _containers(status):
        ended = as_mapping(as_mapping(container.get("state")).get("terminated"))
        is_init = container.get("name") != NOTEBOOK
        if ended and not (is_init and ended.get("exitCode") == 0):
            return _exit_of(pod, container, ended)
    return None


def _exit_of(
    pod: Mapping[str, Any], container: Mapping[str, Any], ended: Mapping[str, Any]
) -> Failure:
    code = ended.get("exitCode")
    limit = ""
    for declared in as_list(as_mapping(pod.get("spec")).get("containers")):
        if declared.get("name") == container.get("name"):
            resources = as_mapping(declared.get("resources"))
            limit = as_text(as_mapping(resources.get("limits")).get("memory"))
    failure = explain_exit(
        as_text(ended.get("reason")), code if isinstance(code, int) else -1, memory_limit=limit
    )
    name = as_text(container.get("name"))
    if name and name != NOTEBOOK:
        return Failure(
            summary=gettext("A container beside the server failed: {name}.", name=name[:63]),
            detail=failure.summary,
            resolution=gettext("Tell the administrators of this hub."),
        )
    return Failure(
        summary=failure.summary,
        resolution=failure.resolution,
        detail=as_text(ended.get("message")),
        is_final=failure.is_final,
    )


def _failed(failure: Failure, *, is_repeated: bool = False) -> Diagnosis:
    return Diagnosis(
        category=Category.FAILED if failure.is_final else Category.TROUBLE,
        summary=gettext("It keeps failing: {failure}", failure=failure.summary)
        if is_repeated
        else failure.summary,
        detail=failure.detail[:_MAX_DETAIL],
        resolution=failure.resolution,
        is_final=failure.is_final,
    )


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    for condition in as_list(status.get("conditions")):
        if condition.get("type") == kind:
            return condition
    return {}


def _containers(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        *as_list(status.get("initContainerStatuses")),
        *as_list(status.get("containerStatuses")),
    ]


def _notebook(status: Mapping[str, Any]) -> Mapping[str, Any]:
    for container in as_list(status.get("containerStatuses")):
        if container.get("name") == NOTEBOOK:
            return container
    return {}
