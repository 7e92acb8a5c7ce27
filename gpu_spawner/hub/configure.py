"""``gpu_spawner.configure(c, ...)``: everything a ``jupyterhub_config.py`` needs, in one call."""

import os
import sys
from pathlib import Path
from typing import Any

from gpu_spawner.core.errors import ConfigError
from gpu_spawner.hub.catalog_source import CatalogSource
from gpu_spawner.hub.settings import Settings, read_settings
from gpu_spawner.hub.spawner import GPUSpawner

__all__ = ["configure"]


def configure(c: Any, *, profiles_dir: str | Path | None = None, **settings: Any) -> None:
    """Make this hub spawn with ``GPUSpawner``, and check its profiles at once.

    ::

        import gpu_spawner

        gpu_spawner.configure(c, profiles_dir="/etc/jupyterhub/profiles")

    Everything else is configured as before: traits of ``c.KubeSpawner`` hold for ``GPUSpawner``.
    A mistake in the profiles ends the hub with the list of all mistakes on standard error, and
    with status 78 (``EX_CONFIG``).

    Args:
        c: the configuration object of ``jupyterhub_config.py``.
        profiles_dir: where the profiles are; ``c.GPUSpawner.profiles_dir``.
        settings: more traits of ``c.GPUSpawner``, for example ``profiles=...`` or
            ``refuse_when_full=False``.

    Raises:
        TypeError: a setting is not a trait of ``GPUSpawner``.
    """
    unknown = sorted(name for name in settings if not GPUSpawner.class_traits().get(name))
    if unknown:
        own = ", ".join(sorted(Settings.class_trait_names(config=True)))
        raise TypeError(f"configure() got {', '.join(unknown)}; GPUSpawner's own traits are {own}")
    # By name: looking the class up is what starts the rest with the hub (``gpu_spawner``).
    c.JupyterHub.spawner_class = "gpu_spawner.GPUSpawner"
    if profiles_dir is not None:
        # The hub may change its directory; the file is found from where the configuration is read.
        settings["profiles_dir"] = str(Path(profiles_dir).absolute())
    for name, value in settings.items():
        setattr(c.GPUSpawner, name, value)
    chosen = read_settings(GPUSpawner, c)
    if not chosen.has_profiles:
        return
    try:
        CatalogSource(chosen).read()
    except ConfigError as error:
        sys.stderr.write(f"The profiles of this hub have mistakes:\n{error}\n")
        sys.exit(os.EX_CONFIG)
