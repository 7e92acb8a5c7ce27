"""Keep one pod of a DaemonSet on every node that should have one, and none elsewhere."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from gpu_spawner.sim.daemonsets.daemon_pods import (
    HASH_LABEL,
    allows_surge,
    by_age,
    is_available,
    is_going,
    is_ready,
)
from gpu_spawner.sim.daemonsets.state import DaemonState, Note, Steps

__all__ = ["FailureBackoff", "keep_up"]

Obj = dict[str, Any]
BackoffKey = tuple[str, int, str]
"""A DaemonSet's uid, the generation it has reached, and a node."""


class FailureBackoff:
    """How long a pod that failed is left lying, by node: each time twice as long.

    A node that has been quiet for twice the longest wait starts anew.
    """

    def __init__(self, first_seconds: float = 1.0, longest_seconds: float = 900.0) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._known: dict[BackoffKey, tuple[float, datetime]] = {}

    def seconds_to_wait(self, key: BackoffKey, now: datetime) -> float:
        """Return how long the next failed pod has to be left yet; 0 where it may go."""
        delay, since = self._known.get(key, (0.0, now))
        passed = (now - since).total_seconds()
        if passed > 2 * self._longest or passed >= delay:
            return 0.0
        return delay

    def count(self, key: BackoffKey, now: datetime) -> None:
        """Note that a failed pod is taken away."""
        delay, since = self._known.get(key, (0.0, now))
        if not delay or (now - since).total_seconds() > 2 * self._longest:
            self._known[key] = self._first, now
        else:
            self._known[key] = min(2 * delay, self._longest), now


def keep_up(state: DaemonState, backoff: FailureBackoff) -> Steps:
    """Decide which pods to make and which to delete, whatever their age."""
    by_node = state.by_node()
    create: list[str] = []
    delete: list[str] = []
    notes: list[Note] = []
    waits: list[float] = []
    for node, verdict in state.verdicts.items():
        pods = by_node.get(node)
        if verdict.should_run and pods is None:
            create.append(node)
        elif verdict.should_stay and pods is not None:
            ended, lasting = _sort_out(state, node, pods, backoff)
            for pod, note in ended:
                if note is None:
                    key = _key(state, node)
                    waits.append(backoff.seconds_to_wait(key, state.now))
                else:
                    notes.append(note)
                    delete.append(pod["metadata"]["name"])
            delete += _too_many(state, lasting)
            if not lasting and verdict.should_run and allows_surge(state.daemon_set):
                create.append(node)
        elif pods is not None and not verdict.should_stay:
            delete += [pod["metadata"]["name"] for pod in pods if not is_going(pod)]
    delete += _stranded(by_node, state.verdicts)
    return Steps(
        create_on=create,
        delete=delete,
        notes=notes,
        look_again_seconds=min(waits) if waits else None,
    )


def _sort_out(
    state: DaemonState, node: str, pods: list[Obj], backoff: FailureBackoff
) -> tuple[list[tuple[Obj, Note | None]], list[Obj]]:
    """Part the pods that have ended (with what to say, None while it must wait) from the others."""
    ended: list[tuple[Obj, Note | None]] = []
    lasting: list[Obj] = []
    for pod in pods:
        if is_going(pod):
            continue
        phase = (pod.get("status") or {}).get("phase")
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        if phase == "Failed":
            key = _key(state, node)
            if backoff.seconds_to_wait(key, state.now):
                ended.append((pod, None))
                continue
            # The kubelet may refuse the next one as it refused this one.
            backoff.count(key, state.now)
            text = f"Found failed daemon pod {name} on node {node}, will try to kill it"
            ended.append((pod, Note(kind="Warning", reason="FailedDaemonPod", message=text)))
        elif phase == "Succeeded":
            text = f"Found succeeded daemon pod {name} on node {node}, will try to delete it"
            ended.append((pod, Note(kind="Normal", reason="SucceededDaemonPod", message=text)))
        else:
            lasting.append(pod)
    return ended, lasting


def _too_many(state: DaemonState, lasting: list[Obj]) -> Iterator[str]:
    """Yield the names of pods a node has beyond what it may have."""
    ordered = by_age(lasting)
    if not allows_surge(state.daemon_set):
        for pod in ordered[1:]:
            yield pod["metadata"]["name"]
        return
    if len(ordered) <= 1:
        return
    new = [pod for pod in ordered if _hash_of(pod) == state.revision_hash]
    old = [pod for pod in ordered if _hash_of(pod) != state.revision_hash]
    for pod in [*new[1:], *old[1:]]:
        yield pod["metadata"]["name"]
    # The old one stays as long as it serves and the new one does not.
    if new and old and (not is_ready(old[0]) or _serves(state, new[0])):
        yield old[0]["metadata"]["name"]


def _stranded(by_node: dict[str, list[Obj]], nodes: Iterable[str]) -> Iterator[str]:
    """Yield the names of waiting pods whose node is gone: nothing would ever bind them."""
    there = set(nodes)
    for node, pods in by_node.items():
        if node not in there:
            for pod in pods:
                if not pod["spec"].get("nodeName"):
                    yield pod["metadata"]["name"]


def _serves(state: DaemonState, pod: Obj) -> bool:
    return is_available(pod, state.min_ready_seconds, state.now)


def _hash_of(pod: Obj) -> str:
    return (pod["metadata"].get("labels") or {}).get(HASH_LABEL) or ""


def _key(state: DaemonState, node: str) -> BackoffKey:
    generation = (state.daemon_set.get("status") or {}).get("observedGeneration") or 0
    return state.daemon_set["metadata"]["uid"], generation, node
