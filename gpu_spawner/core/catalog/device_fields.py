"""The values that claims for devices are written in: classes, drivers, attributes, selectors."""

import re
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema

from gpu_spawner.core.catalog.device_selectors import ATTRIBUTE_PATTERN
from gpu_spawner.core.catalog.fields import complain, matching
from gpu_spawner.core.catalog.mechanisms import MECHANISMS
from gpu_spawner.core.devices.cel import (
    SelectorError,
    SelectorUnsupportedError,
    compile_selector,
)
from gpu_spawner.core.quantity import parse_nano
from gpu_spawner.core.wording import did_you_mean, quoted

__all__ = [
    "AttributeScalar",
    "CapacityAmount",
    "CapacityName",
    "DeviceAttribute",
    "DriverName",
    "ExtraAmount",
    "ExtraName",
    "FullAttributeName",
    "MechanismName",
    "RequestName",
    "Selector",
    "SubdomainName",
]

_SUBDOMAIN: Final = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_MAX_SELECTOR_BYTES: Final = 10 * 1024
_HUGE_PAGES: Final = re.compile(r"hugepages-(?P<size>[1-9][0-9]*[KMG]i)", re.ASCII)


def _selector(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise complain(f"got {quoted(value)}; a CEL expression is expected")
    if len(value.encode()) > _MAX_SELECTOR_BYTES:
        raise complain("is longer than 10 KiB, the most that Kubernetes takes", "Split it.")
    try:
        compile_selector(value.strip())
    except SelectorError as error:
        raise complain(str(error)[:300], "Try it with kubectl --dry-run=server.") from error
    except SelectorUnsupportedError:
        pass  # the API server may well take it; its seats are unknown, which offers say
    return value.strip()


def _scalar(value: Any) -> str | int | bool:
    if isinstance(value, str) and 0 < len(value) <= 64 and value.isprintable():
        return value
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    raise complain(
        f"got {quoted(value)}; a text of at most 64 characters, a whole number, or true or false "
        "is expected"
    )


def _amount(value: Any) -> str:
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    try:
        nano = parse_nano(text)
    except ValueError:
        nano = -1
    if nano < 0:
        raise complain(f"got {quoted(value)}; an amount such as 10Gi is expected")
    return text


def _extra_amount(value: Any) -> int:
    nano = parse_nano(_amount(value))
    if nano <= 0 or nano % 10**9:
        raise complain(f"got {quoted(value)}; a whole amount such as 9500Mi is expected")
    return nano // 10**9


def _mechanism(value: Any) -> str:
    if isinstance(value, str) and value in MECHANISMS:
        return value
    guess = did_you_mean(value, list(MECHANISMS))
    raise complain(f"got {quoted(value)}; allowed: {', '.join(MECHANISMS)}", guess)


def _extra_name(value: Any) -> str:
    """Take huge pages and extended resources: what a container must limit as it requests it."""
    is_named = isinstance(value, str) and (
        _HUGE_PAGES.fullmatch(value) or re.fullmatch(rf"{_SUBDOMAIN}/[A-Za-z0-9._-]{{1,63}}", value)
    )
    if not is_named:
        raise complain(
            f"got {quoted(value)}; a resource such as hugepages-2Mi or example.com/nic is expected"
        )
    return str(value)


SubdomainName = Annotated[
    str,
    PlainValidator(matching(_SUBDOMAIN, "a name such as gpu.nvidia.com", max_length=253)),
    WithJsonSchema({"type": "string"}),
]
DriverName = Annotated[
    str,
    PlainValidator(matching(_SUBDOMAIN, "a driver such as gpu.nvidia.com", max_length=63)),
    WithJsonSchema({"type": "string"}),
]
DeviceAttribute = Annotated[
    str,
    PlainValidator(matching(ATTRIBUTE_PATTERN, "an attribute such as productName", max_length=96)),
    WithJsonSchema({"type": "string", "pattern": ATTRIBUTE_PATTERN}),
]
FullAttributeName = Annotated[
    str,
    PlainValidator(
        matching(
            rf"{_SUBDOMAIN}/[A-Za-z_][A-Za-z0-9_]{{0,31}}",
            "an attribute with its domain, such as resource.kubernetes.io/pcieRoot",
            max_length=96,
        )
    ),
    WithJsonSchema({"type": "string"}),
]
CapacityName = Annotated[
    str,
    PlainValidator(matching(ATTRIBUTE_PATTERN, "a capacity such as memory", max_length=96)),
    WithJsonSchema({"type": "string", "pattern": ATTRIBUTE_PATTERN}),
]
RequestName = Annotated[
    str,
    PlainValidator(matching(_LABEL, "a name of small letters, digits and dashes", max_length=63)),
    WithJsonSchema({"type": "string"}),
]
AttributeScalar = Annotated[
    str | int | bool,
    PlainValidator(_scalar),
    WithJsonSchema({"type": ["string", "integer", "boolean"]}),
]
CapacityAmount = Annotated[
    str, PlainValidator(_amount), WithJsonSchema({"type": ["string", "integer"]})
]
ExtraAmount = Annotated[
    int, PlainValidator(_extra_amount), WithJsonSchema({"type": ["string", "integer"]})
]
ExtraName = Annotated[str, PlainValidator(_extra_name), WithJsonSchema({"type": "string"})]
Selector = Annotated[str, PlainValidator(_selector), WithJsonSchema({"type": "string"})]
MechanismName = Annotated[
    str, PlainValidator(_mechanism), WithJsonSchema({"enum": list(MECHANISMS)})
]
