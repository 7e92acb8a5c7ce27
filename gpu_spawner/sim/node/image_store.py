"""The images on one node's disk: their names, their layers, who uses them, what they take."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpu_spawner.sim.image_names import made_up_digest, normalized_reference, repository_of
from gpu_spawner.sim.image_registry import Login, Manifest

__all__ = ["Holder", "ImageStore", "StoredImage"]

Holder = tuple[str, str]
"""Pod uid and container name."""

# The kubelet reports at most this many images of a node, the largest, each by so many names
# (nodeStatusMaxImages, MaxNamesPerImageInNodeStatus).
_MOST_REPORTED_IMAGES = 50
_MOST_REPORTED_NAMES = 5


@dataclass(slots=True, kw_only=True)
class StoredImage:
    """One image.

    Attributes:
        repositories: those it was pulled from.
        tags: normalized references with a tag that lead here.
        layers: sizes by name.
        unpacked: bytes it takes besides its layers.
        openers: fingerprints of the logins it was pulled with; None once it was pulled without.
        since: when it was first seen, seconds on the store's clock.
        last_used: when it was last seen in use, likewise.
        is_pinned: never removed by the kubelet.
    """

    digest: str
    size: int
    layers: Mapping[str, int]
    unpacked: int
    repositories: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    openers: set[str] | None = None
    since: float
    last_used: float
    is_pinned: bool = False

    @property
    def id(self) -> str:
        """The form in which a container's status names it."""
        return f"{self.repositories[0]}@{self.digest}"

    @property
    def names(self) -> list[str]:
        """Every name it goes by, digests first."""
        return [*(f"{each}@{self.digest}" for each in self.repositories), *self.tags]


class ImageStore:
    """What is there.

    Args:
        clock: seconds, from any point in time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._images: dict[str, StoredImage] = {}
        self._held: dict[Holder, set[str]] = {}

    @property
    def digests(self) -> frozenset[str]:
        """The digests of all images."""
        return frozenset(self._images)

    @property
    def used_bytes(self) -> int:
        """What the images take on the disk, layers that several share once."""
        layers: dict[str, int] = {}
        for image in self._images.values():
            layers |= image.layers
        return sum(layers.values()) + sum(image.unpacked for image in self._images.values())

    def find(self, reference: str) -> StoredImage | None:
        """Return the image a reference leads to on this node."""
        name = normalized_reference(reference)
        _, at, digest = name.partition("@")
        if at:
            found = self._images.get(digest)
            return (
                found if found is not None and repository_of(name) in found.repositories else None
            )
        return next((each for each in self._images.values() if name in each.tags), None)

    def missing_bytes(self, manifest: Manifest) -> int:
        """Return how much of an image has to be pulled yet."""
        there = {layer for image in self._images.values() for layer in image.layers}
        layers = manifest.facts.layers_of(manifest.digest)
        return sum(size for layer, size in layers.items() if layer not in there)

    def add(self, reference: str, manifest: Manifest) -> StoredImage:
        """Keep an image that was pulled, and let the reference lead to it."""
        name, now = normalized_reference(reference), self._clock()
        image = self._images.get(manifest.digest)
        if image is None:
            image = self._images[manifest.digest] = StoredImage(
                digest=manifest.digest,
                size=manifest.facts.pulled_bytes,
                layers=manifest.facts.layers_of(manifest.digest),
                unpacked=manifest.facts.unpacked_bytes,
                openers=set(),
                since=now,
                last_used=now,
            )
        self._let_in(image, manifest.login)
        if (repository := repository_of(name)) not in image.repositories:
            image.repositories.append(repository)
        if "@" not in name and name not in image.tags:
            # A tag leads to one image; the one it led to keeps its digest.
            for other in self._images.values():
                if name in other.tags:
                    other.tags.remove(name)
            image.tags.append(name)
        return image

    def remove(self, digest: str) -> int:
        """Remove an image; return how many bytes it was reported to have."""
        return self._images.pop(digest).size

    def clear(self) -> None:
        """Forget everything, as a new disk does."""
        self._images.clear()
        self._held.clear()

    def pin(self, reference: str) -> None:
        """Keep an image whatever happens, as a runtime does with what it needs itself.

        Raises:
            KeyError: it is not there.
        """
        image = self.find(reference)
        if image is None:
            raise KeyError(reference)
        image.is_pinned = True

    def hold(self, holder: Holder, *images: StoredImage) -> None:
        """Note what a container uses from now on."""
        self._held[holder] = {image.digest for image in images}

    def release(self, pod_uid: str) -> None:
        """Note that a pod's containers are gone."""
        self._held = {key: value for key, value in self._held.items() if key[0] != pod_uid}

    def removable(self, min_age_seconds: float) -> list[StoredImage]:
        """Return what may be removed: unused and not too new, what was used longest ago first."""
        now = self._clock()
        in_use = {digest for digests in self._held.values() for digest in digests}
        for digest in in_use & self._images.keys():
            self._images[digest].last_used = now
        found = [
            image
            for image in self._images.values()
            if image.digest not in in_use
            and not image.is_pinned
            and now - image.since >= min_age_seconds
        ]
        return sorted(found, key=lambda image: (image.last_used, image.since))

    def as_status(self) -> list[dict[str, Any]]:
        """Return ``status.images`` of the node."""
        largest_first = sorted(self._images.values(), key=lambda each: (-each.size, each.names))
        return [
            {"names": image.names[:_MOST_REPORTED_NAMES], "sizeBytes": image.size}
            for image in largest_first[:_MOST_REPORTED_IMAGES]
        ]

    def restore(self, status: Iterable[Mapping[str, Any]]) -> None:
        """Add what a node's ``status.images`` tells of a former life."""
        now = self._clock()
        for entry in status:
            names = list(entry.get("names") or ())
            tags = [name for name in names if "@" not in name]
            digests = [name for name in names if "@" in name]
            if not names or any(self.find(name) is not None for name in names):
                continue
            digest = digests[0].partition("@")[2] if digests else made_up_digest(tags[0])
            size = entry.get("sizeBytes") or 0
            self._images[digest] = StoredImage(
                digest=digest,
                size=size,
                layers={digest: size},
                unpacked=0,
                repositories=list(dict.fromkeys(repository_of(name) for name in names)),
                tags=tags,
                since=now,
                last_used=now,
            )

    @staticmethod
    def _let_in(image: StoredImage, login: Login | None) -> None:
        if login is None:
            image.openers = None
        elif image.openers is not None:
            image.openers.add(login.fingerprint)
