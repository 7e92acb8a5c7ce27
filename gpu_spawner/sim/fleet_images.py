"""What a fleet file says about images: how big they are, and how registries answer for them."""

from collections.abc import Mapping
from typing import Annotated

import pydantic

from gpu_spawner.sim.fleet_fields import Bytes, Strict

__all__ = ["ImageFacts"]

# What is on a node's disk besides the compressed layers: measured images unpack to about 2.3 times
# the bytes that were pulled.
_UNPACKED_TENTHS = 23


class ImageFacts(Strict):
    """What the cluster knows about the images that match one pattern.

    Attributes:
        size: what a pull moves where no image that shares layers is there.
        layers: sizes by name; layers of one name are the same layer. They replace ``size``.
        unpacked: what the image takes on a node's disk besides what was pulled.
        digest: what the reference leads to at present; made up from the name if empty.
        command: what a container runs that names no command of its own; empty starts no process,
            the container then merely counts as running.
        has_shell: whether the image has programs that a pod's command could name.
        is_missing: a pull fails, as of an image that no registry has.
        is_denied: a pull fails whatever the pod presents, as of somebody else's image.
        login: ``user:password`` that a pull secret has to present; empty for a public image.
        is_throttled: a pull fails, as beyond a registry's limit (429).
        is_unreachable: a pull fails, as from a registry that does not answer.
        bandwidth: bytes a second that the registry gives to one pull; None sets no limit.
    """

    size: Bytes = 2_000_000_000
    layers: dict[str, Bytes] = pydantic.Field(default={})
    unpacked: Bytes | None = None
    digest: Annotated[str, pydantic.Field(pattern=r"^(sha256:[0-9a-f]{64})?$")] = ""
    command: tuple[str, ...] | None = None
    has_shell: bool = pydantic.Field(default=True, alias="shell")
    is_missing: bool = pydantic.Field(default=False, alias="missing")
    is_denied: bool = pydantic.Field(default=False, alias="denied")
    login: Annotated[str, pydantic.Field(pattern=r"^([^:]+:.+)?$")] = ""
    is_throttled: bool = pydantic.Field(default=False, alias="throttled")
    is_unreachable: bool = pydantic.Field(default=False, alias="unreachable")
    bandwidth: Bytes | None = None

    @property
    def pulled_bytes(self) -> int:
        """The size of all layers, compressed."""
        return sum(self.layers.values()) if self.layers else self.size

    @property
    def unpacked_bytes(self) -> int:
        """What the image takes besides its compressed layers."""
        if self.unpacked is not None:
            return self.unpacked
        return self.pulled_bytes * _UNPACKED_TENTHS // 10

    def layers_of(self, digest: str) -> Mapping[str, int]:
        """Return the sizes of the layers by name; those of an image by itself are its own."""
        return self.layers or {digest: self.size}
