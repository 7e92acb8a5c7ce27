"""The one word that ``kubectl get pods`` says about a pod, and the cells around it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["pod_cells"]

Obj = Mapping[str, Any]

_NONE: Final = "<none>"
_NODE_LOST: Final = "NodeLost"


def pod_cells(pod: Obj, since: Callable[[str | None], str]) -> list[Any]:
    """Return the cells of one pod.

    Args:
        pod: the pod.
        since: says how long a time stamp is ago.
    """
    spec, status = pod["spec"], pod["status"]
    summary = _Summary(pod)
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart:
        restarts = f"{restarts} ({since(summary.last_restart)} ago)"
    gates = [gate["conditionType"] for gate in spec.get("readinessGates", ())]
    truths = {item["type"] for item in status.get("conditions", ()) if item["status"] == "True"}
    passed = sum(gate in truths for gate in gates)
    ips = status.get("podIPs", ())
    return [
        pod["metadata"]["name"],
        f"{summary.ready}/{summary.total}",
        summary.reason,
        restarts,
        since(pod["metadata"].get("creationTimestamp")),
        (ips[0].get("ip") if ips else "") or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        f"{passed}/{len(gates)}" if gates else _NONE,
    ]


class _Summary:
    """Counts containers and finds the most telling reason, in kubectl's order."""

    def __init__(self, pod: Obj) -> None:
        spec, status = pod["spec"], pod["status"]
        sidecars = {
            container["name"]
            for container in spec.get("initContainers", ())
            if container.get("restartPolicy") == "Always"
        }
        self.total = len(spec.get("containers") or ()) + len(sidecars)
        self.ready = 0
        self.restarts = 0
        self.last_restart = ""
        phase = status.get("phase", "")
        self.reason = status.get("reason") or phase
        conditions = status.get("conditions", ())
        if any(item.get("reason") == "SchedulingGated" for item in conditions):
            self.reason = "SchedulingGated"
        is_initializing = self._look_at_init(spec, status, sidecars)
        initialized = any(
            item["type"] == "Initialized" and item["status"] == "True" for item in conditions
        )
        if not is_initializing or initialized:
            self._look_at_containers(status, sidecars)
        if "deletionTimestamp" in pod["metadata"]:
            if status.get("reason") == _NODE_LOST:
                self.reason = "Unknown"
            elif phase not in {"Failed", "Succeeded"}:
                self.reason = "Terminating"

    def _count_restarts(self, container: Obj) -> None:
        self.restarts += container["restartCount"]
        ended = container["lastState"].get("terminated")
        if ended is not None:
            self.last_restart = max(self.last_restart, ended.get("finishedAt") or "")

    def _look_at_init(self, spec: Obj, status: Obj, sidecars: set[str]) -> bool:
        statuses = status.get("initContainerStatuses", ())
        for index, container in enumerate(statuses):
            self._count_restarts(container)
            ended = container["state"].get("terminated")
            waiting = container["state"].get("waiting", {}).get("reason", "")
            if ended is not None and ended["exitCode"] == 0:
                continue
            if container["name"] in sidecars and container.get("started"):
                self.ready += container["ready"]
                continue
            if ended is not None:
                self.reason = f"Init:{_end_reason(ended)}"
            elif waiting and waiting != "PodInitializing":
                self.reason = f"Init:{waiting}"
            else:
                self.reason = f"Init:{index}/{len(spec['initContainers'])}"
            return True
        return False

    def _look_at_containers(self, status: Obj, sidecars: set[str]) -> None:
        self.restarts, self.last_restart = 0, ""
        for container in status.get("initContainerStatuses", ()):
            if container["name"] in sidecars:
                self._count_restarts(container)
        has_running = False
        failure = ""
        for container in reversed(status.get("containerStatuses", ())):
            self._count_restarts(container)
            state = container["state"]
            if state.get("waiting", {}).get("reason"):
                self.reason = state["waiting"]["reason"]
            elif "terminated" in state:
                self.reason = _end_reason(state["terminated"])
                if state["terminated"]["exitCode"]:
                    failure = self.reason
            elif container["ready"] and "running" in state:
                has_running = True
                self.ready += 1
        if self.reason == "Completed" and has_running:
            conditions = status.get("conditions", ())
            is_ready = any(
                item["type"] == "Ready" and item["status"] == "True" for item in conditions
            )
            self.reason = "Running" if is_ready else failure or "NotReady"
        elif self.reason == "Completed" and failure:
            self.reason = failure


def _end_reason(ended: Obj) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    if ended.get("signal"):
        return f"Signal:{ended['signal']}"
    return f"ExitCode:{ended['exitCode']}"
