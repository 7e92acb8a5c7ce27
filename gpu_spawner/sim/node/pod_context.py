"""What the workers of one pod share: the pod, its node, and the services of the kubelet."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.fleet import NodeGroup
from gpu_spawner.sim.image_registry import ImageRegistry
from gpu_spawner.sim.node.claimed_devices import ClaimedDevices
from gpu_spawner.sim.node.containers import ContainerSources
from gpu_spawner.sim.node.disk import DiskKeeper
from gpu_spawner.sim.node.gpus import NodeDevices
from gpu_spawner.sim.node.image_store import StoredImage
from gpu_spawner.sim.node.images import NodeImages
from gpu_spawner.sim.node.network import LoopbackNetwork
from gpu_spawner.sim.node.pod_programs import PodPrograms
from gpu_spawner.sim.node.runtime import ContainerRuntime
from gpu_spawner.sim.node.volumes import VolumeFolders, decoded_secret
from gpu_spawner.sim.recorder import EventRecorder, pod_reference

__all__ = [
    "Backoff",
    "ImageVolume",
    "KubeletServices",
    "PodContext",
    "SimulatedNode",
    "VolumeNotReadyError",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait before trying again: doubled each time, up to a limit.

    The defaults are the kubelet's (``backOffPeriod``, ``MaxContainerBackOff``).
    """

    first_seconds: float = 10.0
    longest_seconds: float = 300.0

    def delay_seconds(self, failures: int) -> float:
        """Return the wait after this many failures in a row (at least one)."""
        exponent = min(failures - 1, 30)
        return min(self.first_seconds * 2.0**exponent, self.longest_seconds)


@dataclass(slots=True, kw_only=True)
class SimulatedNode:
    """One node of the fleet, as long as its kubelet runs.

    Attributes:
        disk: keeps it from filling up.
        is_blank: whether it starts with a new disk, whatever the API still says of its images.
        reported_pressure: what the API knows of its disk.
    """

    name: str
    address: str
    group: NodeGroup
    images: NodeImages
    devices: NodeDevices
    disk: DiskKeeper
    is_blank: bool = False
    reported_pressure: bool = False
    claims: ClaimedDevices


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletServices:
    """What every pod of every node is served by.

    Attributes:
        logs: a folder per pod, kept when the pod is gone.
        runs_processes: whether a pod may start processes on this machine at all.
    """

    client: KubeClient
    recorder: EventRecorder
    runtime: ContainerRuntime
    folders: VolumeFolders
    programs: PodPrograms
    network: LoopbackNetwork
    registry: ImageRegistry
    logs: Path
    backoff: Backoff
    runs_processes: Callable[[Mapping[str, Any]], bool]


@dataclass(slots=True, kw_only=True)
class ImageVolume:
    """A volume of a pod that is an image.

    Attributes:
        image: set once it can be used.
        problem: reason and message of why it cannot be used yet, None while nobody knows of any.
        watchers: hear of every new problem.
        ready: set together with ``image``.
    """

    reference: str
    policy: str
    image: StoredImage | None = None
    problem: tuple[str, str] | None = None
    watchers: list[Callable[[str, str], None]] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, reason: str, message: str) -> None:
        """Tell everybody who wants to use it why they cannot."""
        self.problem = reason, message
        for watcher in list(self.watchers):
            watcher(reason, message)

    def provide(self, image: StoredImage) -> None:
        """Let it be used."""
        self.image = image
        self.ready.set()

    async def wait(self, show: Callable[[str, str], None]) -> StoredImage:
        """Return the image once it can be used; ``show`` hears why it cannot."""
        if self.problem is not None and self.image is None:
            show(*self.problem)
        self.watchers.append(show)
        try:
            await self.ready.wait()
        finally:
            self.watchers.remove(show)
        assert self.image is not None  # noqa: S101  for the type checker: it is set with the event
        return self.image


class VolumeNotReadyError(Exception):
    """A volume cannot be mounted yet; the text is the kubelet's."""


@dataclass(slots=True, kw_only=True)
class PodContext:
    """One pod, while it is on its node.

    Attributes:
        pod: as last seen in the API.
        changed: set whenever something happened that belongs into the pod's status.
        volume_files: what is in volumes made of secrets and config maps, by volume name.
        image_volumes: the volumes that are images, by volume name.
        pulling: held while an image is pulled for the pod; it gets one after the other.
    """

    pod: dict[str, Any]
    node: SimulatedNode
    services: KubeletServices
    pod_ip: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    config_maps: dict[str, dict[str, str]] = field(default_factory=dict)
    volume_files: dict[str, dict[str, str]] = field(default_factory=dict)
    image_volumes: dict[str, ImageVolume] = field(default_factory=dict)
    pulling: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return str(self.pod["metadata"]["uid"])

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return str(self.pod["metadata"]["namespace"])

    @property
    def path(self) -> str:
        """The pod's path in the API."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.pod['metadata']['name']}"

    @property
    def restart_policy(self) -> str:
        """When ended containers start again."""
        return str(self.pod["spec"].get("restartPolicy") or "Always")

    @property
    def label(self) -> str:
        """The pod as the kubelet's messages name it."""
        return f"{self.pod['metadata']['name']}_{self.namespace}({self.uid})"

    @property
    def log_folder(self) -> Path:
        """Where the output of the pod's containers goes."""
        name = self.pod["metadata"]["name"]
        return self.services.logs / f"{self.namespace}_{name}_{self.uid}"

    def event(self, kind: str, reason: str, message: str, *, container: str = "") -> None:
        """Write an event about the pod or one of its containers."""
        reference = pod_reference(self.pod, container)
        self.services.recorder.record(reference, kind, reason, message, host=self.node.name)

    def sources(self) -> ContainerSources:
        """Return what the containers' variables are made of."""
        addresses = {"podIP": self.pod_ip, "hostIP": self.node.address}
        pod = self.pod | {"status": {**self.pod.get("status", {}), **addresses}}
        return ContainerSources(pod=pod, secrets=self.secrets, config_maps=self.config_maps)

    async def read_sources(self) -> None:
        """Read the secrets and config maps the pod names.

        Raises:
            VolumeNotReadyError: one that a volume is made of does not exist.
            ClusterError: the API server did not answer.
        """
        secret_names, map_names = _named_sources(self.pod["spec"])
        for name in secret_names:
            if (found := await self._read("secrets", name)) is not None:
                self.secrets[name] = decoded_secret(found)
        for name in map_names:
            if (found := await self._read("configmaps", name)) is not None:
                self.config_maps[name] = found.get("data") or {}
        self._fill_volumes()

    def _fill_volumes(self) -> None:
        for volume in self.pod["spec"].get("volumes") or ():
            for field_name, key, kind, known in (
                ("secret", "secretName", "secret", self.secrets),
                ("configMap", "name", "configmap", self.config_maps),
            ):
                source = volume.get(field_name)
                if source is None:
                    continue
                data = known.get(source[key])
                if data is None and not source.get("optional"):
                    raise VolumeNotReadyError(
                        f'MountVolume.SetUp failed for volume "{volume["name"]}" : '
                        f'{kind} "{source[key]}" not found'
                    )
                self.volume_files[volume["name"]] = _selected(data or {}, source.get("items"))

    async def _read(self, plural: str, name: str) -> dict[str, Any] | None:
        path = f"/api/v1/namespaces/{self.namespace}/{plural}/{name}"
        try:
            return await self.services.client.get(path)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise


def _named_sources(spec: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Return the names of the secrets and of the config maps the pod uses."""
    secret_names, map_names = set[str](), set[str]()

    def collect(source: Mapping[str, Any], secret_field: str, map_field: str, key: str) -> None:
        if reference := source.get(secret_field):
            secret_names.add(reference[key])
        if reference := source.get(map_field):
            map_names.add(reference["name"])

    for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        for variable in container.get("env") or ():
            collect(variable.get("valueFrom") or {}, "secretKeyRef", "configMapKeyRef", "name")
        for source in container.get("envFrom") or ():
            collect(source, "secretRef", "configMapRef", "name")
    for volume in spec.get("volumes") or ():
        collect(volume, "secret", "configMap", "secretName")
    return secret_names, map_names


def _selected(data: Mapping[str, str], items: list[Mapping[str, str]] | None) -> dict[str, str]:
    if not items:
        return dict(data)
    return {item["path"]: data[item["key"]] for item in items if item["key"] in data}
