"""What a server holds, in the units that limits are given in: GPUs, GPU memory, servers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.mechanisms import describe_share
from gpu_spawner.core.catalog.model import Catalog, Choice, Profile, Share
from gpu_spawner.core.catalog.share_meaning import had_by

__all__ = ["WHOLE_GPU_MILLI", "Holding", "holding_of"]

WHOLE_GPU_MILLI = 1000
"""A whole GPU in thousandths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What one or several servers hold.

    Attributes:
        gpu_milli: thousandths of a GPU. A part of a GPU counts as the part of its memory.
        memory_bytes: of GPUs.
        servers: how many.
    """

    gpu_milli: int = 0
    memory_bytes: int = 0
    servers: int = 0

    def plus(self, other: "Holding") -> "Holding":
        """Return both together."""
        return Holding(
            gpu_milli=self.gpu_milli + other.gpu_milli,
            memory_bytes=self.memory_bytes + other.memory_bytes,
            servers=self.servers + other.servers,
        )

    @classmethod
    def sum(cls, holdings: Iterable["Holding"]) -> "Holding":
        """Return all of them together."""
        total = cls()
        for holding in holdings:
            total = total.plus(holding)
        return total


def holding_of(catalog: Catalog, choice: Choice) -> Holding:
    """Return what a server with this choice holds, its sidecars' GPUs included.

    Of "whichever is free first", and of a flavor that is had in several ways, the largest counts:
    which one it will be is not known beforehand, and must not make a limit depend on luck. Where
    the catalog does not know how large a part is, it counts as a whole GPU.
    """
    profile = catalog.profile(choice.profile)
    parts = [] if profile is None else list(_parts(profile, choice))
    ways = [
        _of_flavor(catalog.flavors[name], mechanism, parts)
        for name, mechanism in had_by(catalog, choice)
    ]
    return Holding(
        gpu_milli=max((way.gpu_milli for way in ways), default=0),
        memory_bytes=max((way.memory_bytes for way in ways), default=0),
        servers=1,
    )


def _parts(profile: Profile, choice: Choice) -> Iterator[tuple[Share, int]]:
    if choice.share is None:
        return
    yield choice.share, choice.count
    for sidecar in profile.sidecars:
        if sidecar.gpu is not None and not sidecar.gpu.is_shared:
            yield sidecar.gpu.share or choice.share, sidecar.gpu.count


def _of_flavor(flavor: Flavor, mechanism: str, parts: Iterable[tuple[Share, int]]) -> Holding:
    gpu_milli = memory_bytes = 0
    for share, count in parts:
        part_bytes = describe_share(flavor, share, mechanism).memory_bytes
        whole_bytes = flavor.memory_bytes
        gpu_milli += count * _gpu_milli(flavor, share, part_bytes)
        memory_bytes += count * (part_bytes or whole_bytes or 0)
    return Holding(gpu_milli=gpu_milli, memory_bytes=memory_bytes)


def _gpu_milli(flavor: Flavor, share: Share, part_bytes: int | None) -> int:
    if share.kind in ("whole", "claim"):
        return WHOLE_GPU_MILLI
    if share.kind == "replica" and flavor.sharing is not None:
        return -(-WHOLE_GPU_MILLI // flavor.sharing.replicas)
    if not part_bytes or not flavor.memory_bytes:
        return WHOLE_GPU_MILLI
    return min(WHOLE_GPU_MILLI, -(-WHOLE_GPU_MILLI * part_bytes // flavor.memory_bytes))
