"""How much memory a server of a choice has on its GPUs, wherever it lands."""

from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.share_meaning import meanings

__all__ = ["gpu_bytes"]


def gpu_bytes(catalog: Catalog, selection: Selection) -> int | None:
    """Return the least of what it may be; None without GPUs, or where nobody said of one."""
    each = [one.memory_bytes for one in meanings(catalog, selection.choice)]
    known = [size for size in each if size is not None]
    return min(known) * selection.count if len(known) == len(each) and known else None
