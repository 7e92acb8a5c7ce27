"""CEL for device claims, written from checked values only.

An attribute that a device does not have is an error in CEL, and an error stops the allocation of
the whole pod, not only of that device (k8s.io/dynamic-resource-allocation, ``cel/compile.go``). So
every attribute and capacity is asked for before it is read; a domain nobody has is an empty map
there.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from gpu_spawner.core.quantity import format_bytes

__all__ = [
    "ATTRIBUTE_PATTERN",
    "AttributeScalar",
    "attribute_selector",
    "capacity_selector",
    "split_attribute",
]

ATTRIBUTE_PATTERN: Final = r"^([a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?/)?[A-Za-z_][A-Za-z0-9_]{0,31}$"
"""A device attribute, with or without its domain (k8s.io/api resource/v1, QualifiedName)."""

AttributeScalar = str | int | bool
"""What an attribute is compared with."""

_KEYWORDS: Final = (
    "as break const continue else false for function if import in let loop namespace null package "
    "return true var void while"
)
_RESERVED: Final = frozenset(_KEYWORDS.split())
_UNSAFE: Final = re.compile(r'["\\]')


def attribute_selector(driver: str, attribute: str, values: Sequence[AttributeScalar]) -> str:
    """Return the expression that a device has an attribute with one of these values.

    >>> attribute_selector("gpu.nvidia.com", "profile", ["1g.10gb"])[:58]
    '"profile" in device.attributes["gpu.nvidia.com"] && device'
    """
    domain, name = split_attribute(attribute, driver)
    read = _member(f'device.attributes["{domain}"]', name)
    literals = [_literal(value) for value in values]
    test = f"== {literals[0]}" if len(literals) == 1 else f"in [{', '.join(literals)}]"
    return f'"{name}" in device.attributes["{domain}"] && {read} {test}'


def capacity_selector(driver: str, capacity: str, least_bytes: int) -> str:
    """Return the expression that a device has at least this much of a capacity."""
    domain, name = split_attribute(capacity, driver)
    read = _member(f'device.capacity["{domain}"]', name)
    amount = f'quantity("{format_bytes(least_bytes)}")'
    return f'"{name}" in device.capacity["{domain}"] && {read}.compareTo({amount}) >= 0'


def split_attribute(attribute: str, driver: str) -> tuple[str, str]:
    """Return domain and name; one without a domain belongs to the driver."""
    domain, slash, name = attribute.rpartition("/")
    return (domain, name) if slash else (driver, name)


def _member(mapping: str, name: str) -> str:
    return f'{mapping}["{name}"]' if name in _RESERVED else f"{mapping}.{name}"


def _literal(value: AttributeScalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return f'"{"".join(_escaped(value))}"'


def _escaped(text: str) -> Iterator[str]:
    for character in text:
        if _UNSAFE.match(character):
            yield f"\\{character}"
        elif character.isprintable() and character != "`":  # newer versions read that as a name
            yield character
        else:
            yield f"\\U{ord(character):08x}"
