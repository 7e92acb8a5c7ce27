"""Put the scheduler's reason why a pod waits into plain words.

``0/5 nodes are available: 3 Insufficient nvidia.com/gpu, 2 node(s) were unschedulable. ...`` is
exact and says nothing to a researcher. The wording read here is kube-scheduler's of 1.25 to 1.37,
and that of schedulers that share GPUs (``device_words``); what is not known is quoted as it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gpu_spawner.core.diagnosis.device_words import WAITS
from gpu_spawner.core.messages import Message, figure, gettext, ngettext
from gpu_spawner.core.wording import listed

__all__ = ["Unschedulable", "explain_unschedulable", "resource_word"]

_HEAD: Final = re.compile(r"0/(\d{1,9}) nodes are (?:un)?available: ?")
_TAIL: Final = re.compile(r"\.\s+(?:no new claims to deallocate|still not schedulable|preemption:)")
_PART: Final = re.compile(r"(\d{1,9}) (.+)")
_INSUFFICIENT: Final = re.compile(r"Insufficient (\S+)")
_ASK: Final = gettext("Tell the administrators of this hub.")
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
        ngettext("waits for the home volume", "wait for the home volume", 1),
        gettext("Waiting: the home volume does not exist."),
    ),
    (
        re.compile(r"unbound immediate PersistentVolumeClaims"),
        ngettext("waits for the home volume", "wait for the home volume", 1),
        gettext("Waiting for the home volume to be made."),
    ),
    (
        re.compile(r"volume node affinity conflict"),
        ngettext("cannot reach the home volume", "cannot reach the home volume", 1),
        gettext("Waiting: the home volume can be reached only from other nodes."),
    ),
    (
        re.compile(r"exceed max volume count"),
        ngettext("has all volumes it can take", "have all volumes they can take", 1),
        gettext("Waiting for a node that can take another volume."),
    ),
    (
        re.compile(r"Too many pods"),
        ngettext("runs as many pods as it may", "run as many pods as they may", 1),
        gettext("Waiting for a node with room."),
    ),
    (
        re.compile(r"untolerated taint"),
        ngettext(
            "is reserved for other work or not ready",
            "are reserved for other work or not ready",
            1,
        ),
        gettext("Waiting: no node that this server may use has room."),
    ),
    (
        re.compile(r"didn't match Pod's node affinity|node selector"),
        ngettext("has other hardware", "have other hardware", 1),
        gettext("Waiting: no node has the hardware that was chosen."),
    ),
    (
        re.compile(r"were unschedulable"),
        ngettext("is cordoned", "are cordoned", 1),
        gettext("Waiting: the nodes that fit are cordoned."),
    ),
    (
        re.compile(r"free ports|anti-affinity|topology spread"),
        ngettext(
            "is kept apart from this server by a rule",
            "are kept apart from this server by a rule",
            1,
        ),
        gettext("Waiting for a node that is not kept apart by a rule."),
    ),
)


_GPU_NAMES: Final = ("gpu", "gpu.shared", "i915", "xe", "gaudi")
_WORDS: Final = MappingProxyType(
    {
        "cpu": gettext("CPUs"),
        "memory": gettext("memory"),
        "ephemeral-storage": gettext("disk space"),
        "pods": gettext("places for pods"),
    }
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
            summary=next(devices, "") or next(waits, gettext("Waiting for a node.")),
            detail=" ".join(body.split())[:_MAX_QUOTED],
            resolution=_ASK if is_volume_missing else resolution,
            is_stuck=is_volume_missing or (device is not None and device.is_stuck),
        )
    said = [(number, *_explain(reason)) for number, reason in parts]
    best = min(said, key=lambda entry: entry[3])
    groups = [
        gettext("{nodes} {are_so}", nodes=figure(number), are_so=words.about(number))
        for number, words, _, _ in said
    ]
    nodes = int(head.group(1))
    return Unschedulable(
        summary=best[2],
        detail=ngettext(
            "Of {number} node, {groups}.",
            "Of {number} nodes, {groups}.",
            nodes,
            groups=listed(groups),
        ),
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
        profile = name.removeprefix("mig-").removesuffix(".shared")
        return gettext("{profile} slices", profile=profile)
    if name in _GPU_NAMES:
        return gettext("GPUs")
    return _WORDS.get(resource, resource[:_MAX_QUOTED])


def _parts(body: str) -> Iterator[tuple[int, str]]:
    """Yield (nodes, reason) of "1 Insufficient cpu, 2 node(s) were unschedulable"."""
    for piece in re.split(r", (?=\d)", body):
        part = _PART.fullmatch(piece.strip())
        if part is not None:
            yield int(part.group(1)), part.group(2)


def _explain(reason: str) -> tuple[Message, str, int]:
    """Return what to say of the nodes, what the pod waits for, and how early to say it."""
    insufficient = _INSUFFICIENT.search(reason)
    if insufficient is not None:
        return _explain_shortage(insufficient.group(1))
    for device in WAITS:
        if device.pattern.search(reason):
            return device.words, device.wait, _DEVICES_FIRST
    for order, (pattern, words, wait) in enumerate(_RULES, start=_FIRST_RULE):
        if pattern.search(reason):
            return words, wait, order if order < _BEFORE_ROOM else order + 1
    words = ngettext("says '{reason}'", "say '{reason}'", 1, reason=reason[:_MAX_QUOTED])
    return words, gettext("Waiting for a node."), 100


def _explain_shortage(resource: str) -> tuple[Message, str, int]:
    word = resource_word(resource)
    if resource in ("memory", "ephemeral-storage"):
        words = ngettext("has too little free {what}", "have too little free {what}", 1, what=word)
    else:
        words = ngettext("has too few free {what}", "have too few free {what}", 1, what=word)
    if "/" not in resource:
        return words, gettext("Waiting for a node with enough {what}.", what=word), _BEFORE_ROOM
    _, _, name = resource.partition("/")
    if name.startswith("mig-"):
        profile = name.removeprefix("mig-").removesuffix(".shared")
        return words, gettext("Waiting for a free {profile} slice.", profile=profile), 0
    if name in _GPU_NAMES:
        return words, gettext("Waiting for a free GPU."), 0
    one = word.removesuffix("s")
    return words, gettext("Waiting for a free {what}.", what=one), 0
