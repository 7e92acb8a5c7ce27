"""What a kubelet tells the API server of its nodes: that they live, their images, their devices.

A node is reported when it starts, its images and its disk when they change, its devices also when
somebody has deleted them, its lease all the time and everything now and then: a foreign control
plane watches over heartbeats, and people look for them with kubectl.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.fleet_objects import disk_pressure_condition, node_status
from gpu_spawner.sim.informer import Informer
from gpu_spawner.sim.node.dra_driver import SLICES
from gpu_spawner.sim.node.pod_context import SimulatedNode
from gpu_spawner.sim.times import micro_time, now_utc

__all__ = ["NodeReports"]

_log = logging.getLogger(__name__)

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
# The kubelet's defaults: a lease of 40 s renewed four times in that time, and the status now and
# then even if nothing changed (nodeStatusReportFrequency).
_LEASE_SECONDS = 40
_RENEW_SECONDS = 10.0
_STATUS_EVERY_RENEWALS = 30
_RETRY_SECONDS = 1.0


class NodeReports:
    """Reports on ``nodes``, which others may add to and take from; ``run`` until cancelled.

    Args:
        kubelet_version: what the nodes report.
        images_lag_seconds: how long after a pull the API hears of the image.
    """

    def __init__(
        self,
        client: KubeClient,
        nodes: Mapping[str, SimulatedNode],
        *,
        kubelet_version: str,
        images_lag_seconds: float = 0.0,
    ) -> None:
        self._client = client
        self._nodes = nodes
        self._kubelet_version = kubelet_version
        self._images_lag_seconds = images_lag_seconds
        self._changed: set[str] = set()
        self._wake = asyncio.Event()
        self._without_devices: asyncio.Queue[str] = asyncio.Queue()

    def note_change(self, name: str) -> None:
        """Take note that a node's images or pressures have changed."""
        self._changed.add(name)
        self._wake.set()

    async def run(self) -> None:
        """Report changes until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish_changes())
            if any(node.claims.driver is not None for node in self._nodes.values()):
                group.create_task(Informer(self._client, SLICES, self._on_slice).run())
                group.create_task(self._restore_devices())
            group.create_task(self._renew_leases())

    async def introduce(self, name: str) -> None:
        """Report a node for the first time, however long the API server takes to answer."""
        while True:
            try:
                await self._restore_images(name)
                await self._report_node(name)
                await self._publish_devices(name)
            except ClusterError as error:
                if 400 <= error.status < 500 and error.status not in (409, 429):
                    raise
                _log.debug("node %s not reported: %s", name, error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _restore_images(self, name: str) -> None:
        """Take up the images the node has pulled in a former life."""
        known = await self._client.get(f"/api/v1/nodes/{name}")
        images = (known.get("status") or {}).get("images") or ()
        if (node := self._nodes.get(name)) is not None and not node.is_blank:
            node.images.store.restore(images)

    async def _report_node(self, name: str) -> None:
        node = self._nodes[name]
        status = node_status(
            node.group,
            name,
            kubelet_version=self._kubelet_version,
            address=node.address,
            now=now_utc(),
            has_disk_pressure=node.disk.has_pressure,
        )
        status["images"] = node.images.store.as_status()
        await self._client.patch(f"/api/v1/nodes/{name}/status", {"status": status}, strategic=True)

    async def _publish_changes(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._images_lag_seconds)
            self._wake.clear()
            for name in sorted(self._changed):
                self._changed.discard(name)
                node = self._nodes.get(name)
                if node is None:
                    continue
                try:
                    await self._publish(name, node)
                except ClusterError as error:
                    _log.debug("images of %s not written: %s", name, error)
                    if error.status != 404:
                        self.note_change(name)
                    await asyncio.sleep(_RETRY_SECONDS)

    async def _publish(self, name: str, node: SimulatedNode) -> None:
        path = f"/api/v1/nodes/{name}/status"
        images = {"status": {"images": node.images.store.as_status()}}
        await self._client.patch(path, images)
        if node.reported_pressure != node.disk.has_pressure:
            condition = disk_pressure_condition(now_utc(), has_pressure=node.disk.has_pressure)
            status = {"status": {"conditions": [condition]}}
            await self._client.patch(path, status, strategic=True)
            node.reported_pressure = node.disk.has_pressure

    async def _publish_devices(self, name: str) -> None:
        driver = self._nodes[name].claims.driver if name in self._nodes else None
        if driver is not None:
            await driver.publish()

    def _on_slice(self, event: str, resource_slice: dict[str, Any]) -> None:
        node = resource_slice["spec"].get("nodeName")
        if event == "DELETED" and node in self._nodes:
            self._without_devices.put_nowait(node)

    async def _restore_devices(self) -> None:
        """Publish again what somebody else has deleted."""
        while True:
            name = await self._without_devices.get()
            try:
                await self._publish_devices(name)
            except ClusterError as error:
                _log.debug("devices of %s not published: %s", name, error)
                self._without_devices.put_nowait(name)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _renew_leases(self) -> None:
        renewals = 0
        while True:
            for name in list(self._nodes):
                with contextlib.suppress(ClusterError, KeyError):
                    await self._renew_lease(name)
                    if renewals % _STATUS_EVERY_RENEWALS == _STATUS_EVERY_RENEWALS - 1:
                        await self._report_node(name)
            renewals += 1
            await asyncio.sleep(_RENEW_SECONDS)

    async def _renew_lease(self, name: str) -> None:
        renewed = {"renewTime": micro_time(now_utc())}
        try:
            await self._client.patch(f"{_LEASES}/{name}", {"spec": renewed})
        except ClusterError as error:
            if error.status != 404:
                raise
            node = await self._client.get(f"/api/v1/nodes/{name}")
            owner = {
                "apiVersion": "v1",
                "kind": "Node",
                "name": name,
                "uid": node["metadata"]["uid"],
            }
            spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_SECONDS, **renewed}
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "ownerReferences": [owner]},
                "spec": spec,
            }
            await self._client.create(_LEASES, lease)
