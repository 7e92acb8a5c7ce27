"""Hold the flavors that are had by claims against the devices that a cluster publishes.

Finds classes that do not exist, attributes and values that no device has, capacities that nobody
divides, and selectors that fail on a device, which would stop the allocation of every such pod.
Devices that are merely in use are no mistake.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from gpu_spawner.core.catalog.claims import DeviceWish
from gpu_spawner.core.catalog.device_selectors import split_attribute
from gpu_spawner.core.catalog.flavors import DraLayout, Flavor
from gpu_spawner.core.catalog.mechanisms import pod_sides
from gpu_spawner.core.catalog.model import Catalog, Share
from gpu_spawner.core.cluster.device_objects import ResourceSlice
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.devices.cel import (
    Selector,
    SelectorError,
    SelectorRuntimeError,
    SelectorUnsupportedError,
    compile_selector,
)
from gpu_spawner.core.devices.facts import DeviceFacts, SemanticVersion
from gpu_spawner.core.devices.pools import Candidate, facts_of
from gpu_spawner.core.errors import Problem
from gpu_spawner.core.wording import as_sentence, did_you_mean, listed, quoted

__all__ = [
    "check_devices",
    "devices_matching",
    "devices_of_class",
    "distinct_devices",
    "most_devices",
]

Tell = Callable[[str, str, str], Problem]
"""Makes a problem of a key inside a flavor, a message and a cure."""


def check_devices(catalog: Catalog, snapshot: Snapshot) -> Iterator[Problem]:
    """Yield every problem of the catalog's flavors with the devices of a cluster."""
    claimed = [flavor for flavor in _offered(catalog) if flavor.dra is not None]
    if not claimed:
        return
    for kind, known in (
        ("resourceslices", snapshot.slices),
        ("deviceclasses", snapshot.device_classes),
    ):
        if known is None:
            reason = snapshot.unknown.get(kind, "nothing was read")
            yield Problem(file="cluster", message=f"{kind} are unknown: {reason}.")
            return
    devices = distinct_devices((snapshot.slices or {}).values())
    classes = {name: tuple(one.selectors) for name, one in (snapshot.device_classes or {}).items()}
    for flavor in claimed:
        if flavor.dra is not None:
            yield from _flavor_problems(catalog, flavor, flavor.dra, classes, devices)


def distinct_devices(slices: Iterable[ResourceSlice]) -> tuple[DeviceFacts, ...]:
    """Return what selectors see of the devices, each kind of device once."""
    found = {
        facts_of(Candidate(device, one, is_usable=True)): None
        for one in slices
        for device in one.devices
    }
    return tuple(found)


def most_devices(
    snapshot: Snapshot, wish: DeviceWish, nodes: Container[str] | None = None
) -> int | None:
    """Return how many devices the best node has for a wish, in use or not, ill or not.

    Of slices that are made on demand every possible one is counted, so it may be less. None where
    that is not known.

    Args:
        snapshot: the cluster.
        wish: what a device must be.
        nodes: the names of the nodes that come into question; None for all.
    """
    if snapshot.slices is None or snapshot.device_classes is None:
        return None
    found = snapshot.device_classes.get(wish.device_class)
    if found is None:
        return 0
    selectors = (*found.selectors, *wish.selectors)
    matches: dict[DeviceFacts, bool] = {}
    by_node: Counter[str] = Counter()
    for one in snapshot.slices.values():
        for device in one.devices:
            facts = facts_of(Candidate(device, one, is_usable=True))
            if facts not in matches:
                matches[facts] = bool(devices_of_class([facts], selectors))
            by_node[one.reach.node_name] += matches[facts]
    # Devices that no single node has (network-attached ones) can serve any node.
    anywhere = by_node.pop("", 0)
    having = [count for name, count in by_node.items() if nodes is None or name in nodes]
    return max(having, default=0) + anywhere


def devices_matching(
    devices: Iterable[DeviceFacts], selectors: Sequence[str]
) -> tuple[DeviceFacts, ...]:
    """Return the devices that satisfy all selectors.

    Raises:
        SelectorRuntimeError: a selector fails on a device that satisfies those before it.
        SelectorUnsupportedError: it cannot be told.
    """
    compiled = [compile_selector(text) for text in selectors]
    return tuple(device for device in devices if _matches(device, compiled))


def _matches(device: DeviceFacts, selectors: Iterable[Selector]) -> bool:
    return all(selector.matches(device) for selector in selectors)


def _offered(catalog: Catalog) -> list[Flavor]:
    names = dict.fromkeys(
        name for profile in catalog.profiles for block in profile.gpu for name in block.flavors
    )
    return [catalog.flavors[name] for name in names]


def _flavor_problems(
    catalog: Catalog,
    flavor: Flavor,
    layout: DraLayout,
    classes: Mapping[str, Sequence[str]],
    devices: Sequence[DeviceFacts],
) -> Iterator[Problem]:
    def tell(key: str, message: str, cure: str) -> Problem:
        return Problem(
            file=flavor.origin,
            line=flavor.line,
            key=f"{flavor.name}.dra.{key}",
            message=as_sentence(message),
            cure=cure,
        )

    told = False
    wishes = {wish: share for share, wish in _wishes(catalog, flavor)}
    used = dict.fromkeys(wish.device_class for wish in wishes)
    for name in used:
        if name not in classes:
            key = "mig_device_class" if name == layout.mig_device_class else "device_class"
            told = True
            yield tell(
                key,
                f"got '{name}', but the cluster has "
                + (f"{listed(sorted(classes))}" if classes else "no DeviceClass"),
                did_you_mean(name, classes) or "Install the driver, or correct the name.",
            )
    if told:
        return
    offered = {name: devices_of_class(devices, classes[name]) for name in used}
    whole = offered.get(layout.device_class) or next(iter(offered.values()), ())
    if not whole and flavor.may_grow_for(1):
        return  # what the devices are like shows once an autoscaler has started a node with them
    for problem in (
        *_unknown_attributes(layout, whole, tell),
        *_unknown_capacity(layout, whole, tell),
    ):
        told = True
        yield problem
    if not told:
        for wish, share in wishes.items():
            yield from _unmet(flavor, share, wish, offered[wish.device_class], tell)


def _wishes(catalog: Catalog, flavor: Flavor) -> Iterator[tuple[Share, DeviceWish]]:
    """Yield what servers ask of devices of a flavor, one of each share."""
    shares = dict.fromkeys(
        share
        for profile in catalog.profiles
        for block in profile.gpu
        if flavor.name in block.flavors
        for share in block.shares
    )
    for share in shares:
        for _, side in pod_sides(flavor, share, 1):
            if side.devices is not None and side.devices.spec is None:
                yield share, side.devices


def devices_of_class(
    devices: Iterable[DeviceFacts], selectors: Sequence[str]
) -> tuple[DeviceFacts, ...]:
    """Return the devices of a class; those on which its selectors fail are not of it."""
    found: list[DeviceFacts] = []
    for device in devices:
        try:
            found.extend(devices_matching([device], selectors))
        except (SelectorError, SelectorRuntimeError, SelectorUnsupportedError):
            continue
    return tuple(found)


def _unknown_attributes(
    layout: DraLayout, devices: Sequence[DeviceFacts], tell: Tell
) -> Iterator[Problem]:
    if not devices:
        return
    for attribute, values in layout.attributes:
        full = "/".join(split_attribute(attribute, layout.driver))
        found = {dict(device.attributes).get(full) for device in devices} - {None}
        key = f"attributes.{attribute}"
        if not found:
            names = _names((name for one in devices for name, _ in one.attributes), layout)
            yield tell(
                key,
                f"no device of the class has this attribute; they have {listed(names)}",
                did_you_mean(attribute, names) or "Use one of these.",
            )
        elif not found.intersection(values):
            texts = sorted({_shown(value) for value in found})
            yield tell(
                key,
                f"got {listed([quoted(value) for value in values], word='or')}; devices have "
                f"{listed(texts)}",
                did_you_mean(str(values[0]), [text.strip("'") for text in texts])
                or "Use one of these.",
            )


def _names(found: Iterable[str], layout: DraLayout) -> list[str]:
    """Write names as an admin does: without the domain where it is the driver's."""
    return sorted({name.removeprefix(f"{layout.driver}/") for name in found})


def _shown(value: Any) -> str:
    return value.text if isinstance(value, SemanticVersion) else quoted(value)


def _unknown_capacity(
    layout: DraLayout, devices: Sequence[DeviceFacts], tell: Tell
) -> Iterator[Problem]:
    if not devices:
        return
    for key, name in (
        ("memory_capacity", layout.memory_capacity),
        ("share_capacity", layout.share_capacity),
    ):
        if not name:
            continue
        names = _names((known for one in devices for known, _ in one.capacity), layout)
        if name.removeprefix(f"{layout.driver}/") not in names:
            yield tell(
                key,
                f"got '{name}'; the devices of the class have {listed(names) or 'no capacity'}",
                did_you_mean(name, names) or "Use one of these.",
            )
        elif not any(device.allow_multiple_allocations for device in devices):
            yield tell(
                key,
                "no device of the class may be held by several claims",
                "Start the driver with its option for shares (NVIDIA: --consumable-shares).",
            )


def _unmet(
    flavor: Flavor,
    share: Share,
    wish: DeviceWish,
    devices: Sequence[DeviceFacts],
    tell: Tell,
) -> Iterator[Problem]:
    """Yield why no device of the class, however idle, is what a share asks for."""
    try:
        if devices_matching(devices, wish.selectors):
            return
    except SelectorRuntimeError as error:
        yield tell(
            "selectors",
            f"a selector fails on a device, which stops every such pod: {error}",
            "Ask whether the attribute is there before you read it.",
        )
        return
    except (SelectorError, SelectorUnsupportedError):
        return  # what cannot be told is no mistake
    if share.kind == "mig" and flavor.dra is not None:
        profiles = sorted(_values(devices, f"{flavor.dra.driver}/profile"))
        yield tell(
            "mig_device_class",
            f"no device is a slice {share.value}; there are {listed(profiles) or 'no slices'}",
            "Have the GPUs cut so, or offer other slices.",
        )
        return
    yield tell(
        "selectors" if flavor.dra is not None and flavor.dra.selectors else "device_class",
        f"no device of '{wish.device_class}' is what share {share.label} asks for",
        "Compare with kubectl get resourceslices -o yaml.",
    )


def _values(devices: Iterable[DeviceFacts], attribute: str) -> set[str]:
    return {
        str(value) for device in devices for name, value in device.attributes if name == attribute
    }
