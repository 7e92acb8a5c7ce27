"""Device classes and rules that taint devices, with only the fields decisions need.

Which devices a class means, and which a rule taints, is for :mod:`gpu_spawner.core.devices`.
Source of the shapes: k8s.io/api ``resource/v1/types.go`` (1.36).
"""

from collections.abc import Sequence

import msgspec

from gpu_spawner.core.cluster.device_objects import build_taint, required_name, share
from gpu_spawner.core.cluster.device_wire import (
    WireClass,
    WireClassSpec,
    WireConfig,
    WireSelector,
    WireTaintRule,
    WireTaintRuleSpec,
    WireTaintSelector,
)
from gpu_spawner.core.cluster.selectors import Taint
from gpu_spawner.core.cluster.wire import WireTaint

__all__ = [
    "DeviceClass",
    "DeviceConfig",
    "DeviceTaintRule",
    "build_class",
    "build_taint_rule",
    "configs",
    "expressions",
]


class DeviceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Configuration for a driver: which requests it is for, and its parameters as JSON."""

    requests: tuple[str, ...] = ()
    driver: str = ""
    parameters: bytes = b"null"


class DeviceClass(msgspec.Struct, frozen=True, kw_only=True):
    """A class of devices.

    Attributes:
        selectors: CEL expressions, all of which a device must satisfy.
        extended_resource: the extended resource it stands behind; empty for none.
        created: unix seconds, 0 where unknown; of two classes behind one resource the newer wins.
    """

    name: str
    selectors: tuple[str, ...] = ()
    config: tuple[DeviceConfig, ...] = ()
    extended_resource: str = ""
    created: float = 0.0

    @property
    def key(self) -> str:
        """The name."""
        return self.name


class DeviceTaintRule(msgspec.Struct, frozen=True, kw_only=True):
    """A taint that an admin puts on devices; an empty driver, pool or device means any."""

    name: str
    driver: str = ""
    pool: str = ""
    device: str = ""
    taint: Taint

    @property
    def key(self) -> str:
        """The name."""
        return self.name


def build_class(wire: WireClass) -> DeviceClass:
    """Build a device class from its wire form.

    Raises:
        ValueError: the name is missing.
    """
    spec = wire.spec or WireClassSpec()
    created = wire.metadata.creation_timestamp if wire.metadata else None
    return DeviceClass(
        name=required_name(wire.metadata),
        selectors=expressions(spec.selectors),
        config=configs(spec.config),
        extended_resource=spec.extended_resource_name or "",
        created=created.timestamp() if created else 0.0,
    )


def build_taint_rule(wire: WireTaintRule) -> DeviceTaintRule:
    """Build a taint rule from its wire form.

    Raises:
        ValueError: the name is missing.
    """
    spec = wire.spec or WireTaintRuleSpec()
    selector = spec.device_selector or WireTaintSelector()
    return DeviceTaintRule(
        name=required_name(wire.metadata),
        driver=selector.driver or "",
        pool=selector.pool or "",
        device=selector.device or "",
        taint=build_taint(spec.taint or WireTaint()),
    )


def expressions(selectors: Sequence[WireSelector] | None) -> tuple[str, ...]:
    """Return the CEL expressions of selectors; one of another kind is an empty expression."""
    return share(
        tuple([(entry.cel.expression if entry.cel else "") or "" for entry in selectors or ()])
    )


def configs(entries: Sequence[WireConfig] | None) -> tuple[DeviceConfig, ...]:
    """Return the configuration entries of a class or a claim."""
    return tuple(
        [
            DeviceConfig(
                requests=tuple(entry.requests or ()),
                driver=entry.opaque.driver or "",
                parameters=bytes(entry.opaque.parameters) or b"null",
            )
            for entry in entries or ()
            if entry.opaque is not None
        ]
    )
