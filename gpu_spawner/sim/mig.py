"""How a GPU can be cut into MIG instances: where each profile fits, and what it takes.

For the GPUs with seven compute and eight memory slices (A100, H100, H200, B200). Source: NVIDIA's
MIG user guide, https://docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-gpus.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = [
    "COMPUTE_SLICES",
    "MEMORY_SLICES",
    "MULTIPROCESSORS_PER_SLICE",
    "MigPlacement",
    "cut",
    "mig_memory_mib",
    "multiprocessors",
    "placements",
]

MEMORY_SLICES: Final = 8
COMPUTE_SLICES: Final = 7

# Where an instance may begin, by its compute slices and the memory slices it takes.
_STARTS: Final = {
    (1, 1): (0, 1, 2, 3, 4, 5, 6),
    (1, 2): (0, 2, 4, 6),
    (2, 2): (0, 2, 4),
    (3, 4): (0, 4),
    (4, 4): (0,),
    (7, 8): (0,),
}
_PROFILE_IDS: Final = {(1, 1): 19, (1, 2): 15, (2, 2): 14, (3, 4): 9, (4, 4): 5, (7, 8): 0}
# A compute slice has 14 to 18 multiprocessors, depending on the GPU (A100: 14).
MULTIPROCESSORS_PER_SLICE: Final = 14
# The number in a profile's name is rounded.
_ROUNDING: Final = 0.1
_PROFILE: Final = re.compile(r"([1-7])g\.(\d+)gb")


@dataclass(frozen=True, slots=True, kw_only=True)
class MigPlacement:
    """One place of a GPU at which an instance of a profile can be made.

    Attributes:
        profile_id: NVML's number of the GPU instance profile.
        start: the first memory slice.
        size: how many memory slices it takes.
        compute: how many compute slices it takes.
    """

    profile: str
    profile_id: int
    start: int
    size: int
    compute: int


def placements(profile: str, gpu_memory_mib: int) -> tuple[MigPlacement, ...]:
    """Return every place for a profile such as ``1g.10gb``, none where the GPU has no such profile.

    >>> [place.start for place in placements("3g.40gb", 81559)]
    [0, 4]
    """
    compute, nominal_gb = _parts(profile)
    memory_slice_gb = gpu_memory_mib / 1024 / MEMORY_SLICES
    size = round(nominal_gb / memory_slice_gb)
    if abs(nominal_gb - size * memory_slice_gb) > nominal_gb * _ROUNDING:
        return ()
    kind = (compute, size)
    return tuple(
        MigPlacement(
            profile=profile,
            profile_id=_PROFILE_IDS[kind],
            start=start,
            size=kind[1],
            compute=compute,
        )
        for start in _STARTS.get(kind, ())
    )


def cut(
    wanted: Mapping[str, int], gpus: int, gpu_memory_mib: int
) -> tuple[tuple[MigPlacement, ...], ...]:
    """Cut so many GPUs into the instances wanted, large ones first; returns those of each GPU.

    Raises:
        ValueError: they do not fit.
    """
    made: list[list[MigPlacement]] = [[] for _ in range(gpus)]
    for profile in sorted(wanted, key=lambda each: -_parts(each)[1]):
        places = placements(profile, gpu_memory_mib)
        for _ in range(wanted[profile]):
            fitting = (
                (gpu, place)
                for gpu in made
                for place in places
                if all(_can_be_beside(place, other) for other in gpu)
                and sum(other.compute for other in gpu) + place.compute <= COMPUTE_SLICES
            )
            found = next(fitting, None)
            if found is None:
                raise ValueError(f"{wanted[profile]} x {profile} do not fit on {gpus} GPUs")
            found[0].append(found[1])
    return tuple(tuple(sorted(gpu, key=lambda place: place.start)) for gpu in made)


def _can_be_beside(one: MigPlacement, other: MigPlacement) -> bool:
    return one.start + one.size <= other.start or other.start + other.size <= one.start


def mig_memory_mib(profile: str) -> int:
    """Return about what an instance can use; the number in its name is nominal.

    A 1g.5gb instance has 4864 MiB, a 1g.10gb one 9728 MiB: 0.95 of the nominal size.
    """
    return _parts(profile)[1] * 1024 * 95 // 100


def multiprocessors(profile: str) -> int:
    """Return about how many multiprocessors an instance has."""
    return _parts(profile)[0] * MULTIPROCESSORS_PER_SLICE


def _parts(profile: str) -> tuple[int, int]:
    found = _PROFILE.match(profile)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)
