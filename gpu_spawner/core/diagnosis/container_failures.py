"""Why a container cannot start or has ended, in plain words, with what to do about it.

Covers what the kubelet says in ``state.waiting`` and ``state.terminated``, and the reasons with
which it gives up a whole pod.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gpu_spawner.core.diagnosis.device_words import explain_admission_error
from gpu_spawner.core.messages import gettext, sentences

__all__ = ["Failure", "explain_exit", "explain_pod_failure", "explain_waiting"]

_MAX_DETAIL: Final = 300
_ADMISSION_ERROR: Final = "UnexpectedAdmissionError"
_ASK: Final = gettext("Tell the administrators of this hub.")
_AGAIN: Final = gettext("Start again; the server may land on another node.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong, and what to do.

    Attributes:
        is_final: whether waiting longer cannot help.
    """

    summary: str
    resolution: str
    detail: str = ""
    is_final: bool = True


_IMAGE_ERRORS: Final = (
    # The texts of containerd, CRI-O and the registries they talk to.
    (
        re.compile(r"no space left", re.IGNORECASE),
        Failure(
            summary=gettext("The node has no disk space left for the image."), resolution=_AGAIN
        ),
    ),
    (
        re.compile(r"no match for platform|no matching manifest|exec format", re.IGNORECASE),
        Failure(
            summary=gettext("The image is not built for this node's kind of processor."),
            resolution=gettext("Choose another image or other hardware."),
        ),
    ),
    (
        re.compile(r"manifest unknown|not found|does not exist|no such image", re.IGNORECASE),
        Failure(
            summary=gettext("The image does not exist in its registry."),
            resolution=sentences(gettext("Choose another image."), _ASK),
        ),
    ),
    (
        re.compile(
            r"unauthorized|denied|forbidden|authentication required|no basic auth", re.IGNORECASE
        ),
        Failure(
            summary=gettext("The registry does not let this cluster pull the image."),
            resolution=sentences(gettext("Choose another image."), _ASK),
        ),
    ),
    (
        re.compile(r"toomanyrequests|too many requests|rate limit|\b429\b", re.IGNORECASE),
        Failure(
            summary=gettext(
                "The registry limits how often this cluster may pull; it is tried again."
            ),
            resolution=gettext("Wait, or choose an image that nodes have already."),
            is_final=False,
        ),
    ),
)
_IMAGE_RETRY: Final = Failure(
    summary=gettext("The image could not be pulled; it is tried again."),
    resolution=sentences(gettext("If this goes on, choose another image."), _ASK),
    is_final=False,
)

_WAITING: Final[Mapping[str, Failure]] = MappingProxyType(
    {
        "InvalidImageName": Failure(
            summary=gettext("The name of the image is not valid."),
            resolution=sentences(gettext("Choose another."), _ASK),
        ),
        "ErrImageNeverPull": Failure(
            summary=gettext("The node does not have the image, and pulling it is forbidden."),
            resolution=sentences(gettext("Choose another image."), _ASK),
        ),
        "CreateContainerConfigError": Failure(
            summary=gettext("The server refers to a secret or a setting that is missing."),
            resolution=_ASK,
        ),
        "CreateContainerError": Failure(
            summary=gettext("The node could not create the server's container; it is tried again."),
            resolution=sentences(gettext("If this goes on, start again."), _ASK),
            is_final=False,
        ),
        "RunContainerError": Failure(
            summary=gettext("The node could not start the server's container; it is tried again."),
            resolution=sentences(gettext("If this goes on, choose another image."), _ASK),
            is_final=False,
        ),
    }
)
_IMAGE_REASONS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "ImageInspectError"})

_EXITS: Final[Mapping[int, Failure]] = MappingProxyType(
    {
        0: Failure(
            summary=gettext("The server ended by itself."), resolution=gettext("Start it again.")
        ),
        126: Failure(
            summary=gettext("The image's start command cannot be executed."),
            resolution=sentences(gettext("Choose another image."), _ASK),
        ),
        127: Failure(
            summary=gettext(
                "The image has no such start command; is JupyterHub's server installed in it?"
            ),
            resolution=sentences(gettext("Choose another image."), _ASK),
        ),
        137: Failure(
            summary=gettext("The server was killed, probably for using too much memory."),
            resolution=gettext("Start again with more memory, or load less at once."),
        ),
        139: Failure(
            summary=gettext("The server crashed (segmentation fault)."),
            resolution=gettext("Start again; if it happens again, choose another image."),
        ),
        143: Failure(
            summary=gettext("The server was told to stop."), resolution=gettext("Start it again.")
        ),
    }
)

_POD_FAILURES: Final[Mapping[str, Failure]] = MappingProxyType(
    {
        _ADMISSION_ERROR: Failure(
            summary=gettext("The node could not hand out the GPU it had promised."),
            resolution=sentences(
                _AGAIN, gettext("If it happens again, tell the administrators of this hub.")
            ),
        ),
        "Evicted": Failure(
            summary=gettext("The node ran short of memory or disk and evicted the server."),
            resolution=sentences(
                _AGAIN, gettext("Use less disk space outside your home, or choose more memory.")
            ),
        ),
        "Preempted": Failure(
            summary=gettext("Something more important took the server's place."),
            resolution=gettext("Start again."),
        ),
        "NodeLost": Failure(summary=gettext("The server's node was lost."), resolution=_AGAIN),
        "NodeShutdown": Failure(
            summary=gettext("The server's node was shut down."), resolution=_AGAIN
        ),
        "Terminated": Failure(
            summary=gettext("The server's node was shut down."), resolution=_AGAIN
        ),
        "NodeAffinity": Failure(
            summary=gettext("The node no longer has the hardware that was chosen."),
            resolution=_AGAIN,
        ),
        "DeadlineExceeded": Failure(
            summary=gettext("The server reached the longest time it may run."),
            resolution=gettext("Start it again."),
        ),
    }
)
_DISRUPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Reasons of the pod condition DisruptionTarget (Kubernetes 1.26+).
        "PreemptionByScheduler": "Preempted",
        "DeletionByTaintManager": "NodeLost",
        "DeletionByPodGC": "NodeLost",
        "TerminationByKubelet": "Evicted",
        "EvictionByEvictionAPI": "NodeShutdown",
    }
)


def explain_waiting(reason: str, message: str) -> Failure | None:
    """Explain why a container waits; None for the ordinary reasons (``ContainerCreating``)."""
    detail = _bounded(message)
    if reason in _IMAGE_REASONS:
        for pattern, failure in _IMAGE_ERRORS:
            if pattern.search(message):
                return _with_detail(failure, detail)
        return _with_detail(_IMAGE_RETRY, detail)
    if reason in _WAITING:
        return _with_detail(_WAITING[reason], detail)
    return None


def explain_exit(reason: str, exit_code: int, *, memory_limit: str = "") -> Failure:
    """Explain why a container ended."""
    if reason == "OOMKilled":
        return Failure(
            summary=gettext(
                "The server used more memory than its limit ({limit}) and was killed.",
                limit=memory_limit,
            )
            if memory_limit
            else gettext("The server used more memory than its limit and was killed."),
            resolution=gettext("Start again with more memory, or load less at once."),
        )
    if reason in ("ContainerCannotRun", "StartError"):
        return Failure(
            summary=gettext("The image's start command could not be run."),
            resolution=sentences(gettext("Choose another image."), _ASK),
        )
    known = _EXITS.get(exit_code)
    if known is not None:
        return known
    return Failure(
        summary=gettext("The server ended with an error (exit code {code}).", code=str(exit_code)),
        resolution=sentences(gettext("Look at the server's log, or start again."), _ASK),
    )


def explain_pod_failure(reason: str, message: str) -> Failure | None:
    """Explain the reason of a pod in phase Failed, or of a disruption; None if it is not known."""
    if re.fullmatch(r"OutOf\S+", reason):
        failure = Failure(
            summary=gettext("Another pod took the place on the node at the last moment."),
            resolution=gettext("Start again."),
        )
        return _with_detail(failure, _bounded(message))
    trouble = explain_admission_error(message) if reason == _ADMISSION_ERROR else None
    if trouble is not None:
        failure = Failure(summary=trouble.summary, resolution=trouble.resolution)
        return _with_detail(failure, _bounded(message))
    known = _POD_FAILURES.get(_DISRUPTIONS.get(reason, reason))
    return _with_detail(known, _bounded(message)) if known is not None else None


def _with_detail(failure: Failure, detail: str) -> Failure:
    return Failure(
        summary=failure.summary,
        resolution=failure.resolution,
        detail=detail,
        is_final=failure.is_final,
    )


def _bounded(message: str) -> str:
    return " ".join(message.split())[:_MAX_DETAIL]
