"""Whether a node would be started for a server that no node can take now.

That is known where the admin declared it for a flavor, and where the nodes tell: Karpenter labels
those that it has made, and makes another when a pod waits for one. Of the cluster autoscaler no
node tells anything.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from gpu_spawner.core.catalog.flavors import Autoscaling, Flavor, LabelIn
from gpu_spawner.core.catalog.model import Selection
from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.offers.pools import Pool
from gpu_spawner.core.offers.way_nodes import WayNodes
from gpu_spawner.core.offers.ways import Way, Ways, WaySeats
from gpu_spawner.core.placement.waiting_line import is_barred_for_good

__all__ = ["ScaleUp", "ScaleUps"]

KARPENTER_LABELS: Final = ("karpenter.sh/nodepool", "karpenter.sh/provisioner-name")
"""On every node that Karpenter makes; the second is of releases before 0.32."""

_AS_NODES_TELL: Final = Autoscaling()


class ScaleUp(NamedTuple):
    """That a node is started first.

    ``seconds`` is how long it takes until servers can start on it; None where nobody said.
    """

    seconds: int | None


class _Own(NamedTuple):
    """The nodes of a flavor: how many there are, and whether Karpenter has made any."""

    node_count: int
    has_karpenter: bool


class ScaleUps:
    """Finds out for ways that are counted elsewhere whether nodes would be started for them."""

    def __init__(self, flavors: Mapping[str, Flavor], ways: Ways, nodes: WayNodes) -> None:
        self._flavors: Final = flavors
        self._ways: Final = ways
        self._nodes: Final = nodes
        self._own: dict[tuple[int, tuple[LabelIn, ...], str], tuple[int, _Own]] = {}

    def of(self, ways: Sequence[Way], seats: WaySeats) -> ScaleUp | None:
        """Return what is started for a choice without a seat; None where none would help."""
        if seats.free != 0 and seats.total != 0:
            return None
        return next((found for way in ways if (found := self._of_way(way)) is not None), None)

    def way_of(self, ways: Sequence[Way]) -> Way | None:
        """Return the first way for which a node would be started."""
        return next((way for way in ways if self._of_way(way) is not None), None)

    def _of_way(self, way: Way) -> ScaleUp | None:
        selection = way.fragment.selection
        hardware = way.fragment.hardware or [
            self._flavors[name].node_labels for name in selection.flavors
        ]
        for name, labels in zip(selection.flavors, hardware, strict=True):
            flavor = self._flavors[name]
            own = self._own_nodes(way.pool, labels, flavor.resource)
            autoscaling = flavor.autoscaling
            if autoscaling is None and own.has_karpenter:
                autoscaling = _AS_NODES_TELL
            if (
                autoscaling is not None
                and _may_grow(autoscaling, own.node_count, selection)
                and self._would_fit(way)
            ):
                return ScaleUp(autoscaling.start_seconds)
        return None

    def _would_fit(self, way: Way) -> bool:
        """Tell whether a node like those that are there would take the pod, were it empty."""
        if self._ways.count(way).total != 0:
            return True
        if any(offered for _, offered in self._nodes.units_by_node(way)):
            return False
        # Nodes without any such device yet are just starting.
        reasons = way.pool.barred.values()
        return way.pool.row_count > 0 or not reasons or not all(map(is_barred_for_good, reasons))

    def _own_nodes(self, pool: Pool, labels: tuple[LabelIn, ...], resource: str) -> _Own:
        """Look at the nodes of a flavor, among those of a pool, once as long as they stay."""
        key = (id(pool), labels, resource)
        known = self._own.get(key)
        if known is None or known[0] != pool.epoch:
            states = self._ways.snapshot.nodes or {}
            names = [*pool.node_names(), *pool.barred]
            nodes = [states[name].node for name in names if name in states]
            found = [node for node in nodes if _is_of(labels, resource, node)]
            own = _Own(len(found), any(map(_is_of_karpenter, found)))
            known = self._own[key] = (pool.epoch, own)
        return known[1]


def _may_grow(autoscaling: Autoscaling, node_count: int, selection: Selection) -> bool:
    if autoscaling.max_nodes is not None and node_count >= autoscaling.max_nodes:
        return False
    is_whole = selection.share is not None and selection.share.kind == "whole"
    most = autoscaling.gpus_per_node
    return not is_whole or most is None or selection.count <= most


def _is_of(labels: Sequence[LabelIn], resource: str, node: Node) -> bool:
    if not labels:  # told from others by its resource, or by devices, which are no matter of nodes
        return bool(node.allocatable.amount(resource))
    return all(label.admits(node.labels) for label in labels)


def _is_of_karpenter(node: Node) -> bool:
    return any(label in node.labels for label in KARPENTER_LABELS)
