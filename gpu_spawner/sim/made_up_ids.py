"""The identities of devices that do not exist: the same in every run."""

import uuid
from typing import Final

__all__ = ["gpu_id", "made_up_id"]

# Any fixed namespace will do.
_NAMESPACE: Final = uuid.UUID("6e1f2d0e-5b0f-5a1c-9a43-1f0b8f2f6c11")


def made_up_id(kind: str, node: str, family: str, number: object) -> str:
    """Return the id of a device as NVIDIA's tools spell it; ``kind`` is ``GPU`` or ``MIG``."""
    return f"{kind}-{uuid.uuid5(_NAMESPACE, f'{node}/{family}/{number}')}"


def gpu_id(node: str, number: int) -> str:
    """Return the id of a node's physical GPU, numbered from 0."""
    return made_up_id("GPU", node, "nvidia.com/gpu/", number)
