"""The GPUs of a simulated node, as a fleet file describes them."""

from typing import Annotated, Literal

import pydantic

from gpu_spawner.sim.fleet_fields import Count, MigProfile, Strict
from gpu_spawner.sim.mig import cut, placements

__all__ = ["Gpu"]


class Gpu(Strict):
    """The GPUs of one node, from which its labels and its extended resources follow.

    Attributes:
        product: as GPU feature discovery spells it, without any suffix for sharing.
        count: physical GPUs.
        memory_mib: of one GPU.
        replicas: how many pods share a GPU by time-slicing; 1 means none.
        mig: slices by MIG profile over the whole node (MIG strategy "mixed").
        mig_gpus: how many of the GPUs are cut into these slices; the others are offered whole.
        device_plugin: whether the NVIDIA device plugin offers them as extended resources; without
            it the node has the labels only.
        dra: how NVIDIA's driver for Dynamic Resource Allocation offers them, if at all. ``whole``:
            each as one device, those cut into ``mig`` as their slices; ``dynamic-mig``: each as a
            whole or cut on demand into ``mig_profiles``; ``memory-shares``: each to any number of
            claims, as far as its memory goes.
        unhealthy: GPUs (by number, from 0) the driver has tainted, and their XID error.
    """

    product: str = pydantic.Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,40}[A-Za-z0-9])?$")
    family: str
    compute: str = pydantic.Field(pattern=r"^\d+\.\d+$")
    count: Annotated[int, pydantic.Field(ge=1, le=64, strict=True)]
    memory_mib: Annotated[int, pydantic.Field(ge=1, strict=True)]
    driver: str = pydantic.Field(default="580.95.05", pattern=r"^\d+\.\d+(\.\d+)?$")
    cuda: str = pydantic.Field(default="13.0", pattern=r"^\d+\.\d+$")
    replicas: Annotated[int, pydantic.Field(ge=1, le=64, strict=True)] = 1
    mig: dict[MigProfile, Count] = pydantic.Field(default={})
    mig_gpus: Count = 0
    device_plugin: bool = True
    dra: Literal["", "whole", "dynamic-mig", "memory-shares"] = ""
    mig_profiles: tuple[MigProfile, ...] = ()
    unhealthy: dict[Count, Count] = pydantic.Field(default={})

    @pydantic.model_validator(mode="after")
    def _agree(self) -> "Gpu":
        if self.mig_gpus > self.count:
            raise ValueError(f"mig_gpus is {self.mig_gpus}, but there are {self.count} GPUs")
        if bool(self.mig) != bool(self.mig_gpus):
            raise ValueError("mig and mig_gpus go together")
        if self.mig and self.replicas > 1:
            raise ValueError("a node has either MIG slices or time-sliced replicas")
        if self.dra:
            self._check_claimable()
        elif self.unhealthy:
            raise ValueError("unhealthy needs dra: the device plugin has no taints")
        return self

    def _check_claimable(self) -> None:
        if self.device_plugin or self.replicas > 1:
            raise ValueError("dra needs device_plugin: false, or two would hand out the same GPUs")
        if self.mig and self.dra != "whole":
            raise ValueError(f"mig is for dra: whole, but dra is {self.dra}")
        if bool(self.mig_profiles) != (self.dra == "dynamic-mig"):
            raise ValueError("mig_profiles and dra: dynamic-mig go together")
        if any(number >= self.count for number in self.unhealthy):
            raise ValueError(f"unhealthy GPUs are numbered from 0 to {self.count - 1}")
        for profile in (*self.mig, *self.mig_profiles):
            if not placements(profile, self.memory_mib):
                raise ValueError(f"{profile} is not a MIG profile of a GPU with this much memory")
        cut(self.mig, self.mig_gpus, self.memory_mib)
