"""Why the API server did not take what a start creates or asks for, in words for its user."""

from types import MappingProxyType
from typing import Final

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.core.messages import gettext, sentences
from gpu_spawner.core.wording import as_sentence
from gpu_spawner.hub.first_lists import UnreadError
from gpu_spawner.hub.refusal import REASON_CLUSTER, SpawnRefused

__all__ = ["refused_by_cluster", "refused_without_list"]

_WHAT: Final = MappingProxyType({"pod": gettext("pod"), "volume": gettext("volume")})
_LISTED: Final = MappingProxyType({"pods": gettext("pods"), "events": gettext("events")})
_ASK: Final = gettext("Tell the administrators of this hub.")


def refused_by_cluster(error: ClusterError, what: str, namespace: str) -> SpawnRefused:
    """Return the refusal for an object that could not be created.

    Args:
        error: what the API server said, or that it said nothing.
        what: the object in plain words, ``"pod"`` or ``"volume"``.
        namespace: where it was to be.
    """
    status = 409
    if error.may_pass:
        status = 503
        said: str = gettext(
            "The server cannot start: the cluster does not answer ({reason}). Try again in a "
            "minute.",
            reason=error.reason,
        )
    elif error.is_forbidden and "is forbidden: User " in error.message:
        lack = gettext(
            "The server cannot start: the hub lacks the right to create a {what} in the namespace "
            "{namespace}.",
            what=_WHAT[what],
            namespace=namespace,
        )
        said = sentences(lack, _ASK)
    elif error.is_forbidden and "exceeded quota" in error.message:
        said = gettext(
            "The server cannot start: {message} It may be enough that somebody stops a server; "
            "the administrators of this hub can raise the quota.",
            message=as_sentence(error.message),
        )
    else:
        refusal = gettext(
            "The server cannot start: the cluster refuses the {what}: {message}",
            what=_WHAT[what],
            message=as_sentence(error.message or error.reason),
        )
        said = sentences(refusal, _ASK)
    return SpawnRefused(said, reason=REASON_CLUSTER, status_code=status)


def refused_without_list(error: UnreadError, namespace: str) -> SpawnRefused:
    """Return the refusal where the hub does not get to know what becomes of pods."""
    what = _LISTED[error.kind]
    if not error.is_forbidden:
        said: str = gettext(
            "The server cannot start: the cluster does not say which {what} there are ({reason}). "
            "Try again in a minute.",
            what=what,
            reason=error.reason,
        )
        return SpawnRefused(said, reason=REASON_CLUSTER, status_code=503)
    lack = gettext(
        "The server cannot start: the hub lacks the right to list {what} in the namespace "
        "{namespace}.",
        what=what,
        namespace=namespace,
    )
    return SpawnRefused(sentences(lack, _ASK), reason=REASON_CLUSTER, status_code=409)
