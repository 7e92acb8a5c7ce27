"""How much CPU and memory a server gets beside its GPUs."""

from dataclasses import dataclass, replace
from typing import Final

__all__ = ["NO_RESOURCES", "UNSET", "Amount", "Resources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A request and a limit of cpu (milli-CPU) or memory (bytes); None means not set."""

    request: int | None = None
    limit: int | None = None


UNSET: Final = Amount()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a server gets beside its GPUs: a base, and more for each GPU.

    ``cpu`` is in milli-CPU, ``memory`` and ``shm_bytes`` in bytes. The ``*_per_gpu`` amounts are
    multiplied by the count of the choice and added.

    Attributes:
        cpu_choices, memory_choices: what the user may choose from instead of ``cpu`` and
            ``memory``, the first being the default; empty where there is no choice. Of what is
            chosen as much is requested as may be used.
    """

    cpu: Amount = Amount()
    memory: Amount = Amount()
    shm_bytes: int = 0
    cpu_per_gpu: Amount = Amount()
    memory_per_gpu: Amount = Amount()
    shm_bytes_per_gpu: int = 0
    cpu_choices: tuple[int, ...] = ()
    memory_choices: tuple[int, ...] = ()

    def chosen(self, cpu_milli: int | None, memory_bytes: int | None) -> "Resources":
        """Return the same resources with what the user chose; None stands for the default."""
        return replace(
            self,
            cpu=_chosen(self.cpu, self.cpu_choices, cpu_milli),
            memory=_chosen(self.memory, self.memory_choices, memory_bytes),
        )

    def for_count(self, count: int) -> "Resources":
        """Return the same resources with the per-GPU part of ``count`` GPUs added in."""
        return Resources(
            cpu=_add(self.cpu, self.cpu_per_gpu, count),
            memory=_add(self.memory, self.memory_per_gpu, count),
            shm_bytes=self.shm_bytes + self.shm_bytes_per_gpu * count,
            cpu_choices=self.cpu_choices,
            memory_choices=self.memory_choices,
        )


NO_RESOURCES: Final = Resources()
"""Whatever the site gives to every server."""


def _chosen(fixed: Amount, choices: tuple[int, ...], wanted: int | None) -> Amount:
    if not choices:
        return fixed
    amount = choices[0] if wanted is None else wanted
    return Amount(request=amount, limit=amount)


def _add(base: Amount, per_gpu: Amount, count: int) -> Amount:
    def total(fixed: int | None, each: int | None) -> int | None:
        if each is None or count == 0:
            return fixed
        return (fixed or 0) + each * count

    return Amount(
        request=total(base.request, per_gpu.request), limit=total(base.limit, per_gpu.limit)
    )
