"""Refusals and failures as JupyterHub wants to hear them: with words for the user in every place.

JupyterHub 6 has ``SpawnException``, whose ``reason`` becomes a metric label and which never counts
towards ``consecutive_failure_limit``. The spawn form and the progress stream however show
``str(exception)``, which there reads like a log line, unless the exception has
``jupyterhub_message``. JupyterHub 5 honours that as well, has no ``SpawnException``, and counts
everything (``failure_count``): there a refusal is an ``HTTPError`` below 500.
"""

from typing import Any, Final

from jupyterhub import spawner as jupyterhub_spawner
from tornado import web

from gpu_spawner.core.errors import OptionError
from gpu_spawner.hub.reader import in_readers_html, in_readers_language
from gpu_spawner.hub.start_metrics import STARTS_REFUSED

__all__ = [
    "REASON_CAPACITY",
    "REASON_CLAIM",
    "REASON_CLUSTER",
    "REASON_DENIED",
    "REASON_LIMIT",
    "REASON_OPTIONS",
    "REASON_POD_FAILED",
    "REASON_SETTINGS",
    "REASON_WAITED",
    "SpawnRefused",
    "refuse_option",
]

REASON_CAPACITY: Final = "gpu_capacity"
"""No seat is free."""
REASON_CLAIM: Final = "gpu_claim"
"""The claim for the GPU cannot be made."""
REASON_CLUSTER: Final = "gpu_cluster"
"""The API server does not take the pod, or does not answer."""
REASON_DENIED: Final = "gpu_denied"
"""The choice is there, and not for this user."""
REASON_LIMIT: Final = "gpu_limit"
"""The owner, or the members of a group together, hold as much as they may."""
REASON_OPTIONS: Final = "gpu_options"
"""The choice is unknown or malformed, or its image is not allowed."""
REASON_POD_FAILED: Final = "gpu_pod_failed"
"""The pod was created, and Kubernetes ended it."""
REASON_SETTINGS: Final = "gpu_settings"
"""The pod cannot be built with the settings of the hub and of the profile."""
REASON_WAITED: Final = "gpu_waited"
"""The pod was created, and no node took it in time."""

_HAS_REASONS: Final = hasattr(jupyterhub_spawner, "SpawnException")
_BASE: Any = jupyterhub_spawner.SpawnException if _HAS_REASONS else web.HTTPError


class SpawnRefused(_BASE):
    """A start that is refused or has failed for a reason the user can act on.

    Attributes:
        sentence: why, for the user.
        metric_reason: the label in our metrics, and in hub 6's
            ``jupyterhub_server_spawn_duration_seconds``.
    """

    def __init__(self, message: str, *, reason: str, status_code: int = 409) -> None:
        if _HAS_REASONS:
            super().__init__(message, reason=reason, status_code=status_code)
        else:
            super().__init__(status_code, message)
        self.sentence = message
        # JupyterHub 5 has an attribute "reason" for the HTTP status line.
        self.metric_reason = reason

    @property
    def jupyterhub_message(self) -> str:
        """The sentence as the form, the progress page and REST show it to whoever asks now."""
        return in_readers_language(self.sentence)

    @property
    def jupyterhub_html_message(self) -> str:
        """The same where JupyterHub inserts HTML as it is."""
        return str(in_readers_html(self.sentence))


def refuse_option(error: OptionError) -> SpawnRefused:
    """Turn an invalid choice into the answer 400, and one that is denied into 403."""
    reason = REASON_DENIED if error.is_denied else REASON_OPTIONS
    STARTS_REFUSED.labels("", reason).inc()
    return SpawnRefused(error.message, reason=reason, status_code=403 if error.is_denied else 400)
