"""What stands in the way of GPUs on a cluster, and what to change: the findings of the doctor.

Decides from a snapshot, the API groups that are served and the catalog; asking is for the caller.
What is in order is said as well, so that an admin sees that it was looked at.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gpu_spawner.core.catalog.check import check_against_cluster
from gpu_spawner.core.catalog.mechanisms.base import vendor_of
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.products import PRODUCT_LABEL, parse_product
from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.wording import counted, listed

__all__ = ["Finding", "Verdict", "examine"]

_VENDORS: Final = {"amd.com": "AMD", "gpu.intel.com": "Intel", "nvidia.com": "NVIDIA"}
_PRESENT: Final = (
    "nvidia.com/gpu.present",
    "feature.node.kubernetes.io/pci-10de.present",
    "feature.node.kubernetes.io/amd-gpu",
)
"""Labels that say that a node has a GPU, whether or not anything hands it out."""
_DRIVER_VENDORS: Final = {"gpu.nvidia.com": "nvidia.com", "gpu.amd.com": "amd.com"}
_MOST_NAMED: Final = 5

_SCHEDULERS: Final = (
    ("kai", "KAI", "scheduling.run.ai"),
    ("runai", "Run:ai", "run.ai"),
    ("volcano", "Volcano", "scheduling.volcano.sh"),
)
"""What a flavor may be had by, and an API group that its installation brings."""
_KUEUE: Final = "kueue.x-k8s.io"


class Verdict(StrEnum):
    """How serious a finding is."""

    GOOD = "ok"
    ADVICE = "advice"
    """Works, and could work better."""
    TROUBLE = "trouble"
    """Something that was wished for cannot work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: what was seen, and what to change (empty where nothing)."""

    verdict: Verdict
    what: str
    cure: str = ""


def examine(
    snapshot: Snapshot, groups: Collection[str], catalog: Catalog | None = None
) -> list[Finding]:
    """Return everything found, in the order in which an admin would look.

    Args:
        snapshot: the cluster.
        groups: the names of the API groups that are served.
        catalog: what is to be offered; None where there is none yet.
    """
    if snapshot.nodes is None:
        why = snapshot.unknown.get("nodes", "nothing was read")
        return [
            Finding(
                verdict=Verdict.TROUBLE,
                what=f"Nodes are unknown: {why}.",
                cure="Grant the feature availability: gpu-spawner rbac prints what it takes.",
            )
        ]
    nodes = [state.node for _, state in sorted(snapshot.nodes.items())]
    with_slices = _nodes_with_slices(snapshot)
    found = [
        *_devices(nodes, snapshot),
        *_silent_nodes(nodes, with_slices),
        *_unlabelled_nodes(nodes),
        *_closed_nodes(nodes),
        *_both_ways(nodes, snapshot, with_slices),
        *_device_claims(snapshot, groups),
        *_images(nodes),
    ]
    if catalog is not None:
        found += _schedulers(catalog, groups, nodes)
        found += _catalog(catalog, snapshot)
    return found


def _devices(nodes: Iterable[Node], snapshot: Snapshot) -> Iterator[Finding]:
    """Say what there is to hand out at all."""
    offered: Counter[str] = Counter()
    for node in nodes:
        for name, amount in node.allocatable.items():
            if vendor_of(name) in _VENDORS:
                offered[name] += amount
    drivers = Counter(
        found.driver for found in (snapshot.slices or {}).values() for _ in found.devices
    )
    parts = [f"{amount} {name}" for name, amount in sorted(offered.items()) if amount]
    parts += [f"{amount} devices of {driver} for claims" for driver, amount in drivers.items()]
    if parts:
        yield Finding(verdict=Verdict.GOOD, what=f"The nodes offer {listed(parts)}.")
    else:
        yield Finding(
            verdict=Verdict.TROUBLE,
            what="No node offers a GPU.",
            cure="Install the vendor's device plugin or DRA driver, for NVIDIA the GPU Operator.",
        )


def _silent_nodes(nodes: Iterable[Node], with_slices: Collection[str]) -> Iterator[Finding]:
    silent = [
        node.name
        for node in nodes
        if any(node.labels.get(label, "false") not in ("false", "") for label in _PRESENT)
        and not any(vendor_of(name) in _VENDORS and n for name, n in node.allocatable.items())
        and node.name not in with_slices
    ]
    if silent:
        yield Finding(
            verdict=Verdict.TROUBLE,
            what=f"{_named(silent)} a GPU that nobody hands out.",
            cure="Look at the device plugin's (or DRA driver's) pods there, and at the driver: "
            "a GPU that is lost, or in MIG mode without a slice, is not offered.",
        )


def _unlabelled_nodes(nodes: Iterable[Node]) -> Iterator[Finding]:
    unlabelled, invalid = [], []
    for node in nodes:
        has_gpu = any(
            vendor_of(name) == "nvidia.com" and amount for name, amount in node.allocatable.items()
        )
        product = node.labels.get(PRODUCT_LABEL)
        if has_gpu and product is None and not any("gke-accelerator" in one for one in node.labels):
            unlabelled.append(node.name)
        if product is not None and parse_product(product).mig == "INVALID":
            invalid.append(node.name)
    if unlabelled:
        yield Finding(
            verdict=Verdict.ADVICE,
            what=f"{_named(unlabelled)} no label {PRODUCT_LABEL}.",
            cure="Run GPU feature discovery, or recognise them by another label in node_labels.",
        )
    if invalid:
        yield Finding(
            verdict=Verdict.TROUBLE,
            what=f"{_named(invalid)} GPUs that are not all cut alike, in the MIG strategy single.",
            cure="Cut them alike, or use the strategy mixed.",
        )


def _closed_nodes(nodes: Iterable[Node]) -> Iterator[Finding]:
    closed = [
        node.name
        for node in nodes
        if (node.is_cordoned or not node.is_ready)
        and any(vendor_of(name) in _VENDORS for name in node.allocatable)
    ]
    if closed:
        yield Finding(
            verdict=Verdict.ADVICE,
            what=f"{_named(closed)} GPUs that nobody can be given: cordoned or not ready.",
            cure="kubectl uncordon them when they are repaired.",
        )


def _both_ways(
    nodes: Iterable[Node], snapshot: Snapshot, with_slices: Collection[str]
) -> Iterator[Finding]:
    drivers = {found.driver for found in (snapshot.slices or {}).values()}
    vendors = {_DRIVER_VENDORS[driver] for driver in drivers if driver in _DRIVER_VENDORS}
    twice = [
        node.name
        for node in nodes
        if node.name in with_slices
        and any(vendor_of(name) in vendors and n for name, n in node.allocatable.items())
    ]
    if twice:
        yield Finding(
            verdict=Verdict.TROUBLE,
            what=f"{_named(twice)} a device plugin and a DRA driver of one vendor: "
            "they hand the same GPU out twice.",
            cure="Keep one of the two on each node.",
        )


def _device_claims(snapshot: Snapshot, groups: Collection[str]) -> Iterator[Finding]:
    if "resource.k8s.io" not in groups:
        yield Finding(
            verdict=Verdict.GOOD,
            what="The cluster has no Dynamic Resource Allocation; device plugins do without.",
        )
        return
    for kind in ("resourceslices", "deviceclasses", "resourceclaims"):
        if kind in snapshot.unknown:
            yield Finding(
                verdict=Verdict.ADVICE,
                what=f"{kind} are unknown: {snapshot.unknown[kind]}.",
                cure="Grant the feature availability, or offer no profile that needs claims.",
            )
    if snapshot.slices and not snapshot.device_classes:
        yield Finding(
            verdict=Verdict.TROUBLE,
            what="There are devices for claims, and no DeviceClass to ask for them.",
            cure="Create the driver's classes; its chart has them.",
        )
    present: Counter[tuple[str, str]] = Counter()
    newest: dict[tuple[str, str], tuple[int, int]] = {}
    for found in (snapshot.slices or {}).values():
        latest = newest.get(found.pool_key, (-1, 0))
        newest[found.pool_key] = max(latest, (found.generation, found.slice_count))
    for found in (snapshot.slices or {}).values():
        present[found.pool_key] += found.generation == newest[found.pool_key][0]
    torn = sorted(
        f"{driver}/{pool}"
        for (driver, pool), (_, count) in newest.items()
        if present[driver, pool] < count
    )
    if torn:
        yield Finding(
            verdict=Verdict.TROUBLE,
            what=f"Incomplete pools of devices: {listed(torn[:_MOST_NAMED])}; "
            "nothing is allocated from them.",
            cure="Look at the driver's pods on those nodes.",
        )
    elif newest:
        pools = counted(len(newest), "pool")
        yield Finding(verdict=Verdict.GOOD, what=f"{pools} of devices for claims, all complete.")


def _images(nodes: Iterable[Node]) -> Iterator[Finding]:
    if not any(node.images for node in nodes):
        yield Finding(
            verdict=Verdict.ADVICE,
            what="No node reports its images.",
            cure="Without the kubelet's report, only preloaded images are known to be there: "
            "leave nodeStatusMaxImages of the kubelet above 0.",
        )


def _schedulers(
    catalog: Catalog, groups: Collection[str], nodes: Iterable[Node]
) -> Iterator[Finding]:
    """Say which schedulers and queues the catalog relies on, and whether they are there."""
    for attribute, name, group in _SCHEDULERS:
        users = [
            flavor.name for flavor in catalog.flavors.values() if getattr(flavor, attribute, None)
        ]
        if users and group not in groups:
            yield Finding(
                verdict=Verdict.TROUBLE,
                what=f"Flavors {listed(users)} are had by {name}, and the cluster has no {group}.",
                cure=f"Install {name}, or remove {attribute} from the flavors.",
            )
    hami = [flavor.name for flavor in catalog.flavors.values() if flavor.hami]
    has_hami = any(one.scheme == "hami" for node in nodes for one in node.card_registers)
    if hami and not has_hami:
        yield Finding(
            verdict=Verdict.TROUBLE,
            what=f"Flavors {listed(hami)} are had by HAMi, and no node has its register.",
            cure="Install HAMi and label its nodes gpu=on, or remove hami from the flavors.",
        )
    queued = [profile.slug for profile in catalog.profiles if profile.queue is not None]
    if queued and _KUEUE not in groups:
        yield Finding(
            verdict=Verdict.TROUBLE,
            what=f"Profiles {listed(queued)} wait in Kueue's queues, and the cluster has no Kueue.",
            cure="Install Kueue, or remove kueue from the profiles.",
        )


def _catalog(catalog: Catalog, snapshot: Snapshot) -> Iterator[Finding]:
    problems = check_against_cluster(catalog, snapshot)
    for problem in problems:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        key = f"{problem.key}: " if problem.key else ""
        yield Finding(
            verdict=Verdict.TROUBLE, what=f"{place}: {key}{problem.message}", cure=problem.cure
        )
    if not problems:
        number = counted(len(catalog.profiles), "profile")
        yield Finding(
            verdict=Verdict.GOOD, what=f"{number}: some node can serve every choice of every one."
        )


def _nodes_with_slices(snapshot: Snapshot) -> frozenset[str]:
    slices = (snapshot.slices or {}).values()
    return frozenset(found.reach.node_name for found in slices if found.reach.node_name)


def _named(names: list[str]) -> str:
    """Begin a sentence with the nodes: "Node a has", "Nodes a, b and 3 more have"."""
    if len(names) == 1:
        return f"Node {names[0]} has"
    shown = names[:_MOST_NAMED]
    more = [f"{len(names) - len(shown)} more"] if len(names) > len(shown) else []
    return f"Nodes {listed([*shown, *more])} have"
