"""What must agree inside one profile or flavor beyond the shape of single values.

Each function yields the problems of one kind; ``building`` gathers them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from gpu_spawner.core.catalog.amounts import Amount, Resources
from gpu_spawner.core.catalog.candidates import find_objection
from gpu_spawner.core.catalog.documents import Document, KeyPath
from gpu_spawner.core.catalog.flavor_schema import TolerationModel
from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.model import GpuBlock, Profile, Share
from gpu_spawner.core.errors import Problem
from gpu_spawner.core.wording import did_you_mean, say_bytes

__all__ = [
    "doubled_choices",
    "repeated_counts",
    "requests_above_limits",
    "share_mistakes",
    "wrong_amounts",
    "wrong_names",
    "wrong_tolerations",
]

_MAX_CHOICES: Final = 200
_OF_PROFILE: Final = frozenset({"kueue", "scheduler_name", "sidecars"})
"""Parts of a profile that stand beside its ``gpu`` blocks."""


def wrong_names(
    document: Document, path: KeyPath, names: Sequence[str], known: Collection[str]
) -> Iterator[Problem]:
    """Yield unknown and repeated names of a list of references, which is named as its file is."""
    kind = path[-1]
    for index, name in enumerate(names):
        if name not in known:
            have = (
                f"{kind}.yaml has {', '.join(sorted(known))}" if known else f"there are no {kind}"
            )
            yield document.problem(
                (*path, index),
                f"got '{name}'; {have}",
                did_you_mean(name, known) or f"Add it to {kind}.yaml.",
            )
        elif name in names[:index]:
            yield document.problem((*path, index), f"'{name}' is listed twice", "Remove one.")


def repeated_counts(document: Document, index: int, counts: Sequence[int]) -> Iterator[Problem]:
    """Yield counts that one block lists twice."""
    for position, count in enumerate(counts):
        if count in counts[:position]:
            path = document.actual_path(("gpu", index, "count", position))
            yield document.problem(path, f"{count} is listed twice", "Remove one.")


def share_mistakes(
    document: Document, profile: Profile, index: int, flavors: Mapping[str, Flavor]
) -> Iterator[Problem]:
    """Yield what no cluster could give of one ``gpu`` block, each mistake once."""
    path, block = document.actual_path(("gpu", index)), profile.gpu[index]
    told = set()
    for name in dict.fromkeys(block.flavors):
        flavor = flavors.get(name)
        if flavor is None:
            continue
        for share in block.shares:
            for count in block.counts:
                mistake = find_objection(profile, flavor, share, count)
                if mistake is not None and mistake not in told:
                    told.add(mistake)
                    part = tuple(mistake.part.split("."))
                    place = part if part[0] in _OF_PROFILE else (*path, *part)
                    yield document.problem(place, mistake.message, mistake.cure)


def doubled_choices(document: Document, blocks: tuple[GpuBlock, ...]) -> Iterator[Problem]:
    """Yield choices that two blocks offer, and a number of choices nobody could read."""
    first: dict[tuple[str, Share, int], int] = {}
    for index, block in enumerate(blocks):
        for flavor in dict.fromkeys(block.flavors):
            for share in block.shares:
                for count in dict.fromkeys(block.counts):
                    earlier = first.setdefault((flavor, share, count), index)
                    if earlier != index:
                        yield document.problem(
                            ("gpu", index),
                            f"{count} x {flavor} as {share.label} is offered by block "
                            f"{earlier + 1} already",
                            "Remove it from one of them.",
                        )
    if len(first) > _MAX_CHOICES:
        yield document.problem(
            ("gpu",), f"gives {len(first)} choices; at most {_MAX_CHOICES} are allowed", "Split it."
        )


def wrong_amounts(document: Document, resources: Resources, *, has_gpu: bool) -> Iterator[Problem]:
    """Yield requests above limits, and a /dev/shm that the memory limit cannot hold."""
    if not has_gpu and resources != resources.for_count(0):
        yield document.problem(
            ("resources", "per_gpu"), "is set, but the profile has no gpu", "Remove it."
        )
    for prefix, cpu, memory, shm_bytes in (
        ((), resources.cpu, resources.memory, resources.shm_bytes),
        (
            ("per_gpu",),
            resources.cpu_per_gpu,
            resources.memory_per_gpu,
            resources.shm_bytes_per_gpu,
        ),
    ):
        yield from requests_above_limits(document, ("resources", *prefix), cpu, memory)
        if memory.limit is not None and shm_bytes > memory.limit:
            yield document.problem(
                ("resources", *prefix, "shm"),
                f"{say_bytes(shm_bytes)} is more than the memory limit, "
                f"{say_bytes(memory.limit)}, against which it counts",
                "Raise memory.limit or lower shm.",
            )


def requests_above_limits(
    document: Document, path: KeyPath, cpu: Amount, memory: Amount
) -> Iterator[Problem]:
    """Yield amounts of which more is requested than may be used."""
    for name, amount in (("cpu", cpu), ("memory", memory)):
        if amount.limit is not None and (amount.request or 0) > amount.limit:
            yield document.problem(
                (*path, name),
                f"the request is larger than the limit ({_say(name, amount.request or 0)} > "
                f"{_say(name, amount.limit)})",
                "Raise the limit or lower the request.",
            )


def _say(name: str, amount: int) -> str:
    return say_bytes(amount) if name == "memory" else f"{amount / 1000:g}"


def wrong_tolerations(
    document: Document, path: KeyPath, models: Sequence[TolerationModel]
) -> Iterator[Problem]:
    """Yield tolerations that the API server refuses (k8s.io/kubernetes core validation)."""
    for index, model in enumerate(models):
        if model.operator == "Exists" and model.value:
            yield document.problem(
                (*path, index, "value"), "operator Exists takes no value", "Remove it."
            )
        if model.key is None and model.operator != "Exists":
            yield document.problem(
                (*path, index), "a toleration without key", "Add the taint's key."
            )
