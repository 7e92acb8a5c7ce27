"""What the request at hand asked for, so that a refused form comes back as the user left it.

JupyterHub does not pass the fields back: after a refused POST it renders the form anew, and for a
named server it even asks the *default* server's spawner for it. A context variable lives exactly as
long as the request does, and no other request sees it.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

__all__ = ["asked", "remember_asked"]

_asked: ContextVar[Mapping[str, Any] | None] = ContextVar("gpu_spawner_asked", default=None)


def remember_asked(options: Mapping[str, Any]) -> None:
    """Note what this request wants, before it is validated."""
    _asked.set(options)


def asked() -> Mapping[str, Any] | None:
    """Return what this request wanted; None when it wanted nothing in particular."""
    return _asked.get()
