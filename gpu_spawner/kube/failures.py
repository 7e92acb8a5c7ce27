"""Turn whatever a Kubernetes call can raise into one ``ClusterError``, here and nowhere else.

Decides what a failure is called and how long the server asked us to stay away. It does not decide
whether to try again: that is the caller's, who knows what it was doing.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
import msgspec
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.config.config_exception import ConfigException

from gpu_spawner.core.errors import ClusterError, may_pass_with

__all__ = [
    "SilenceError",
    "ThrottledError",
    "cluster_error",
    "failure_from_response",
    "malformed",
    "may_pass",
    "translated_failures",
]

# A server that asks for more than this is obeyed only this far: we would rather ask once too often
# than show no numbers for an hour because of one wrong header.
_LONGEST_RETRY_AFTER_SECONDS = 300.0


class ThrottledError(ClusterError):
    """The server answered 429 or 503 and said when to come back.

    Attributes:
        retry_after_seconds: how long the server asked us to wait.
    """

    def __init__(
        self,
        doing: str,
        *,
        status: int,
        reason: str,
        message: str = "",
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(doing, status=status, reason=reason, message=message)
        self.retry_after_seconds = retry_after_seconds


class SilenceError(ClusterError):
    """Nothing was heard for too long: the peer may be gone without having said so.

    It is told apart from a connection that broke, because a break is noticed when it happens and
    silence only afterwards: what was known is then as old as the last word heard.
    """


class _Details(msgspec.Struct):
    retry_after_seconds: float | None = msgspec.field(default=None, name="retryAfterSeconds")


class _Status(msgspec.Struct):
    """The part of ``meta/v1 Status`` that explains a refusal."""

    reason: str | None = None
    message: str | None = None
    details: _Details | None = None


_STATUS = msgspec.json.Decoder(_Status)


def failure_from_response(
    doing: str, status: int, reason: str, headers: Mapping[str, str], body: bytes
) -> ClusterError:
    """Build the error for an HTTP answer that was not a success.

    Args:
        doing: what was being done, as a gerund phrase.
        status: the HTTP status.
        reason: the HTTP reason phrase, used where the body is not a Kubernetes ``Status``.
        headers: the answer's headers; only ``Retry-After`` is read.
        body: the answer's body, possibly cut.
    """
    try:
        explained = _STATUS.decode(body)
    except msgspec.DecodeError:  # a proxy's HTML page, or nothing
        explained = _Status(message=body[:500].decode("utf-8", "replace"))
    word = explained.reason or reason or "Unknown"
    message = explained.message or ""
    if status in (429, 503):
        asked = explained.details.retry_after_seconds if explained.details else None
        wait = _retry_after(headers.get("Retry-After"), asked)
        return ThrottledError(
            doing, status=status, reason=word, message=message, retry_after_seconds=wait
        )
    return ClusterError(doing, status=status, reason=word, message=message)


def malformed(doing: str, message: str) -> ClusterError:
    """Build the error for a success whose content makes no sense."""
    return ClusterError(doing, status=200, reason="Malformed", message=message)


@contextmanager
def translated_failures(doing: str) -> Iterator[None]:
    """Raise ``ClusterError`` for every failure of the API, the network or the credentials.

    Cancellation passes through, and so does what is none of these: a bug stays a bug.
    """
    try:
        yield
    except ApiException as error:
        # The client decodes bodies to text for its own calls and leaves bytes in others.
        body: Any = error.body or b""
        raw = body.encode() if isinstance(body, str) else bytes(body)
        raise failure_from_response(
            doing, int(error.status or 0), str(error.reason or ""), error.headers or {}, raw
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        kind = SilenceError if _is_silence(error) else ClusterError
        raise kind(doing, status=0, reason=type(error).__name__, message=str(error)) from error
    except ConfigException as error:  # the credentials could not be read again
        raise ClusterError(doing, status=0, reason="Credentials", message=str(error)) from error


def _is_silence(error: BaseException) -> bool:
    """Whether a timeout is at the root: ours, aiohttp's, or the kernel's (``ETIMEDOUT``)."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TimeoutError):
            return True
        cause = cause.__cause__
    return False


def _retry_after(header: str | None, in_body: float | None) -> float:
    seconds = in_body or 0.0
    with suppress(ValueError):  # the header may also be a date; Kubernetes never sends one
        seconds = max(seconds, float(header or 0.0))
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_SECONDS)


def cluster_error(error: Exception, doing: str) -> ClusterError | None:
    """Return what ``translated_failures`` makes of an error; None where it is none of the API's."""
    try:
        with translated_failures(doing):
            raise error  # noqa: TRY301 - to be translated
    except ClusterError as translated:
        return translated
    except Exception:  # noqa: BLE001 - it is the caller's to raise
        return None


def may_pass(error: Exception) -> bool:
    """Tell whether the same request may succeed in a moment: the API server is busy or away.

    It knows this package's errors, the client library's, and those of connections.
    """
    if isinstance(error, ClusterError):
        return error.may_pass
    if isinstance(error, ApiException):
        return may_pass_with(error.status or 0)
    return isinstance(error, aiohttp.ClientError | OSError)
