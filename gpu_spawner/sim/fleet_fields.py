"""The kinds of value a fleet file has, each checked where it stands."""

import re
from typing import Annotated, Any

import pydantic

from gpu_spawner.core.quantity import parse_bytes, parse_cpu_milli

__all__ = ["Bytes", "Count", "Cpu", "MigProfile", "Name", "Quantity", "Strict"]

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_MIG_PROFILE = re.compile(r"[1-7]g\.[1-9][0-9]*gb([.-][a-z.]+)?")


def _check_bytes(value: Any) -> int:
    return parse_bytes(value)


def _check_quantity(value: Any) -> str:
    parse_bytes(value)
    return str(value)


def _check_cpu(value: Any) -> str:
    parse_cpu_milli(value)
    return str(value)


def _check_name(value: str) -> str:
    if not _DNS_LABEL.fullmatch(value):
        raise ValueError("must be lower-case letters, digits and dashes, at most 63")
    return value


def _check_mig_profile(value: str) -> str:
    if not _MIG_PROFILE.fullmatch(value):
        raise ValueError("must be a MIG profile such as 1g.10gb")
    return value


Bytes = Annotated[int, pydantic.BeforeValidator(_check_bytes)]
Quantity = Annotated[str, pydantic.BeforeValidator(_check_quantity)]
Cpu = Annotated[str, pydantic.BeforeValidator(_check_cpu)]
Name = Annotated[str, pydantic.AfterValidator(_check_name)]
MigProfile = Annotated[str, pydantic.AfterValidator(_check_mig_profile)]
Count = Annotated[int, pydantic.Field(ge=0, le=10_000, strict=True)]


class Strict(pydantic.BaseModel):
    """What every part of a fleet has in common: unknown keys are mistakes."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
