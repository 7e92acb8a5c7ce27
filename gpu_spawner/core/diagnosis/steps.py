"""One step of a start in a sentence, as it was when it happened.

The progress page tells all steps again to whoever opens it, also when the server runs by then. So a
step is told from its event and from what it says about the pod of that time, not from the pod as it
is now.
"""

from collections.abc import Mapping
from typing import Any, Final

from gpu_spawner.core.diagnosis.expected_pull import ExpectedPull
from gpu_spawner.core.diagnosis.node_words import NODE_TROUBLES
from gpu_spawner.core.diagnosis.pod_diagnosis import Category, Diagnosis, diagnose
from gpu_spawner.core.diagnosis.pod_events import as_mapping, own_events

__all__ = ["diagnose_step"]

_BEFORE_A_NODE: Final = frozenset(
    {
        "FailedResourceClaimCreation",
        "FailedScaleUp",
        "FailedScheduling",
        "FilteringFailed",
        "Nominated",
        "NotTriggerScaleUp",
        "Pipelined",
        "TriggeredScaleUp",
        "Unschedulable",
    }
)
_ON_A_NODE: Final = frozenset(
    {
        "Created",
        "Pulled",
        "Pulling",
        "Scheduled",
        "Started",
        *NODE_TROUBLES,
    }
)
_OVER: Final = (Category.SCHEDULED, Category.STARTING, Category.READY)


def diagnose_step(
    pod: Mapping[str, Any] | None,
    event: Mapping[str, Any],
    *,
    pulls: Mapping[str, ExpectedPull] | None = None,
) -> Diagnosis | None:
    """Diagnose a server's start as it stood at an event.

    Args:
        pod: the pod as the API has it; None before it exists.
        event: one event of the pod.
        pulls: what to expect of its images, by reference.

    Returns:
        None where there are no words for the event, and the pod is beyond it.
    """
    reason = event.get("reason")
    if isinstance(pod, Mapping) and own_events(pod, [event]):
        names = {"metadata": {"uid": as_mapping(pod.get("metadata")).get("uid")}}
        if reason in _BEFORE_A_NODE:
            return diagnose({**names, "spec": {}}, [event])
        if reason in _ON_A_NODE:
            return diagnose({**names, "spec": {"nodeName": "any"}}, [event], pulls=pulls)
    diagnosis = diagnose(pod, [event], pulls=pulls)
    return None if diagnosis.category in _OVER else diagnosis
