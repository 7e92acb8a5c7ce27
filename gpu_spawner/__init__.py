"""A JupyterHub spawner that knows which GPUs are free.

Two public names, loaded when asked for, so that ``import gpu_spawner.core`` (a tool, a test, the
command line) never imports JupyterHub:

* ``GPUSpawner``: the class for ``c.JupyterHub.spawner_class`` (also the entry point ``gpu``);
* ``configure(c, ...)``: one call in ``jupyterhub_config.py`` that sets the class and its traits.
"""

from typing import TYPE_CHECKING

from gpu_spawner._version import __version__

if TYPE_CHECKING:
    from gpu_spawner.hub.configure import configure
    from gpu_spawner.hub.spawner import GPUSpawner

__all__ = ["GPUSpawner", "__version__", "configure"]


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562).

    Asking for ``GPUSpawner`` inside a hub that is starting also arranges that the catalog is
    checked and the cluster is watched from the hub's start, not from the first user's visit:
    JupyterHub has no hook of its own for that, and resolving ``spawner_class`` is the first it
    does with us.
    """
    if name == "GPUSpawner":
        from gpu_spawner.hub.spawner import GPUSpawner  # noqa: PLC0415 - lazy on purpose
        from gpu_spawner.hub.startup import arrange_start  # noqa: PLC0415 - lazy on purpose

        arrange_start()
        return GPUSpawner
    if name == "configure":
        from gpu_spawner.hub.configure import configure  # noqa: PLC0415 - lazy on purpose

        return configure
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
