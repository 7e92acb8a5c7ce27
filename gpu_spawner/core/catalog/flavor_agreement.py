"""What must agree inside one flavor, and between two, beyond the shape of single values."""

from collections.abc import Iterable, Iterator

from gpu_spawner.core.catalog.agreement import wrong_tolerations
from gpu_spawner.core.catalog.documents import Document
from gpu_spawner.core.catalog.flavor_schema import DraModel, FlavorModel
from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.errors import Problem

__all__ = ["contested_labels", "flavor_mistakes"]


def flavor_mistakes(document: Document, name: str, model: FlavorModel) -> Iterator[Problem]:
    """Yield everything about a flavor that no cluster could make sense of."""
    yield from wrong_tolerations(document, (name, "tolerations"), model.tolerations)
    if not model.node_labels and model.dra is None and model.resource is None:
        yield document.problem(
            (name,),
            "nothing tells this GPU from others: there are no node_labels, no dra and no resource",
            "Add node_labels: {nvidia.com/gpu.product: ...}, or dra for GPUs had by claims.",
        )
    for index, mechanism in enumerate(model.mechanisms):
        if mechanism in model.mechanisms[:index]:
            yield document.problem(
                (name, "mechanisms", index), f"'{mechanism}' is listed twice", "Remove one."
            )
    if model.dra is not None:
        yield from _claim_mistakes(document, name, model.dra)


def contested_labels(
    document: Document, flavor: Flavor, others: Iterable[Flavor]
) -> Iterator[Problem]:
    """Yield a problem where another flavor has the same GPUs in the same way.

    Flavors that differ in how the nodes hand out their GPUs may mean different nodes, which only a
    cluster can tell.
    """
    if not flavor.node_labels:
        return
    for other in others:
        if _recognised_by(flavor) == _recognised_by(other):
            yield document.problem(
                (flavor.name, "node_labels"),
                f"'{other.name}' has the same: both would offer the same GPUs",
                "Make them differ, or keep one of the two flavors.",
            )
            return


def _recognised_by(flavor: Flavor) -> tuple[object, ...]:
    labels = frozenset((label.key, frozenset(label.values)) for label in flavor.node_labels)
    return (
        labels,
        flavor.resource,
        flavor.sharing,
        flavor.mig,
        flavor.dra,
        flavor.hami,
        flavor.volcano,
        flavor.kai,
        flavor.runai,
    )


def _claim_mistakes(document: Document, name: str, model: DraModel) -> Iterator[Problem]:
    path = (name, "dra")
    yield from wrong_tolerations(document, (*path, "tolerations"), model.tolerations)
    for index, one in enumerate(model.constraints):
        if (one.match_attribute is None) == (one.distinct_attribute is None):
            yield document.problem(
                (*path, "constraints", index),
                "exactly one of match_attribute and distinct_attribute is expected",
                "Write two entries for two constraints.",
            )
    if model.shares is not None and model.share_capacity is None:
        yield document.problem(
            (*path, "shares"), "is set, but there is no share_capacity", "Add share_capacity."
        )
