"""Every error this package raises on purpose.

::

    GpuSpawnerError
    ├── ConfigError     an operator's mistakes: all of them at once, each with its place and cure
    ├── OptionError     a user's choice that is not on offer
    └── ClusterError    a Kubernetes API call that failed

Only ``gpu_spawner.hub`` turns them into HTTP answers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

__all__ = [
    "ClusterError",
    "ConfigError",
    "GpuSpawnerError",
    "OptionError",
    "Problem",
    "may_pass_with",
]

_PASSING: Final = frozenset({0, 410, 429})
"""No answer, an answer from a version that is gone by the next, and too many requests."""


def may_pass_with(status: int) -> bool:
    """Tell whether a request that failed with an HTTP status (0: none) may succeed in a moment."""
    return status in _PASSING or status >= 500


class GpuSpawnerError(Exception):
    """The common base, so that a caller can catch what we meant to raise and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One mistake in the configuration: where it is, what is wrong, how to mend it.

    Attributes:
        file: the file as the operator knows it, or the trait it came from
            (``c.GPUSpawner.profiles``).
        line: the 1-based line, 0 where the source has no lines.
        key: the dotted path inside the file, for example ``gpu.share.mig``; empty for the whole.
        message: what was found and what is allowed there, in one sentence.
        cure: what to do about it, in one sentence.
    """

    file: str
    line: int = 0
    key: str = ""
    message: str
    cure: str = ""

    def __str__(self) -> str:
        """Read as ``file:line: key: message. cure``: editors can jump to the first two."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        parts = [place, self.key, self.message] if self.key else [place, self.message]
        text = ": ".join(parts)
        return f"{text} {self.cure}" if self.cure else text


class ConfigError(GpuSpawnerError):
    """The configuration cannot be used; ``problems`` has every reason, sorted by place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class OptionError(GpuSpawnerError):
    """A choice that cannot be granted: unknown, malformed, or not allowed.

    Attributes:
        field: the option at fault, in the words of the form (``profile``, ``count``, ...).
        message: one sentence for the user; it never repeats more than a bounded, printable piece
            of what was sent.
        is_denied: whether it exists, and is not for this user.
    """

    def __init__(self, field: str, message: str, *, is_denied: bool = False) -> None:
        self.field = field
        self.message = message
        self.is_denied = is_denied
        super().__init__(message)


class ClusterError(GpuSpawnerError):
    """A Kubernetes API call failed.

    Attributes:
        doing: what was being done, as a gerund phrase ("listing nodes").
        status: the HTTP status, 0 where there was no answer at all.
        reason: Kubernetes' own word (``Forbidden``, ``Expired``, ...) or the network error.
        message: the API server's explanation, bounded.
    """

    def __init__(self, doing: str, *, status: int, reason: str, message: str = "") -> None:
        self.doing = doing
        self.status = status
        self.reason = reason
        self.message = message[:500]
        super().__init__(f"{doing}: {status or 'no answer'} {reason}: {self.message}")

    @property
    def is_forbidden(self) -> bool:
        """Whether the hub lacks the right: retrying soon is pointless, degrading is right."""
        return self.status in (401, 403)

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed in a moment: the API server is busy or away."""
        return may_pass_with(self.status)

    def with_context(self, doing: str) -> Self:
        """Return the same failure seen from a caller's point of view."""
        return type(self)(doing, status=self.status, reason=self.reason, message=self.message)
