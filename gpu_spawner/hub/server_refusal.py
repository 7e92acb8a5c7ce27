"""Why the API server did not take what a start creates, in words for its user."""

from typing import Final

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.core.wording import as_sentence
from gpu_spawner.hub.refusal import REASON_CLUSTER, SpawnRefused

__all__ = ["refused_by_cluster"]

_WHAT: Final = "The server cannot start"


def refused_by_cluster(error: ClusterError, what: str, namespace: str) -> SpawnRefused:
    """Return the refusal for an object that could not be created.

    Args:
        error: what the API server said, or that it said nothing.
        what: the object in plain words, for example ``"pod"``.
        namespace: where it was to be.
    """
    status = 409
    if error.status in (0, 429) or error.status >= 500:
        status = 503
        why = f"the cluster does not answer ({error.reason}). Try again in a minute."
    elif error.is_forbidden and "is forbidden: User " in error.message:
        why = (
            f"the hub lacks the right to create a {what} in the namespace {namespace}. "
            "Tell the administrators of this hub."
        )
    elif error.is_forbidden and "exceeded quota" in error.message:
        why = (
            f"{as_sentence(error.message)} It may be enough that somebody stops a server; "
            "the administrators of this hub can raise the quota."
        )
    else:
        why = (
            f"the cluster refuses the {what}: {as_sentence(error.message or error.reason)} "
            "Tell the administrators of this hub."
        )
    return SpawnRefused(f"{_WHAT}: {why}", reason=REASON_CLUSTER, status_code=status)
