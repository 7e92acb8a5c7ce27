"""Which nodes can use which image: judged by the rules that place the servers themselves.

A node is *usable* for a pool if, empty, it would take at least one of the pool's servers. It is
*paused* if only something that passes keeps servers away (it is cordoned, not ready, short of disk,
or a device plugin is being restarted): nothing new is pulled there, and what is there stays. Nodes
that look alike are judged once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec

from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.snapshot import NO_LOAD, Snapshot
from gpu_spawner.core.placement.fitting import (
    looks_at_names,
    room_beside,
    static_keys,
    static_rejections,
)
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.placement.seats import SeatIndex, Seats
from gpu_spawner.core.preload.wishes import Pool

__all__ = ["DISK_PRESSURE", "HOSTNAME_LABEL", "NodeJudge", "Use", "has_disk_pressure"]

HOSTNAME_LABEL: Final = "kubernetes.io/hostname"
DISK_PRESSURE: Final = "node.kubernetes.io/disk-pressure"

_PASSING: Final = frozenset(
    {
        DISK_PRESSURE,
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/network-unavailable",
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/pid-pressure",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/unschedulable",
        # Set by the cluster autoscaler and by Karpenter on nodes that are about to go.
        "DeletionCandidateOfClusterAutoscaler",
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
    }
)
"""Taints that come and go with a node's health; a server waits for their end."""


class Use(IntEnum):
    """What a node is to a pool."""

    NONE = 0
    PAUSED = 1
    NOW = 2


def has_disk_pressure(node: Node) -> bool:
    """Tell whether the node's kubelet is short of disk, and deletes images and pods."""
    return any(taint.key == DISK_PRESSURE for taint in node.taints)


class _Verdict(NamedTuple):
    """What a node is by its looks: for servers with and without claims for devices."""

    plain: Use
    claiming: Use


@dataclass(slots=True)
class _Known:
    """What was judged of the nodes for one pool."""

    keys: tuple[str, ...]
    looks_at_names: bool
    by_node: dict[str, tuple[Node, _Verdict]]
    by_looks: dict[Any, _Verdict]
    seats: tuple[SeatIndex, ...]


class NodeJudge:
    """Judges nodes for pools, and remembers; a node that has not changed costs a look-up."""

    def __init__(self) -> None:
        self._known: dict[tuple[PodRequest, tuple[PodRequest, ...]], _Known] = {}

    def judge(self, pool: Pool, snapshot: Snapshot) -> dict[str, Use]:
        """Return the nodes that are anything to a pool, by name in alphabetical order."""
        nodes = snapshot.nodes or {}
        known = self._of(pool)
        claimed = [index.update(snapshot) for index in known.seats]
        found = {}
        for name in sorted(nodes):
            node = nodes[name].node
            before = known.by_node.get(name)
            if before is None or before[0] is not node:
                before = known.by_node[name] = (node, self._look(pool, known, node))
            verdict = before[1]
            use = verdict.plain
            if verdict.claiming > use and _has_devices(claimed, name):
                use = verdict.claiming
            if use:
                found[name] = use
        for name in known.by_node.keys() - nodes.keys():
            del known.by_node[name]
        return found

    def forget_but(self, pools: Iterable[Pool]) -> None:
        """Forget the pools that are not among these."""
        wanted = {(pool.rules, pool.requests) for pool in pools}
        for key in self._known.keys() - wanted:
            del self._known[key]

    def _of(self, pool: Pool) -> _Known:
        key = (pool.rules, pool.requests)
        if key not in self._known:
            keys = {name for one in (pool.rules, *pool.requests) for name in static_keys(one)}
            self._known[key] = _Known(
                keys=tuple(sorted(keys)),
                looks_at_names=any(map(looks_at_names, pool.requests)),
                by_node={},
                by_looks={},
                seats=tuple(SeatIndex(one) for one in pool.requests if one.claims),
            )
        return self._known[key]

    @staticmethod
    def _look(pool: Pool, known: _Known, node: Node) -> _Verdict:
        looks = (
            tuple(map(node.labels.get, known.keys)),
            node.taints,
            node.is_cordoned,
            node.architecture,
            node.allocatable,
            node.lapsed,
            node.name if known.looks_at_names else "",
        )
        verdict = known.by_looks.get(looks)
        if verdict is None:
            verdict = known.by_looks[looks] = _judge(pool, node)
        return verdict


def _has_devices(claimed: Iterable[Seats], name: str) -> bool:
    """Tell whether an empty node would have the devices of any claim; unknown is no."""
    return any(
        seats.total is not None and name in seats.nodes and seats.nodes.counts(name)[1] > 0
        for seats in claimed
    )


def _judge(pool: Pool, node: Node) -> _Verdict:
    lasting = tuple(taint for taint in node.taints if taint.key not in _PASSING)
    healthy = msgspec.structs.replace(node, taints=lasting, is_cordoned=False)
    is_paused = node.is_cordoned or any(
        taint.repels and taint.key in _PASSING for taint in node.taints
    )
    use = Use.PAUSED if is_paused else Use.NOW
    verdict = _verdict(pool, healthy, use)
    if not node.lapsed:
        return verdict
    whole = msgspec.structs.replace(healthy, allocatable=node.allocatable.plus(node.lapsed))
    return _Verdict(*map(max, verdict, _verdict(pool, whole, Use.PAUSED)))


def _verdict(pool: Pool, node: Node, use: Use) -> _Verdict:
    fitting = [request for request in pool.requests if _takes(request, node)]
    return _Verdict(
        plain=use if any(not one.claims for one in fitting) else Use.NONE,
        claiming=use if any(one.claims for one in fitting) else Use.NONE,
    )


def _takes(request: PodRequest, node: Node) -> bool:
    """Tell whether an empty node has room for one, the devices of claims aside."""
    return (
        not static_rejections(request, node)
        and room_beside(request, node.allocatable, NO_LOAD, most=1) > 0
    )
