"""Read the catalog from a directory of YAML files, from an inline mapping, or from both.

A directory holds one profile a file (``20-pytorch-gpus.yaml``: the number orders the page, the rest
is the slug), ``flavors.yaml`` and ``images.yaml``. An inline mapping, as ``c.GPUSpawner.profiles``,
has the same parts under the same names without ``.yaml``; being a mapping, Helm merges it.

Whatever is wrong with a file is a ``Problem`` among the others: it cannot be read, is too large, is
not YAML, says something twice. Nothing in a file makes reading slow or large: sizes, nesting and
the expansion of aliases are bounded.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpu_spawner.catalog_files.directory import fingerprint, read_files
from gpu_spawner.catalog_files.inline import read_entries
from gpu_spawner.core.catalog.building import Sources, build_catalog
from gpu_spawner.core.catalog.model import Catalog

__all__ = ["fingerprint", "read_catalog", "read_directory", "read_mapping"]


def read_directory(path: str | os.PathLike[str]) -> Catalog:
    """Read a catalog from a directory.

    Raises:
        ConfigError: with every mistake in every file.
    """
    return read_catalog(directory=path)


def read_mapping(mapping: Mapping[str, Any], source: str = "c.GPUSpawner.profiles") -> Catalog:
    """Read a catalog from an inline mapping; ``source`` is what to call it in problems.

    Raises:
        ConfigError: with every mistake in it.
    """
    return read_catalog(mapping=mapping, source=source)


def read_catalog(
    *,
    directory: str | os.PathLike[str] | None = None,
    mapping: Mapping[str, Any] | None = None,
    source: str = "c.GPUSpawner.profiles",
) -> Catalog:
    """Read one catalog from a directory, an inline mapping, or both together.

    Names must be unique across both.

    Raises:
        ConfigError: with every mistake in all of it.
    """
    sources = Sources(place=source if directory is None else os.fspath(directory))
    if directory is not None:
        read_files(Path(directory), sources)
    if mapping:
        read_entries(mapping, source, sources)
    return build_catalog(sources)
