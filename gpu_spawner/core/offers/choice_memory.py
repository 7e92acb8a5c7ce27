"""How much memory a server of a choice has on its GPUs, wherever it lands."""

from gpu_spawner.core.catalog.mechanisms import describe_share
from gpu_spawner.core.catalog.model import Catalog, Selection

__all__ = ["gpu_bytes"]


def gpu_bytes(catalog: Catalog, selection: Selection) -> int | None:
    """Return the least over the flavors; None without GPUs, or where nobody said of one."""
    if selection.share is None:
        return None
    flavors = [catalog.flavors[name] for name in selection.flavors]
    each = [describe_share(flavor, selection.share).memory_bytes for flavor in flavors]
    known = [size for size in each if size is not None]
    return min(known) * selection.count if len(known) == len(each) and known else None
