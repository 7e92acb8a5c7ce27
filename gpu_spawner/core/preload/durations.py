"""How long a pull takes: learnt from the pulls that were seen, by image and by kind of node.

The kind of a node is its flavor of GPU, or none: nodes of one kind mostly share disk and network,
which is what a pull depends on. Where an image was never pulled on a kind of node, its size and the
speed seen there with other large images give the answer, and without those the speed the admin
named.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.cluster.objects import Node
from gpu_spawner.core.cluster.pull_events import PullEvent
from gpu_spawner.core.cluster.pullers import LearntPull

__all__ = ["PullTimes", "kind_of"]

_NEWEST_WEIGHS: Final = 0.3
_MOST_IMAGES: Final = 500
_MOST_SECONDS: Final = 24 * 3600.0
_TELLS_SPEED_BYTES: Final = 100_000_000
"""A smaller image is mostly waited for: a second for a megabyte tells nothing of ten gigabytes."""

_Key = tuple[str, str]


def kind_of(node: Node | None, flavors: Mapping[str, Flavor]) -> str:
    """Return the first flavor whose labels a node has; empty for a node without such a GPU."""
    for name, flavor in flavors.items() if node is not None else ():
        if node is not None and all(
            node.labels.get(label.key) in label.values for label in flavor.node_labels
        ):
            return name
    return ""


class PullTimes:
    """What was learnt. Bounded: of more than 500 images the one not pulled for longest goes."""

    def __init__(self, bytes_per_second: float) -> None:
        self.serial = 0
        self._bytes_per_second = bytes_per_second
        self._learnt: dict[_Key, LearntPull] = {}

    def copy(self) -> "PullTimes":
        """Return what is known now, which later pulls do not change."""
        copied = PullTimes(self._bytes_per_second)
        copied.serial = self.serial
        copied._learnt.update(self._learnt)
        return copied

    def learn(self, event: PullEvent, kind: str) -> None:
        """Take one completed pull into account; one that tells no time is ignored."""
        if not event.image or not 0 < event.seconds <= _MOST_SECONDS:
            return
        before = self._learnt.pop((event.image, kind), None)
        seconds = event.seconds
        if before is not None:
            seconds = before.seconds + _NEWEST_WEIGHS * (event.seconds - before.seconds)
        self._put(
            (event.image, kind),
            LearntPull(
                seconds=round(seconds, 1),
                count=(before.count if before else 0) + 1,
                size_bytes=event.size_bytes or (before.size_bytes if before else 0),
            ),
        )

    def recall(self, image: str, learnt: Mapping[str, LearntPull]) -> None:
        """Take over what was noted about an image, unless more is known already."""
        for kind, pull in learnt.items():
            known = self._learnt.get((image, kind))
            if known is None or known.count < pull.count:
                self._put((image, kind), pull)

    def all_of(self, image: str) -> dict[str, LearntPull]:
        """Return what is known about an image, by kind of node."""
        return {kind: pull for (name, kind), pull in sorted(self._learnt.items()) if name == image}

    def size_of(self, image: str) -> int | None:
        """Return the compressed size of an image that was pulled; None where none was."""
        sizes = [one.size_bytes for (name, _), one in self._learnt.items() if name == image]
        return max(sizes, default=0) or None

    def expect(self, image: str, kinds: Iterable[str], size_bytes: int | None) -> float | None:
        """Return how many seconds a pull should take on the slowest of these kinds of nodes.

        None where neither a pull of this image was seen nor its size is known.
        """
        expected = [self._expect(image, kind, size_bytes) for kind in kinds or ("",)]
        known = [seconds for seconds in expected if seconds is not None]
        return max(known, default=None)

    def _expect(self, image: str, kind: str, size_bytes: int | None) -> float | None:
        learnt = self._learnt.get((image, kind))
        if learnt is not None:
            return learnt.seconds
        size = size_bytes or self.size_of(image)
        return None if size is None else size / self._speed(kind)

    def _speed(self, kind: str) -> float:
        """Return the bytes a second seen on a kind of node, weighed by size."""
        pulls = [
            (pull.size_bytes, pull.seconds)
            for (_, where), pull in self._learnt.items()
            if where == kind and pull.size_bytes >= _TELLS_SPEED_BYTES
        ]
        seconds = sum(one for _, one in pulls)
        return sum(size for size, _ in pulls) / seconds if seconds else self._bytes_per_second

    def _put(self, key: _Key, pull: LearntPull) -> None:
        self._learnt.pop(key, None)
        self._learnt[key] = pull
        self.serial += 1
        while len(self._learnt) > _MOST_IMAGES:
            del self._learnt[next(iter(self._learnt))]
