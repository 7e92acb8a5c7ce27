"""The nodes that requests are about, with what is free on each: the facts behind an offer.

A pool is the nodes that have the hardware of a choice. Those that a pod could use are its rows,
with columns of what is free and what is offered; the others are barred, with the reasons. How many
seats that makes is counted by ``core.placement``; a pool tells the rest of the story: how many GPUs
are free and how they are spread, where the images are, what stands in the way.

Pools follow a snapshot's changes row by row. Nodes that no request can tell apart, but for what is
used on them, are judged once.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from gpu_spawner.core.fitting import Rejection, looks_at_names, static_keys, static_rejections
from gpu_spawner.core.image_places import Held, ImagePlaces
from gpu_spawner.core.objects import Node
from gpu_spawner.core.pod_request import PodRequest
from gpu_spawner.core.resources import EMPTY, PODS
from gpu_spawner.core.selectors import NodeSelectorTerm, matches_any_term
from gpu_spawner.core.snapshot import NodeState, Snapshot

__all__ = ["Fitting", "Pool", "Pools", "rows_with"]

Hardware = tuple[NodeSelectorTerm, ...] | None
"""Of which terms a node must match one to have the hardware; None where every node has it."""

_MANY: Final = 4096  # changes remembered; beyond that, and at once, counting anew is cheaper


class _Verdict(NamedTuple):
    has_hardware: bool
    rejections: tuple[Rejection, ...]


class Pool:
    """The nodes with the hardware of some choices, and what is on them.

    Attributes:
        resources: the names that have columns; pods are the first.
        free: a column for each resource, with a value for each usable node.
        held: what each usable node lists of the catalog's images.
        barred: nodes that have the hardware but cannot be used, with every reason.
        epoch: grows when rows come or go; ``touched`` are the rows changed since then, in order.
    """

    def __init__(self, static: PodRequest, hardware: Hardware, places: ImagePlaces) -> None:
        self.resources: list[str] = [PODS]
        self.free: list[list[int]] = [[]]
        self.held: list[Held] = []
        self.barred: dict[str, tuple[Rejection, ...]] = {}
        self.epoch = 0
        self.touched: list[int] = []
        self._static: Final = static
        self._hardware: Final = hardware
        self._places: Final = places
        self._rows: dict[str, int] = {}
        self._nodes: list[Node] = []
        self._verdicts: dict[int, _Verdict] = {}

    @property
    def version(self) -> tuple[int, int]:
        """Equal as long as nothing about the pool has changed."""
        return self.epoch, len(self.touched)

    @property
    def row_count(self) -> int:
        """How many nodes are usable."""
        return len(self._rows)

    def covers(self, names: Iterable[str]) -> bool:
        """Add columns; False where the pool must be filled again for that."""
        missing = [name for name in names if name not in self.resources]
        self.resources.extend(missing)
        return not missing

    def fill(self, groups: Mapping[int, list[NodeState]]) -> None:
        """Take in all nodes, grouped by what they look like to requests."""
        self.epoch += 1
        self.touched.clear()
        self.barred.clear()
        usable: list[NodeState] = []
        for shape, states in groups.items():
            verdict = self._verdict(shape, states[0].node)
            if not verdict.has_hardware:
                continue
            if verdict.rejections:
                self.barred.update((state.node.name, verdict.rejections) for state in states)
            else:
                usable.extend(states)
        self._rows = {state.node.name: row for row, state in enumerate(usable)}
        self._nodes = [state.node for state in usable]
        self.held = [self._places.held(node) for node in self._nodes]
        amounts = [(state.node.allocatable.amounts, state.load.used.amounts) for state in usable]
        self.free = [
            [offered.get(name, 0) - used.get(name, 0) for offered, used in amounts]
            for name in self.resources
        ]
        self.free[0] = [
            limit - len(state.load.holders)
            for limit, state in zip(self.free[0], usable, strict=True)
        ]

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
        self._nodes[row] = state.node
        self.held[row] = self._places.held(state.node)
        self.touched.append(row)
        if len(self.touched) > _MANY:
            self.epoch += 1
            self.touched.clear()
        return True

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
        return [node.allocatable.amounts.get(resource, 0) for node in self._nodes]

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
    """How many nodes of a pool have room for a request, and on how many of them each image is.

    Attributes:
        count: nodes with room.
        ready: of these, how many list an image, by its name.
        unsure: of these, how many have a full list in which it is missing.
    """

    def __init__(self, pool: Pool, amounts: Mapping[str, int]) -> None:
        self.count = 0
        self.ready: dict[str, int] = {}
        self.unsure: dict[str, int] = {}
        self._pool: Final = pool
        # Devices are the scarcest: tested first, they leave few rows for the other tests.
        self._amounts: Final = dict(sorted(amounts.items(), key=lambda need: "/" not in need[0]))
        self._rows: dict[int, Held] = {}
        self._seen = (-1, 0)

    def track(self, image: str) -> None:
        """Count this image too, from the next refresh on."""
        if image not in self.ready:
            self.ready[image] = self.unsure[image] = 0
            self._seen = (-1, 0)

    def refresh(self) -> None:
        """Follow the pool."""
        pool = self._pool
        epoch, seen = self._seen
        if self._seen == pool.version:
            return
        needs = [(pool.free_of(name), need) for name, need in self._amounts.items()]
        if epoch != pool.epoch:
            held = pool.held
            self._rows = {row: held[row] for row in rows_with(pool.row_count, needs)}
            self._recount()
        else:
            for row in pool.touched[seen:]:
                before = self._rows.pop(row, None)
                if before is not None:
                    self._add(before, -1)
                if all(column[row] >= need for column, need in needs):
                    self._rows[row] = pool.held[row]
                    self._add(pool.held[row], 1)
        self.count = len(self._rows)
        self._seen = pool.version

    def _recount(self) -> None:
        held = list(self._rows.values())
        for image in self.ready:
            lists = [one for one in held if image not in one.images]
            self.ready[image] = len(held) - len(lists)
            self.unsure[image] = sum([one.is_full for one in lists])

    def _add(self, held: Held, sign: int) -> None:
        for image in self.ready:
            if image in held.images:
                self.ready[image] += sign
            elif held.is_full:
                self.unsure[image] += sign


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
        static = msgspec.structs.replace(request, requests=EMPTY, preferred=())
        pool = self._pools.get((static, hardware))
        is_new = pool is None
        if pool is None:
            pool = self._pools[static, hardware] = Pool(static, hardware, self._places)
            self._look_closer(request, hardware)
        if not pool.covers(request.requests) or is_new:
            pool.fill(self._groups())
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
        if before is snapshot:
            return
        is_comparable = before is not None and before.nodes is not None
        changed = (
            snapshot.changed_nodes_since(before)
            if before is not None and is_comparable and snapshot.nodes is not None
            else None
        )
        self._places.learn(snapshot.nodes or {}, changed)
        if changed is None or len(changed) > _MANY:
            stale = list(self._pools.values())
            self.is_local = not any(state.load.repelling for state in self._states().values())
        else:
            stale = self._follow(changed)
        if stale:
            groups = self._groups()
            for pool in stale:
                pool.fill(groups)

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

    def _groups(self) -> dict[int, list[NodeState]]:
        """Group all nodes by what they look like to the requests that have a pool."""
        states = list(self._states().values())
        nodes = [state.node for state in states]
        columns = [[node.labels.get(key) for node in nodes] for key in self._keys]
        rest = [self._rest_of(node) for node in nodes]
        found: dict[Any, list[NodeState]] = {}
        for state, looks in zip(states, zip(rest, *columns, strict=True), strict=True):
            group = found.get(looks)
            if group is None:
                found[looks] = [state]
            else:
                group.append(state)
        return {self._number(looks): group for looks, group in found.items()}

    def _shape_of(self, node: Node) -> int:
        """Return a number that is the same for nodes that are judged alike."""
        return self._number((self._rest_of(node), *map(node.labels.get, self._keys)))

    def _number(self, looks: Any) -> int:
        return self._numbers.setdefault(looks, len(self._numbers))

    def _rest_of(self, node: Node) -> Any:
        """Return what tells nodes apart beside their labels."""
        name = node.name if self._looks_at_names else ""
        return node.taints, node.is_cordoned, node.architecture, name
