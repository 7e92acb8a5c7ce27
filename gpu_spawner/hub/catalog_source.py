"""Where the catalog comes from, and whether it has changed.

A source reads the whole catalog or raises ``ConfigError`` with every mistake. Keeping the last good
one while an edit is broken is the caller's part.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from gpu_spawner.catalog_files import read_directory, read_mapping
from gpu_spawner.core.catalog import Catalog
from gpu_spawner.core.errors import ConfigError, Problem
from gpu_spawner.hub.settings import HubSettings

__all__ = ["CatalogSource", "DirectorySource", "InlineSource", "source_of"]


class CatalogSource(Protocol):
    """One place that a catalog is read from."""

    def fingerprint(self) -> object:
        """Return a value that differs whenever ``read`` would give something else; may do I/O."""
        ...

    def read(self) -> Catalog:
        """Read everything; ``ConfigError`` with all mistakes. May do I/O."""
        ...


class DirectorySource:
    """The files of ``c.GPUSpawner.profiles_dir``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def fingerprint(self) -> tuple[tuple[str, int, int, int], ...]:
        """Return name, inode, size and time of every file; a mounted ConfigMap changes inodes."""
        found = []
        try:
            entries = sorted(self.directory.iterdir())
        except OSError:
            return ()
        for path in entries:
            try:
                status = path.stat()
            except OSError:  # removed meanwhile, or a link to nowhere: reading will say which
                found.append((path.name, 0, 0, 0))
            else:
                found.append((path.name, status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)

    def read(self) -> Catalog:
        """Read the directory."""
        return read_directory(self.directory)


class InlineSource:
    """The mappings in ``c.GPUSpawner.profiles``, ``flavors`` and ``images``."""

    def __init__(self, sections: Mapping[str, Any]) -> None:
        self.sections = sections

    def fingerprint(self) -> None:
        """Return the same always: configuration is read once, at the start of the hub."""
        return

    def read(self) -> Catalog:
        """Read the mappings."""
        return read_mapping(self.sections, source="c.GPUSpawner")


def source_of(settings: HubSettings) -> CatalogSource:
    """Return the source that the settings name.

    Raises:
        ConfigError: both places are given, or flavors and images without profiles.
    """
    inline = {
        name: value
        for name in ("profiles", "flavors", "images")
        if (value := getattr(settings, name))
    }
    if settings.profiles_dir and inline:
        raise ConfigError(
            Problem(
                file=f"c.GPUSpawner.{name}",
                message=f"profiles_dir is set as well ({settings.profiles_dir}).",
                cure="Keep one of the two.",
            )
            for name in inline
        )
    if settings.profiles_dir:
        return DirectorySource(Path(settings.profiles_dir))
    return InlineSource(inline)
