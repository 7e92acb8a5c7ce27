"""The values a catalog file is written in: names, sizes, amounts, labels.

Each type reads one value from configuration into what the core computes with, says what was found
and what is allowed when it cannot, and tells editors through JSON Schema.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import AfterValidator, PlainValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.catalog.own_images import find_pattern_mistake
from gpu_spawner.core.catalog.shares import parse_share, share_json_schema
from gpu_spawner.core.quantity import parse_bytes, parse_cpu_milli
from gpu_spawner.core.wording import quoted

__all__ = [
    "NAME_PATTERN",
    "Bytes",
    "Count",
    "CpuMilli",
    "CudaVersion",
    "Duration",
    "GroupName",
    "ImagePattern",
    "ImageReference",
    "LabelKey",
    "LabelValue",
    "LongText",
    "Name",
    "ResourceName",
    "Shares",
    "Text",
    "Wait",
    "check_name",
    "complain",
    "matching",
    "read_image_reference",
]

NAME_PATTERN: Final = r"^[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?$"
"""Names of flavors and images. They end up in pod labels, links and keys."""

_NAME: Final = re.compile(NAME_PATTERN, re.ASCII)
_NAME_EXPECTED: Final = "a name of at most 40 small letters, digits, dots and dashes is expected"
_MIN_MEMORY_BYTES: Final = 2**20
_MAX_COUNT: Final = 128
_SIZE: Final = re.compile(r"([0-9.]+) ?([kKMGTPE]i?)?B?", re.ASCII)
_VERSION: Final = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})(\.[0-9]+)*", re.ASCII)
_WAIT: Final = re.compile(r"(?:([0-9]{1,3})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,6})s)?", re.ASCII)
_MAX_WAIT: Final = 7 * 86400
_DURATION: Final = re.compile(r"(?:([0-9]{1,3})d)?(?:([0-9]{1,4})h)?(?:([0-9]{1,6})m)?", re.ASCII)
_MIN_DURATION: Final = 600
"""Servers tell the hub every five minutes that they are used: less cannot be told from idle."""
_MAX_DURATION: Final = 366 * 86400
_LABEL_NAME: Final = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_DNS_SUBDOMAIN: Final = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"

# The reference grammar of the OCI distribution spec and github.com/distribution/reference.
_PATH_PART: Final = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_IMAGE_PATTERN: Final = (
    rf"^([A-Za-z0-9.-]+(:[0-9]+)?/)?{_PATH_PART}(/{_PATH_PART})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[a-f0-9]{64})?$"
)


def complain(message: str, cure: str = "") -> PydanticCustomError:
    """Make the error that becomes a ``Problem`` with this message and cure."""
    return PydanticCustomError("gpu_spawner", "{message}", {"message": message, "cure": cure})


def check_name(name: str) -> str | None:
    """Return why this cannot name a flavor or an image, or None."""
    if _NAME.fullmatch(name):
        return None
    return f"got {quoted(name)}; {_NAME_EXPECTED}"


def _checked(check: Callable[[Any], Any]) -> PlainValidator:
    """Turn a function that raises ValueError into a validator of ours."""

    def validate(value: Any) -> Any:
        try:
            return check(value)
        except ValueError as error:
            raise complain(str(error)) from error

    return PlainValidator(validate)


def _printable(text: str) -> str:
    if not all(character.isprintable() or character == "\n" for character in text):
        raise complain(f"got {quoted(text)}, which has control characters", "Remove them.")
    return text


def matching(pattern: str, what: str, *, max_length: int) -> Callable[[Any], str]:
    """Make a check that a value is a text of this form; ``what`` says what is expected."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: Any) -> str:
        if not isinstance(value, str):
            hint = " in quotes" if isinstance(value, (int, float)) else ""
            raise complain(
                f"got {quoted(value)}; {what} is expected", f"Write a text{hint}." if hint else ""
            )
        if len(value) > max_length or not compiled.fullmatch(value):
            raise complain(f"got {quoted(value)}; {what} is expected")
        return value

    return check


def _bytes(value: Any) -> int:
    """Read an amount of memory: Kubernetes' forms, and "80GB" as people write it."""
    text = value
    if isinstance(value, str):
        size = _SIZE.fullmatch(value)
        if size is not None:
            # Kubernetes writes a decimal kilo as "k".
            text = size.group(1) + (size.group(2) or "").replace("K", "k").replace("ki", "Ki")
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise complain(f"got {quoted(value)}; an amount such as 64Gi is expected")
    try:
        amount = parse_bytes(text)
    except (ValueError, OverflowError) as error:
        raise complain(f"got {quoted(value)}; an amount such as 64Gi is expected") from error
    if amount < _MIN_MEMORY_BYTES:
        raise complain(
            f"got {quoted(value)}, which is {amount} bytes; an amount such as 64Gi is expected",
            "Add the unit: Mi, Gi or Ti.",
        )
    return amount


def _cpu_milli(value: Any) -> int:
    expected = "a number of CPUs such as 8, 0.5 or 500m is expected"
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise complain(f"got {quoted(value)}; {expected}")
    try:
        milli = parse_cpu_milli(value)
    except (ValueError, OverflowError) as error:
        raise complain(f"got {quoted(value)}; {expected}") from error
    if not 0 < milli <= 10**7:
        raise complain(f"got {quoted(value)}; {expected}")
    return milli


def _count(value: Any) -> int:
    if isinstance(value, float) and 0 < value < 1:
        raise complain(
            f"got {value!r}; a device plugin's GPU cannot be asked for in fractions",
            "For a part of a GPU use share: {mig: [...]} or share: {replica: 1}.",
        )
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_COUNT:
        raise complain(f"got {quoted(value)}; a whole number from 1 to {_MAX_COUNT} is expected")
    return value


def _duration(value: Any) -> int:
    found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if found is None:
        raise complain(
            f"got {quoted(value)}; a duration such as 12h, 90m or 7d is expected",
            "Add the unit: m, h or d." if isinstance(value, int) else "",
        )
    days, hours, minutes = (int(number or 0) for number in found.groups())
    seconds = ((days * 24 + hours) * 60 + minutes) * 60
    if not _MIN_DURATION <= seconds <= _MAX_DURATION:
        raise complain(f"got {quoted(value)}; from 10m to 366d is expected")
    return seconds


def _wait(value: Any) -> int:
    found = _WAIT.fullmatch(value) if isinstance(value, str) and value else None
    if isinstance(value, int) and not isinstance(value, bool) and value == 0:
        return 0
    if found is None:
        raise complain(
            f"got {quoted(value)}; a time such as 30m, 2h or 90s is expected, or 0",
            "Add the unit: s, m or h." if isinstance(value, int) else "",
        )
    hours, minutes, seconds = (int(number or 0) for number in found.groups())
    total = (hours * 60 + minutes) * 60 + seconds
    if total > _MAX_WAIT:
        raise complain(f"got {quoted(value)}; at most 7 days (168h) is expected")
    return total


def _image_pattern(value: Any) -> str:
    mistake = find_pattern_mistake(value) if isinstance(value, str) else "a text is expected"
    if mistake:
        raise complain(mistake)
    return str(value)


def _cuda_version(value: Any) -> tuple[int, int]:
    version = _VERSION.fullmatch(value) if isinstance(value, str) else None
    if version is None:
        raise complain(
            f"got {quoted(value)}; a version such as '12.4' is expected",
            "" if isinstance(value, str) else "Put it in quotes.",
        )
    return int(version.group(1)), int(version.group(2))


Text = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
LongText = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_printable)]

Name = Annotated[
    str,
    PlainValidator(
        matching(NAME_PATTERN, _NAME_EXPECTED.removesuffix(" is expected"), max_length=40)
    ),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN}),
]
GroupName = Annotated[
    str, StringConstraints(min_length=1, max_length=255), AfterValidator(_printable)
]
LabelKey = Annotated[
    str,
    PlainValidator(
        matching(
            rf"({_DNS_SUBDOMAIN}/)?{_LABEL_NAME}",
            "a label key such as nvidia.com/gpu.product",
            max_length=317,
        )
    ),
    WithJsonSchema({"type": "string"}),
]
LabelValue = Annotated[
    str,
    PlainValidator(
        matching(
            rf"({_LABEL_NAME})?",
            "a label value (at most 63 letters, digits, '-', '_', '.')",
            max_length=63,
        )
    ),
    WithJsonSchema({"type": "string", "maxLength": 63}),
]
ResourceName = Annotated[
    str,
    PlainValidator(
        matching(
            rf"{_DNS_SUBDOMAIN}/{_LABEL_NAME}",
            "an extended resource such as nvidia.com/gpu",
            max_length=317,
        )
    ),
    WithJsonSchema({"type": "string", "pattern": "^[^/]+/[^/]+$"}),
]
read_image_reference: Final = matching(
    _IMAGE_PATTERN,
    "an image reference such as quay.io/jupyter/pytorch-notebook:latest",
    max_length=500,
)
"""Return an image reference as it is written; a ``ValueError`` says why it is none."""
ImageReference = Annotated[
    str, PlainValidator(read_image_reference), WithJsonSchema({"type": "string"})
]
Bytes = Annotated[
    int,
    PlainValidator(_bytes),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "description": "An amount of memory: 64Gi, 512Mi, 9.8GB.",
        }
    ),
]
CpuMilli = Annotated[
    int,
    PlainValidator(_cpu_milli),
    WithJsonSchema(
        {"type": ["number", "string"], "description": "A number of CPUs: 8, 0.5, 500m."}
    ),
]
Count = Annotated[
    int,
    PlainValidator(_count),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": _MAX_COUNT}),
]
CudaVersion = Annotated[
    tuple[int, int],
    PlainValidator(_cuda_version),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+\.[0-9]+(\.[0-9]+)*$"}),
]
Shares = Annotated[tuple[Share, ...], _checked(parse_share), WithJsonSchema(share_json_schema())]
Duration = Annotated[
    int,
    PlainValidator(_duration),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^([0-9]{1,3}d)?([0-9]{1,4}h)?([0-9]{1,6}m)?$",
            "description": "A duration from 10m to 366d: 12h, 90m, 7d, 1h30m.",
        }
    ),
]
"""In seconds."""
Wait = Annotated[
    int,
    PlainValidator(_wait),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^([0-9]{1,3}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$"},
                {"const": 0},
            ],
            "description": "A time up to 168h: 30m, 2h, 90s; 0 for none.",
        }
    ),
]
"""In seconds; 0 for none."""
ImagePattern = Annotated[
    str, PlainValidator(_image_pattern), WithJsonSchema({"type": "string", "maxLength": 500})
]
