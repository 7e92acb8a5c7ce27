"""Flavors of one profile that select the same devices.

Two profiles may sell the same device under two names, "an H200" and "any GPU with 100 GB". Within
one profile that misleads: the same GPU stands in two rows, so that more seem to be free than are.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from gpu_spawner.core.catalog.device_check import devices_of_class, distinct_devices
from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.mechanisms import pod_sides
from gpu_spawner.core.catalog.model import Catalog, Share
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.devices.facts import DeviceFacts
from gpu_spawner.core.errors import Problem

__all__ = ["check_contested_devices"]


def check_contested_devices(catalog: Catalog, snapshot: Snapshot) -> Iterator[Problem]:
    """Yield a problem for each pair of flavors of a profile that claim the same kind of device.

    Nothing is said of devices whose slices or classes are not known.
    """
    if not snapshot.slices or not snapshot.device_classes:
        return
    offered = _Offered(
        {name: tuple(one.selectors) for name, one in snapshot.device_classes.items()},
        distinct_devices(snapshot.slices.values()),
    )
    for profile in catalog.profiles:
        for position, block in enumerate(profile.gpu):
            path = ("gpu", "flavors") if len(profile.gpu) == 1 else ("gpu", position, "flavors")
            for one, other in combinations(dict.fromkeys(block.flavors), 2):
                flavors = catalog.flavors[one], catalog.flavors[other]
                if any(offered.both(share, *flavors) for share in block.shares):
                    yield Problem(
                        file=profile.origin,
                        line=profile.lines.get(path, 0) or profile.lines.get(("gpu",), 0),
                        key=".".join(map(str, path)),
                        message=f"'{one}' and '{other}' select the same devices.",
                        cure="Leave one of them out, or narrow what it selects: what is free of "
                        "the one is not free beside the other.",
                    )


class _Offered(NamedTuple):
    """The selectors of the classes there are, and the devices, each kind once."""

    classes: Mapping[str, Sequence[str]]
    devices: Sequence[DeviceFacts]

    def both(self, share: Share, one: Flavor, other: Flavor) -> frozenset[DeviceFacts]:
        """Return the devices that a share may be given of two flavors."""
        return self._of(share, one) & self._of(share, other)

    def _of(self, share: Share, flavor: Flavor) -> frozenset[DeviceFacts]:
        wishes = [
            side.devices
            for _, side in pod_sides(flavor, share, 1)
            if side.devices is not None and side.devices.spec is None
        ]
        return frozenset(
            device
            for wish in wishes
            if wish.device_class in self.classes
            for device in devices_of_class(
                self.devices, (*self.classes[wish.device_class], *wish.selectors)
            )
        )
