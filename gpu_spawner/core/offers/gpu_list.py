"""Every GPU of a cluster one by one, and who holds it since when.

Devices for claims have names, and a claim says which it holds; so do cards that HAMi and Volcano
divide. What a device plugin offers is a number: Kubernetes does not say which of them a pod has, so
that such a unit is listed without a name, and its holder is true of the number only.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from gpu_spawner.core.catalog.products import PRODUCT_LABEL, parse_product
from gpu_spawner.core.cluster.card_shares import HAMI, VOLCANO, CardRegister
from gpu_spawner.core.cluster.claim_objects import DeviceResult
from gpu_spawner.core.cluster.device_objects import Device, PoolKey
from gpu_spawner.core.cluster.device_pools import PoolState
from gpu_spawner.core.cluster.objects import Node, Pod
from gpu_spawner.core.cluster.snapshot import NodeState, Snapshot
from gpu_spawner.core.quantity import NANO, nano_to_whole

__all__ = [
    "MOST_OF_NODE",
    "Gpu",
    "GpuHolder",
    "GpuState",
    "Holdings",
    "gpus_of",
    "holdings_of",
    "wide_gpus",
]

GpuState = Literal["free", "held", "cut"]
"""``cut``: nobody holds it as a whole, and slices of it are held."""

Part = tuple[tuple[str, int | float], ...]
"""Amounts by the name of the capacity."""

DeviceKey = tuple[str, str, str]
"""Driver, pool and name of a device."""

_NO_GPUS: Final = frozenset({"compute-domain.nvidia.com"})
"""Drivers of a GPU vendor's whose devices are no GPUs: here channels between nodes."""

_CARDS_OF: Final = {"nvidia.com": HAMI, "volcano.sh": VOLCANO}
"""Domains of resources that count parts of cards where a scheduler lists the cards themselves."""

_MEMORY: Final = "memory"
_MIB: Final = 2**20
MOST_OF_NODE: Final = 256
"""So many GPUs are listed of a node: some resources count megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuHolder:
    """Who holds a GPU, or a part of it.

    Attributes:
        pod: empty where a claim holds it that no pod uses now.
        claim: by which it is held; empty where it was no claim.
        since: Unix time at which the pod was made; None where no pod is known.
        part: how much of which capacity, where others may hold the rest: ``memory`` in bytes,
            ``portion`` of one, ``cores`` in percent; others in the driver's units. Empty for all.
    """

    namespace: str
    pod: str
    username: str
    servername: str
    claim: str = ""
    since: int | None
    is_terminating: bool = False
    part: Part = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU, a slice of one, or one of the shares that it is offered as.

    A slice that could be cut and that nobody holds is none.

    Attributes:
        resource: of a device plugin; empty where it is had in another way.
        driver, pool: of a device for claims; the driver alone of a card that is divided.
        device: its name there, or the card's UUID; empty for a unit of a device plugin's.
        product: as its driver, or GPU feature discovery, calls it; empty where nobody says.
        profile: of a MIG slice; else empty.
        memory_bytes: None where nobody says.
        part_of: which GPU it is carved from, by the name or the UUID; else empty.
        replicas: how many shares the GPU behind it is offered as; 1 for a GPU of its own.
        state: None while it is unknown.
        holders: several where it is shared.
    """

    resource: str = ""
    driver: str = ""
    pool: str = ""
    device: str = ""
    uuid: str = ""
    product: str = ""
    profile: str = ""
    memory_bytes: int | None = None
    part_of: str = ""
    replicas: int = 1
    state: GpuState | None
    holders: tuple[GpuHolder, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Who holds which device by a claim; unknown while claims are."""

    by_device: Mapping[DeviceKey, tuple[GpuHolder, ...]] = field(default_factory=dict)
    is_known: bool = True


def holdings_of(snapshot: Snapshot) -> Holdings:
    """Return who holds which device by a claim."""
    if snapshot.claims is None:
        return Holdings(is_known=False)
    claims = [claim for claim in snapshot.claims.values() if claim.allocation is not None]
    wanted = {uid for claim in claims for uid in claim.reserved_for}
    pods = snapshot.pods.values() if snapshot.pods is not None and wanted else ()
    by_uid = {pod.uid: pod for pod in pods if pod.uid in wanted}
    found: dict[DeviceKey, list[GpuHolder]] = {}
    for claim in claims:
        users = [by_uid[uid] for uid in claim.reserved_for if uid in by_uid]
        for result in claim.allocation.results if claim.allocation is not None else ():
            if result.has_admin_access:  # looks on, and holds nothing
                continue
            key = (result.driver, result.pool, result.device)
            part = _consumed(result)
            holders = [_holder(pod, claim=claim.name, part=part) for pod in users]
            nobody = GpuHolder(
                namespace=claim.namespace,
                pod="",
                username="",
                servername="",
                claim=claim.name,
                since=None,
                is_terminating=claim.is_terminating,
                part=part,
            )
            found.setdefault(key, []).extend(holders or [nobody])
    return Holdings(by_device={key: tuple(holders) for key, holders in found.items()})


def gpus_of(
    state: NodeState, snapshot: Snapshot, resources: Iterable[str], holdings: Holdings
) -> tuple[tuple[Gpu, ...], int]:
    """Return the GPUs of a node, and how many there are: of units, not all are listed.

    They are cards, units of device plugins, and devices for claims.

    Args:
        state: the node.
        snapshot: the cluster.
        resources: those of the node's extended resources that count GPUs.
        holdings: from ``holdings_of``.
    """
    node = state.node
    registers = {register.scheme: register for register in node.card_registers}
    found: list[Gpu] = []
    left_out = 0
    for register in registers.values():
        found += _cards(register, state.holders)
    for name in resources:
        if _CARDS_OF.get(name.partition("/")[0]) not in registers:
            found += _units(name, state, is_known=snapshot.pods is not None)
            left_out += max(0, node.allocatable.amount(name) - MOST_OF_NODE)
    for key in snapshot.pools.by_node.get(node.name, ()):
        found += _devices(snapshot.pools.pools[key], holdings, node.name)
    return tuple(found), len(found) + left_out


def wide_gpus(snapshot: Snapshot, holdings: Holdings) -> tuple[Gpu, ...]:
    """Return the GPUs that no node alone can use, pool by pool."""
    return tuple(
        gpu
        for key in snapshot.pools.wide
        for gpu in _devices(snapshot.pools.pools[key], holdings, "")
    )


def _devices(pool: PoolState, holdings: Holdings, node_name: str) -> list[Gpu]:
    if pool.key[0] in _NO_GPUS:
        return []
    newest = max((one.generation for one in pool.source.slices), default=0)
    slices = [one for one in pool.source.slices if one.generation == newest]
    devices = [
        device
        for one in slices
        if not node_name or one.reach.node_name == node_name
        for device in one.devices
        if _is_whole(device) or not device.consumes or device.name in pool.holds
    ]
    left = _counters_left(pool, [device for one in slices for device in one.devices])
    wholes = {
        use.counter_set: device.name
        for device in devices
        for use in device.consumes
        if _is_whole(device)
    }
    devices.sort(key=lambda device: _natural(device.name))
    return [_device(device, pool.key, wholes, left, holdings) for device in devices]


def _device(
    device: Device,
    pool: PoolKey,
    wholes: Mapping[str, str],
    left: Mapping[tuple[str, str], int],
    holdings: Holdings,
) -> Gpu:
    facts = {
        name.rpartition("/")[2]: value
        for name, value in device.attributes
        if isinstance(value, str)
    }
    holders = holdings.by_device.get((*pool, device.name), ())
    sets = "" if _is_whole(device) else " ".join(use.counter_set for use in device.consumes)
    memory = [one.value for one in device.capacity if one.name.rpartition("/")[2] == _MEMORY]
    state: GpuState | None = "held" if holders else "free"
    if not holdings.is_known:
        state = None
    elif not holders and _is_cut(device, left):
        state = "cut"
    return Gpu(
        driver=pool[0],
        pool=pool[1],
        device=device.name,
        uuid=facts.get("uuid", ""),
        product=facts.get("productName", ""),
        profile=_profile(facts),
        memory_bytes=nano_to_whole(memory[0]) if memory else None,
        part_of=wholes.get(sets, "") or facts.get("parentUUID", "") or sets,
        state=state,
        holders=holders,
    )


def _profile(facts: Mapping[str, str]) -> str:
    return facts.get("profile") or facts.get("partitionProfile") or ""


def _is_whole(device: Device) -> bool:
    names = {name.rpartition("/")[2] for name, _ in device.attributes}
    return not names & {"profile", "partitionProfile", "parentUUID"}


def _counters_left(pool: PoolState, devices: Iterable[Device]) -> dict[tuple[str, str], int]:
    """Return what held devices leave of the counters of a pool, by counter set and counter."""
    left = {
        (one.counter_set, name): amount
        for found in pool.source.slices
        for one in found.counters
        for name, amount in one.counters
    }
    for device in devices:
        for use in device.consumes if device.name in pool.holds else ():
            for name, amount in use.counters:
                left[use.counter_set, name] = left.get((use.counter_set, name), 0) - amount
    return left


def _is_cut(device: Device, left: Mapping[tuple[str, str], int]) -> bool:
    return any(
        amount > left.get((use.counter_set, name), 0)
        for use in device.consumes
        for name, amount in use.counters
    )


def _cards(register: CardRegister, pods: Iterable[Pod]) -> list[Gpu]:
    """Return the cards of a node that a scheduler divides, each with the pods on it."""
    held: dict[str, list[GpuHolder]] = {}
    for pod in pods:
        share = pod.held_share
        for part in share.parts if share is not None and share.scheme == register.scheme else ():
            amounts = ((_MEMORY, part.memory_mib * _MIB), ("cores", part.cores))
            told = tuple((name, amount) for name, amount in amounts if amount)
            held.setdefault(part.uuid, []).append(_holder(pod, part=told))
    return [
        Gpu(
            driver=register.scheme,
            device=card.uuid,
            uuid=card.uuid,
            product=card.model,
            memory_bytes=card.memory_mib * _MIB,
            state="held" if card.uuid in held else "free",
            holders=tuple(held.get(card.uuid, ())),
        )
        for card in register.cards
    ]


def _units(resource: str, state: NodeState, *, is_known: bool) -> Iterator[Gpu]:
    """Yield the units of a device plugin's resource; which pod has which is not known."""
    node = state.node
    total = min(node.allocatable.amount(resource), MOST_OF_NODE)
    product, profile, memory_bytes, replicas = _labelled(resource, node)
    holders = [one for pod in state.holders for one in _unit_holders(pod, resource, state.holders)]
    for number in range(max(total, len(holders)) if is_known else total):
        mine = holders[number] if number < len(holders) else ()
        yield Gpu(
            resource=resource,
            product=product,
            profile=profile,
            memory_bytes=memory_bytes,
            replicas=replicas,
            state=None if not is_known else "held" if mine else "free",
            holders=mine,
        )


def _unit_holders(
    pod: Pod, resource: str, others: Iterable[Pod]
) -> Iterator[tuple[GpuHolder, ...]]:
    """Yield who has each unit that a pod asked for: those for whom KAI keeps it, or the pod."""
    share = pod.held_share
    holders: tuple[GpuHolder, ...] = ()
    if share is not None and share.is_reservation:
        holders = tuple(
            _holder(other, part=_portion(other))
            for other in others
            if other.held_share is not None
            and not other.held_share.is_reservation
            and set(other.held_share.groups) & set(share.groups)
        )
    for _ in range(min(pod.requests.amount(resource), MOST_OF_NODE)):
        yield holders or (_holder(pod),)


def _portion(pod: Pod) -> Part:
    share = pod.held_share
    if share is None:
        return ()
    amounts = ((_MEMORY, share.memory_mib * _MIB), ("portion", share.portion))
    return tuple((name, amount) for name, amount in amounts if amount)


def _labelled(resource: str, node: Node) -> tuple[str, str, int | None, int]:
    """Return product, MIG profile, memory and number of replicas, as the node's labels have it."""
    domain, _, name = resource.partition("/")
    is_slice = name.startswith("mig-")
    prefix = f"{domain}/{name if is_slice else 'gpu'}"
    product = parse_product(node.labels.get(f"{prefix}.product", ""))
    if not product.model and is_slice:
        product = parse_product(node.labels.get(PRODUCT_LABEL, ""))
    memory = node.labels.get(f"{prefix}.memory", "")
    replicas = node.labels.get(f"{prefix}.replicas", "")
    return (
        product.model,
        name.removeprefix("mig-") if is_slice else product.mig,
        int(memory) * _MIB if re.fullmatch(r"[0-9]{1,9}", memory) else None,
        int(replicas) if re.fullmatch(r"[1-9][0-9]{0,3}", replicas) else 1,
    )


def _holder(pod: Pod, *, claim: str = "", part: Part = ()) -> GpuHolder:
    return GpuHolder(
        namespace=pod.namespace,
        pod=pod.name,
        username=pod.username,
        servername=pod.servername,
        claim=claim,
        since=pod.created or None,
        is_terminating=pod.is_terminating,
        part=part,
    )


def _consumed(result: DeviceResult) -> Part:
    return tuple(
        (name.rpartition("/")[2], amount / NANO if amount % NANO else amount // NANO)
        for name, amount in result.consumed
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Order gpu-2 before gpu-10."""
    return [
        (int(piece), "") if piece.isdecimal() else (-1, piece)
        for piece in re.split(r"([0-9]+)", name[:200])
    ]
