"""Replace a DaemonSet's old pods by new ones, no faster than its strategy allows."""

from typing import Any

from gpu_spawner.sim.daemonsets.daemon_pods import is_available, is_going
from gpu_spawner.sim.daemonsets.state import DaemonState, Steps

__all__ = ["roll_out"]

Obj = dict[str, Any]


def roll_out(state: DaemonState) -> Steps:
    """Decide which old pods give way now, and on which nodes new ones come beside them."""
    strategy = state.daemon_set["spec"]["updateStrategy"]
    if strategy["type"] != "RollingUpdate":
        return Steps()
    rolling = strategy.get("rollingUpdate") or {}
    most_new = _scaled(rolling.get("maxSurge") or 0, state.desired)
    most_away = _scaled(rolling.get("maxUnavailable") or 0, state.desired)
    by_node: dict[str, list[Obj]] = state.by_node()
    for node, verdict in state.verdicts.items():
        if verdict.should_run:
            by_node.setdefault(node, [])
    if most_new:
        return _beside(state, by_node, most_new)
    # A strategy that allows neither would never end.
    return _in_place(state, by_node, most_away or 1)


def _in_place(state: DaemonState, by_node: dict[str, list[Obj]], most_away: int) -> Steps:
    """Delete old pods; the upkeep makes the new ones where they were."""
    away = 0
    useless: list[str] = []
    candidates: list[str] = []
    for pods in by_node.values():
        pair = _pair(state, pods)
        if pair is None:
            away += 1
            continue
        new, old = pair
        if (new is None) == (old is None):
            away += 1
        elif new is not None:
            away += not _serves(state, new)
        elif old is not None:
            if not _serves(state, old):
                useless.append(old["metadata"]["name"])
                away += 1
            elif away < most_away:
                candidates.append(old["metadata"]["name"])
    return Steps(delete=[*useless, *candidates[: max(most_away - away, 0)]])


def _beside(state: DaemonState, by_node: dict[str, list[Obj]], most_new: int) -> Steps:
    """Make new pods beside old ones; an old one goes when the new one serves."""
    surging = serving = 0
    delete: list[str] = []
    misplaced: list[str] = []
    useless_on: list[str] = []
    candidates: list[str] = []
    for node, pods in by_node.items():
        pair = _pair(state, pods)
        if pair is None:
            surging += 1
            continue
        new, old = pair
        counted = old or new
        serving += counted is not None and _serves(state, counted)
        if old is None:
            continue
        name = old["metadata"]["name"]
        if new is not None:
            if _serves(state, new):
                delete.append(name)
            else:
                surging += 1
            continue
        verdict = state.verdicts.get(node)
        belongs = verdict is not None and verdict.should_run
        if not _serves(state, old):
            (useless_on.append(node) if belongs else delete.append(name))
        elif not belongs:
            misplaced.append(name)
        elif surging < most_new:
            candidates.append(node)
    # What serves where it should not goes as soon as enough others serve.
    delete += misplaced[: max(serving - state.desired, 0)]
    create = [*useless_on, *candidates[: max(most_new - surging, 0)]]
    return Steps(create_on=create, delete=delete)


def _pair(state: DaemonState, pods: list[Obj]) -> tuple[Obj | None, Obj | None] | None:
    """Return a node's new and its old pod; None where it has several of either."""
    staying = [pod for pod in pods if not is_going(pod)]
    new = [pod for pod in staying if state.is_new(pod)]
    old = [pod for pod in staying if not state.is_new(pod)]
    if len(new) > 1 or len(old) > 1:
        return None
    return (new[0] if new else None, old[0] if old else None)


def _serves(state: DaemonState, pod: Obj) -> bool:
    return is_available(pod, state.min_ready_seconds, state.now)


def _scaled(amount: int | str, total: int) -> int:
    """Return a number, or a percentage of ``total`` rounded up."""
    if isinstance(amount, int):
        return amount
    return -(-int(amount.rstrip("%")) * total // 100)
