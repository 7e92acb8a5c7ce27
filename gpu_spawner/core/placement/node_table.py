"""The nodes of a snapshot in groups and columns, so that many requests are counted quickly.

Decides nothing that ``fitting`` does not decide: it judges selectors and taints
once for each distinct combination, capacities once for each distinct one, and divides whole columns
of free resources instead of looking at one node after another. Tests hold it to the sum of the
single judgements.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import sub
from typing import Final

from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.snapshot import NO_LOAD, NodeState, Snapshot
from gpu_spawner.core.placement.fitting import (
    load_against,
    room_beside,
    static_keys,
    static_rejections,
)
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.resources import PODS, ResourceVector

__all__ = ["NodeTable", "table_of"]

_FEW: Final = 32  # distinct capacities up to which they are looked at one by one

_Column = Sequence[int]


class NodeTable:
    """The nodes of one snapshot; columns and groups are made when a request first needs them."""

    def __init__(self, states: Iterable[NodeState]) -> None:
        self.states: Final = list(states)
        self._nodes = [state.node for state in self.states]
        self._loads = [state.load for state in self.states]
        # Pods that room is being made for weigh on some requests and not on others.
        self.contested: Final = frozenset(
            [row for row, load in enumerate(self._loads) if load.nominated]
        )
        # What is left of divided cards is not in columns.
        self.with_cards: Final = [state for state in self.states if state.node.card_registers]
        self._vectors = [node.allocatable for node in self._nodes]
        # Equal capacities are mostly one object; where they are not, counting takes a bit longer.
        self._vector_ids = list(map(id, self._vectors))
        self._capacity_columns: dict[str, _Column] = {}
        self._free_columns: dict[str, _Column] = {}
        self._kinds = _kinds(self._nodes)
        self._groups: dict[frozenset[str], list[_Group]] = {}

    def count(self, request: PodRequest) -> tuple[int, int]:
        """Return the free and the total seats of a request that looks at nodes one by one.

        Host ports, anti-affinity and names of nodes are not for columns.
        """
        free = total = 0
        for group in self._groups_over(static_keys(request)):
            if not static_rejections(request, group.example):
                free += group.count_free(request)
                total += group.count_total(request)
        return free, total

    def capacity(self, name: str) -> _Column:
        """Return how much of a resource may be used, node by node."""
        column = self._capacity_columns.get(name)
        if column is None:
            column = [vector.amounts.get(name, 0) for vector in self._vectors]
            self._capacity_columns[name] = column
        return column

    def free(self, name: str) -> _Column:
        """Return how much of a resource is free, or how many more pods are allowed."""
        column = self._free_columns.get(name)
        if column is None:
            if name == PODS:
                taken = [len(load.holders) for load in self._loads]
            else:
                taken = [load.used.amounts.get(name, 0) for load in self._loads]
            column = self._free_columns[name] = list(map(sub, self.capacity(name), taken))
        return column

    def count_capacities(self, rows: Sequence[int]) -> list[tuple[ResourceVector, int]]:
        """Count how often each capacity occurs among some nodes."""
        examples = {self._vector_ids[row]: self._vectors[row] for row in rows}
        counts = Counter([self._vector_ids[row] for row in rows])
        return [(examples[number], count) for number, count in counts.items()]

    def _groups_over(self, keys: frozenset[str]) -> list["_Group"]:
        """Return the nodes grouped by all that requests over these label keys can tell apart."""
        groups = self._groups.get(keys)
        if groups is None:
            groups = self._groups[keys] = self._group_by(sorted(keys))
        return groups

    def _group_by(self, keys: Sequence[str]) -> list["_Group"]:
        columns = [[node.labels.get(key) for node in self._nodes] for key in keys]
        found: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
        for row, shape in enumerate(zip(self._kinds, *columns, strict=True)):
            found[shape].append(row)
        return [_Group(self, rows) for rows in found.values()]


class _Group:
    """Nodes that requests over certain labels can tell apart only by what they have and hold."""

    def __init__(self, table: NodeTable, rows: Sequence[int]) -> None:
        self.example: Final = table.states[rows[0]].node
        self._capacities = table.count_capacities(rows)
        self._contested = [table.states[row] for row in table.contested.intersection(rows)]
        if self._contested:
            rows = [row for row in rows if row not in table.contested]
        self._capacity = _Columns(rows, table.capacity)
        self._free = _Columns(rows, table.free)

    def count_total(self, request: PodRequest) -> int:
        """Return how many pods fit when the nodes are empty."""
        if len(self._capacities) > _FEW and not self._contested:
            return _divide(request, self._capacity)
        return sum(
            room_beside(request, capacity, NO_LOAD) * count for capacity, count in self._capacities
        )

    def count_free(self, request: PodRequest) -> int:
        """Return how many pods fit now."""
        free = _divide(request, self._free)
        for state in self._contested:
            load = load_against(request, state.load)
            free += room_beside(request, state.node.allocatable, load)
        return free


class _Columns(dict[str, _Column]):
    """Some rows of a table's columns, by resource, picked when they are first looked up."""

    def __init__(self, rows: Sequence[int], column_of: Callable[[str], _Column]) -> None:
        super().__init__()
        self._rows = rows
        self._column_of = column_of

    def __missing__(self, name: str) -> _Column:
        column = self._column_of(name)
        picked = self[name] = [column[row] for row in self._rows]
        return picked


def table_of(snapshot: Snapshot) -> NodeTable:
    """Return the table of a snapshot whose nodes are known, made once for each snapshot."""
    return snapshot.derive("node table", _make_table)


def _make_table(snapshot: Snapshot) -> NodeTable:
    return NodeTable((snapshot.nodes or {}).values())


def _kinds(nodes: Iterable[Node]) -> list[int]:
    """Number the nodes by what requests can tell them apart by, labels and resources left out."""
    numbers: dict[tuple[int, bool, str], int] = {}
    kinds = []
    for node in nodes:
        # Equal taints are mostly one tuple; where they are not, a kind too many does no harm.
        kind = (id(node.taints), node.is_cordoned, node.architecture)
        number = numbers.get(kind)
        if number is None:
            number = numbers[kind] = len(numbers)
        kinds.append(number)
    return kinds


def _divide(request: PodRequest, columns: _Columns) -> int:
    """Return how many pods go into what the columns hold, node by node, added up."""
    asked = request.requests.amounts
    scarce = next((name for name in asked if "/" in name), None)
    if scarce is not None:  # of nodes with devices, few have any left
        least = asked[scarce]
        rows = [row for row, held in enumerate(columns[scarce]) if held >= least]
        columns = _Columns(rows, columns.__getitem__)
    rooms: Sequence[int] = columns[PODS]
    for name, amount in asked.items():
        rooms = [
            room if room < (fitting := held // amount) else fitting
            for room, held in zip(rooms, columns[name], strict=True)
        ]
    return sum([room for room in rooms if room > 0])
