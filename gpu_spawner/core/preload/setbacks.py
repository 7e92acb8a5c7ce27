"""What failed, and when to try again.

A failure that lies in the image or its registry holds back the image everywhere: then one node at a
time tries it, after pauses that double. A failure that lies in a node (evicted, no room) holds back
that node only. Other images go on meanwhile.
"""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from gpu_spawner.core.cluster.pullers import PullerPod, PullState, Setback, SetNotes
from gpu_spawner.core.preload.policy import Policy

__all__ = ["deadline_of", "failure_of", "note_failures"]

_NO_ROOM_SECONDS: Final = 120
"""How long a puller may wait for a node it was made for."""
_OF_THE_IMAGE: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_THROTTLED: Final = ("toomanyrequests", "too many requests", "rate limit", "qps exceeded")
_MOST_DOUBLINGS: Final = 20
_MAX_WHY: Final = 200


def failure_of(pod: PullerPod, policy: Policy, now: int) -> str:
    """Return why a puller has failed, in one word; empty while it may still succeed."""
    if pod.state is PullState.FAILED:
        return pod.reason or "Failed"
    age = now - pod.created if pod.created else 0
    if pod.state is PullState.WAITING and age > _NO_ROOM_SECONDS:
        return "NoRoom"
    if pod.state is PullState.PULLING and age > policy.stall_seconds:
        return "Stalled"
    return ""


def deadline_of(pod: PullerPod, policy: Policy) -> int:
    """Return when a puller that is under way will count as failed, in unix seconds; 0 for never."""
    if not pod.created:
        return 0
    if pod.state is PullState.WAITING:
        return pod.created + _NO_ROOM_SECONDS + 1
    return pod.created + policy.stall_seconds + 1 if pod.state is PullState.PULLING else 0


def note_failures(
    notes: SetNotes,
    pods: Collection[PullerPod],
    failing: Mapping[str, PullerPod],
    policy: Policy,
    now: int,
) -> SetNotes:
    """Return the notes after what the pods of a set show.

    Args:
        notes: so far.
        pods: all pods of the set.
        failing: those that failed and were not noted yet, by node.
        policy: the pauses.
        now: unix seconds.
    """
    ready = [pod for pod in pods if pod.state is PullState.READY]
    if notes.failures and any(pod.ready_at > notes.failed_at for pod in ready):
        notes = msgspec.structs.replace(
            notes, failures=0, failed_at=0, retry_at=0, why="", is_throttled=False
        )
    recovered = {pod.node for pod in ready}
    setbacks = {node: one for node, one in notes.setbacks.items() if node not in recovered}
    of_image = None
    for node, pod in sorted(failing.items()):
        count = setbacks[node].count if node in setbacks else 0
        setbacks[node] = Setback(count + 1, now + _pause(policy, count))
        if failure_of(pod, policy, now) in _OF_THE_IMAGE:
            of_image = of_image or pod
    notes = msgspec.structs.replace(notes, setbacks=setbacks)
    if of_image is None:
        return notes
    return msgspec.structs.replace(
        notes,
        failures=notes.failures + 1,
        failed_at=now,
        retry_at=now + _pause(policy, notes.failures),
        why=f"{of_image.reason}: {of_image.message}"[:_MAX_WHY].rstrip(": "),
        is_throttled=_is_throttled(of_image),
    )


def _pause(policy: Policy, failures: int) -> int:
    doubled: int = policy.first_retry_seconds * 2 ** min(failures, _MOST_DOUBLINGS)
    return min(doubled, policy.longest_retry_seconds)


def _is_throttled(pod: PullerPod) -> bool:
    text = pod.message.lower()
    return any(word in text for word in _THROTTLED)
