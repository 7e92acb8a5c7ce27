"""Write Kubernetes events, in order and without making anybody wait.

Both shapes that a cluster has: the classic one of the kubelet (counted, with first and last time)
and the newer one of the scheduler (an action and one exact time). An event that repeats is counted
up rather than written again, as client-go's recorder does.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Mapping
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.times import micro_time, now_utc, time_text

__all__ = ["EventRecorder", "object_reference", "pod_reference"]

_log = logging.getLogger(__name__)
_MOST_REMEMBERED = 4096


def pod_reference(pod: Mapping[str, Any], container: str = "") -> dict[str, Any]:
    """Return the ``involvedObject`` of an event about ``pod`` or one of its containers."""
    reference = object_reference("v1", "Pod", pod)
    if container:
        reference["fieldPath"] = f"spec.containers{{{container}}}"
    return reference


def object_reference(api_version: str, kind: str, obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``involvedObject`` of an event about any namespaced object."""
    metadata = obj["metadata"]
    return {
        "kind": kind,
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": api_version,
        "resourceVersion": metadata["resourceVersion"],
    }


class EventRecorder:
    """Writes the events of one component.

    Args:
        component: ``kubelet``, ``default-scheduler`` and so on.
        instance: tells several processes of the component apart in events of the newer shape.
    """

    def __init__(self, client: KubeClient, component: str, *, instance: str = "") -> None:
        self._client = client
        self._component = component
        self._instance = instance
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._known: dict[tuple[str, ...], dict[str, Any]] = {}
        self._serial = itertools.count(time.time_ns())

    def record(
        self, involved: Mapping[str, Any], kind: str, reason: str, message: str, *, host: str = ""
    ) -> None:
        """Queue a classic event; ``kind`` is Normal or Warning, ``host`` the reporting node."""
        now = time_text(now_utc())
        source = {"component": self._component}
        if host:
            source["host"] = host
        self._queue.put_nowait(
            self._event(involved, kind, reason, message)
            | {
                "source": source,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
                "reportingInstance": host,
            }
        )

    def record_action(
        self, involved: Mapping[str, Any], kind: str, reason: str, message: str, *, action: str
    ) -> None:
        """Queue an event of the newer shape, written while doing ``action``."""
        self._queue.put_nowait(
            self._event(involved, kind, reason, message)
            | {
                "eventTime": micro_time(now_utc()),
                "action": action,
                "reportingInstance": self._instance,
            }
        )

    async def run(self) -> None:
        """Write what is queued until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            except ClusterError as error:
                # A pod may take its namespace, and so its events, with it.
                _log.debug("event %s not written: %s", event["reason"], error)
            except Exception:  # noqa: BLE001  one bad event must not silence all others
                _log.exception("event %s not written", event["reason"])
            finally:
                self._queue.task_done()

    async def flush(self) -> None:
        """Return once everything queued so far is written; ``run`` must be running."""
        await self._queue.join()

    def _event(
        self, involved: Mapping[str, Any], kind: str, reason: str, message: str
    ) -> dict[str, Any]:
        namespace = involved.get("namespace") or "default"
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{involved['name']}.{next(self._serial):x}",
                "namespace": namespace,
            },
            "involvedObject": dict(involved),
            "reason": reason,
            "message": message,
            "type": kind,
            "reportingComponent": self._component,
        }

    async def _write(self, event: dict[str, Any]) -> None:
        involved = event["involvedObject"]
        collection = f"/api/v1/namespaces/{event['metadata']['namespace']}/events"
        key = (
            involved.get("uid", ""),
            involved.get("fieldPath", ""),
            event["reason"],
            event["message"],
        )
        known = self._known.get(key)
        if known is not None and "count" in event:
            change = {"count": known["count"] + 1, "lastTimestamp": event["lastTimestamp"]}
            try:
                self._known[key] = await self._client.patch(
                    f"{collection}/{known['metadata']['name']}", change
                )
            except ClusterError as error:
                if error.status != 404:
                    raise
            else:
                return
        if len(self._known) >= _MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[key] = await self._client.create(collection, event)
