"""Kubernetes' error answers: one exception that carries a ``Status`` body.

The reasons, codes and sentences are those of a Kubernetes 1.36 API server, because clients branch
on them (KubeSpawner looks at codes, kubectl prints messages).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from gpu_spawner.sim.apiserver.field_errors import FieldError, forbidden_field
from gpu_spawner.sim.apiserver.kinds import Resource

__all__ = [
    "ApiError",
    "already_exists",
    "bad_request",
    "conflict",
    "expired",
    "forbidden",
    "invalid",
    "invalid_options",
    "method_not_allowed",
    "not_found",
    "not_implemented",
    "route_not_found",
    "success",
    "timeout",
    "too_many_requests",
    "unauthorized",
    "unsupported_media_type",
]


class ApiError(Exception):
    """A request that is answered with a failure ``Status``."""

    def __init__(
        self, code: int, reason: str, message: str, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.metadata: dict[str, Any] = {}

    def body(self) -> dict[str, Any]:
        """The ``Status`` object a client receives."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


def success(code: int) -> dict[str, Any]:
    """The ``Status`` that says a subresource did its work."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": code,
    }


def _details(name: str, group: str, kind: str) -> dict[str, Any]:
    details = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in details.items() if value}


def not_found(resource: Resource, name: str) -> ApiError:
    """There is no such object."""
    return ApiError(
        404,
        "NotFound",
        f'{resource.group_resource} "{name}" not found',
        _details(name, resource.group, resource.plural),
    )


def route_not_found() -> ApiError:
    """There is no such path in a group that exists."""
    message = "the server could not find the requested resource"
    return ApiError(404, "NotFound", message, {})


def already_exists(resource: Resource, name: str) -> ApiError:
    """Another object has that name."""
    return ApiError(
        409,
        "AlreadyExists",
        f'{resource.group_resource} "{name}" already exists',
        _details(name, resource.group, resource.plural),
    )


def conflict(qualified: str, name: str, why: str, *, group: str, kind: str) -> ApiError:
    """The object is not in the state the caller believed.

    Args:
        qualified: what the sentence names, usually ``plural.group``.
        name: the object.
        why: the rest of the sentence.
        group: the API group in the details.
        kind: what the details call the kind; Kubernetes is not consistent about it.
    """
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {qualified} "{name}": {why}',
        _details(name, group, kind),
    )


def invalid(resource: Resource, name: str, errors: Sequence[FieldError]) -> ApiError:
    """The object breaks rules; every cause is listed, equal ones once."""
    sentences = list(dict.fromkeys(str(error) for error in errors))
    text = sentences[0] if len(sentences) == 1 else f"[{', '.join(sentences)}]"
    details = _details(name, resource.group, resource.kind)
    details["causes"] = [
        {"reason": error.reason, "message": error.message, "field": error.field} for error in errors
    ]
    return ApiError(422, "Invalid", f'{resource.group_kind} "{name}" is invalid: {text}', details)


def invalid_options(group_kind: str, problems: Sequence[tuple[str, str]]) -> ApiError:
    """Query parameters or options contradict each other.

    Args:
        group_kind: what they are called, for example ``ListOptions.meta.k8s.io``.
        problems: the parameter and the sentence for each.
    """
    kind, _, group = group_kind.partition(".")
    errors = [forbidden_field(name, text) for name, text in problems]
    sentences = [str(error) for error in errors]
    text = sentences[0] if len(sentences) == 1 else f"[{', '.join(sentences)}]"
    details: dict[str, Any] = {"group": group, "kind": kind}
    details["causes"] = [
        {"reason": error.reason, "message": error.message, "field": error.field} for error in errors
    ]
    return ApiError(422, "Invalid", f'{group_kind} "" is invalid: {text}', details)


def forbidden(resource: Resource, name: str, why: str) -> ApiError:
    """Authorisation or an admission rule says no."""
    subject = f'{resource.group_resource} "{name}"' if name else resource.group_resource
    return ApiError(
        403,
        "Forbidden",
        f"{subject} is forbidden: {why}",
        _details(name, resource.group, resource.plural),
    )


def unauthorized() -> ApiError:
    """The bearer token is missing or wrong."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def bad_request(message: str) -> ApiError:
    """The request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def expired(message: str) -> ApiError:
    """The history that the caller needs is gone; it must list again."""
    return ApiError(410, "Expired", message)


def timeout(message: str, causes: Iterable[dict[str, Any]] = (), *, retry_after: int) -> ApiError:
    """The server waited for something that did not come."""
    details: dict[str, Any] = {"causes": list(causes)}
    if not details["causes"]:
        del details["causes"]
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    return ApiError(504, "Timeout", f"Timeout: {message}", details)


def too_many_requests(message: str, *, retry_after: int) -> ApiError:
    """Try again later."""
    details = {"retryAfterSeconds": retry_after} if retry_after else {}
    return ApiError(429, "TooManyRequests", message, details)


def method_not_allowed() -> ApiError:
    """The path exists and does not take this verb."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def unsupported_media_type(message: str, details: dict[str, Any] | None = None) -> ApiError:
    """The Content-Type is not one the endpoint reads."""
    return ApiError(415, "UnsupportedMediaType", message, details)


def not_implemented(what: str) -> ApiError:
    """Kubernetes does this and the embedded cluster does not, on purpose and plainly."""
    return ApiError(501, "NotImplemented", f"the embedded cluster does not implement {what}")
