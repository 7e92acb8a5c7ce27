"""What the hub knows, as far as the loops that ``Live`` itself runs need to see of it."""

import logging
from typing import Protocol

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.hub.settings import HubSettings
from gpu_spawner.kube.watcher import ClusterWatcher

__all__ = ["Known"]


class Known(Protocol):
    """The catalog and the cluster, and news of both; ``live.Live`` is one.

    Attributes:
        settings: of the whole hub.
        serial: grows whenever anything of this has changed.
    """

    settings: HubSettings
    log: logging.Logger | logging.LoggerAdapter[logging.Logger]
    serial: int

    @property
    def catalog(self) -> Catalog:
        """The last good catalog."""
        ...

    @property
    def watcher(self) -> ClusterWatcher | None:
        """The cluster as it is followed; None where it is not."""
        ...

    def cluster(self) -> Snapshot:
        """Return the cluster as it is, promises or not."""
        ...

    def announce(self) -> None:
        """Wake everybody who waits for a change."""
        ...

    async def wait_first_reading(self, timeout_seconds: float) -> None:
        """Wait until the cluster has been read once (or cannot be), or the time is over."""
        ...

    async def wait_for_change(self, after_serial: int, *, timeout_seconds: float) -> None:
        """Wait until ``serial`` differs from ``after_serial``, or the time is over."""
        ...
