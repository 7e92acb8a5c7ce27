"""The shape of a ``ResourceClaimSpec`` that an admin writes, with the API server's limits.

Held to what ``resource.k8s.io/v1`` accepts (k8s.io/kubernetes, ``pkg/apis/resource/validation``),
so that a claim which no cluster takes is refused when it is written and not when a user clicks.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from gpu_spawner.core.catalog.claims import MAX_ALTERNATIVES, MAX_DEVICES
from gpu_spawner.core.catalog.device_fields import (
    CapacityAmount,
    CapacityName,
    DriverName,
    FullAttributeName,
    RequestName,
    Selector,
    SubdomainName,
)
from gpu_spawner.core.catalog.fields import LabelKey, LabelValue, complain
from gpu_spawner.core.catalog.strict_model import StrictModel
from gpu_spawner.core.wording import quoted

__all__ = ["ClaimSpecModel"]

_MAX = 32  # requests, constraints, configs and selectors


class _Camel(StrictModel):
    """Written as Kubernetes writes it."""

    model_config = ConfigDict(alias_generator=to_camel)


class _Cel(_Camel):
    expression: Selector


class _DeviceSelector(_Camel):
    cel: _Cel


class _Capacity(_Camel):
    requests: dict[CapacityName, CapacityAmount]


class _DeviceToleration(_Camel):
    key: LabelKey | None = None
    operator: Literal["Exists", "Equal"] = "Equal"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


class _Asked(_Camel):
    """What ``exactly`` and a sub-request have in common."""

    device_class_name: SubdomainName
    selectors: list[_DeviceSelector] = Field(default_factory=list, max_length=_MAX)
    allocation_mode: Literal["ExactCount", "All"] = "ExactCount"
    count: Annotated[int, Field(ge=1, le=MAX_DEVICES)] | None = None
    tolerations: list[_DeviceToleration] = Field(default_factory=list, max_length=16)
    capacity: _Capacity | None = None

    @model_validator(mode="after")
    def _counts_or_takes_all(self) -> Self:
        if self.allocation_mode == "All" and self.count is not None:
            raise complain("count is set beside allocationMode: All", "Remove one of them.")
        return self


class _Exactly(_Asked):
    admin_access: bool | None = None


class _SubRequest(_Asked):
    name: RequestName


class _Request(_Camel):
    name: RequestName
    exactly: _Exactly | None = None
    first_available: list[_SubRequest] | None = Field(
        default=None, min_length=1, max_length=MAX_ALTERNATIVES
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.exactly is None) == (self.first_available is None):
            raise complain("exactly one of exactly and firstAvailable is expected")
        names = [one.name for one in self.first_available or ()]
        if len(set(names)) < len(names):
            raise complain("two sub-requests of firstAvailable have one name", "Rename one.")
        return self


def _asked_by(request: _Request) -> Sequence[_Asked]:
    """Return the alternatives of a request."""
    if request.exactly is not None:
        return (request.exactly,)
    return request.first_available or ()


class _Constraint(_Camel):
    requests: list[str] = Field(default_factory=list, max_length=_MAX)
    match_attribute: FullAttributeName | None = None
    distinct_attribute: FullAttributeName | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.match_attribute is None) == (self.distinct_attribute is None):
            raise complain("exactly one of matchAttribute and distinctAttribute is expected")
        return self


class _Opaque(_Camel):
    driver: DriverName
    parameters: dict[str, Any] = Field(min_length=1)


class _Config(_Camel):
    requests: list[str] = Field(default_factory=list, max_length=_MAX)
    opaque: _Opaque


class _Devices(_Camel):
    requests: list[_Request] = Field(min_length=1, max_length=_MAX)
    constraints: list[_Constraint] = Field(default_factory=list, max_length=_MAX)
    config: list[_Config] = Field(default_factory=list, max_length=_MAX)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        names = [request.name for request in self.requests]
        if len(set(names)) < len(names):
            raise complain("two requests have one name", "Rename one.")
        known = set(self._all_names())
        referred = [name for one in self.constraints for name in one.requests]
        referred += [name for one in self.config for name in one.requests]
        for name in referred:
            if name not in known:
                raise complain(f"there is no request {quoted(name)} to refer to")
        return self

    def _all_names(self) -> Iterator[str]:
        for request in self.requests:
            yield request.name
            for one in request.first_available or ():
                yield f"{request.name}/{one.name}"

    @model_validator(mode="after")
    def _no_more_than_fit(self) -> Self:
        least = sum(
            min([one.count or 1 for one in _asked_by(request)]) for request in self.requests
        )
        if least > MAX_DEVICES:
            raise complain(
                f"asks for {least} devices; a claim can be given at most {MAX_DEVICES}",
                "Ask for less.",
            )
        return self


class ClaimSpecModel(_Camel):
    """A ResourceClaimSpec of resource.k8s.io/v1."""

    devices: _Devices
