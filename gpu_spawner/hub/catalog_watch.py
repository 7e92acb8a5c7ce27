"""Keep the catalog fresh: read it again when files change, and survive a broken edit."""

import asyncio
import logging
from collections.abc import Callable

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.errors import ConfigError, Problem
from gpu_spawner.hub.catalog_source import CatalogSource

__all__ = ["CatalogWatch"]


class CatalogWatch:
    """The last good catalog.

    Attributes:
        catalog: what users are shown.
        problems: what is wrong with the files as they are now; empty when ``catalog`` is of them.
    """

    def __init__(
        self, source: CatalogSource, *, on_change: Callable[[], None], log: logging.Logger
    ) -> None:
        """Read the catalog for the first time.

        Raises:
            ConfigError: with every mistake in it.
        """
        self._source = source
        self._on_change = on_change
        self._log = log
        self._fingerprint = source.fingerprint()
        self.catalog: Catalog = source.read()
        self.problems: tuple[Problem, ...] = ()

    async def run(self, period_seconds: float) -> None:
        """Look for changes forever, off the event loop: files may be on a slow network."""
        while True:
            await asyncio.sleep(period_seconds)
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - this loop must outlive whatever a file brings about
                self._log.exception("Could not read the profiles; the last good ones stay in use")

    async def look(self) -> None:
        """Read the catalog again if its files have changed since the last look."""
        fingerprint = await asyncio.to_thread(self._source.fingerprint)
        if fingerprint == self._fingerprint:
            return
        self._fingerprint = fingerprint
        try:
            self.catalog = await asyncio.to_thread(self._source.read)
        except ConfigError as error:
            self.problems = error.problems
            self._log.error(
                "The profiles were edited, with mistakes; the last good ones stay in use:\n%s",
                error,
            )
        else:
            self.problems = ()
            self._log.info("The profiles were edited: %d are in use", len(self.catalog.profiles))
        self._on_change()
