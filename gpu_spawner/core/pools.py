"""The nodes that requests are about, with what is free on each: the facts behind an offer.

A pool is the nodes that have the hardware of a choice. Those that a pod could use have a row of
what is free and what is offered there; the others are barred, with the reasons. How many seats that
makes is counted by ``core.placement``; a pool tells the rest of the story: how many GPUs are free
and how they are spread, where the image is, what stands in the way.

Pools follow a snapshot's changes node by node. Nodes that no request can tell apart, but for what
is used on them, are judged once.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from gpu_spawner.core.fitting import Rejection, static_keys, static_rejections
from gpu_spawner.core.objects import Node
from gpu_spawner.core.pod_request import PodRequest
from gpu_spawner.core.resources import EMPTY, PODS
from gpu_spawner.core.selectors import NodeSelectorTerm, matches_any_term
from gpu_spawner.core.snapshot import NodeState, Snapshot

__all__ = ["Pool", "Pools", "Row"]

Hardware = tuple[NodeSelectorTerm, ...] | None
"""Of which terms a node must match one to have the hardware; None where every node has it."""


class Row(NamedTuple):
    """A usable node: what is free and what is offered, in the order of ``Pool.resources``."""

    node: Node
    free: tuple[int, ...]
    offered: tuple[int, ...]


class _Verdict(NamedTuple):
    has_hardware: bool
    rejections: tuple[Rejection, ...]


class Pool:
    """The nodes with the hardware of some choices, and what is on them.

    Attributes:
        resources: the names that rows are about; pods are among them.
        rows: usable nodes by name.
        barred: nodes that have the hardware but cannot be used, with every reason.
        version: grows with every change.
    """

    def __init__(self, static: PodRequest, hardware: Hardware) -> None:
        self.resources: list[str] = [PODS]
        self.rows: dict[str, Row] = {}
        self.barred: dict[str, tuple[Rejection, ...]] = {}
        self.version = 0
        self._static: Final = static
        self._hardware: Final = hardware
        self._verdicts: dict[int, _Verdict] = {}

    def covers(self, names: Iterable[str]) -> bool:
        """Add resources to the rows; False where the rows must be made again for that."""
        missing = [name for name in names if name not in self.resources]
        self.resources.extend(missing)
        return not missing

    def clear(self) -> None:
        """Forget every node."""
        self.rows.clear()
        self.barred.clear()
        self.version += 1

    def drop(self, name: str) -> None:
        """Forget a node."""
        if self.rows.pop(name, None) is not None or self.barred.pop(name, None) is not None:
            self.version += 1

    def put(self, state: NodeState, shape: int) -> None:
        """Take a node in as it is now; ``shape`` is the same for nodes that are judged alike."""
        node = state.node
        verdict = self._verdicts.get(shape)
        if verdict is None:
            verdict = self._verdicts[shape] = self._judge(node)
        if not verdict.has_hardware:
            self.drop(node.name)
            return
        self.version += 1
        if verdict.rejections:
            self.rows.pop(node.name, None)
            self.barred[node.name] = verdict.rejections
            return
        self.barred.pop(node.name, None)
        offered, used = node.allocatable.amounts, state.load.used.amounts
        amounts = tuple([offered.get(name, 0) for name in self.resources])
        left = [
            amount - used.get(name, 0) for name, amount in zip(self.resources, amounts, strict=True)
        ]
        left[0] -= len(state.load.holders)
        self.rows[node.name] = Row(node, tuple(left), amounts)

    def _judge(self, node: Node) -> _Verdict:
        has_hardware = self._hardware is None or matches_any_term(
            self._hardware, node.name, node.labels
        )
        if not has_hardware:
            return _Verdict(has_hardware=False, rejections=())
        return _Verdict(has_hardware=True, rejections=static_rejections(self._static, node))

    def column(self, resource: str) -> Iterator[tuple[int, int]]:
        """Yield what is free and what is offered of a resource on each usable node that has it."""
        index = self.resources.index(resource)
        for row in self.rows.values():
            if row.offered[index] > 0:
                yield row.free[index], row.offered[index]

    def fitting(self, amounts: Mapping[str, int], *, is_empty: bool = False) -> list[Row]:
        """Return the usable nodes that have this much free, or, were they empty, would have."""
        needs = [(self.resources.index(name), amount) for name, amount in amounts.items()]
        # Devices are the scarcest; the first test leaves few rows for the others.
        needs.sort(key=lambda need: "/" not in self.resources[need[0]])
        rows: Iterable[Row] = self.rows.values()
        for index, amount in needs:
            if is_empty:
                rows = [row for row in rows if row.offered[index] >= amount]
            else:
                rows = [row for row in rows if row.free[index] >= amount]
        return list(rows)


class Pools:
    """All pools over one cluster, kept up to date together."""

    def __init__(self) -> None:
        self._pools: dict[tuple[PodRequest, Hardware], Pool] = {}
        self._keys: frozenset[str] = frozenset()
        self._shapes: dict[str, tuple[Node, int]] = {}
        self._numbers: dict[Any, int] = {}
        self._snapshot: Snapshot | None = None

    def pool(self, request: PodRequest, hardware: Hardware) -> Pool:
        """Return the pool for a request, up to date, and with rows for all that it asks for."""
        static = msgspec.structs.replace(request, requests=EMPTY, preferred=())
        key = (static, hardware)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(static, hardware)
            keys = static_keys(request) | {
                requirement.key for term in hardware or () for requirement in term.match_expressions
            }
            if not keys <= self._keys:
                # Nodes may now be told apart that were judged alike before.
                self._keys |= keys
                self._shapes.clear()
            pool.covers(request.requests)
            self._fill([pool], None)
        elif not pool.covers(request.requests):
            self._fill([pool], None)
        return pool

    def update(self, snapshot: Snapshot) -> None:
        """Follow the cluster to this snapshot."""
        before, self._snapshot = self._snapshot, snapshot
        if before is snapshot:
            return
        changed = snapshot.changed_nodes_since(before) if before is not None else None
        if before is None or (before.nodes is None) != (snapshot.nodes is None):
            changed = None
        self._fill(self._pools.values(), changed)

    def _fill(self, pools: Collection[Pool], changed: frozenset[str] | None) -> None:
        """Put nodes into pools: all of them, or those that changed."""
        states = self._snapshot.nodes if self._snapshot is not None else None
        if states is None or changed is None:
            for pool in pools:
                pool.clear()
        if states is None:
            return
        names = states if changed is None else changed
        for name in names:
            state = states.get(name)
            if state is None:
                self._shapes.pop(name, None)
                for pool in pools:
                    pool.drop(name)
                continue
            shape = self._shape_of(state.node)
            for pool in pools:
                pool.put(state, shape)

    def _shape_of(self, node: Node) -> int:
        known = self._shapes.get(node.name)
        if known is not None and known[0] is node:
            return known[1]
        labels = node.labels
        looks = (
            tuple([labels.get(key) for key in self._keys]),
            node.taints,
            node.is_cordoned,
            node.architecture,
        )
        shape = self._numbers.setdefault(looks, len(self._numbers))
        self._shapes[node.name] = (node, shape)
        return shape
