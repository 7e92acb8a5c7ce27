"""What differs between two snapshots of one state, found once for all requests that follow it."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from gpu_spawner.core.cluster.objects import Node, Pod
from gpu_spawner.core.cluster.snapshot import NodeState, Snapshot

__all__ = ["Changes", "changes_since"]

_MANY: Final = 200  # changed nodes from which on counting anew is quicker
_NO_NODES: Final[Mapping[str, NodeState]] = {}


class Changes(NamedTuple):
    """What differs between two snapshots.

    Attributes:
        states: the name of each node that may differ, and what it was and is; None for not there.
        is_far: whether pods came or went that keep others away, from other nodes too.
        is_of_nodes: whether nodes differ, and not only what is used on them.
    """

    states: tuple[tuple[str, NodeState | None, NodeState | None], ...]
    is_far: bool
    is_of_nodes: bool


def changes_since(before: Snapshot, snapshot: Snapshot) -> Changes | None:
    """Return what changed since an earlier snapshot; None where that is not known, or too much."""
    changed = snapshot.changed_nodes_since(before)
    if changed is None or len(changed) > _MANY:
        return None
    # By its serial and not by itself: snapshots must not keep all those before them alive.
    known = snapshot.derive("changes", _nothing_known)
    changes = known.get(before.serial)
    if changes is None:
        olds, news = before.nodes or _NO_NODES, snapshot.nodes or _NO_NODES
        states = tuple([(name, olds.get(name), news.get(name)) for name in changed])
        changes = known[before.serial] = Changes(
            states=states,
            is_far=any(_repelling(old) != _repelling(new) for _, old, new in states),
            is_of_nodes=any(_node(old) is not _node(new) for _, old, new in states),
        )
    return changes


def _nothing_known(_snapshot: Snapshot) -> dict[int, Changes]:
    return {}


def _repelling(state: NodeState | None) -> tuple[Pod, ...]:
    return state.load.repelling if state is not None else ()


def _node(state: NodeState | None) -> Node | None:
    return state.node if state is not None else None
