"""What a kind of GPU is: how its nodes are recognised, and how they hand it out."""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Flavor", "LabelIn", "MigLayout", "Sharing", "Toleration"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class LabelIn:
    """A node label that must have one of these values (``operator: In``)."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Toleration:
    """A Kubernetes toleration; an empty ``effect`` tolerates every effect."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None

    def as_manifest(self) -> dict[str, Any]:
        """Return the Kubernetes object, without the fields that are at their default."""
        manifest: dict[str, Any] = {}
        if self.key:
            manifest["key"] = self.key
        manifest["operator"] = self.operator
        if self.value:
            manifest["value"] = self.value
        if self.effect:
            manifest["effect"] = self.effect
        if self.toleration_seconds is not None:
            manifest["tolerationSeconds"] = self.toleration_seconds
        return manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How the nodes of a flavor hand one GPU to several pods.

    Attributes:
        strategy: ``time-slicing`` or ``mps``, the NVIDIA device plugin's two ways.
        replicas: how many pods share one GPU.
        is_renamed: whether the plugin offers replicas as ``<resource>.shared`` (its
            ``renameByDefault``); otherwise the product label carries ``-SHARED``.
    """

    strategy: str
    replicas: int
    is_renamed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MigLayout:
    """How the nodes of a flavor offer MIG slices.

    Attributes:
        strategy: ``mixed`` (a resource name per MIG profile) or ``single`` (the plain GPU resource
            name means one slice, and the product label says which).
        profiles: the MIG profiles the site's GPUs are cut into; empty when only the nodes know.
    """

    strategy: str = "mixed"
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """A kind of GPU: how its nodes are recognised, and what one GPU is.

    Attributes:
        name: the key in ``flavors.yaml``.
        memory_bytes: of one whole GPU; None where the admin did not say.
        node_labels: what a node must carry to have this GPU, all of them.
        resource: the extended resource of a whole GPU.
        tolerations: beside the vendor's taint, which is always tolerated.
        origin, line: where it was read, for problems found later; line 0 where there are no lines.
    """

    name: str
    display_name: str
    description: str = ""
    architecture: str = ""
    memory_bytes: int | None = None
    node_labels: tuple[LabelIn, ...]
    resource: str = "nvidia.com/gpu"
    tolerations: tuple[Toleration, ...] = ()
    sharing: Sharing | None = None
    mig: MigLayout | None = None
    origin: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)
