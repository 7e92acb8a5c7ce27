"""The description of a simulated GPU cluster: node groups, tenants, images.

A fleet is a YAML file (``gpu-spawner demo --cluster FILE``); the one that is shipped is
``data/fleet.yaml``, which explains every key. This module reads it and reports all mistakes at
once, each with its line; what the nodes and pods look like in the API is ``fleet_objects``' matter.
"""

import fnmatch
import importlib.resources
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml

from gpu_spawner.core.errors import ConfigError, Problem
from gpu_spawner.core.quantity import parse_bytes, parse_cpu_milli
from gpu_spawner.sim.yaml_lines import line_of, load_with_lines

__all__ = [
    "Fleet",
    "Gpu",
    "ImageFacts",
    "ImageOnNodes",
    "NodeGroup",
    "Taint",
    "Tenant",
    "TenantPod",
    "default_fleet",
    "parse_fleet",
    "read_fleet",
]

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_MIG_PROFILE = re.compile(r"[1-7]g\.[1-9][0-9]*gb([.-][a-z.]+)?")


def _check_bytes(value: Any) -> int:
    return parse_bytes(value)


def _check_quantity(value: Any) -> str:
    parse_bytes(value)
    return str(value)


def _check_cpu(value: Any) -> str:
    parse_cpu_milli(value)
    return str(value)


def _check_name(value: str) -> str:
    if not _DNS_LABEL.fullmatch(value):
        raise ValueError("must be lower-case letters, digits and dashes, at most 63")
    return value


def _check_mig_profile(value: str) -> str:
    if not _MIG_PROFILE.fullmatch(value):
        raise ValueError("must be a MIG profile such as 1g.10gb")
    return value


Bytes = Annotated[int, pydantic.BeforeValidator(_check_bytes)]
Quantity = Annotated[str, pydantic.BeforeValidator(_check_quantity)]
Cpu = Annotated[str, pydantic.BeforeValidator(_check_cpu)]
Name = Annotated[str, pydantic.AfterValidator(_check_name)]
MigProfile = Annotated[str, pydantic.AfterValidator(_check_mig_profile)]
Count = Annotated[int, pydantic.Field(ge=0, le=10_000, strict=True)]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class ImageFacts(_Strict):
    """What the cluster knows about the images that match one pattern.

    Attributes:
        size: what a pull moves.
        command: what a container runs that names no command of its own; empty starts no process,
            the container then merely counts as running.
        is_missing: a pull fails, as of an image that no registry has.
    """

    size: Bytes = 2_000_000_000
    command: tuple[str, ...] | None = None
    is_missing: bool = pydantic.Field(default=False, alias="missing")


# What pod sandboxes are made of, and tenants here: it weighs nothing and does nothing.
_BUILT_IN_IMAGES = {"*/pause:*": ImageFacts(size=320_000, command=())}


class Taint(_Strict):
    """A node taint."""

    key: str = pydantic.Field(min_length=1)
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class Gpu(_Strict):
    """The GPUs of one node, from which its labels and its extended resources follow.

    Attributes:
        product: as GPU feature discovery spells it, without any suffix for sharing.
        count: physical GPUs.
        memory_mib: of one GPU.
        replicas: how many pods share a GPU by time-slicing; 1 means none.
        mig: slices by MIG profile over the whole node (MIG strategy "mixed").
        mig_gpus: how many of the GPUs are cut into these slices; the others are offered whole.
        device_plugin: whether the NVIDIA device plugin offers them as extended resources; without
            it the node has the labels only (its GPUs are for Dynamic Resource Allocation).
    """

    product: str = pydantic.Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,40}[A-Za-z0-9])?$")
    family: str
    compute: str = pydantic.Field(pattern=r"^\d+\.\d+$")
    count: Annotated[int, pydantic.Field(ge=1, le=64, strict=True)]
    memory_mib: Annotated[int, pydantic.Field(ge=1, strict=True)]
    driver: str = pydantic.Field(default="580.95.05", pattern=r"^\d+\.\d+(\.\d+)?$")
    cuda: str = pydantic.Field(default="13.0", pattern=r"^\d+\.\d+$")
    replicas: Annotated[int, pydantic.Field(ge=1, le=64, strict=True)] = 1
    mig: dict[MigProfile, Count] = {}
    mig_gpus: Count = 0
    device_plugin: bool = True

    @pydantic.model_validator(mode="after")
    def _agree(self) -> "Gpu":
        if self.mig_gpus > self.count:
            raise ValueError(f"mig_gpus is {self.mig_gpus}, but there are {self.count} GPUs")
        if bool(self.mig) != bool(self.mig_gpus):
            raise ValueError("mig and mig_gpus go together")
        if self.mig and self.replicas > 1:
            raise ValueError("a node has either MIG slices or time-sliced replicas")
        return self


class ImageOnNodes(_Strict):
    """An image that only some nodes of a group have.

    Attributes:
        only: the numbers of these nodes.
    """

    image: str
    only: tuple[Annotated[int, pydantic.Field(ge=1, strict=True)], ...]


class NodeGroup(_Strict):
    """Nodes that are alike; they are named ``<name>-1``, ``<name>-2`` and so on.

    Attributes:
        pull_bandwidth: bytes a second one node can pull, shared by its pulls.
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
    resources: dict[str, Count] = {}
    labels: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()
    is_cordoned: bool = pydantic.Field(default=False, alias="cordoned")
    pull_bandwidth: Bytes = 1_000_000_000
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


class TenantPod(_Strict):
    """Pods of somebody else that hold resources of one node; no process is started for them.

    Attributes:
        node: the node they sit on; empty lets the scheduler choose.
    """

    name: Name
    count: Annotated[int, pydantic.Field(ge=1, le=1000, strict=True)] = 1
    node: str = ""
    cpu: Cpu = "1"
    memory: Quantity = "1Gi"
    resources: dict[str, Count] = {}
    labels: dict[str, str] = {}


class Tenant(_Strict):
    """A namespace of somebody else and its pods."""

    namespace: Name
    pods: tuple[TenantPod, ...] = ()


class Fleet(_Strict):
    """A cluster to simulate.

    Attributes:
        kubelet_version: what the nodes report.
        default_command: what a container runs whose image has no command of its own.
        images: facts by pattern (``*`` matches anything); the first that matches counts.
    """

    kubelet_version: str = pydantic.Field(default="v1.36.2", pattern=r"^v\d+\.\d+\.\d+$")
    default_command: tuple[str, ...] = ("jupyterhub-singleuser",)
    images: dict[str, ImageFacts] = {}
    nodes: tuple[NodeGroup, ...] = pydantic.Field(min_length=1)
    tenants: tuple[Tenant, ...] = ()

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

    def command_of(self, image: str) -> tuple[str, ...]:
        """Return what ``image`` starts by itself; empty where no process is to be started."""
        command = self.image_facts(image).command
        return self.default_command if command is None else command


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
