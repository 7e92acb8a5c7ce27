"""What schedulers, controllers and kubelets say about GPUs, in plain words, with what to do.

Read are the words of kube-scheduler and kubelet 1.34 to 1.37 (pkg/scheduler/framework/plugins/
dynamicresources, pkg/kubelet/cm/dra, pkg/controller/resourceclaim), of NVIDIA's device plugin and
DRA driver, of HAMi 2.10 (pkg/device/common), Volcano 1.15 (pkg/scheduler/api) and KAI 0.17
(pkg/scheduler/api). Nothing of what they wrote is repeated here.
"""

import re
from dataclasses import dataclass
from typing import Final

from gpu_spawner.core.messages import Message, gettext, ngettext, sentences

__all__ = [
    "WAITS",
    "Trouble",
    "Wait",
    "explain_admission_error",
    "explain_claim_creation",
    "explain_preparation",
]

_ASK: Final = gettext("Tell the administrators of this hub.")
_OTHER: Final = gettext("Choose other hardware, or wait.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A reason to refuse nodes: how it is worded, and what is said instead.

    Attributes:
        words: of one node or several: "have no free GPU".
        wait: what the pod waits for, a sentence.
        resolution: what to do, where there is more to do than to wait.
        is_stuck: whether waiting helps only if somebody mends something.
    """

    pattern: re.Pattern[str]
    words: Message
    wait: str
    resolution: str = ""
    is_stuck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong, and what to do; ``is_stuck`` as in ``Wait``."""

    summary: str
    resolution: str
    is_stuck: bool = False


# The first that is found counts, so the particular come before the general.
WAITS: Final = (
    Wait(
        pattern=re.compile(r"device class \S+ does not exist|could not retrieve device class"),
        words=ngettext("knows no such kind of device", "know no such kind of device", 1),
        wait=gettext("Waiting: the cluster has no driver for the GPU that was chosen."),
        resolution=sentences(gettext("Choose other hardware."), _ASK),
        is_stuck=True,
    ),
    Wait(
        pattern=re.compile(r"invalid resource pools"),
        words=ngettext(
            "has a GPU driver that contradicts itself",
            "have a GPU driver that contradicts itself",
            1,
        ),
        wait=gettext("Waiting: a GPU driver says contradictory things about its devices."),
        resolution=sentences(gettext("If this goes on, choose other hardware."), _ASK),
    ),
    Wait(
        pattern=re.compile(r"timed out trying to allocate devices"),
        words=ngettext("took too long to search for a GPU", "took too long to search for a GPU", 1),
        wait=gettext("Looking for a GPU that matches takes long; the cluster tries again."),
        resolution=sentences(gettext("If this goes on, choose other hardware."), _ASK),
    ),
    Wait(
        pattern=re.compile(r"resourceclaim \S+ is being deleted"),
        words=ngettext(
            "is taking back the GPU of an earlier server",
            "are taking back the GPU of an earlier server",
            1,
        ),
        wait=gettext("Waiting: the claim of an earlier server is being deleted."),
        resolution=gettext("If this goes on, stop the server and start it again."),
    ),
    Wait(
        pattern=re.compile(r"resourceclaim in use|in the process of being allocated"),
        words=ngettext(
            "is just being given another server's GPU",
            "are just being given another server's GPU",
            1,
        ),
        wait=gettext(
            "Waiting: the claim for the GPU is in use for a moment; the cluster tries again."
        ),
    ),
    Wait(
        pattern=re.compile(r"resourceclaim not available on the node"),
        words=ngettext(
            "does not have the GPU that the server's claim holds",
            "do not have the GPU that the server's claim holds",
            1,
        ),
        wait=gettext("Waiting: the GPU the server was given is on a node that has no room."),
        resolution=gettext("Stop the server and start it again."),
    ),
    Wait(
        pattern=re.compile(r"cannot (?:schedule extended resource claim|fit resource)"),
        words=ngettext("has no free GPU that matches", "have no free GPU that matches", 1),
        wait=gettext("Waiting for a GPU that matches to become free."),
        resolution=_OTHER,
    ),
    Wait(
        pattern=re.compile(r"cannot allocate all claims"),
        words=ngettext("has no free GPU that matches", "have no free GPU that matches", 1),
        wait=gettext("Waiting for a GPU that matches to become free."),
    ),
    Wait(
        pattern=re.compile(r"CardInsufficientMemory|not enough gpu fitted|GPU memory"),
        words=ngettext(
            "has no GPU with enough memory left", "have no GPU with enough memory left", 1
        ),
        wait=gettext("Waiting for a GPU with enough memory left."),
        resolution=gettext("Ask for less memory, or wait."),
    ),
    Wait(
        pattern=re.compile(r"CardInsufficientCore|CardComputeUnitsExhausted"),
        words=ngettext(
            "has no GPU with enough compute left", "have no GPU with enough compute left", 1
        ),
        wait=gettext("Waiting for a GPU with enough compute left."),
        resolution=_OTHER,
    ),
    Wait(
        pattern=re.compile(
            r"CardTimeSlicingExhausted|ExclusiveDeviceAllocateConflict|CardMigTopologyInfeasible"
            r"|AllocatedCardsInsufficientRequest|NodeInsufficientDevice|no enough gpu cards"
            r"|enough resources: GPUs"
        ),
        words=ngettext(
            "has too few GPUs that can be shared further",
            "have too few GPUs that can be shared further",
            1,
        ),
        wait=gettext("Waiting for a GPU that can be shared further."),
        resolution=_OTHER,
    ),
    Wait(
        pattern=re.compile(r"CardTypeMismatch|CardUuidMismatch|ModeNotFit|sharing mode"),
        words=ngettext("has other GPUs", "have other GPUs", 1),
        wait=gettext("Waiting: no node has the hardware that was chosen."),
        resolution=sentences(gettext("Choose other hardware."), _ASK),
    ),
    Wait(
        pattern=re.compile(r"CardNotHealth|CardCordoned"),
        words=ngettext(
            "has GPUs that are broken or put aside", "have GPUs that are broken or put aside", 1
        ),
        wait=gettext("Waiting: the GPUs that fit are broken or put aside."),
        resolution=_OTHER,
    ),
    Wait(
        pattern=re.compile(r"node unregistered"),
        words=ngettext("does not share its GPUs", "do not share their GPUs", 1),
        wait=gettext("Waiting: no node that shares its GPUs has room."),
        resolution=sentences(gettext("Choose other hardware."), _ASK),
    ),
    Wait(
        pattern=re.compile(r"ResourceQuotaNotFit|over quota|quota has reached the allowable limit"),
        words=ngettext("is out of reach of the quota", "are out of reach of the quota", 1),
        wait=gettext("Waiting: the quota for GPUs is used up."),
        resolution=gettext("Stop a server you no longer need, or wait until others stop theirs."),
    ),
    Wait(
        pattern=re.compile(r"[Qq]ueue (?:\S+ )?does not exist|QueueDoesNotExist"),
        words=ngettext("serves another queue", "serve another queue", 1),
        wait=gettext("Waiting: the queue this server is to wait in does not exist."),
        resolution=_ASK,
        is_stuck=True,
    ),
    Wait(
        pattern=re.compile(r"MigStrategy|non-MIG node|DRA-only nodes"),
        words=ngettext("does not divide its GPUs", "do not divide their GPUs", 1),
        wait=gettext("Waiting: no node that shares its GPUs has room."),
        resolution=sentences(gettext("Choose other hardware."), _ASK),
    ),
)

_CLAIM_CREATION: Final = (
    (
        re.compile(r"exceeded quota"),
        Trouble(
            summary=gettext("The quota for GPU claims is used up; the cluster tries again."),
            resolution=gettext(
                "Stop a server you no longer need, or wait until others stop theirs."
            ),
        ),
    ),
    (
        re.compile(r"resource claim template .*not found"),
        Trouble(
            summary=gettext(
                "What describes the claim for the GPU has gone; the cluster tries again."
            ),
            resolution=gettext("Stop the server and start it again."),
        ),
    ),
    (
        re.compile(r"forbidden|denied"),
        Trouble(
            summary=gettext("The cluster does not allow the claim for the GPU."),
            resolution=sentences(gettext("Choose other hardware."), _ASK),
            is_stuck=True,
        ),
    ),
)
_CLAIM_TROUBLE: Final = Trouble(
    summary=gettext("The cluster could not prepare the claim for the GPU; it tries again."),
    resolution=gettext("If this goes on, tell the administrators of this hub."),
)

_PREPARATION: Final = (
    (
        re.compile(r"already allocated to different claim|previous pod force-deleted"),
        Trouble(
            summary=gettext("The node is still taking the GPU back from an earlier server."),
            resolution=gettext("If this goes on, stop the server and start it again."),
        ),
    ),
    (
        re.compile(r"DRA driver \S+ is not registered|no (?:such )?plugin"),
        Trouble(
            summary=gettext("The node's GPU driver is not running; the node tries again."),
            resolution=gettext(
                "If this goes on, stop the server and start it again; it may land on another node."
            ),
        ),
    ),
    (
        re.compile(r"is not allowed to use ResourceClaim"),
        Trouble(
            summary=gettext("The claim for the GPU belongs to another server."),
            resolution=gettext("Stop the server and start it again."),
        ),
    ),
)
_PREPARATION_TROUBLE: Final = Trouble(
    summary=gettext("The node cannot prepare the GPU yet; it tries again."),
    resolution=gettext("If this goes on, stop the server and start it again."),
)

_ADMISSION: Final = (
    (
        re.compile(r"maximum request size for shared resources"),
        Trouble(
            summary=gettext(
                "The node gives each server one share of a GPU, and several were asked for."
            ),
            resolution=sentences(gettext("Choose one share."), _ASK),
        ),
    ),
    (
        re.compile(r"no binding pod found|not enough gpu"),
        Trouble(
            summary=gettext(
                "The node shares its GPUs by a scheduler that was not asked for this server."
            ),
            resolution=_ASK,
        ),
    ),
    (
        re.compile(r"no healthy devices|unhealthy|Unhealthy"),
        Trouble(
            summary=gettext("The GPU broke down before the server could start."),
            resolution=gettext("Start again; the server may land on another node."),
        ),
    ),
)


def explain_claim_creation(message: str) -> Trouble:
    """Explain a FailedResourceClaimCreation event."""
    return _first(_CLAIM_CREATION, message) or _CLAIM_TROUBLE


def explain_preparation(message: str) -> Trouble:
    """Explain a FailedPrepareDynamicResources event."""
    return _first(_PREPARATION, message) or _PREPARATION_TROUBLE


def explain_admission_error(message: str) -> Trouble | None:
    """Explain why a kubelet refused a pod it was given (UnexpectedAdmissionError)."""
    return _first(_ADMISSION, message)


def _first(table: tuple[tuple[re.Pattern[str], Trouble], ...], message: str) -> Trouble | None:
    return next((trouble for pattern, trouble in table if pattern.search(message)), None)
