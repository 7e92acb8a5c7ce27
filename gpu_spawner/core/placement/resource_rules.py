"""What an API server refuses in the requests and limits of a pod that is yet to be created.

A pod with half a GPU, or with GPUs that are requested and not limited, is never created: to count
seats for it would be to promise what cannot be.
Source: ``ValidateContainerResourceRequirements`` in pkg/apis/core/validation (1.36).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gpu_spawner.core.cluster.objects import to_json
from gpu_spawner.core.cluster.wire import WireRequest, WireRequestSpec
from gpu_spawner.core.errors import Problem
from gpu_spawner.core.quantity import NANO, Quantity, parse_nano

__all__ = ["refused_amounts"]

_SHOWN: Final = 60


class _Resources(msgspec.Struct):
    requests: dict[str, Quantity] | None = None
    limits: dict[str, Quantity] | None = None


_decode_request = msgspec.json.Decoder(WireRequest).decode
_decode_resources = msgspec.json.Decoder(_Resources | None).decode


def refused_amounts(manifest: Mapping[str, Any], source: str) -> Iterator[Problem]:
    """Yield each request and limit for which the API server would refuse a pod.

    Args:
        manifest: a pod that ``request_from_pod`` can read.
        source: what to call it, such as a file name.
    """
    spec = _decode_request(to_json(manifest)).spec or WireRequestSpec()
    for path, raw in _resources_of(spec):
        resources = _decode_resources(raw) or _Resources()
        for part, message, cure in _mistakes(resources.requests or {}, resources.limits or {}):
            yield Problem(file=source, key=f"{path}.{part}", message=message, cure=cure)


def _resources_of(spec: WireRequestSpec) -> Iterator[tuple[str, bytes]]:
    for kind, containers in (
        ("initContainers", spec.init_containers),
        ("containers", spec.containers),
    ):
        for position, container in enumerate(containers or ()):
            yield f"spec.{kind}[{position}].resources", bytes(container.resources) or b"null"
    yield "spec.resources", bytes(spec.resources) or b"null"


def _mistakes(
    requests: Mapping[str, Quantity], limits: Mapping[str, Quantity]
) -> Iterator[tuple[str, str, str]]:
    """Yield the place, what is wrong and the cure."""
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, quantity in sorted(amounts.items()):
            if not _is_native(name) and parse_nano(quantity) % NANO:
                yield (
                    f"{part}[{name[:_SHOWN]}]",
                    f"got {quantity}; a whole number is expected.",
                    "Kubernetes hands out whole devices: a part of one has a resource of its own.",
                )
    for name, request in sorted(requests.items()):
        place = f"requests[{name[:_SHOWN]}]"
        limit = limits.get(name)
        if limit is None:
            if not _may_exceed_request(name):
                yield place, "has no limit.", f"Set the limit to {request} as well."
        elif parse_nano(request) > parse_nano(limit):
            yield place, f"got {request}, more than the limit {limit}.", "Raise the limit."
        elif parse_nano(request) != parse_nano(limit) and not _may_exceed_request(name):
            yield place, f"got {request}, and the limit {limit}.", "Make the two equal."


def _is_native(name: str) -> bool:
    """Tell whether Kubernetes itself gives a resource its meaning."""
    return "/" not in name or "kubernetes.io/" in name


def _may_exceed_request(name: str) -> bool:
    """Tell whether containers may use more of a resource than they request."""
    return _is_native(name) and not name.startswith("hugepages-")
