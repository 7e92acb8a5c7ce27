"""What failed, and when to try again.

A failure that lies in the image or its registry holds back the image everywhere: then one node at a
time tries it, after pauses that double. A failure that lies in a node (evicted, no room) holds back
that node only. Other images go on meanwhile.

Where no pod is ever made for an admitted node (a quota or a policy of the cluster refuses it), that
is a failure as well: of the image, if none of its pods could be made anywhere.
"""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

import msgspec

from gpu_spawner.core.cluster.pullers import PullerPod, PullState, Setback, SetNotes
from gpu_spawner.core.preload.policy import Policy

__all__ = [
    "WAIT_SECONDS",
    "Failure",
    "deadline_of",
    "failure_of",
    "not_created",
    "note_failures",
    "pause_seconds",
]

WAIT_SECONDS: Final = 120
"""How long a puller may wait to be made, and then for the node it was made for."""
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
_OF_THE_NODE: Final = (
    "no space left on device",
    "no match for platform",
    "no matching manifest",
    "disk quota exceeded",
)
"""What runtimes say, under the reasons above, where a full disk or another architecture is why."""
_THROTTLED: Final = ("toomanyrequests", "too many requests", "rate limit", "qps exceeded")
_MOST_DOUBLINGS: Final = 20
_MAX_WHY: Final = 200
_MAX_REASON: Final = 40


class Failure(NamedTuple):
    """Why an image did not arrive on a node: Kubernetes' word, details, and whether elsewhere too.

    ``lies_in_image`` is True for what any other node would meet as well.
    """

    reason: str
    message: str = ""
    lies_in_image: bool = False


def failure_of(pod: PullerPod, policy: Policy, now: int) -> Failure | None:
    """Return why a puller has failed; None while it may still succeed."""
    if pod.state is PullState.FAILED:
        told = pod.message.lower()
        lies_in_image = pod.reason in _OF_THE_IMAGE and not any(
            words in told for words in _OF_THE_NODE
        )
        return Failure(pod.reason or "Failed", pod.message, lies_in_image)
    age = now - pod.waiting_since if pod.created else 0
    if pod.state is PullState.WAITING and age > WAIT_SECONDS:
        return Failure("NoRoom")
    if pod.state is PullState.PULLING and age > policy.stall_seconds:
        return Failure("Stalled")
    return None


def not_created(*, lies_in_image: bool) -> Failure:
    """Return the failure of a node for which no pod was made in time.

    Args:
        lies_in_image: whether no pod of the DaemonSet could be made on a usable node either.
    """
    return Failure(
        "NotCreated",
        "no pod was made for the node; the events of the DaemonSet say why",
        lies_in_image,
    )


def deadline_of(pod: PullerPod, policy: Policy) -> int:
    """Return when a puller that is under way will count as failed, in unix seconds; 0 for never."""
    if not pod.created:
        return 0
    if pod.state is PullState.WAITING:
        return pod.waiting_since + WAIT_SECONDS + 1
    return pod.waiting_since + policy.stall_seconds + 1 if pod.state is PullState.PULLING else 0


def note_failures(
    notes: SetNotes,
    pods: Collection[PullerPod],
    failing: Mapping[str, Failure],
    policy: Policy,
    now: int,
) -> SetNotes:
    """Return the notes after what the pods of a set show.

    Args:
        notes: so far.
        pods: all pods of the set.
        failing: what failed and was not noted yet, by node.
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
    for node, failure in sorted(failing.items()):
        count = setbacks[node].count if node in setbacks else 0
        retry_at = now + pause_seconds(policy, count)
        setbacks[node] = Setback(count + 1, retry_at, failure.reason[:_MAX_REASON])
        if failure.lies_in_image:
            of_image = of_image or failure
    notes = msgspec.structs.replace(notes, setbacks=setbacks)
    if of_image is None:
        return notes
    return msgspec.structs.replace(
        notes,
        failures=notes.failures + 1,
        failed_at=now,
        retry_at=now + pause_seconds(policy, notes.failures),
        why=f"{of_image.reason}: {of_image.message}"[:_MAX_WHY].rstrip(": "),
        is_throttled=any(word in of_image.message.lower() for word in _THROTTLED),
    )


def pause_seconds(policy: Policy, failures: int) -> int:
    """Return how long to wait after a failure, given how many came before it in a row."""
    doubled: int = policy.first_retry_seconds * 2 ** min(failures, _MOST_DOUBLINGS)
    return min(doubled, policy.longest_retry_seconds)
