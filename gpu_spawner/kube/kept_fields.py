"""Whether the API server kept what it was asked to keep of a claim.

A server whose feature gate for a field is off drops that field without a word
(``dropDisabledSpecFields`` in kubernetes/pkg/registry/resource/resourceclaim/strategy.go). A claim
for 8 GiB of a GPU is then a claim for the whole of it. The version of Kubernetes does not tell:
managed clouds turn gates on and off. What was stored does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from gpu_spawner.core.quantity import parse_nano

__all__ = ["Difference", "added_fields", "dropped_fields"]

_GATES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "adminAccess": "DRAAdminAccess",
        "capacity": "DRAConsumableCapacity",
        "distinctAttribute": "DRAConsumableCapacity",
        "firstAvailable": "DRAPrioritizedList",
        "tolerations": "DRADeviceTaints",
    }
)
"""The gate of each field of a claim that can be dropped (k8s.io/api resource/v1, types.go)."""

_ON_SINCE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "DRAAdminAccess": "1.34",
        "DRAConsumableCapacity": "1.36",
        "DRADeviceTaints": "1.36",
        "DRAPrioritizedList": "1.34",
    }
)
"""Since which Kubernetes a gate is on unless somebody turned it off."""

_DEFAULTED: Final = frozenset({"allocationMode", "count", "operator"})
"""What the API server adds to a claim that leaves it out; each has one default."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that is not in a stored claim as it was in what was sent.

    Attributes:
        path: from the claim's spec, for example ``devices.requests[0].exactly.capacity``.
    """

    path: str

    @property
    def field(self) -> str:
        """The last name of the path."""
        return self.path.rpartition(".")[2].partition("[")[0]

    @property
    def gate(self) -> str:
        """The feature gate the field needs; empty where it needs none that is known."""
        return _GATES.get(self.field, "")

    def __str__(self) -> str:
        """Name the field, and the gate to turn on."""
        if not self.gate:
            return self.path
        since = _ON_SINCE[self.gate]
        return f"{self.path} (feature gate {self.gate}, on by default since Kubernetes {since})"


def dropped_fields(sent: Mapping[str, Any], stored: Mapping[str, Any]) -> list[Difference]:
    """Return every outermost field of ``sent`` that ``stored`` lacks or has otherwise."""
    return [Difference(path) for path in _missing(sent, stored, "")]


def added_fields(sent: Mapping[str, Any], stored: Mapping[str, Any]) -> list[Difference]:
    """Return every outermost field of ``stored`` that was not sent, but for known defaults."""
    return [
        one
        for one in (Difference(path) for path in _missing(stored, sent, ""))
        if one.field not in _DEFAULTED
    ]


def _missing(wanted: Any, found: Any, path: str) -> Iterator[str]:
    """Yield the paths at which ``found`` has not got what is wanted."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key, value in wanted.items():
            inner = f"{path}.{key}" if path else str(key)
            if key in found:
                yield from _missing(value, found[key], inner)
            elif not _is_nothing(value):
                yield inner
    elif _is_list(wanted) and _is_list(found):
        for index, value in enumerate(wanted):
            inner = f"{path}[{index}]"
            if index < len(found):
                yield from _missing(value, found[index], inner)
            else:
                yield inner
    elif not _is_same(wanted, found):
        yield path


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_nothing(value: Any) -> bool:
    """Tell what Kubernetes leaves out of what it stores."""
    return value is None or (isinstance(value, (Mapping, str, Sequence)) and not value)


def _is_same(wanted: Any, found: Any) -> bool:
    if wanted == found:
        return True
    try:  # "1024Mi" is stored as "1Gi"
        return parse_nano(wanted) == parse_nano(found)
    except (TypeError, ValueError):
        return False
