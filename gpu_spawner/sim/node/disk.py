"""What a kubelet does as its node's disk fills: remove images, report pressure, evict pods.

Two loops, as in a kubelet: every few minutes images that nobody uses are removed if the disk is
fuller than it should be; every few seconds a disk that is too full becomes a condition of the node,
and pods go until it is so no longer. Thresholds, order and words are the kubelet's
(kubernetes/pkg/kubelet/images and eviction, 1.36).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gpu_spawner.sim.node.images import NodeImages

__all__ = ["DiskKeeper", "DiskPolicy", "Tenant"]

_CRITICAL_PRIORITY = 2_000_000_000
_POWERS = ("", "Ki", "Mi", "Gi", "Ti", "Pi")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskPolicy:
    """Thresholds in per cent of the disk, and times in seconds; the defaults are the kubelet's.

    Attributes:
        high_percent: so full a disk loses images that nobody uses,
        low_percent: until it is only so full.
        min_age_seconds: an image newer than that stays.
        collect_seconds: between two such collections.
        least_free_percent: with less than that left, the node has disk pressure.
        check_seconds: between two looks at that.
        relief_seconds: how long pressure is reported after it was there last.
    """

    high_percent: int = 85
    low_percent: int = 80
    min_age_seconds: float = 120.0
    collect_seconds: float = 300.0
    least_free_percent: int = 15
    check_seconds: float = 10.0
    relief_seconds: float = 300.0


class Tenant(Protocol):
    """A pod of the node, as far as the disk is concerned."""

    @property
    def pod(self) -> Mapping[str, Any]:
        """The pod as last seen in the API."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good."""

    def evict(self, message: str) -> None:
        """Take it off the node."""


class DiskKeeper:
    """Keeps one node's disk from filling up; ``run`` until cancelled.

    Args:
        tenants: gives the pods that are on the node.
        note: writes an event about the node: kind, reason, message.
        on_pressure: called when pressure begins or ends.

    Attributes:
        has_pressure: whether the node refuses pods.
    """

    def __init__(  # noqa: PLR0913  what a kubelet gives it
        self,
        node: str,
        images: NodeImages,
        policy: DiskPolicy,
        *,
        tenants: Callable[[], Iterable[Tenant]],
        note: Callable[[str, str, str], None],
        on_pressure: Callable[[], None],
    ) -> None:
        self.has_pressure = False
        self._node = node
        self._images = images
        self._policy = policy
        self._tenants = tenants
        self._note = note
        self._on_pressure = on_pressure
        self._pressed_at: float | None = None
        self._has_failed = False

    async def run(self) -> None:
        """Keep the disk until cancelled; a disk without limit needs no keeping."""
        if not self._images.capacity:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self._collect, self._policy.collect_seconds))
            group.create_task(self._repeat(self._check, self._policy.check_seconds))

    @staticmethod
    async def _repeat(step: Callable[[], None], seconds: float) -> None:
        while True:
            step()
            await asyncio.sleep(seconds)

    def _collect(self) -> None:
        capacity, available = self._images.capacity, max(self._images.available_bytes, 0)
        used_percent = 100 - available * 100 // capacity
        if used_percent < self._policy.high_percent:
            self._has_failed = False
            return
        wanted = capacity * (100 - self._policy.low_percent) // 100 - available
        freed = self._remove_unused(wanted)
        if freed >= wanted:
            self._has_failed = False
            return
        message = (
            f"Insufficient free disk space on the node's image filesystem ({used_percent}% of "
            f"{_shown_size(capacity)} used). Failed to free sufficient space by deleting unused "
            f"images (freed {freed} bytes). Investigate disk usage, as it could be used by active "
            "images, logs, volumes, or other data."
        )
        self._note("Warning", "FreeDiskSpaceFailed", message)
        if self._has_failed:
            self._note("Warning", "ImageGCFailed", message)
        self._has_failed = True

    def _check(self) -> None:
        least_free = self._images.capacity * self._policy.least_free_percent // 100
        now = asyncio.get_running_loop().time()
        if self._images.available_bytes < least_free:
            self._pressed_at = now
        relieved_at = (self._pressed_at or 0.0) + self._policy.relief_seconds
        self._report(has_pressure=self._pressed_at is not None and now <= relieved_at)
        if self._images.available_bytes >= least_free:
            return
        self._note("Warning", "EvictionThresholdMet", "Attempting to reclaim ephemeral-storage")
        for tenant in self._tenants():
            if tenant.is_over:
                # What is left of its containers goes first, and keeps no image any longer.
                self._images.store.release(tenant.pod["metadata"]["uid"])
        self._remove_unused(None)
        if (available := self._images.available_bytes) < least_free:
            self._evict(least_free, available)

    def _report(self, *, has_pressure: bool) -> None:
        if has_pressure == self.has_pressure:
            return
        self.has_pressure = has_pressure
        reason = "NodeHasDiskPressure" if has_pressure else "NodeHasNoDiskPressure"
        self._note("Normal", reason, f"Node {self._node} status is now: {reason}")
        self._on_pressure()

    def _remove_unused(self, wanted: int | None) -> int:
        """Remove what nobody uses until so much is freed, None for all of it; return how much."""
        freed = 0
        for image in self._images.store.removable(self._policy.min_age_seconds):
            if wanted is not None and freed >= wanted:
                break
            freed += self._images.remove(image.digest)
        return freed

    def _evict(self, least_free: int, available: int) -> None:
        """Take one pod off the node: of those that matter least, the first by name."""
        candidates = [
            tenant
            for tenant in self._tenants()
            if not tenant.is_over and _priority(tenant) < _CRITICAL_PRIORITY
        ]
        if candidates:
            chosen = min(candidates, key=lambda each: (_priority(each), _name(each)))
            chosen.evict(
                "The node was low on resource: ephemeral-storage. Threshold quantity: "
                f"{_quantity(least_free)}, available: {_quantity(available)}. "
            )


def _priority(tenant: Tenant) -> int:
    return int(tenant.pod["spec"].get("priority") or 0)


def _name(tenant: Tenant) -> tuple[str, str]:
    metadata = tenant.pod["metadata"]
    return metadata["namespace"], metadata["name"]


def _quantity(amount: int) -> str:
    """Write bytes as Kubernetes does: ``96Mi``, or all digits where no unit divides them."""
    power = 0
    while amount and amount % 1024 == 0 and power < len(_POWERS) - 1:
        amount //= 1024
        power += 1
    return f"{amount}{_POWERS[power]}"


def _shown_size(amount: int) -> str:
    if amount < 1024:
        return f"{amount} B"
    power, size = 0, float(amount)
    while size >= 1024 and power < 4:
        size /= 1024
        power += 1
    return f"{size:.1f} {_POWERS[power]}B"
