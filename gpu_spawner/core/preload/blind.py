"""Planning without the right to list nodes: images one after another, on all nodes of a pool.

Nobody can tell then which nodes there are, so none can be admitted by name: a DaemonSet goes by its
pool's labels, and the bound on pulls per node holds because the next image waits until the one
before it has arrived. The bound for the cluster cannot be kept.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gpu_spawner.core.cluster.pullers import PullerPod, PullerSet, PullState, SetNotes
from gpu_spawner.core.preload.policy import Policy
from gpu_spawner.core.preload.setbacks import failure_of
from gpu_spawner.core.preload.wishes import Wish

__all__ = ["BlindDraft", "plan_blind"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindDraft:
    """What becomes of one wish; ``is_written`` where its DaemonSet is, or is to be, there."""

    wish: Wish
    current: PullerSet | None
    is_written: bool
    notes: SetNotes
    ready: tuple[str, ...]
    pulling: tuple[str, ...]
    failing: Mapping[str, tuple[str, ...]]


def plan_blind(
    wishes: Mapping[str, Wish],
    sets: Mapping[str, PullerSet],
    pods: Mapping[str, Collection[PullerPod]],
    policy: Policy,
    now: int,
) -> list[BlindDraft]:
    """Decide which DaemonSets may be there now; wishes and pods by the DaemonSet's name."""
    drafts = []
    busy = 0
    for name, wish in wishes.items():
        current = sets.get(name)
        of_set = pods.get(name, ())
        failing: dict[str, list[str]] = {}
        for pod in of_set:
            if failure := failure_of(pod, policy, now):
                failing.setdefault(failure.reason, []).append(pod.node)
        is_written = current is not None or busy < policy.pulls_per_node
        # A DaemonSet whose pulls fail is left to the kubelets' own pauses, and holds up nobody.
        if is_written and not failing and (current is None or not current.is_settled):
            busy += 1
        drafts.append(
            BlindDraft(
                wish=wish,
                current=current,
                is_written=is_written,
                notes=current.notes if current is not None else SetNotes(),
                ready=_nodes(of_set, PullState.READY),
                pulling=_nodes(of_set, PullState.PULLING),
                failing={why: tuple(sorted(nodes)) for why, nodes in failing.items()},
            )
        )
    return drafts


def _nodes(pods: Collection[PullerPod], state: PullState) -> tuple[str, ...]:
    return tuple(sorted({pod.node for pod in pods if pod.state is state}))
