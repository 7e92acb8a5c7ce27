"""The nodes that requests are about, with what is free on each: the facts behind an offer.

A pool is the nodes that have the hardware of a choice. Those that a pod could use are its rows,
with columns of what is free and what is offered; the others are barred, with the reasons. How many
seats that makes is counted by ``core.placement.seats``; a pool tells the rest of the story: how
many GPUs are free and how they are spread, where the images are, what stands in the way.

Pools follow a snapshot's changes row by row. Nodes that no request can tell apart, but for what is
used on them, are judged once.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.selectors import NodeSelectorTerm, matches_any_term
from gpu_spawner.core.cluster.snapshot import NodeState, Snapshot
from gpu_spawner.core.offers.image_places import Held, ImagePlaces
from gpu_spawner.core.placement.fitting import (
    Rejection,
    looks_at_names,
    static_keys,
    static_rejections,
)
from gpu_spawner.core.placement.node_table import NodeTable, table_of
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.resources import EMPTY, PODS

__all__ = ["Fitting", "Pool", "Pools", "rows_with"]

Hardware = tuple[NodeSelectorTerm, ...] | None
"""Of which terms a node must match one to have the hardware; None where every node has it."""

_MANY: Final = 4096  # changes remembered; beyond that, and at once, counting anew is cheaper


_beside_labels: Final = attrgetter("taints", "is_cordoned", "architecture")
"""What tells nodes apart beside their labels, and their names where a request looks at those."""


class _Verdict(NamedTuple):
    has_hardware: bool
    rejections: tuple[Rejection, ...]


class Pool:
    """The nodes with the hardware of some choices, and what is on them.

    Attributes:
        resources: the names that have columns; pods are the first.
        free: a column for each resource, with a value for each usable node.
        barred: nodes that have the hardware but cannot be used, with every reason.
        epoch: grows when rows come or go, and when it is easier to look at all of them again.
        touched: the rows changed in this epoch, in order.
    """

    def __init__(self, static: PodRequest, hardware: Hardware, places: ImagePlaces) -> None:
        self.resources: list[str] = [PODS]
        self.free: list[list[int]] = [[]]
        self.barred: dict[str, tuple[Rejection, ...]] = {}
        self.epoch = 0
        self.touched: list[int] = []
        self._static: Final = static
        self._hardware: Final = hardware
        self._places: Final = places
        self._rows: dict[str, int] = {}
        self._nodes: list[Node] = []
        self._offered: dict[str, list[int]] = {}
        self._held: list[Held] = []
        self._holders: dict[str, frozenset[int]] = {}
        self._possible_holders: dict[str, frozenset[int]] = {}
        self._verdicts: dict[int, _Verdict] = {}

    @property
    def version(self) -> tuple[int, int]:
        """Equal as long as nothing about the pool has changed."""
        return self.epoch, len(self.touched)

    @property
    def row_count(self) -> int:
        """How many nodes are usable."""
        return len(self._rows)

    def node(self, row: int) -> Node:
        """Return a usable node."""
        return self._nodes[row]

    def rows_of(self, names: Iterable[str]) -> frozenset[int]:
        """Return the rows of those of these nodes that are usable."""
        return frozenset([self._rows[name] for name in names if name in self._rows])

    def node_names(self) -> list[str]:
        """Return the names of the usable nodes, row by row."""
        return [node.name for node in self._nodes]

    def covers(self, names: Iterable[str]) -> bool:
        """Add columns; False where the pool must be filled again for that."""
        missing = [name for name in names if name not in self.resources]
        self.resources.extend(missing)
        return not missing

    def fill(self, table: NodeTable, groups: Mapping[int, list[int]]) -> None:
        """Take in all nodes of a table, its rows grouped by what they look like to requests."""
        self.epoch += 1
        self.touched.clear()
        self.barred.clear()
        usable: list[int] = []
        for shape, rows in groups.items():
            verdict = self._verdict(shape, table.states[rows[0]].node)
            if not verdict.has_hardware:
                continue
            if verdict.rejections:
                names = [table.states[row].node.name for row in rows]
                self.barred.update(dict.fromkeys(names, verdict.rejections))
            else:
                usable.extend(rows)
        self._nodes = [table.states[row].node for row in usable]
        self._rows = {node.name: row for row, node in enumerate(self._nodes)}
        self._held = [self._places.held(node) for node in self._nodes]
        self._index_images()
        self._offered.clear()
        columns = [table.free(name) for name in self.resources]
        self.free = [[column[row] for row in usable] for column in columns]

    def follow(self, name: str, state: NodeState | None, shape: int) -> bool:
        """Take in one changed node; False where rows come or go, so that all must be filled."""
        row = self._rows.get(name)
        barred = self.barred.get(name)
        verdict = self._verdict(shape, state.node) if state is not None else None
        if state is None or verdict is None or not verdict.has_hardware:
            return row is None and barred is None
        if verdict.rejections:
            return row is None and barred == verdict.rejections
        if row is None or barred is not None:
            return False
        offered, used = state.node.allocatable.amounts, state.load.used.amounts
        for position, resource in enumerate(self.resources):
            self.free[position][row] = offered.get(resource, 0) - used.get(resource, 0)
        self.free[0][row] -= len(state.load.holders)
        if self._nodes[row] is not state.node:
            self._nodes[row] = state.node
            self._offered.clear()
        self.touched.append(row)
        held = self._places.held(state.node)
        if held != self._held[row]:
            self._held[row] = held
            self._index_images()
            self.epoch += 1
        if len(self.touched) > _MANY:
            self.touched.clear()
            self.epoch += 1
        return True

    def holders_of(self, image: str) -> frozenset[int]:
        """Return the rows of the nodes that list an image of the catalog."""
        holders = self._holders.get(image)
        if holders is None:
            holders = self._holders[image] = frozenset(
                [row for row, held in enumerate(self._held) if image in held.images]
            )
        return holders

    def possible_holders_of(self, image: str) -> frozenset[int]:
        """Return the rows of the nodes that list an image, or would not though they have it."""
        possible = self._possible_holders.get(image)
        if possible is None:
            holders = self.holders_of(image)
            unsure = [row for row, held in enumerate(self._held) if image in held.unsure]
            possible = self._possible_holders[image] = holders.union(unsure) if unsure else holders
        return possible

    def refresh_images(self) -> None:
        """Look again which images the nodes have."""
        self._held = [self._places.held(node) for node in self._nodes]
        self._index_images()
        self.epoch += 1

    def _index_images(self) -> None:
        self._holders.clear()
        self._possible_holders.clear()

    def _verdict(self, shape: int, node: Node) -> _Verdict:
        verdict = self._verdicts.get(shape)
        if verdict is None:
            verdict = self._verdicts[shape] = self._judge(node)
        return verdict

    def _judge(self, node: Node) -> _Verdict:
        if self._hardware is not None and not matches_any_term(
            self._hardware, node.name, node.labels
        ):
            return _Verdict(has_hardware=False, rejections=())
        return _Verdict(has_hardware=True, rejections=static_rejections(self._static, node))

    def free_of(self, resource: str) -> list[int]:
        """Return what is free of a resource, row by row."""
        return self.free[self.resources.index(resource)]

    def offered_of(self, resource: str) -> list[int]:
        """Return what would be free of a resource on empty nodes, row by row."""
        offered = self._offered.get(resource)
        if offered is None:
            offered = [node.allocatable.amounts.get(resource, 0) for node in self._nodes]
            self._offered[resource] = offered
        return offered

    def column(self, resource: str) -> list[tuple[int, int]]:
        """Return what is free and what is offered on each usable node that has a resource."""
        pairs = zip(self.free_of(resource), self.offered_of(resource), strict=True)
        return [pair for pair in pairs if pair[1] > 0]


def rows_with(row_count: int, needs: Iterable[tuple[list[int], int]]) -> list[int]:
    """Return the rows where each column has at least what is needed of it."""
    rows: Iterable[int] = range(row_count)
    for column, need in needs:
        rows = [row for row in rows if column[row] >= need]
    return list(rows)


class Fitting:
    """The nodes of a pool that have room for a request, and which of them have an image.

    Attributes:
        rows: the rows with room.
    """

    def __init__(self, pool: Pool, amounts: Mapping[str, int]) -> None:
        self.rows: set[int] = set()
        self._pool: Final = pool
        # Devices are the scarcest: tested first, they leave few rows for the other tests.
        self._amounts: Final = dict(sorted(amounts.items(), key=lambda need: "/" not in need[0]))
        self._seen = (-1, 0)
        self._needs: list[tuple[list[int], int]] = []
        # Of the rows with room, by the rows that were asked about: those have an image.
        self._among: dict[int, tuple[frozenset[int], set[int]]] = {}

    def refresh(self) -> None:
        """Follow the pool."""
        pool = self._pool
        epoch, seen = self._seen
        if self._seen == pool.version:
            return
        if epoch != pool.epoch:
            self._needs = [(pool.free_of(name), need) for name, need in self._amounts.items()]
            self.rows = set(rows_with(pool.row_count, self._needs))
            self._among.clear()
        else:
            for row in pool.touched[seen:]:
                self._look_again(row)
        self._seen = pool.version

    def _look_again(self, row: int) -> None:
        for column, need in self._needs:
            if column[row] < need:
                self.rows.discard(row)
                for _, found in self._among.values():
                    found.discard(row)
                return
        self.rows.add(row)
        for wanted, found in self._among.values():
            if row in wanted:
                found.add(row)

    def among(self, wanted: frozenset[int]) -> set[int]:
        """Return which of these rows of the pool have room, and follow them from then on."""
        known = self._among.get(id(wanted))
        if known is None:
            known = self._among[id(wanted)] = wanted, self.rows.intersection(wanted)
        return known[1]


class Pools:
    """All pools over one cluster, kept up to date together."""

    def __init__(self, places: ImagePlaces) -> None:
        self._places: Final = places
        self._pools: dict[tuple[PodRequest, Hardware], Pool] = {}
        self._keys: tuple[str, ...] = ()
        self._looks_at_names = False
        self._numbers: dict[Any, int] = {}
        self._snapshot: Snapshot | None = None
        self.is_local = True
        """Whether what happens on a node matters on that node only: no pod keeps others away from
        more than its own node."""

    def pool(self, request: PodRequest, hardware: Hardware) -> Pool:
        """Return the pool for a request, up to date, with columns for all that it asks for."""
        static = msgspec.structs.replace(
            request, requests=EMPTY, preferred=(), claims=(), asks=(), fraction=None
        )
        pool = self._pools.get((static, hardware))
        is_new = pool is None
        if pool is None:
            pool = self._pools[static, hardware] = Pool(static, hardware, self._places)
            self._look_closer(request, hardware)
        if not pool.covers(request.requests) or is_new:
            self._fill([pool])
        return pool

    def _look_closer(self, request: PodRequest, hardware: Hardware) -> None:
        """Tell nodes apart by all that this request looks at, too."""
        keys = static_keys(request) | {
            requirement.key for term in hardware or () for requirement in term.match_expressions
        }
        # Looks with more labels are other looks: what was judged before is not mixed up with them.
        self._keys += tuple(sorted(keys.difference(self._keys)))
        self._looks_at_names = self._looks_at_names or looks_at_names(request)

    def update(self, snapshot: Snapshot) -> None:
        """Follow the cluster to this snapshot."""
        before, self._snapshot = self._snapshot, snapshot
        is_comparable = before is not None and before.nodes is not None
        changed = (
            snapshot.changed_nodes_since(before)
            if before is not None and is_comparable and snapshot.nodes is not None
            else None
        )
        self._places.learn(snapshot.nodes or {}, changed)
        if changed is None or len(changed) > _MANY:
            stale = list(self._pools.values())
            self.is_local = not snapshot.repelling
        else:
            stale = self._follow(changed)
        if stale:
            self._fill(stale)

    def refresh_images(self) -> None:
        """Look again which images the nodes have, in all pools."""
        for pool in self._pools.values():
            pool.refresh_images()

    def _follow(self, changed: frozenset[str]) -> list[Pool]:
        """Take in the changed nodes; return the pools that must be filled instead."""
        states = self._states()
        stale: dict[int, Pool] = {}
        for name in changed:
            state = states.get(name)
            self.is_local = self.is_local and not (state is not None and state.load.repelling)
            shape = self._shape_of(state.node) if state is not None else -1
            for pool in self._pools.values():
                if id(pool) not in stale and not pool.follow(name, state, shape):
                    stale[id(pool)] = pool
        return list(stale.values())

    def _states(self) -> Mapping[str, NodeState]:
        nodes = self._snapshot.nodes if self._snapshot is not None else None
        return nodes if nodes is not None else {}

    def _fill(self, pools: Collection[Pool]) -> None:
        """Fill pools with all nodes, grouped by what they look like to the requests so far."""
        snapshot = self._snapshot
        if snapshot is None or snapshot.nodes is None:
            for pool in pools:
                pool.fill(NodeTable(()), {})
            return
        table = table_of(snapshot)
        nodes = [state.node for state in table.states]
        columns = [[node.labels.get(key) for node in nodes] for key in self._keys]
        columns.append([node.name for node in nodes] if self._looks_at_names else [""] * len(nodes))
        rest = map(_beside_labels, nodes)
        found: defaultdict[Any, list[int]] = defaultdict(list)
        for row, looks in enumerate(zip(rest, *columns, strict=True)):
            found[looks].append(row)
        groups = {self._number(looks): rows for looks, rows in found.items()}
        for pool in pools:
            pool.fill(table, groups)

    def _shape_of(self, node: Node) -> int:
        """Return a number that is the same for nodes that are judged alike."""
        name = node.name if self._looks_at_names else ""
        labels = map(node.labels.get, self._keys)
        return self._number((_beside_labels(node), *labels, name))

    def _number(self, looks: Any) -> int:
        return self._numbers.setdefault(looks, len(self._numbers))
