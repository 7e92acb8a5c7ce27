"""What a node has trouble with while it prepares a server, in plain words, with what to do.

Read are the events of kubelet and attach-detach controller 1.32 to 1.37.
"""

import re
from types import MappingProxyType
from typing import Final

from gpu_spawner.core.diagnosis.device_words import Trouble, explain_preparation
from gpu_spawner.core.messages import gettext

__all__ = ["NODE_TROUBLES", "explain_node_trouble"]

_ASK: Final = gettext("Tell the administrators of this hub.")
_AGAIN: Final = gettext("If this goes on, stop the server and start it again.")

NODE_TROUBLES: Final = (
    "FailedMount",
    "FailedAttachVolume",
    "FailedCreatePodSandBox",
    "FailedPrepareDynamicResources",
)
"""The reasons of events that tell of such trouble."""

_MISSING: Final = (
    (
        re.compile(r"\b(?:secrets?|configmaps?) \S+ not found"),
        gettext("The server needs a secret or a setting that does not exist."),
    ),
    (
        re.compile(r"persistentvolumeclaims? \S+ not found"),
        gettext("The server needs a volume that does not exist."),
    ),
)
_VOLUMES: Final = (
    (
        re.compile(r"Multi-Attach error|already (?:exclusively )?attached to (?:one|another) node"),
        Trouble(
            summary=gettext(
                "The home volume is still attached to another node; the cluster tries again."
            ),
            resolution=gettext(
                "If this goes on, wait until your other server has stopped, then start "
                "this one again."
            ),
        ),
    ),
    (
        re.compile(r"[Pp]ermission denied|access denied"),
        Trouble(
            summary=gettext("The node may not open the home volume; it tries again."),
            resolution=gettext("If this goes on: tell the administrators of this hub."),
        ),
    ),
    (
        re.compile(r"driver name \S+ not found in the list of registered CSI drivers"),
        Trouble(
            summary=gettext("The node's driver for volumes is not running; the node tries again."),
            resolution=_AGAIN,
        ),
    ),
)
_OTHERWISE: Final = MappingProxyType(
    {
        "FailedMount": gettext("The node cannot reach the home volume yet; it tries again."),
        "FailedAttachVolume": gettext(
            "The home volume cannot be attached to the node yet; it tries again."
        ),
        "FailedCreatePodSandBox": gettext(
            "The node cannot set up the server's network yet; it tries again."
        ),
    }
)


def explain_node_trouble(reason: str, message: str) -> Trouble:
    """Explain an event with one of ``NODE_TROUBLES``.

    >>> explain_node_trouble("FailedMount", 'secret "tokens" not found').summary
    'The server needs a secret or a setting that does not exist.'
    """
    if reason == "FailedPrepareDynamicResources":
        return explain_preparation(message)
    if reason in ("FailedMount", "FailedAttachVolume"):
        for pattern, summary in _MISSING:
            if pattern.search(message):
                return Trouble(summary=summary, resolution=_ASK, is_stuck=True)
        for pattern, trouble in _VOLUMES:
            if pattern.search(message):
                return trouble
    return Trouble(summary=_OTHERWISE[reason], resolution=_AGAIN)
