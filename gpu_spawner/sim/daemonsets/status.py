"""What a DaemonSet says of itself."""

from typing import Any

from gpu_spawner.sim.daemonsets.daemon_pods import by_age, is_available, is_ready
from gpu_spawner.sim.daemonsets.state import DaemonState

__all__ = ["daemon_status"]

Obj = dict[str, Any]


def daemon_status(state: DaemonState, *, is_settled: bool) -> Obj:
    """Return the status; ``is_settled`` says that the present generation has been acted upon.

    Where two pods share a node the older one is counted.
    """
    desired = current = misscheduled = ready = available = updated = 0
    by_node = state.by_node()
    for node, verdict in state.verdicts.items():
        pods = by_node.get(node)
        if not verdict.should_run:
            misscheduled += bool(pods)
            continue
        desired += 1
        if not pods:
            continue
        current += 1
        pod = by_age(pods)[0]
        ready += is_ready(pod)
        available += is_available(pod, state.min_ready_seconds, state.now)
        updated += state.is_new(pod)
    former: Obj = state.daemon_set.get("status") or {}
    generation = state.daemon_set["metadata"].get("generation") or 0
    return {
        **former,
        "currentNumberScheduled": current,
        "numberMisscheduled": misscheduled,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
        "observedGeneration": generation if is_settled else former.get("observedGeneration") or 0,
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }
