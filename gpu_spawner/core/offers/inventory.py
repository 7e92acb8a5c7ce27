"""Every node with GPUs: what it has, who holds which since when, which images are there.

For admins. Offers answer "can I start"; this answers "where are they all". It is a plain reading of
a snapshot: nothing is estimated, and what is unknown stays unknown.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gpu_spawner.core.catalog.contested_nodes import has_labels_of
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.cluster.device_objects import Device
from gpu_spawner.core.cluster.objects import PROFILE_LABEL, Pod
from gpu_spawner.core.cluster.snapshot import NodeState, Snapshot
from gpu_spawner.core.offers.gpu_list import (
    MOST_OF_NODE,
    Gpu,
    Holdings,
    gpus_of,
    holdings_of,
    wide_gpus,
)
from gpu_spawner.core.offers.image_places import ImagePlaces

__all__ = ["Holder", "Inventory", "NodeInventory", "Stock", "WaitingPod", "take_inventory"]

_MOST_GPUS: Final = 50_000
"""Kubernetes' 5,000 nodes with eight each are 40,000; more are told by their number."""

_DEVICE_DOMAINS: Final = frozenset(
    {
        "amd.com",
        "aws.amazon.com",
        "google.com",
        "gpu.intel.com",
        "habana.ai",
        "nvidia.com",
        "volcano.sh",
    }
)
"""Domains of the extended resources that vendors' device plugins offer; flavors add theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """One kind of device on one node.

    Attributes:
        resource: the extended resource, such as ``nvidia.com/gpu``; of devices for claims their
            product and, of a slice, its profile.
        total: how many the node offers.
        used: how many its pods asked for, or claims hold; None while that is unknown. More than
            ``total`` where devices failed under running pods.
        is_up_to: whether ``total`` is what the node can be cut into at most, instead of other
            slices.
    """

    resource: str
    total: int
    used: int | None
    is_up_to: bool = False

    @property
    def free(self) -> int | None:
        """How many nobody asked for; None while pods are unknown."""
        return None if self.used is None else max(0, self.total - self.used)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A pod with devices.

    Attributes:
        username, servername: whose server it is; empty for pods that are no servers.
        profile: the slug of the profile it was started as; empty for other pods.
        since: Unix time at which the pod was made.
    """

    namespace: str
    pod: str
    username: str
    servername: str
    profile: str
    devices: tuple[tuple[str, int], ...]
    since: int
    is_terminating: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingPod:
    """A pod that asks for devices and has no node yet; ``because`` is the scheduler's reason."""

    namespace: str
    pod: str
    username: str
    servername: str
    devices: tuple[tuple[str, int], ...]
    since: int
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInventory:
    """One node.

    Attributes:
        flavors: the names of the catalog's flavors that it has the labels of.
        gpus: one by one.
        gpus_left_out: how many more there are, where they are too many to be listed.
        images: the names of the catalog's images that its kubelet lists.
    """

    name: str
    flavors: tuple[str, ...]
    is_ready: bool
    is_cordoned: bool
    stocks: tuple[Stock, ...]
    holders: tuple[Holder, ...]
    gpus: tuple[Gpu, ...]
    gpus_left_out: int
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All of it.

    Attributes:
        nodes: those with devices, by name; None while nodes are unknown.
        shared_gpus: those that no node alone can use, as on a network between nodes.
        shared_gpus_left_out: how many more there are of them.
        waiting: the oldest first; None while pods are unknown.
        unknown: why a kind of object is not known, by its plural.
    """

    nodes: tuple[NodeInventory, ...] | None
    shared_gpus: tuple[Gpu, ...]
    shared_gpus_left_out: int
    waiting: tuple[WaitingPod, ...] | None
    unknown: Mapping[str, str]
    as_of: float | None


def take_inventory(snapshot: Snapshot, catalog: Catalog, node_name: str = "") -> Inventory:
    """Read who holds what from a snapshot.

    Args:
        snapshot: the cluster.
        catalog: names the flavors and the images.
        node_name: of the one node to look at; empty for all.
    """
    domains = _DEVICE_DOMAINS | {
        flavor.resource.partition("/")[0] for flavor in catalog.flavors.values()
    }
    places = ImagePlaces({name: image.reference for name, image in catalog.images.items()})
    holdings = holdings_of(snapshot)
    reading = _Reading(snapshot, catalog, places, domains, _claimed_by_pod(snapshot), holdings)
    nodes: list[NodeInventory] = []
    left = _MOST_GPUS
    for name, state in sorted((snapshot.nodes or {}).items()):
        found = _node(state, reading, left) if node_name in ("", name) else None
        if found is not None and (found.stocks or found.flavors):
            nodes.append(found)
            left -= len(found.gpus)
    shared = wide_gpus(snapshot, holdings) if not node_name else ()
    return Inventory(
        nodes=tuple(nodes) if snapshot.nodes is not None else None,
        shared_gpus=shared[:left],
        shared_gpus_left_out=len(shared) - len(shared[:left]),
        waiting=_waiting(snapshot.pods.values(), domains) if snapshot.pods is not None else None,
        unknown=dict(snapshot.unknown),
        as_of=snapshot.as_of,
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """What every node is read with; ``claimed`` is by the uid of the pod."""

    snapshot: Snapshot
    catalog: Catalog
    places: ImagePlaces
    domains: frozenset[str]
    claimed: Mapping[str, Mapping[str, int]]
    holdings: Holdings


def _node(state: NodeState, reading: _Reading, most_gpus: int) -> NodeInventory:
    node = state.node
    is_counted = reading.snapshot.pods is not None
    stocks = [
        Stock(
            resource=name,
            total=node.allocatable.amount(name),
            used=state.used.amount(name) if is_counted else None,
        )
        for name in sorted({*node.allocatable, *state.used})
        if _is_device(name, reading.domains)
    ]
    offered = [one for one in stocks if node.allocatable.amount(one.resource)]
    names = [one.resource for one in offered]
    gpus, number = gpus_of(state, reading.snapshot, names, reading.holdings)
    listed = gpus[: min(most_gpus, MOST_OF_NODE)]
    return NodeInventory(
        name=node.name,
        flavors=tuple(
            name for name, flavor in reading.catalog.flavors.items() if has_labels_of(node, flavor)
        ),
        is_ready=node.is_ready,
        is_cordoned=node.is_cordoned,
        stocks=(*offered, *_claimable(node.name, reading.snapshot)),
        holders=tuple(_holders(state, names, reading)),
        gpus=listed,
        gpus_left_out=number - len(listed),
        images=tuple(sorted(reading.places.held(node).images)),
    )


def _holders(state: NodeState, resources: Sequence[str], reading: _Reading) -> Iterator[Holder]:
    """Yield the pods of a node that have devices, of its device plugins or by claims.

    What a pod asked for under the name of a resource that claims stand behind is told by them.
    """
    if not resources and not reading.claimed:
        return
    for pod in state.holders:
        plugged = {name: pod.requests.amount(name) for name in resources}
        devices = {name: amount for name, amount in plugged.items() if amount}
        devices |= reading.claimed.get(pod.uid, {})
        if devices:
            yield Holder(
                namespace=pod.namespace,
                pod=pod.name,
                username=pod.username,
                servername=pod.servername,
                profile=pod.labels.get(PROFILE_LABEL, ""),
                devices=tuple(sorted(devices.items())),
                since=pod.created,
                is_terminating=pod.is_terminating,
            )


def _claimable(node_name: str, snapshot: Snapshot) -> Iterator[Stock]:
    """Yield the devices of a node that are had by claims, kind by kind."""
    total: Counter[str] = Counter()
    used: Counter[str] = Counter()
    cut: set[str] = set()
    for key in snapshot.pools.by_node.get(node_name, ()):
        pool = snapshot.pools.pools[key]
        newest = max((found.generation for found in pool.source.slices), default=0)
        for found in pool.source.slices:
            for device in found.devices if found.generation == newest else ():
                label = _label(device)
                total[label] += 1
                used[label] += device.name in pool.holds
                if device.consumes:
                    cut.add(label)
    is_counted = snapshot.claims is not None
    for label in sorted(total):
        yield Stock(
            resource=label,
            total=total[label],
            used=used[label] if is_counted else None,
            is_up_to=label in cut,
        )


def _claimed_by_pod(snapshot: Snapshot) -> dict[str, dict[str, int]]:
    """Return the devices that claims hold for pods, by the pod's uid."""
    found: dict[str, Counter[str]] = {}
    for claim in (snapshot.claims or {}).values():
        for result in claim.allocation.results if claim.allocation is not None else ():
            pool = snapshot.pools.pools.get((result.driver, result.pool))
            slices = pool.source.slices if pool is not None else ()
            devices = (one for each in slices for one in each.devices if one.name == result.device)
            label = next((_label(device) for device in devices), result.driver)
            for uid in claim.reserved_for:
                found.setdefault(uid, Counter())[label] += 1
    return {uid: dict(counts) for uid, counts in found.items()}


def _label(device: Device) -> str:
    """Name a kind of device as people do: by its product, and by its profile where it is a slice.

    Drivers choose what they publish; without these two attributes it is the device's own name.
    """
    facts = {name.rpartition("/")[2]: value for name, value in device.attributes}
    texts = [facts.get("productName"), facts.get("profile") or facts.get("partitionProfile")]
    known = [text for text in texts if isinstance(text, str)]
    return " ".join(known)[:80] or device.name


def _waiting(pods: Iterable[Pod], domains: frozenset[str]) -> tuple[WaitingPod, ...]:
    found = [
        WaitingPod(
            namespace=pod.namespace,
            pod=pod.name,
            username=pod.username,
            servername=pod.servername,
            devices=_devices(pod, domains),
            since=pod.created,
            because=pod.unschedulable_message,
        )
        for pod in pods
        if not pod.node_name and pod.phase == "Pending"
    ]
    return tuple(
        sorted(
            (pod for pod in found if pod.devices),
            key=lambda pod: (pod.since, pod.namespace, pod.pod),
        )
    )


def _devices(pod: Pod, domains: frozenset[str]) -> tuple[tuple[str, int], ...]:
    return tuple(
        (name, amount)
        for name, amount in sorted(pod.requests.items())
        if amount and _is_device(name, domains)
    )


def _is_device(resource: str, domains: frozenset[str]) -> bool:
    return resource.partition("/")[0] in domains
