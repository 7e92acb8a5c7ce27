"""Where a command finds its catalog: a directory, or the configuration of a hub."""

import argparse
from pathlib import Path
from typing import Any

from gpu_spawner.cli.arguments import directory, file, shipped
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.errors import ConfigError, Problem

__all__ = [
    "add_catalog_arguments",
    "hub_settings",
    "override_problems",
    "read_catalog",
    "read_config",
    "read_profiles",
]


def add_catalog_arguments(
    parser: argparse.ArgumentParser, *, otherwise: str = "the one that is shipped"
) -> None:
    """Add ``--profiles`` and ``--config``; ``otherwise`` says what counts without both."""
    parser.add_argument(
        "--profiles",
        type=directory,
        metavar="DIR",
        help=f"the catalog (default: the configuration's, else {otherwise})",
    )
    parser.add_argument(
        "--config",
        type=file,
        metavar="FILE",
        help="a jupyterhub_config.py, for KubeSpawner's settings (default: KubeSpawner's own)",
    )


def read_config(arguments: argparse.Namespace) -> Any:
    """Return the hub's configuration, a traitlets ``Config``; empty where none was named.

    Raises:
        ConfigError: the file cannot be run.
    """
    from gpu_spawner.hub.rendering import load_config

    return load_config(arguments.config)


def read_catalog(arguments: argparse.Namespace, config: Any) -> Catalog:
    """Return the catalog.

    Raises:
        ConfigError: it has mistakes.
    """
    if arguments.profiles is None and arguments.config is not None:
        from gpu_spawner.hub.rendering import read_configured

        return read_configured(config)
    return read_profiles(arguments.profiles or shipped("profiles"))


def read_profiles(folder: Path) -> Catalog:
    """Return the catalog in a directory.

    Raises:
        ConfigError: it has mistakes, for which a hub would not start.
    """
    from gpu_spawner.catalog_files import read_directory

    catalog = read_directory(folder)
    problems = override_problems(catalog)
    if problems:
        raise ConfigError(problems)
    return catalog


def override_problems(catalog: Catalog) -> list[Problem]:
    """Return what the installed KubeSpawner cannot use of a catalog's ``kubespawner_override``."""
    if not any(profile.override for profile in catalog.profiles):
        return []  # loading KubeSpawner takes longer than all the rest
    from gpu_spawner.hub.overrides import find_override_problems
    from gpu_spawner.hub.spawner import GPUSpawner

    return find_override_problems(catalog, GPUSpawner)


def hub_settings(arguments: argparse.Namespace, config: Any) -> Any:
    """Return the settings of a hub that has this catalog, ``HubSettings``: to follow its edits."""
    from gpu_spawner.hub.settings import read_settings
    from gpu_spawner.hub.spawner import GPUSpawner

    settings = read_settings(GPUSpawner, config)
    if arguments.profiles is not None or arguments.config is None:
        settings.profiles_dir = str(arguments.profiles or shipped("profiles"))
        settings.profiles = settings.flavors = settings.images = {}
    return settings
