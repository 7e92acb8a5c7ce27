"""The ways of getting a share of a GPU, one module each, and the table that names them.

Another mechanism is one more module and one more line in ``MECHANISMS``.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.mechanisms import mig, replica, whole
from gpu_spawner.core.catalog.mechanisms.base import Mechanism, Mistake, PodSide, ShareFacts
from gpu_spawner.core.catalog.model import Share

__all__ = [
    "MECHANISMS",
    "Mechanism",
    "Mistake",
    "PodSide",
    "ShareFacts",
    "describe_share",
    "find_mistake",
    "parse_share",
    "pod_side_of",
    "share_json_schema",
]

MECHANISMS: Final[Mapping[str, Mechanism]] = MappingProxyType(
    {module.NAME: module for module in (whole, mig, replica)}
)


def parse_share(raw: object) -> tuple[Share, ...]:
    """Read a profile's ``share``: a mechanism's name, or a mapping from it to its value.

    Raises:
        ValueError: with a sentence that says what was found and what is allowed.
    """
    name: object
    value: object
    if isinstance(raw, str):
        name, value = raw, None
    elif isinstance(raw, dict) and len(raw) == 1:
        name, value = next(iter(raw.items()))
    elif isinstance(raw, dict):
        raise ValueError(f"got {len(raw)} keys; exactly one is allowed of {_allowed()}")
    else:
        raise ValueError(f"got {raw!r:.60}; allowed: {_allowed()}")
    mechanism = MECHANISMS.get(name) if isinstance(name, str) else None
    if mechanism is None:
        raise ValueError(f"got {name!r:.60}, which this version cannot give; allowed: {_allowed()}")
    return mechanism.parse(value)


def _allowed() -> str:
    return "whole, {mig: [...]}, {replica: 1}"


def share_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a profile's ``share``."""
    return {"oneOf": [mechanism.json_schema() for mechanism in MECHANISMS.values()]}


def find_mistake(flavor: Flavor, share: Share, count: int) -> Mistake | None:
    """Return why this share of this flavor can never work on any cluster, or None."""
    return MECHANISMS[share.mechanism].mistake(flavor, share, count)


def pod_side_of(flavor: Flavor, share: Share, count: int) -> PodSide:
    """Return what goes into the pod for ``count`` of a share of a flavor."""
    return MECHANISMS[share.mechanism].pod_side(flavor, share, count)


def describe_share(flavor: Flavor, share: Share) -> ShareFacts:
    """Say what one of a share of a flavor means."""
    return MECHANISMS[share.mechanism].describe(flavor, share)
