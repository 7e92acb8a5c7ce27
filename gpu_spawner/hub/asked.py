"""What the request at hand asked for, so that a refused form comes back as the user left it.

JupyterHub does not pass the fields back: after a refused POST it renders the form anew, and for a
named server it even asks the *default* server's spawner for it. A context variable lives exactly as
long as the request does, and no other request sees it; what the request begins, such as the start
of a server, sees the same object.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from gpu_spawner.core.errors import OptionError

__all__ = ["Asked", "asked", "remember_asked", "remember_refusal"]


@dataclass(slots=True)
class Asked:
    """What was asked of one server.

    Attributes:
        spawner: of the server.
        options: as they were sent, valid or not.
        error: why they were refused; None where they were not.
    """

    spawner: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    error: OptionError | None = None


_asked: ContextVar[Asked | None] = ContextVar("gpu_spawner_asked", default=None)


def remember_asked(spawner: Any) -> Asked:
    """Note which server this request is about; the caller adds what it wants of it."""
    request = Asked(spawner)
    _asked.set(request)
    return request


def remember_refusal(error: OptionError) -> None:
    """Note why what this request wants is refused, if it is one with a form."""
    request = _asked.get()
    if request is not None:
        request.error = error


def asked(user_name: str) -> Asked | None:
    """Return what this request wanted for a user; None when it wanted nothing in particular."""
    request = _asked.get()
    return request if request is not None and request.spawner.user.name == user_name else None
