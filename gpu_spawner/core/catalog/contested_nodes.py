"""Flavors that claim the same nodes, by their labels: a GPU there would be counted twice."""

from collections.abc import Iterable, Iterator

from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.products import PRODUCT_LABEL, parse_product
from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.errors import Problem
from gpu_spawner.core.wording import counted

__all__ = ["check_contested_nodes", "has_labels_of"]


def check_contested_nodes(catalog: Catalog, nodes: Iterable[Node]) -> Iterator[Problem]:
    """Yield pairs of flavors that claim the same nodes."""
    shared: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        claims = sorted(
            name for name, flavor in catalog.flavors.items() if has_labels_of(node, flavor)
        )
        for position, first in enumerate(claims):
            for second in claims[position + 1 :]:
                shared.setdefault((first, second), []).append(node.name)
    for (first, second), names in shared.items():
        yield Problem(
            file=catalog.flavors[second].origin,
            line=catalog.flavors[second].line,
            key=second,
            message=f"'{first}' and '{second}' both claim {_some_nodes(names)}.",
            cure="Make their node_labels differ: every GPU is counted for one flavor.",
        )


def has_labels_of(node: Node, flavor: Flavor) -> bool:
    """Tell whether a node has the flavor's GPU, however it hands it out.

    A flavor without labels is recognised by its devices, and claims no node as a whole.
    """
    if not flavor.node_labels:
        return False
    for label in flavor.node_labels:
        found = node.labels.get(label.key)
        if found is None:
            return False
        if label.key == PRODUCT_LABEL:
            models = {parse_product(value).model for value in label.values}
            if parse_product(found).model not in models:
                return False
        elif found not in label.values:
            return False
    return True


def _some_nodes(names: list[str]) -> str:
    names = sorted(names)
    more = f" and {counted(len(names) - 3, 'node')} more" if len(names) > 3 else ""
    return f"{'nodes' if len(names) > 1 else 'node'} {', '.join(names[:3])}{more}"
