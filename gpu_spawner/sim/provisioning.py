"""Put a fleet into a cluster, and take it out again without touching anything else.

What is put there: namespaces, nodes, a storage class, device classes and the pods of tenants, all
labelled with the demo they belong to. Whatever has such a name already without being this demo's is
left alone and reported, before anything is made.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from gpu_spawner.core.errors import ClusterError, GpuSpawnerError
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.fleet import Fleet
from gpu_spawner.sim.fleet_objects import (
    DEMO_LABEL,
    device_class_manifests,
    namespace_manifest,
    node_manifest,
    tenant_claim_templates,
    tenant_pods,
)
from gpu_spawner.sim.provisioner import storage_class_manifest

__all__ = ["NotOursError", "Provisioning"]

_log = logging.getLogger(__name__)

_NAMESPACES = "/api/v1/namespaces"
_NODES = "/api/v1/nodes"
_STORAGE_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
_DEVICES = "/apis/resource.k8s.io/v1"
_DEVICE_CLASSES = f"{_DEVICES}/deviceclasses"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_POLL_SECONDS = 0.2
_SERVICE_ACCOUNT_SECONDS = 30.0


class NotOursError(GpuSpawnerError):
    """The cluster already has objects of these names that belong to somebody else."""

    def __init__(self, objects: Sequence[str]) -> None:
        self.objects = tuple(objects)
        super().__init__(
            f"the cluster already has {', '.join(objects)}, which this demo did not make and will "
            "not touch. Give other names in the fleet file, or remove what an earlier demo left: "
            "kubectl delete nodes,namespaces,storageclasses,persistentvolumes,deviceclasses,"
            f"clusterroles,clusterrolebindings -l {DEMO_LABEL}"
        )


class Provisioning:
    """The objects of one demo in one cluster.

    Args:
        demo_id: the value of the label on everything.
        namespaces: to make beside those of the tenants.
    """

    def __init__(
        self, client: KubeClient, fleet: Fleet, *, demo_id: str, namespaces: Sequence[str]
    ) -> None:
        self._client = client
        self._fleet = fleet
        self._demo_id = demo_id
        tenants = [tenant.namespace for tenant in fleet.tenants]
        self.namespaces = tuple(dict.fromkeys([*namespaces, *tenants]))

    async def create_nodes(self) -> None:
        """Make the namespaces, the storage class and the nodes.

        Raises:
            NotOursError: names are taken; nothing has been made.
            ClusterError: the API server refused or did not answer.
        """
        objects = list(self._objects())
        taken = [
            f"{manifest['kind'].lower()} {manifest['metadata']['name']}"
            for path, manifest in objects
            if await self._is_foreign(f"{path}/{manifest['metadata']['name']}")
        ]
        if taken:
            raise NotOursError(taken)
        for path, manifest in objects:
            await self._create(path, manifest)

    async def create_tenants(self) -> None:
        """Make the tenants' pods; the scheduler places them.

        Raises:
            ClusterError: the API server refused or did not answer.
        """
        for namespace in self.namespaces:
            await self._wait_for_service_account(namespace)
        for tenant in self._fleet.tenants:
            templates = f"{_DEVICES}/namespaces/{tenant.namespace}/resourceclaimtemplates"
            for template in tenant_claim_templates(tenant, self._demo_id):
                await self._create(templates, template)
            for pod in tenant_pods(tenant, self._demo_id):
                await self._create(f"{_NAMESPACES}/{tenant.namespace}/pods", pod)

    async def wait_until_ready(self) -> None:
        """Return once pods can be bound to every node that is not cordoned."""
        await _until(self._are_nodes_ready)

    async def remove(self) -> None:
        """Take everything out again and wait until it is gone; the kubelet must still run.

        Raises:
            ClusterError: the API server refused or did not answer.
        """
        nodes = {
            node["metadata"]["name"] for node in (await self._client.get(_NODES)).get("items") or ()
        }
        for namespace in await self._ours(_NAMESPACES):
            # Before the namespace: its own deletion would leave pods their whole grace period.
            pods = f"{_NAMESPACES}/{namespace}/pods"
            for pod in (await self._client.get(pods)).get("items") or ():
                # On a node that is gone nobody is left to end it.
                has_node = pod["spec"].get("nodeName", "") in nodes
                path = f"{pods}/{pod['metadata']['name']}"
                await self._delete(path, grace_seconds=1 if has_node else 0)
            await self._delete(f"{_NAMESPACES}/{namespace}")
        await _until(lambda: self._is_gone(_NAMESPACES))
        ours = await self._ours(_NODES)
        kinds = ["/api/v1/persistentvolumes", _STORAGE_CLASSES, _NODES]
        if self._fleet.has_claimable_devices:
            # A server that is too old for devices would have refused them already.
            kinds.append(_DEVICE_CLASSES)
        for path in kinds:
            for name in await self._ours(path):
                await self._delete(f"{path}/{name}")
        for name in ours:
            await self._delete(f"{_LEASES}/{name}")
        await _until(lambda: self._is_gone(_NODES))

    def _objects(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for namespace in self.namespaces:
            yield _NAMESPACES, namespace_manifest(namespace, self._demo_id)
        yield _STORAGE_CLASSES, storage_class_manifest(self._demo_id)
        if self._fleet.has_claimable_devices:
            for manifest in device_class_manifests(self._demo_id):
                yield _DEVICE_CLASSES, manifest
        for group in self._fleet.nodes:
            for name in group.node_names:
                yield _NODES, node_manifest(group, name, self._demo_id)

    async def _is_foreign(self, path: str) -> bool:
        found = await self._client.get_or_none(path)
        labels = (found or {}).get("metadata", {}).get("labels") or {}
        return found is not None and labels.get(DEMO_LABEL) != self._demo_id

    async def _create(self, path: str, manifest: dict[str, Any]) -> None:
        try:
            await self._client.create(path, manifest)
        except ClusterError as error:
            # It is there since an earlier run with the same state.
            if error.status != 409 or error.reason != "AlreadyExists":
                raise

    async def _delete(self, path: str, grace_seconds: int | None = None) -> None:
        try:
            await self._client.delete(path, grace_seconds=grace_seconds)
        except ClusterError as error:
            # 409: it is being deleted already.
            if error.status not in (404, 409):
                raise

    async def _ours(self, path: str) -> list[str]:
        selector = f"{DEMO_LABEL}={self._demo_id}"
        answer = await self._client.get(path, labelSelector=selector)
        return [each["metadata"]["name"] for each in answer.get("items") or ()]

    async def _is_gone(self, path: str) -> bool:
        return not await self._ours(path)

    async def _wait_for_service_account(self, namespace: str) -> None:
        # Without it an API server with the ServiceAccount admission plugin refuses pods.
        path = f"{_NAMESPACES}/{namespace}/serviceaccounts/default"
        try:
            async with asyncio.timeout(_SERVICE_ACCOUNT_SECONDS):
                await _until(lambda: self._client.get_or_none(path))
        except TimeoutError:
            raise ClusterError(
                f"waiting for {path}",
                status=0,
                reason="Timeout",
                message="does a controller manager run in this cluster?",
            ) from None

    async def _are_nodes_ready(self) -> bool:
        nodes = (await self._client.get(_NODES)).get("items") or ()
        expected = set(self._fleet.node_names)
        for node in nodes:
            taints = node["spec"].get("taints") or ()
            if not any(taint["key"] == "node.kubernetes.io/not-ready" for taint in taints):
                expected.discard(node["metadata"]["name"])
        return not expected


async def _until(condition: Callable[[], Awaitable[object]]) -> None:
    while not await condition():  # noqa: ASYNC110  the change is somebody else's, elsewhere
        await asyncio.sleep(_POLL_SECONDS)
