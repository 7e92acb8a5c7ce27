"""The description of a simulated GPU cluster: node groups, tenants, images.

A fleet is a YAML file (``gpu-spawner demo --cluster FILE``); the one that is shipped is
``data/fleet.yaml``, which explains every key. This module reads it and reports all mistakes at
once, each with its line; what the nodes and pods look like in the API is ``fleet_objects``' matter.
"""

import fnmatch
import importlib.resources
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml

from gpu_spawner.core.errors import ConfigError, Problem
from gpu_spawner.sim.fleet_fields import Bytes, Count, Cpu, Name, Quantity, Strict
from gpu_spawner.sim.fleet_gpu import Gpu
from gpu_spawner.sim.fleet_images import ImageFacts
from gpu_spawner.sim.yaml_lines import line_of, load_with_lines

__all__ = [
    "Fleet",
    "ImageOnNodes",
    "NodeGroup",
    "Taint",
    "Tenant",
    "TenantClaim",
    "TenantPod",
    "default_fleet",
    "parse_fleet",
    "read_fleet",
]


# What pod sandboxes are made of, and tenants here: it weighs nothing and does nothing.
_BUILT_IN_IMAGES = {
    "*/pause:*": ImageFacts(size=320_000, command=()),
    "*/busybox:*": ImageFacts(size=2_200_000),
}


class Taint(Strict):
    """A node taint."""

    key: str = pydantic.Field(min_length=1)
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class ImageOnNodes(Strict):
    """An image that only some nodes of a group have.

    Attributes:
        only: the numbers of these nodes.
    """

    image: str
    only: tuple[Annotated[int, pydantic.Field(ge=1, strict=True)], ...]


class NodeGroup(Strict):
    """Nodes that are alike; they are named ``<name>-1``, ``<name>-2`` and so on.

    Attributes:
        pull_bandwidth: bytes a second one node can pull, shared by its pulls.
        max_parallel_pulls: how many pulls of a node go on at once, 1 as a kubelet does by default;
            0 sets no limit.
        image_disk: bytes of the disk that images and containers share; 0 sets no limit.
        images: references of the images the nodes, or some of them, have from the start.
        resources: further extended resources.
    """

    name: Name
    count: Annotated[int, pydantic.Field(ge=1, le=10_000, strict=True)] = 1
    cpu: Cpu
    memory: Quantity
    ephemeral_storage: Quantity = "1Ti"
    pods: Annotated[int, pydantic.Field(ge=1, strict=True)] = 110
    architecture: Literal["amd64", "arm64"] = "amd64"
    gpu: Gpu | None = None
    resources: dict[str, Count] = pydantic.Field(default={})
    labels: dict[str, str] = pydantic.Field(default={})
    taints: tuple[Taint, ...] = ()
    is_cordoned: bool = pydantic.Field(default=False, alias="cordoned")
    pull_bandwidth: Bytes = 1_000_000_000
    max_parallel_pulls: Count = 0
    image_disk: Bytes = 0
    images: tuple[str | ImageOnNodes, ...] = ()

    def images_of(self, name: str) -> tuple[str, ...]:
        """Return what the node of this name has from the start."""
        number = int(name.removeprefix(f"{self.name}-"))
        return tuple(
            each if isinstance(each, str) else each.image
            for each in self.images
            if isinstance(each, str) or number in each.only
        )

    @property
    def node_names(self) -> tuple[str, ...]:
        """The names of the group's nodes."""
        return tuple(f"{self.name}-{number}" for number in range(1, self.count + 1))


class TenantClaim(Strict):
    """Devices that a tenant's pod claims (Dynamic Resource Allocation).

    Attributes:
        selector: a CEL expression besides that of the device class; empty for none.
        memory: how much of a device that is shared by memory; empty for the whole.
    """

    device_class: str = pydantic.Field(min_length=1)
    count: Annotated[int, pydantic.Field(ge=1, le=32, strict=True)] = 1
    selector: str = ""
    memory: Quantity | None = None


class TenantPod(Strict):
    """Pods of somebody else that hold resources of one node; no process is started for them.

    Attributes:
        node: the node they sit on; empty lets the scheduler choose.
        claim: devices each of them claims.
    """

    name: Name
    count: Annotated[int, pydantic.Field(ge=1, le=1000, strict=True)] = 1
    node: str = ""
    cpu: Cpu = "1"
    memory: Quantity = "1Gi"
    resources: dict[str, Count] = pydantic.Field(default={})
    labels: dict[str, str] = pydantic.Field(default={})
    claim: TenantClaim | None = None


class Tenant(Strict):
    """A namespace of somebody else and its pods."""

    namespace: Name
    pods: tuple[TenantPod, ...] = ()


class Fleet(Strict):
    """A cluster to simulate.

    Attributes:
        kubelet_version: what the nodes report.
        default_command: what a container runs whose image has no command of its own.
        images: facts by pattern (``*`` matches anything); the first that matches counts.
    """

    kubelet_version: str = pydantic.Field(default="v1.36.2", pattern=r"^v\d+\.\d+\.\d+$")
    default_command: tuple[str, ...] = ("jupyterhub-singleuser",)
    images: dict[str, ImageFacts] = pydantic.Field(default={})
    nodes: tuple[NodeGroup, ...] = pydantic.Field(min_length=1)
    tenants: tuple[Tenant, ...] = ()

    @property
    def has_claimable_devices(self) -> bool:
        """Whether any node offers its GPUs through Dynamic Resource Allocation."""
        return any(group.gpu is not None and group.gpu.dra for group in self.nodes)

    @property
    def node_names(self) -> tuple[str, ...]:
        """The names of all nodes, in order."""
        return tuple(name for group in self.nodes for name in group.node_names)

    def image_facts(self, image: str) -> ImageFacts:
        """Return what is known about ``image``, the defaults where nothing is."""
        for pattern, facts in (*self.images.items(), *_BUILT_IN_IMAGES.items()):
            if fnmatch.fnmatchcase(image, pattern):
                return facts
        return ImageFacts()


def default_fleet() -> Fleet:
    """Return the fleet that is shipped."""
    source = importlib.resources.files("gpu_spawner.sim") / "data" / "fleet.yaml"
    return parse_fleet(source.read_text(encoding="utf-8"), source="fleet.yaml")


def read_fleet(path: Path) -> Fleet:
    """Read the fleet described in ``path``.

    Raises:
        ConfigError: with every mistake in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(
            [Problem(file=str(path), message=f"cannot be read: {reason}.")]
        ) from error
    return parse_fleet(text, source=str(path))


def parse_fleet(text: str, *, source: str) -> Fleet:
    """Parse a fleet from YAML; ``source`` is what error messages call it.

    Raises:
        ConfigError: with every mistake in it.
    """
    try:
        data, root = load_with_lines(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        message = f"is not YAML: {error.problem}."
        raise ConfigError([Problem(file=source, line=line, message=message)]) from error
    try:
        fleet = Fleet.model_validate(data)
    except pydantic.ValidationError as error:
        raise ConfigError(_problems(error, source, root)) from error
    if problems := list(_disagreements(fleet, source, root)):
        raise ConfigError(problems)
    return fleet


def _problems(
    error: pydantic.ValidationError, source: str, root: yaml.Node | None
) -> Iterator[Problem]:
    for each in error.errors(include_url=False):
        path = [part for part in each["loc"] if part != "[key]"]
        message, cure = _explain(each)
        key = ".".join(str(part) for part in path)
        yield Problem(file=source, line=line_of(root, path), key=key, message=message, cure=cure)


def _explain(error: Any) -> tuple[str, str]:
    kind, text = error["type"], str(error["msg"])
    if kind == "extra_forbidden":
        return "is not a key of a fleet.", "Remove it, or mend its spelling."
    if kind == "missing":
        return "is missing.", "Add it."
    text = text.removeprefix("Value error, ").rstrip(".")
    found = repr(error["input"])
    if found in text:
        return f"{text}.", ""
    if len(found) > 60:
        found = f"{found[:57]}..."
    return f"{text[0].lower()}{text[1:]}, but found {found}.", ""


def _disagreements(fleet: Fleet, source: str, root: yaml.Node | None) -> Iterator[Problem]:
    """Find what each part alone cannot know: names used twice, tenants on nodes that are not."""
    seen: set[str] = set()
    for number, group in enumerate(fleet.nodes):
        for name in group.node_names:
            if name in seen:
                yield Problem(
                    file=source,
                    line=line_of(root, ("nodes", number)),
                    key=f"nodes.{number}.name",
                    message=f"makes a second node named {name!r}.",
                    cure="Give each group a name of its own.",
                )
            seen.add(name)
    for path, pod in _tenant_pods(fleet):
        if pod.node and pod.node not in seen:
            yield Problem(
                file=source,
                line=line_of(root, [*path, "node"]),
                key=".".join(str(part) for part in [*path, "node"]),
                message=f"{pod.node!r} is not a node of this fleet.",
                cure=f"The nodes are: {', '.join(fleet.node_names[:20])}.",
            )


def _tenant_pods(fleet: Fleet) -> Iterator[tuple[Sequence[str | int], TenantPod]]:
    for number, tenant in enumerate(fleet.tenants):
        for position, pod in enumerate(tenant.pods):
            yield ("tenants", number, "pods", position), pod
