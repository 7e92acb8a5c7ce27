"""What a selector can ask about a device.

Decides only which two devices are alike: those with equal facts match the same selectors, so each
is evaluated once for all of them.
Source: k8s.io/dynamic-resource-allocation ``cel/compile.go`` (1.36).
"""

import msgspec

from gpu_spawner.core.cluster.device_objects import AttributeValue, SemanticVersion

__all__ = ["AttributeValue", "DeviceFacts", "SemanticVersion", "qualified"]


class DeviceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A device as CEL sees it.

    Facts that differ only in ``True`` and ``1`` are equal to Python and not to CEL: who keeps
    results by facts must keep the types too.

    Attributes:
        driver: the driver's name.
        allow_multiple_allocations: whether several claims may hold the device.
        attributes: pairs of fully qualified name (``gpu.nvidia.com/type``) and value, ordered by
            name, each name once.
        capacity: pairs of fully qualified name and amount in billionths (``quantity.parse_nano``),
            ordered by name, each name once.
    """

    driver: str
    allow_multiple_allocations: bool = False
    attributes: tuple[tuple[str, AttributeValue], ...] = ()
    capacity: tuple[tuple[str, int], ...] = ()


def qualified(name: str, driver: str) -> str:
    """Return a name with its domain; one without a domain belongs to the driver.

    >>> qualified("type", "gpu.nvidia.com"), qualified("resource.kubernetes.io/pcieRoot", "x")
    ('gpu.nvidia.com/type', 'resource.kubernetes.io/pcieRoot')
    """
    return name if "/" in name else f"{driver}/{name}"
