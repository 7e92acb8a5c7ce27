"""Keep refusals out of the count of failures after which JupyterHub ends itself.

``consecutive_failure_limit`` (5 with zero-to-jupyterhub) restarts a hub that cannot start servers.
JupyterHub 6 leaves out what is refused (``SpawnException``); JupyterHub 5 counts whatever a start
ends with, so that five users in a row who find the GPUs busy would restart the hub.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

from jupyterhub import spawner as jupyterhub_spawner
from jupyterhub.app import JupyterHub

from gpu_spawner.hub.refusal import SpawnRefused

__all__ = ["refusals_not_counted"]

_KEY: Final = "failure_count"
_IS_COUNTED: Final = not hasattr(jupyterhub_spawner, "SpawnException")


@contextmanager
def refusals_not_counted() -> Iterator[None]:
    """Let a refusal pass that ends a start; JupyterHub 5 counts one up in a moment."""
    try:
        yield
    except SpawnRefused:
        settings = _settings()
        if _IS_COUNTED and settings is not None:
            settings[_KEY] = settings.get(_KEY, 0) - 1
        raise


def _settings() -> MutableMapping[str, Any] | None:
    """Return where the running hub keeps the count; None without a hub."""
    if not JupyterHub.initialized():
        return None
    application = getattr(JupyterHub.instance(), "tornado_application", None)
    return application.settings if application is not None else None
