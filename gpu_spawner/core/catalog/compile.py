"""Compile a selection into what its pod needs.

A ``PodFragment`` is the profile's part of a pod, built from scratch for every selection, so that a
choice never leaks into the next spawn. How it meets the site's part is for ``site_pod``.
Compiling is total and deterministic: the same selection gives the same fragment.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

from gpu_spawner.core.catalog.flavors import LabelIn, Toleration
from gpu_spawner.core.catalog.mechanisms import PodSide, pod_side_of
from gpu_spawner.core.catalog.model import Amount, Catalog, Image, Selection

__all__ = ["LABEL_PREFIX", "PodFragment", "compile_selection", "variants"]

LABEL_PREFIX: Final = "gpu-spawner.jupyter.org/"
"""Of the labels that say which choice a pod was made for."""

_ARCHITECTURE_LABEL: Final = "kubernetes.io/arch"
_CUDA_LABELS: Final = (
    ("nvidia.com/cuda.runtime-version.major", "nvidia.com/cuda.runtime-version.minor"),
    ("nvidia.com/cuda.runtime.major", "nvidia.com/cuda.runtime.minor"),
)
"""Labels of GPU feature discovery, the newer names first; older releases write the second pair."""
_OLDEST_CUDA: Final = 9  # GPU feature discovery needs a driver for CUDA 9 or newer

_Term = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFragment:
    """The profile's part of a pod.

    Attributes:
        selection: what it was compiled from.
        image: the reference to pull.
        cpu: in milli-CPU; an amount without request and limit leaves the site's settings alone.
        memory: in bytes, likewise.
        extended_resources: of the notebook container, in requests and limits alike.
        required_terms: node affinity terms as Kubernetes writes them, of which one must match;
            empty for no such rule.
        preferred_terms: node affinity that only steers, likewise.
        shm_bytes: size of ``/dev/shm``; 0 leaves the container runtime's.
        scheduler_name: None leaves the site's; empty is the cluster's default.
        override: the profile's escape hatch, merged last.
        hardware: the labels of the GPUs it may land on, one group a flavor; the pod says the same,
            and more, in ``required_terms``.
        architectures, min_cuda: what the image needs, for the reasons in an offer; likewise.
    """

    selection: Selection
    image: str
    cpu: Amount
    memory: Amount
    extended_resources: Mapping[str, int]
    node_selector: Mapping[str, str]
    required_terms: tuple[_Term, ...]
    preferred_terms: tuple[dict[str, Any], ...]
    tolerations: tuple[Toleration, ...]
    shm_bytes: int
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    scheduler_name: str | None
    default_url: str
    cmd: tuple[str, ...]
    override: Mapping[str, Any]
    hardware: tuple[tuple[LabelIn, ...], ...]
    architectures: frozenset[str]
    min_cuda: tuple[int, int] | None


def variants(catalog: Catalog, selection: Selection) -> tuple[Selection, ...]:
    """Split a selection into those that one pod each can stand for, in the order of its flavors.

    Flavors that ask for the same resources fit in one pod, whose node affinity admits any of them,
    and the scheduler takes the node that is free. Others, such as GPUs of two vendors, need pods of
    their own; ``core.offers.board`` finds the first with a seat.
    """
    if selection.share is None or len(selection.flavors) == 1:
        return (selection,)
    groups: list[tuple[PodSide, list[str]]] = []
    for flavor in selection.flavors:
        side = pod_side_of(catalog.flavors[flavor], selection.share, selection.count)
        for first, members in groups:
            is_alike = first.resources == side.resources
            if is_alike and first.scheduler_name == side.scheduler_name:
                members.append(flavor)
                break
        else:
            groups.append((side, [flavor]))
    return tuple(replace(selection, flavors=tuple(members)) for _, members in groups)


def compile_selection(catalog: Catalog, selection: Selection) -> PodFragment:
    """Compile a selection that ``parse_options`` made from this catalog, or from a part of it.

    Where one pod cannot stand for all of its flavors, the first of ``variants`` is compiled.
    """
    profile = catalog.profile(selection.profile)
    if profile is None:
        raise KeyError(selection.profile)
    image = catalog.images[selection.image]
    resources = profile.resources.for_count(selection.count)
    sides = _pod_sides(catalog, variants(catalog, selection)[0])
    has_gpu = bool(sides)
    min_cuda = image.min_cuda if has_gpu else None
    schedulers = [side.scheduler_name for side in sides if side.scheduler_name is not None]
    return PodFragment(
        selection=selection,
        image=image.reference,
        cpu=resources.cpu,
        memory=resources.memory,
        extended_resources=sides[0].resources if has_gpu else {},
        node_selector=profile.node_selector,
        required_terms=tuple(_required_terms(sides, image, min_cuda)),
        preferred_terms=tuple(_preferred_terms(sides)),
        tolerations=tuple(
            dict.fromkeys([*(t for side in sides for t in side.tolerations), *profile.tolerations])
        ),
        shm_bytes=resources.shm_bytes,
        environment=_environment(selection),
        labels=_labels(selection),
        scheduler_name=schedulers[0] if schedulers else profile.scheduler_name,
        default_url=image.default_url,
        cmd=image.cmd,
        override=profile.override,
        hardware=tuple(side.node_labels for side in sides),
        architectures=frozenset(image.architectures),
        min_cuda=min_cuda,
    )


def _pod_sides(catalog: Catalog, selection: Selection) -> tuple[PodSide, ...]:
    share = selection.share
    if share is None:
        return ()
    return tuple(
        pod_side_of(catalog.flavors[flavor], share, selection.count) for flavor in selection.flavors
    )


def _required_terms(
    sides: Iterable[PodSide], image: Image, min_cuda: tuple[int, int] | None
) -> Iterator[_Term]:
    """Yield the terms of which a node must match one: its GPU, and whether the image runs there."""
    hardware = [_expressions(side.node_labels) for side in sides] or [[]]
    built_for = (
        [{"key": _ARCHITECTURE_LABEL, "operator": "In", "values": sorted(image.architectures)}]
        if image.architectures
        else []
    )
    for expressions, *drivers in product(hardware, *_driver_alternatives(min_cuda)):
        term = [*expressions, *built_for, *(one for driver in drivers for one in driver)]
        if term:
            yield {"matchExpressions": term}


def _driver_alternatives(
    min_cuda: tuple[int, int] | None,
) -> Iterator[list[list[dict[str, Any]]]]:
    """Yield, for each pair of labels, the ways in which a node may satisfy it.

    ``NotIn`` also matches a node without the label: where nobody wrote down what the driver can do,
    it is given the benefit of the doubt.
    """
    if min_cuda is None:
        return
    major, minor = min_cuda
    for major_label, minor_label in _CUDA_LABELS:
        if minor == 0:
            yield [[_not_in(major_label, range(_OLDEST_CUDA, major))]]
        else:
            newer = [_not_in(major_label, range(_OLDEST_CUDA, major + 1))]
            same = [
                {"key": major_label, "operator": "In", "values": [str(major)]},
                _not_in(minor_label, range(minor)),
            ]
            yield [newer, same]


def _not_in(key: str, numbers: Iterable[int]) -> dict[str, Any]:
    return {"key": key, "operator": "NotIn", "values": [str(number) for number in numbers]}


def _preferred_terms(sides: tuple[PodSide, ...]) -> Iterator[dict[str, Any]]:
    """Yield a smaller weight for each next flavor, so that the first with room is taken."""
    for position, side in enumerate(sides[:-1]):
        yield {
            "weight": 100 * (len(sides) - 1 - position) // (len(sides) - 1),
            "preference": {"matchExpressions": _expressions(side.node_labels)},
        }


def _expressions(labels: Iterable[LabelIn]) -> list[dict[str, Any]]:
    return [{"key": label.key, "operator": "In", "values": list(label.values)} for label in labels]


def _environment(selection: Selection) -> dict[str, str]:
    environment = {"GPU_SPAWNER_PROFILE": selection.profile}
    if selection.share is None:
        # Images for GPUs set NVIDIA_VISIBLE_DEVICES=all: on a GPU node, a server that asked for
        # none would see every GPU (NVIDIA container toolkit, "void").
        environment["NVIDIA_VISIBLE_DEVICES"] = "void"
    else:
        environment["GPU_SPAWNER_FLAVOR"] = selection.flavor
        environment["GPU_SPAWNER_SHARE"] = selection.share.label
        environment["GPU_SPAWNER_COUNT"] = str(selection.count)
    return environment


def _labels(selection: Selection) -> dict[str, str]:
    options = selection.as_user_options()
    return {f"{LABEL_PREFIX}{key}": str(value) for key, value in options.items()}
