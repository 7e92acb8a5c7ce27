"""Faults on request, for tests of everything that must survive a bad API server.

The server asks its hook before it answers each request; the hook may let it pass, refuse it, delay
it, never answer it, drop the connection before or after the request was carried out, cut a watch
after some frames, or spoil what a watch sends. Nothing here decides when: that is for the test.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gpu_spawner.sim.apiserver.api_errors import ApiError

__all__ = ["Fault", "FaultHook", "RequestFacts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """What a hook may look at.

    Attributes:
        number: counts requests from 1, over the server's life.
        verb: as RBAC names it (``list``, ``watch``, ``create``, ...), or ``get`` for discovery.
        resource: plural, with the subresource after a slash; empty for discovery.
        body: as it was sent.
        user: who asks, by the name that RBAC knows.
    """

    number: int
    method: str
    path: str
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    body: bytes = b""
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What to do to a request.

    Attributes:
        delay_seconds: wait first.
        error: answer with this failure.
        never_answers: keep the connection and say nothing until the client gives up; nothing is
            done.
        drops_connection: close the connection without an answer; nothing is done.
        loses_answer: do what is asked, then close the connection without an answer.
        cuts_watch_after: end a watch in the middle of nowhere after so many writes.
        spoils_watch: given the frames of each write of a watch, returns what is sent in their
            place: fewer, in another order, or something else.
    """

    delay_seconds: float = 0.0
    error: ApiError | None = None
    never_answers: bool = False
    drops_connection: bool = False
    loses_answer: bool = False
    cuts_watch_after: int | None = None
    spoils_watch: Callable[[list[bytes]], list[bytes]] | None = None


FaultHook = Callable[[RequestFacts], Fault | None]
"""Called before each answer; None lets the request pass."""
