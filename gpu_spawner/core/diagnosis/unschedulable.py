"""Put the scheduler's reason why a pod waits into plain words.

``0/5 nodes are available: 3 Insufficient nvidia.com/gpu, 2 node(s) were unschedulable. ...`` is
exact and says nothing to a researcher. The wording read here is kube-scheduler's of 1.25 to 1.37,
and that of schedulers that share GPUs (``device_words``); what is not known is quoted as it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gpu_spawner.core.diagnosis.device_words import WAITS
from gpu_spawner.core.wording import counted, listed

__all__ = ["Unschedulable", "explain_unschedulable", "resource_word"]

_HEAD: Final = re.compile(r"0/(\d{1,9}) nodes are (?:un)?available: ?")
_TAIL: Final = re.compile(r"\.\s+(?:no new claims to deallocate|still not schedulable|preemption:)")
_PART: Final = re.compile(r"(\d{1,9}) (.+)")
_INSUFFICIENT: Final = re.compile(r"Insufficient (\S+)")
_ASK: Final = "Tell the administrators of this hub."
_MAX_QUOTED: Final = 120
# How early each kind of reason is said: GPUs, then volumes, then the rest of a node.
_DEVICES_FIRST: Final = 1
_FIRST_RULE: Final = 2
_BEFORE_ROOM: Final = 5

_NO_VOLUME: Final = r"persistentvolumeclaim \S+ (?:not found|bound to non-existent)"
# Which rule refuses, what to say of the nodes it refuses, and what the pod then waits for. The
# first pattern that is found in the message decides what is said first.
_RULES: Final = (
    (
        re.compile(_NO_VOLUME),
        "wait for the home volume",
        "Waiting: the home volume does not exist.",
    ),
    (
        re.compile(r"unbound immediate PersistentVolumeClaims"),
        "wait for the home volume",
        "Waiting for the home volume to be made.",
    ),
    (
        re.compile(r"volume node affinity conflict"),
        "cannot reach the home volume",
        "Waiting: the home volume can be reached only from other nodes.",
    ),
    (
        re.compile(r"exceed max volume count"),
        "have all volumes they can take",
        "Waiting for a node that can take another volume.",
    ),
    (re.compile(r"Too many pods"), "run as many pods as they may", "Waiting for a node with room."),
    (
        re.compile(r"untolerated taint"),
        "are reserved for other work or not ready",
        "Waiting: no node that this server may use has room.",
    ),
    (
        re.compile(r"didn't match Pod's node affinity|node selector"),
        "have other hardware",
        "Waiting: no node has the hardware that was chosen.",
    ),
    (
        re.compile(r"were unschedulable"),
        "are cordoned",
        "Waiting: the nodes that fit are cordoned.",
    ),
    (
        re.compile(r"free ports|anti-affinity|topology spread"),
        "are kept apart from this server by a rule",
        "Waiting for a node that is not kept apart by a rule.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unschedulable:
    """Why a pod waits: in one sentence, and node by node; and what to do beside waiting.

    ``is_stuck`` says that waiting helps only if somebody mends something.
    """

    summary: str
    detail: str
    resolution: str = ""
    is_stuck: bool = False


def explain_unschedulable(message: str) -> Unschedulable:
    """Explain a FailedScheduling message.

    >>> explain_unschedulable("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.").summary
    'Waiting for a free GPU.'
    """
    head = _HEAD.search(message)
    body = _TAIL.split(message[head.end() :] if head else message, maxsplit=1)[0].rstrip(". ")
    parts = list(_parts(body))
    device = next((one for one in WAITS if one.pattern.search(body)), None)
    resolution = device.resolution if device is not None else ""
    is_volume_missing = re.search(_NO_VOLUME, body) is not None
    if head is None or not parts:
        # Some reasons are about the pod and come without a number of nodes.
        devices = (one.wait for one in WAITS if one.pattern.search(body))
        waits = (wait for pattern, _, wait in _RULES if pattern.search(body))
        return Unschedulable(
            summary=next(devices, "") or next(waits, "Waiting for a node."),
            detail=" ".join(body.split())[:_MAX_QUOTED],
            resolution=_ASK if is_volume_missing else resolution,
            is_stuck=is_volume_missing or (device is not None and device.is_stuck),
        )
    said = [(number, *_explain(reason)) for number, reason in parts]
    best = min(said, key=lambda entry: entry[3])
    groups = [f"{number:,} {_agree(words, number)}" for number, words, _, _ in said]
    return Unschedulable(
        summary=best[2],
        detail=f"Of {counted(int(head.group(1)), 'node')}, {listed(groups)}.",
        resolution=resolution if best[3] == _DEVICES_FIRST else "",
        is_stuck=best[3] == _DEVICES_FIRST and device is not None and device.is_stuck,
    )


def resource_word(resource: str) -> str:
    """Say a resource's name in the plural, as a person would.

    >>> (
    ...     resource_word("nvidia.com/gpu"),
    ...     resource_word("nvidia.com/mig-1g.10gb"),
    ...     resource_word("cpu"),
    ... )
    ('GPUs', '1g.10gb slices', 'CPUs')
    """
    _, _, name = resource.partition("/")
    if name.startswith("mig-"):
        return f"{name.removeprefix('mig-').removesuffix('.shared')} slices"
    if name in ("gpu", "gpu.shared", "i915", "xe", "gaudi"):
        return "GPUs"
    return {
        "cpu": "CPUs",
        "memory": "memory",
        "ephemeral-storage": "disk space",
        "pods": "places for pods",
    }.get(resource, resource[:_MAX_QUOTED])


def _parts(body: str) -> Iterator[tuple[int, str]]:
    """Yield (nodes, reason) of "1 Insufficient cpu, 2 node(s) were unschedulable"."""
    for piece in re.split(r", (?=\d)", body):
        part = _PART.fullmatch(piece.strip())
        if part is not None:
            yield int(part.group(1)), part.group(2)


def _explain(reason: str) -> tuple[str, str, int]:
    """Return what to say of the nodes, what the pod waits for, and how early to say it."""
    insufficient = _INSUFFICIENT.search(reason)
    if insufficient is not None:
        resource = insufficient.group(1)
        word = resource_word(resource)
        few = "little" if resource in ("memory", "ephemeral-storage") else "few"
        if "/" in resource:
            one = word.removesuffix("s")
            return f"have too {few} free {word}", f"Waiting for a free {one}.", 0
        wait = f"Waiting for a node with enough {word}."
        return f"have too {few} free {word}", wait, _BEFORE_ROOM
    for device in WAITS:
        if device.pattern.search(reason):
            return device.words, device.wait, _DEVICES_FIRST
    for order, (pattern, words, wait) in enumerate(_RULES, start=_FIRST_RULE):
        if pattern.search(reason):
            return words, wait, order if order < _BEFORE_ROOM else order + 1
    return f"say '{reason[:_MAX_QUOTED]}'", "Waiting for a node.", 100


def _agree(words: str, number: int) -> str:
    """Put the verb in the singular for one node."""
    if number != 1:
        return words
    verb, _, rest = words.partition(" ")
    singular = {"have": "has", "are": "is", "run": "runs", "say": "says", "wait": "waits"}
    singular |= {"do": "does", "know": "knows", "serve": "serves", "give": "gives"}
    return f"{singular.get(verb, verb)} {rest}"
