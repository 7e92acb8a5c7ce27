"""Hold a catalog against a cluster: what no node could ever satisfy, however idle.

Finds what an operator should know before a user clicks: flavors that match no node, shares that no
node offers, counts and amounts that exceed every node, images that no driver can run, taints that
nobody tolerates, and nodes that two flavors claim. What is merely busy, cordoned or not ready is
no mistake.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from gpu_spawner.core.catalog.claims import DeviceWish
from gpu_spawner.core.catalog.compile import PodFragment, compile_ways
from gpu_spawner.core.catalog.contested_devices import check_contested_devices
from gpu_spawner.core.catalog.contested_nodes import check_contested_nodes
from gpu_spawner.core.catalog.device_check import check_devices, most_devices
from gpu_spawner.core.catalog.documents import dotted, line_of
from gpu_spawner.core.catalog.flavors import has_hardware
from gpu_spawner.core.catalog.mechanisms import pod_sides
from gpu_spawner.core.catalog.mechanisms.base import vendor_of
from gpu_spawner.core.catalog.model import ANY, Catalog, Choice, Profile, Selection
from gpu_spawner.core.catalog.site_pod import SitePod, request_of
from gpu_spawner.core.cluster.device_classes import DeviceClass
from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.snapshot import NO_LOAD, Snapshot
from gpu_spawner.core.errors import Problem
from gpu_spawner.core.placement.extended_resources import DEVICE_CLASS_PREFIX, classes_by_resource
from gpu_spawner.core.placement.fitting import (
    Reason,
    Rejection,
    looks_at_names,
    room_beside,
    static_keys,
    static_rejections,
)
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.quantity import format_bytes, format_cpu
from gpu_spawner.core.resources import CPU, EPHEMERAL_STORAGE, MEMORY, ResourceVector
from gpu_spawner.core.wording import as_sentence, did_you_mean, listed

__all__ = ["check_against_cluster", "check_step_by_step", "look_of"]

_HOSTNAME: Final = "kubernetes.io/hostname"
_PASSING: Final = frozenset({Reason.CORDONED, Reason.NOT_READY})
"""Reasons that go away without anybody changing the configuration."""


def check_against_cluster(
    catalog: Catalog, snapshot: Snapshot, site: SitePod | None = None
) -> list[Problem]:
    """Return every problem of a catalog on a cluster, sorted; nothing where all is well.

    Args:
        catalog: what is offered.
        snapshot: the cluster; only its nodes matter.
        site: what every server gets, where that is known.
    """
    steps = check_step_by_step(catalog, snapshot, site)
    return sorted({problem for step in steps for problem in step})


def check_step_by_step(
    catalog: Catalog, snapshot: Snapshot, site: SitePod | None = None
) -> Iterator[Iterable[Problem]]:
    """Yield the same in short steps, between which somebody else can be served.

    A problem may come in several steps.
    """
    if snapshot.nodes is None:
        reason = snapshot.unknown.get("nodes", "nothing was read")
        yield [Problem(file="cluster", message=f"nodes are unknown: {reason}.")]
        return
    nodes = [state.node for state in snapshot.nodes.values()]
    yield check_contested_nodes(catalog, nodes)
    yield check_devices(catalog, snapshot)
    yield check_contested_devices(catalog, snapshot)
    kinds = _kinds(nodes)
    for profile in catalog.profiles:
        for choice in profile.choices:
            if choice.flavor != ANY:
                checking = _Checking(catalog, site or SitePod(), profile, choice, snapshot, kinds)
                yield checking.problems()


def look_of(node: Node) -> Hashable:
    """Return what a node is judged by here: equal for nodes that only their names tell apart.

    What passes, such as a cordon, is no part of it.
    """
    labels = frozenset(label for label in node.labels.items() if label[0] != _HOSTNAME)
    return labels, node.taints, node.architecture, frozenset(node.allocatable.amounts.items())


def _kinds(nodes: Iterable[Node]) -> list[list[Node]]:
    """Return the nodes, those together that only their names tell apart: there are few kinds."""
    kinds: dict[Hashable, list[Node]] = {}
    for node in nodes:
        kinds.setdefault(look_of(node), []).append(node)
    return list(kinds.values())


@dataclass(frozen=True, slots=True)
class _Checking:
    """One choice of one profile on one cluster."""

    catalog: Catalog
    site: SitePod
    profile: Profile
    choice: Choice
    snapshot: Snapshot
    kinds: list[list[Node]]

    def problems(self) -> Iterator[Problem]:
        """Yield nothing where one way of serving the choice works, else what is wrong with one."""
        by_image = [self._compile(image) for image in self.profile.images]
        found = [list(self._way_problems(ways)) for ways in zip(*by_image, strict=True)]
        if all(found):
            yield from found[0]

    def _way_problems(self, by_image: Sequence[PodFragment]) -> Iterator[Problem]:
        fragment = by_image[0]
        kinds = self._kinds_for(fragment)
        found = [kind for kind in kinds if has_hardware(fragment.hardware, kind[0].labels)]
        having = [kind[0] for kind in found]
        if not having:
            if not self._may_grow:
                yield self._no_node(fragment)
            return
        names = frozenset(node.name for kind in found for node in kind)
        missing = list(self._wrong_devices(fragment, having, names))
        yield from missing
        yield from self._too_many(fragment.selection.mechanism)
        for image, compiled in zip(self.profile.images, by_image, strict=True):
            request = request_of(compiled, self.site)
            usable = [node for node in having if not _lasting(request, node)]
            if not usable:
                yield self._all_refused(image, request, having)
            elif not missing and not any(self._has_room(request, node) for node in usable):
                yield self._too_small(request, fragment, usable)

    def _kinds_for(self, fragment: PodFragment) -> list[list[Node]]:
        """Return nodes that look alike to a pod; each for itself where it looks at their names."""
        request = request_of(fragment, self.site)
        keys = static_keys(request) | {label.key for group in fragment.hardware for label in group}
        if looks_at_names(request) or _HOSTNAME in keys:
            return [[node] for kind in self.kinds for node in kind]
        return self.kinds

    def _has_room(self, request: PodRequest, node: Node) -> bool:
        """Tell whether an idle node is large enough, leaving out devices that it has to claim."""
        claimed = {
            name: amount
            for name, amount in request.requests.items()
            if name in self._classes and name not in node.allocatable
        }
        counted = replace(request, requests=request.requests.minus(ResourceVector(claimed)))
        return room_beside(counted, node.allocatable, NO_LOAD) > 0

    @property
    def _classes(self) -> Mapping[str, DeviceClass]:
        """Which device class stands behind which extended resource."""
        return self.snapshot.derive("classes_by_resource", _classes)

    @property
    def _may_grow(self) -> bool:
        """Whether nodes that are not there yet may serve the choice, as far as is declared."""
        flavor = self.catalog.flavors.get(self.choice.flavor)
        return flavor is not None and flavor.may_grow_for(self.choice.count)

    def _compile(self, image: str) -> Sequence[PodFragment]:
        choice, resources = self.choice, self.profile.resources
        selection = Selection(
            profile=choice.profile,
            flavor=choice.flavor,
            flavors=choice.flavors,
            share=choice.share,
            count=choice.count,
            image=image,
            # Everything that can be chosen must be possible, the most of it too.
            cpu_milli=max(resources.cpu_choices, default=None),
            memory_bytes=max(resources.memory_choices, default=None),
        )
        return compile_ways(self.catalog, selection)

    def _tell(self, part: str, message: str, cure: str) -> Problem:
        """Make a problem of a part of the profile (``gpu.count``), in the block of this choice."""
        path: tuple[str | int, ...] = tuple(part.split(".")) if part else ()
        if path[:1] == ("gpu",) and ("gpu", 0) in self.profile.lines:
            path = ("gpu", self._block, *path[1:])
        return Problem(
            file=self.profile.origin,
            line=line_of(self.profile.lines, path),
            key=dotted(path),
            message=as_sentence(message),
            cure=cure,
        )

    @property
    def _block(self) -> int:
        """The index of the ``gpu`` block that offers the choice."""
        for index, block in enumerate(self.profile.gpu):
            is_here = self.choice.flavor in block.flavors and self.choice.share in block.shares
            if is_here and self.choice.count in block.counts:
                return index
        return 0

    def _no_node(self, fragment: PodFragment) -> Problem:
        """Say which label is at fault: the first that no node has with these values."""
        if not fragment.hardware:
            return self._tell("", "the cluster has no node", "Add one.")
        for label in fragment.hardware[0]:
            found = sorted(
                {
                    node.labels[label.key]
                    for kind in self.kinds
                    for node in kind
                    if label.key in node.labels
                }
            )
            if label.values and not set(label.values) & set(found):
                has = listed(found) if found else "no value at all"
                meant = did_you_mean(label.values[0], found)
                return self._tell(
                    "gpu.flavors",
                    f"flavor '{self.choice.flavor}' matches no node: {label.key} is to be "
                    f"{listed(label.values, word='or')}, and nodes have {has}",
                    meant or f"Correct node_labels of '{self.choice.flavor}' in flavors.yaml.",
                )
        return self._tell(
            "gpu.flavors",
            f"flavor '{self.choice.flavor}' matches no node: none has all of its labels",
            f"Correct node_labels of '{self.choice.flavor}' in flavors.yaml.",
        )

    def _wrong_devices(
        self, fragment: PodFragment, having: list[Node], names: frozenset[str]
    ) -> Iterator[Problem]:
        """Yield devices that no node has, or not so many of.

        Args:
            fragment: the pod.
            having: a node of each kind that has the hardware.
            names: of all of them.
        """
        for resource, count in fragment.devices.items():
            most = max(node.allocatable.amount(resource) for node in having)
            if (behind := self._classes.get(resource)) is not None:
                # What a node has none of as a number it may have as devices to claim.
                wish = DeviceWish(device_class=behind.name)
                most = max(most, most_devices(self.snapshot, wish, names) or 0)
            is_claimed = behind is not None or resource.startswith(DEVICE_CLASS_PREFIX)
            if most == 0 and is_claimed:
                continue  # their driver may be yet to tell of them
            if most == 0:
                vendor = vendor_of(resource)
                offered = sorted(
                    {
                        name
                        for node in having
                        for name in node.allocatable
                        if vendor_of(name) == vendor
                    }
                )
                what = listed(offered) if offered else f"nothing of {vendor}"
                yield self._tell(
                    "gpu.share",
                    f"no node of flavor '{self.choice.flavor}' offers {resource}; "
                    f"they offer {what}",
                    "Choose a share that they offer, or configure the nodes' device plugin.",
                )
            elif most < count:
                yield self._tell(
                    "gpu.count",
                    f"got {count}, but the largest node of flavor '{self.choice.flavor}' has "
                    f"{most} of {resource}",
                    f"Remove {count}: the devices of one server are on one node.",
                )

    def _too_many(self, mechanism: str) -> Iterator[Problem]:
        """Yield a count of claimed devices that no node has; none at all is told elsewhere."""
        flavor, share, count = self.catalog.flavors, self.choice.share, self.choice.count
        if share is None or not self.choice.flavor:
            return
        for name, side in pod_sides(flavor[self.choice.flavor], share, count):
            if name != mechanism or side.devices is None or side.devices.spec is not None:
                continue
            most = most_devices(self.snapshot, side.devices)
            if most and most < count:
                yield self._tell(
                    "gpu.count",
                    f"got {count}, but the largest node of flavor '{self.choice.flavor}' has "
                    f"{most} such devices",
                    f"Remove {count}: the devices of one server are on one node.",
                )

    def _all_refused(self, image: str, request: PodRequest, having: list[Node]) -> Problem:
        """Say why no node that has the hardware would take the pod."""
        lasting = [_lasting(request, node) for node in having]
        # The nodes that come nearest tell what is in the way; others may have it and more.
        fewest = min(len(rejections) for rejections in lasting)
        nearest = [one for found in lasting if len(found) == fewest for one in found]
        kind = f" of flavor '{self.choice.flavor}'" if self.choice.flavor else ""
        for reason, key, words, cure in (
            (Reason.TAINT, "tolerations", "every node{kind} is tainted {facts}", "Tolerate it."),
            (
                Reason.DRIVER,
                "images",
                "image '{image}' cannot run on any node{kind}: {facts}",
                "Use another image, or update the nodes' driver.",
            ),
            (
                Reason.ARCHITECTURE,
                "images",
                "image '{image}' cannot run on any node{kind}: {facts}",
                "Use an image that is built for these nodes.",
            ),
        ):
            details = sorted({one.detail for one in nearest if one.reason is reason})
            if details:
                message = words.format(kind=kind, image=image, facts=listed(details[:3]))
                return self._tell(key, message, cure)
        return self._tell(
            "node_selector",
            f"every node{kind} is excluded: {min(one.detail for one in nearest)}",
            "Correct node_selector, or the site's node affinity.",
        )

    def _too_small(self, request: PodRequest, fragment: PodFragment, usable: list[Node]) -> Problem:
        """Say which amount exceeds what any single node offers."""
        asked = {
            name: amount
            for name, amount in request.requests.items()
            if name not in fragment.devices
        }
        of = f" of flavor '{self.choice.flavor}'" if self.choice.flavor else ""
        for name, amount in sorted(asked.items()):
            most = max(node.allocatable.amount(name) for node in usable)
            if amount > most:
                return self._tell(
                    f"resources.{name}" if name in (CPU, MEMORY) else "resources",
                    f"{_with_count(self.choice.count)} requests {_show(name, amount)} of {name}; "
                    f"the largest node{of} has {_show(name, most)}",
                    "Lower the request.",
                )
        return self._tell(
            "resources",
            f"{_with_count(self.choice.count)} fits no single node{of}: none has enough of "
            f"{listed(sorted(request.requests))} together",
            "Lower the requests.",
        )


def _classes(snapshot: Snapshot) -> Mapping[str, DeviceClass]:
    return classes_by_resource((snapshot.device_classes or {}).values())


def _lasting(request: PodRequest, node: Node) -> list[Rejection]:
    return [one for one in static_rejections(request, node) if one.reason not in _PASSING]


def _with_count(count: int) -> str:
    return f"a server with count {count}" if count else "a server"


def _show(name: str, amount: int) -> str:
    if name == CPU:
        return format_cpu(amount)
    return format_bytes(amount) if name in (MEMORY, EPHEMERAL_STORAGE) else str(amount)
