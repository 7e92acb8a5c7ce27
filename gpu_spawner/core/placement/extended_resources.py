"""Extended resources that a device class stands behind (KEP-5004).

Decides which of them a node gives as devices rather than from its allocatable, and what claim the
scheduler makes for them: one request for each container and resource, init containers reusing what
later containers will have.
Source: pkg/scheduler/framework/plugins/dynamicresources/extendeddynamicresources.go,
k8s.io/dynamic-resource-allocation ``deviceclass/extendedresourcecache`` (1.36).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from gpu_spawner.core.cluster.claim_objects import ClaimSpec, DeviceRequest, DeviceWish
from gpu_spawner.core.cluster.device_classes import DeviceClass
from gpu_spawner.core.cluster.wire import WireContainer, WirePodSpec
from gpu_spawner.core.quantity import Quantity, parse_count
from gpu_spawner.core.resources import ResourceVector

__all__ = [
    "DEVICE_CLASS_PREFIX",
    "EXTENDED_CLAIM",
    "ContainerAsk",
    "classes_by_resource",
    "container_asks",
    "extended_claim",
    "is_extended",
    "unsettled_resources",
]

DEVICE_CLASS_PREFIX: Final = "deviceclass.resource.kubernetes.io/"

EXTENDED_CLAIM: Final = "<extended-resources>"
"""What the claim for extended resources is called before it exists."""

_UNSAID: Final = frozenset({b"", b"null"})


class ContainerAsk(msgspec.Struct, frozen=True, kw_only=True):
    """What one container asks for, as far as devices may stand behind it.

    Attributes:
        index: among init containers and containers, in this order.
        name: of the container.
        is_short_lived: whether it is an init container that ends before the others start.
        amounts: (resource, pieces) pairs of extended resources.
        names: the names of everything it requests, sorted.
    """

    index: int
    name: str = ""
    is_short_lived: bool = False
    amounts: tuple[tuple[str, int], ...] = ()
    names: tuple[str, ...] = ()


class _Resources(msgspec.Struct):
    requests: dict[str, Quantity] | None = None
    limits: dict[str, Quantity] | None = None


_decode_resources = msgspec.json.Decoder(_Resources).decode


def is_extended(name: str) -> bool:
    """Tell whether a device class may stand behind a resource of this name."""
    if name.startswith(DEVICE_CLASS_PREFIX):
        return True
    return "/" in name and "kubernetes.io/" not in name and not name.startswith("requests.")


def container_asks(spec: WirePodSpec, requests: ResourceVector) -> tuple[ContainerAsk, ...]:
    """Return what the containers of a pod ask for; nothing where no device can be meant.

    Raises:
        ValueError: a quantity is malformed.
    """
    if not any(is_extended(name) for name in requests):
        return ()
    init = spec.init_containers or []
    asks = []
    for index, container in enumerate([*init, *(spec.containers or ())]):
        wanted = _wanted(container)
        amounts = [
            (name, parse_count(wanted[name])) for name in sorted(wanted) if is_extended(name)
        ]
        asks.append(
            ContainerAsk(
                index=index,
                name=container.name or "",
                is_short_lived=index < len(init) and container.restart_policy != "Always",
                amounts=tuple([(name, count) for name, count in amounts if count]),
                names=tuple(sorted(wanted)),
            )
        )
    return tuple([ask for ask in asks if ask.amounts])


def classes_by_resource(classes: Iterable[DeviceClass]) -> dict[str, DeviceClass]:
    """Return which class stands behind which extended resource.

    Of several behind one, the newest does, and of those the first by name. Every class stands
    behind a resource of its own name besides.
    """
    found: dict[str, DeviceClass] = {}
    for entry in sorted(classes, key=_newest_first):
        if entry.extended_resource:
            found.setdefault(entry.extended_resource, entry)
        found[DEVICE_CLASS_PREFIX + entry.name] = entry
    return found


def unsettled_resources(classes: Iterable[DeviceClass]) -> frozenset[str]:
    """Return the classes' own resources that the scheduler may not know of, though it should.

    It forgets to take note of one when it hears of a class that another one it knows keeps from
    standing behind the extended resource of both. In which order it hears of them depends on when
    it was started: by their names then, and as they are made afterwards.
    """
    behind: dict[str, list[DeviceClass]] = {}
    for entry in classes:
        if entry.extended_resource:
            behind.setdefault(entry.extended_resource, []).append(entry)
    return frozenset(
        [
            DEVICE_CLASS_PREFIX + entry.name
            for several in behind.values()
            for entry in several
            if any(other.name < entry.name and other.created >= entry.created for other in several)
        ]
    )


def extended_claim(asks: Sequence[ContainerAsk], delegated: Mapping[str, DeviceClass]) -> ClaimSpec:
    """Return the claim the scheduler makes for the resources a node gives as devices.

    Args:
        asks: what the containers ask for.
        delegated: the class of each such resource.
    """
    requests: list[DeviceRequest] = []
    for resource in sorted(delegated):
        requests.extend(_requests_for(resource, delegated[resource].name, asks))
    return ClaimSpec(requests=tuple(sorted(requests, key=_name_of)))


def _requests_for(
    resource: str, class_name: str, asks: Sequence[ContainerAsk]
) -> list[DeviceRequest]:
    lasting: dict[int, DeviceRequest] = {}
    for ask in asks:
        count = dict(ask.amounts).get(resource, 0)
        if count and not ask.is_short_lived:
            lasting[ask.index] = _request(ask, resource, class_name, count)
    largest: DeviceRequest | None = None
    for ask in asks:
        count = dict(ask.amounts).get(resource, 0)
        if not count or not ask.is_short_lived:
            continue
        # It may use what containers that start after it will have.
        missing = count - sum(
            _count(found) for index, found in lasting.items() if index >= ask.index
        )
        if missing > 0 and (largest is None or missing > _count(largest)):
            largest = _request(ask, resource, class_name, missing)
    return [*([largest] if largest is not None else []), *lasting.values()]


def _request(ask: ContainerAsk, resource: str, class_name: str, count: int) -> DeviceRequest:
    name = f"container-{ask.index}-request-{ask.names.index(resource)}"
    return DeviceRequest(
        name=name, exactly=DeviceWish(name=name, class_name=class_name, count=count)
    )


def _count(request: DeviceRequest) -> int:
    return request.exactly.count if request.exactly is not None else 0


def _name_of(request: DeviceRequest) -> str:
    return request.name


def _newest_first(found: DeviceClass) -> tuple[float, str]:
    return -found.created, found.name


def _wanted(container: WireContainer) -> dict[str, Quantity]:
    """Return what a container requests; what it only limits counts as requested, as in the API."""
    raw = bytes(container.resources)
    if raw in _UNSAID:
        return {}
    resources = _decode_resources(raw)
    return {**(resources.limits or {}), **(resources.requests or {})}
