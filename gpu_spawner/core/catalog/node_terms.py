"""Where a pod may run, in Kubernetes' terms: on nodes with the GPU, that can run the image."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any, Final

from gpu_spawner.core.catalog.flavors import LabelIn
from gpu_spawner.core.catalog.fragment import Term
from gpu_spawner.core.catalog.model import Image

__all__ = ["preferred_terms", "required_terms"]

_ARCHITECTURE_LABEL: Final = "kubernetes.io/arch"
_CUDA_LABELS: Final = (
    ("nvidia.com/cuda.runtime-version.major", "nvidia.com/cuda.runtime-version.minor"),
    ("nvidia.com/cuda.runtime.major", "nvidia.com/cuda.runtime.minor"),
)
"""Labels of GPU feature discovery, the newer names first; older releases write the second pair."""
_OLDEST_CUDA: Final = 9  # GPU feature discovery needs a driver for CUDA 9 or newer


def required_terms(
    hardware: Sequence[Sequence[LabelIn]], image: Image, min_cuda: tuple[int, int] | None
) -> tuple[Term, ...]:
    """Return the terms of which a node must match one; empty where every node will do."""
    groups = [_expressions(labels) for labels in hardware] or [[]]
    built_for = (
        [{"key": _ARCHITECTURE_LABEL, "operator": "In", "values": sorted(image.architectures)}]
        if image.architectures
        else []
    )
    terms = [
        [*expressions, *built_for, *(one for driver in drivers for one in driver)]
        for expressions, *drivers in product(groups, *_driver_alternatives(min_cuda))
    ]
    # A term that asks for nothing is met by every node; to Kubernetes it is one that none meets.
    return tuple({"matchExpressions": term} for term in terms) if all(terms) else ()


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


def preferred_terms(hardware: Sequence[Sequence[LabelIn]]) -> tuple[dict[str, Any], ...]:
    """Return a smaller weight for each next flavor, so that the first with room is taken."""
    last = len(hardware) - 1
    return tuple(
        {
            "weight": 100 * (last - position) // last,
            "preference": {"matchExpressions": _expressions(labels)},
        }
        for position, labels in enumerate(hardware[:-1])
        if labels
    )


def _expressions(labels: Iterable[LabelIn]) -> list[dict[str, Any]]:
    return [label.as_manifest() for label in labels]
