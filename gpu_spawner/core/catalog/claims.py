"""Claims for devices: what a pod asks of Dynamic Resource Allocation, and under which name.

A ``DeviceWish`` is what one flavor wants of a claim. ``template_for`` makes of one wish, or of
several in the order in which they are to be tried, the ``ResourceClaimSpec`` of
``resource.k8s.io/v1``. A template's name is made of its contents: equal wishes share one template
and a changed wish never meets an old one.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gpu_spawner.core.catalog.flavors import DeviceConfig, DeviceConstraint, Toleration

__all__ = [
    "CLAIM_NAME",
    "MAX_ALTERNATIVES",
    "MAX_DEVICES",
    "NOTEBOOK",
    "ClaimTemplate",
    "DeviceWish",
    "PodClaim",
    "are_alternatives",
    "is_template_name",
    "template_for",
    "template_of",
]

CLAIM_NAME: Final = "gpu"
"""The notebook's claim inside its pod, and the request inside that claim."""

NOTEBOOK: Final = "notebook"
"""The name KubeSpawner gives the container of the notebook server."""

MAX_ALTERNATIVES: Final = 8
"""Sub-requests of ``firstAvailable`` (k8s.io/api resource/v1)."""

MAX_DEVICES: Final = 32
"""Devices one claim can be given (k8s.io/api resource/v1)."""

_MAX_PARTS: Final = 32
"""Constraints of a claim, and configs of a claim (k8s.io/api resource/v1)."""

_PREFIX: Final = "gpu-spawner-"
_NAME: Final = re.compile(rf"{_PREFIX}[0-9a-f]{{16}}", re.ASCII)
_UNFIT: Final = re.compile(r"[^a-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceWish:
    """What one flavor asks of a claim.

    Attributes:
        name: of the flavor; it names the alternative where a claim has several.
        device_class: the DeviceClass.
        selectors: CEL expressions a device must satisfy, all of them.
        count: how many devices.
        capacity: (name, quantity) pairs of each device to consume; empty for all of it.
        tolerations: of device taints.
        constraints: what the devices must have in common, or not, where there are several.
        configs: opaque parameters for drivers.
        spec: the whole claim as an admin wrote it; everything else is unused where it is set.
    """

    name: str = ""
    device_class: str = ""
    selectors: tuple[str, ...] = ()
    count: int = 1
    capacity: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    constraints: tuple[DeviceConstraint, ...] = ()
    configs: tuple[DeviceConfig, ...] = ()
    spec: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTemplate:
    """A ``ResourceClaimTemplate``: its name, and the ``ResourceClaimSpec`` it stands for."""

    name: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodClaim:
    """An entry of a pod's ``resourceClaims``, and who uses it.

    Attributes:
        name: local to the pod.
        template: what the claim is made from.
        containers: the containers that get all of its devices, by name.
    """

    name: str
    template: ClaimTemplate
    containers: tuple[str, ...] = (NOTEBOOK,)


@dataclass(slots=True)
class _Parts:
    """The lists of a claim spec beside its one request."""

    constraints: list[dict[str, Any]] = field(default_factory=list)
    config: list[dict[str, Any]] = field(default_factory=list)


def are_alternatives(wishes: Sequence[DeviceWish]) -> bool:
    """Tell whether one claim can ask for whichever of these wishes can be met first.

    What an admin wrote as a whole claim is an alternative to nothing: ``firstAvailable`` chooses
    within one request, not between claims.
    """
    parts = [_parts_of(wish, CLAIM_NAME) for wish in wishes]
    return (
        1 <= len(wishes) <= MAX_ALTERNATIVES
        and all(wish.spec is None for wish in wishes)
        and sum(len(one.constraints) for one in parts) <= _MAX_PARTS
        and sum(len(one.config) for one in parts) <= _MAX_PARTS
    )


def template_for(wishes: Sequence[DeviceWish]) -> ClaimTemplate:
    """Return the template for one wish, or for whichever of several can be met first.

    Raises:
        ValueError: there are no wishes, or more than a claim may list.
    """
    if not 1 <= len(wishes) <= MAX_ALTERNATIVES:
        raise ValueError(f"a claim has 1 to {MAX_ALTERNATIVES} alternatives, not {len(wishes)}")
    if wishes[0].spec is not None:
        return template_of(wishes[0].spec)
    parts = _Parts()
    request: dict[str, Any] = {"name": CLAIM_NAME}
    if len(wishes) == 1:
        request["exactly"] = {"allocationMode": "ExactCount", **_asked(wishes[0])}
        parts = _parts_of(wishes[0], CLAIM_NAME)
    else:
        names = _distinct_names([wish.name for wish in wishes])
        request["firstAvailable"] = [
            {"name": name, "allocationMode": "ExactCount", **_asked(wish)}
            for name, wish in zip(names, wishes, strict=True)
        ]
        for name, wish in zip(names, wishes, strict=True):
            own = _parts_of(wish, f"{CLAIM_NAME}/{name}")
            parts.constraints += own.constraints
            parts.config += own.config
    devices: dict[str, Any] = {"requests": [request]}
    if parts.constraints:
        devices["constraints"] = parts.constraints
    if parts.config:
        devices["config"] = parts.config
    return template_of({"devices": devices})


def template_of(spec: Mapping[str, Any]) -> ClaimTemplate:
    """Name a claim spec by its contents: the same for equal specs, in whatever order they are."""
    text = json.dumps(_plain(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return ClaimTemplate(name=f"{_PREFIX}{digest}", spec=json.loads(text))


def is_template_name(name: str) -> bool:
    """Tell whether a template has a name of the form that ``template_of`` gives.

    >>> is_template_name("gpu-spawner-0123456789abcdef"), is_template_name("gpu-spawner-mine")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _asked(wish: DeviceWish) -> dict[str, Any]:
    """Write what ``exactly`` and a sub-request have in common."""
    asked: dict[str, Any] = {"deviceClassName": wish.device_class, "count": wish.count}
    if wish.selectors:
        asked["selectors"] = [{"cel": {"expression": text}} for text in wish.selectors]
    if wish.capacity:
        asked["capacity"] = {"requests": dict(wish.capacity)}
    if wish.tolerations:
        asked["tolerations"] = [one.as_manifest() for one in wish.tolerations]
    return asked


def _parts_of(wish: DeviceWish, request: str) -> _Parts:
    # One device has everything in common with itself.
    constraints = wish.constraints if wish.count > 1 else ()
    return _Parts(
        constraints=[one.as_manifest([request]) for one in constraints],
        config=[one.as_manifest([request]) for one in wish.configs],
    )


def _distinct_names(names: Iterable[str]) -> list[str]:
    """Turn flavors' names into names that Kubernetes takes for requests: DNS labels, distinct."""
    found: list[str] = []
    for name in names:
        plain = _UNFIT.sub("-", name.lower()).strip("-") or CLAIM_NAME
        distinct, number = plain, 2
        while distinct in found:
            distinct, number = f"{plain}-{number}", number + 1
        found.append(distinct)
    return found
