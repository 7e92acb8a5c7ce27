"""Where the catalog comes from, and whether it has changed.

A source reads the whole catalog or raises ``ConfigError`` with every mistake. Keeping the last good
one while an edit is broken is the caller's part.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpu_spawner.catalog_files import fingerprint, read_catalog
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.errors import ConfigError, Problem
from gpu_spawner.hub.overrides import find_override_problems
from gpu_spawner.hub.settings import HubSettings

__all__ = ["CatalogSource"]


class CatalogSource:
    """The directory ``profiles_dir``, the mapping ``profiles``, or both together."""

    def __init__(self, settings: HubSettings) -> None:
        """Take the places from the settings; nothing is read yet.

        Raises:
            ConfigError: ``flavors`` or ``images`` are given in two places.
        """
        self.directory = Path(settings.profiles_dir) if settings.profiles_dir else None
        self.mapping = _one_mapping(settings)
        self._spawner_class = settings.spawner_class

    def fingerprint(self) -> str:
        """Return a text that changes when ``read`` may give something else; reads files."""
        return fingerprint(self.directory) if self.directory else ""

    def read(self) -> Catalog:
        """Read everything.

        Raises:
            ConfigError: with every mistake in all of it.
        """
        catalog = read_catalog(
            directory=self.directory, mapping=self.mapping, source="c.GPUSpawner.profiles"
        )
        problems = find_override_problems(catalog, self._spawner_class)
        if problems:
            raise ConfigError(problems)
        return catalog


def _one_mapping(settings: HubSettings) -> Mapping[str, Any] | None:
    mapping = dict(settings.profiles)
    problems = []
    for name in ("flavors", "images"):
        given = getattr(settings, name)
        if given and name in mapping:
            problems.append(
                Problem(
                    file=f"c.GPUSpawner.{name}",
                    message=f"c.GPUSpawner.profiles has {name} as well.",
                    cure="Keep one of the two.",
                )
            )
        elif given:
            mapping[name] = given
    if problems:
        raise ConfigError(problems)
    return mapping or None
