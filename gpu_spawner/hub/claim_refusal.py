"""Why a server's claim cannot be had, in words for its user and for who can mend it."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.core.messages import gettext, sentences
from gpu_spawner.core.wording import as_sentence
from gpu_spawner.hub.refusal import REASON_CLAIM, SpawnRefused
from gpu_spawner.kube.claim_templates import is_no_such_object
from gpu_spawner.kube.kept_fields import Difference

__all__ = ["foreign_template", "not_kept", "refused_by_server", "unstable"]

_ASK: Final = gettext("Tell the administrators of this hub.")
_VERBS: Final = MappingProxyType({"creating": "create", "reading": "get", "deleting": "delete"})
_KIND: Final = "resourceclaimtemplates (API group resource.k8s.io)"


def _refuse(message: str, status_code: int = 409) -> SpawnRefused:
    return SpawnRefused(message, reason=REASON_CLAIM, status_code=status_code)


def not_kept(dropped: Sequence[Difference]) -> SpawnRefused:
    """Return the refusal where the API server dropped a part of the wish."""
    fields = ", ".join(str(one) for one in dropped)
    return _refuse(
        gettext(
            "The GPU cannot be asked for as this choice needs it: the cluster drops {fields} from "
            "the claim. Pick another choice, and tell the administrators of this hub.",
            fields=fields,
        )
    )


def foreign_template(namespace: str, name: str) -> SpawnRefused:
    """Return the refusal where somebody else's template has the name of ours."""
    return _refuse(
        gettext(
            "The GPU cannot be asked for: the resourceclaimtemplate {name} in the namespace "
            "{namespace} was made by somebody else and asks for something else. The "
            "administrators of this hub can remove it.",
            name=name,
            namespace=namespace,
        )
    )


def unstable(namespace: str, name: str) -> SpawnRefused:
    """Return the refusal where a template does not stay as it was made."""
    said = gettext(
        "The GPU cannot be asked for: the resourceclaimtemplate {name} in the namespace "
        "{namespace} is changed or removed by somebody else as soon as it is made.",
        name=name,
        namespace=namespace,
    )
    return _refuse(sentences(said, _ASK), 503)


def refused_by_server(error: ClusterError, namespace: str) -> SpawnRefused:
    """Return the refusal for a failed call about a template in a namespace."""
    if error.status == 404 and not is_no_such_object(error):
        return _refuse(
            gettext(
                "The GPU cannot be asked for: this cluster has no Dynamic Resource Allocation "
                "(resource.k8s.io/v1, in Kubernetes 1.34 and newer), which this choice needs. "
                "Pick another choice, and tell the administrators of this hub."
            )
        )
    if error.status == 403 and "exceeded quota" in error.message:
        said = as_sentence(error.message)
        return _refuse(gettext("The GPU cannot be asked for: {message}", message=said))
    if error.is_forbidden:
        verb = _VERBS.get(error.doing.partition(" ")[0], "use")
        lack = gettext(
            "The GPU cannot be asked for: the hub lacks the right to {verb} {kind} in the "
            "namespace {namespace}.",
            verb=verb,
            kind=_KIND,
            namespace=namespace,
        )
        return _refuse(sentences(lack, _ASK))
    if error.status == 422 and "exactly one of `exactly` or `firstAvailable`" in error.message:
        # We never send a request with neither: what is dropped is dropped before validation.
        return not_kept([Difference("devices.requests.firstAvailable")])
    if error.may_pass:
        said = gettext(
            "The GPU cannot be asked for: the cluster does not answer ({reason}). Try again in a "
            "minute.",
            reason=error.reason,
        )
        return _refuse(said, 503)
    refusal = gettext(
        "The GPU cannot be asked for: the cluster refuses the claim: {message}",
        message=as_sentence(error.message),
    )
    return _refuse(refusal)
