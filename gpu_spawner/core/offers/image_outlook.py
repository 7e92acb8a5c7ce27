"""What the images of a server mean for its start: where they are, and how long the others take.

The images of a profile's sidecars belong to a server as its own does. A node pulls the images of
one pod one after another, so what it lacks adds up.
"""

from collections.abc import Sequence
from typing import Any, Final

from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.diagnosis.expected_pull import ExpectedPull
from gpu_spawner.core.offers.availability import ImageReadiness
from gpu_spawner.core.offers.image_places import ImagePlaces
from gpu_spawner.core.offers.way_nodes import Places
from gpu_spawner.core.preload.durations import PullTimes
from gpu_spawner.core.preload.readiness import Readiness

__all__ = ["ImageOutlook"]


class ImageOutlook:
    """The images of one catalog. They go by their keys there; a plain reference is its own name.

    Attributes:
        places: where they are.
        serial: grows when more is known of how long pulls take.
    """

    def __init__(self, catalog: Catalog, bytes_per_second: float) -> None:
        self._catalog: Final = catalog
        self._beside: Final = {
            profile.slug: tuple(dict.fromkeys(sidecar.image for sidecar in profile.sidecars))
            for profile in catalog.profiles
        }
        self._references: Final = {name: image.reference for name, image in catalog.images.items()}
        for beside in self._beside.values():
            for name in beside:
                self._references.setdefault(name, name)
        self._times = PullTimes(bytes_per_second)
        self._seconds: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[float | None, bool]] = {}
        sizes = {name: image.size_bytes for name, image in catalog.images.items()}
        self.places: Final = ImagePlaces(self._references, sizes)
        self.serial = 0

    def learn(self, readiness: Readiness) -> bool:
        """Take over what the preloader knows.

        Returns:
            Whether a node may have another image than before.
        """
        self._times, self.serial = readiness.times, readiness.times.serial
        self._seconds.clear()
        return self.places.tell(readiness.pulled, readiness.managed)

    def beside(self, profile: str) -> tuple[str, ...]:
        """Return the images of a profile's sidecars."""
        return self._beside.get(profile, ())

    def images_of(self, profile: str, image: str) -> tuple[str, ...]:
        """Return the images that a server pulls, its own first; each once, by whatever name."""
        found: dict[str, str] = {}
        for name in (image, *self.beside(profile)):
            found.setdefault(self._references[name], name)
        return tuple(found.values())

    def readiness(
        self, images: Sequence[str], places: Places, flavors: tuple[str, ...], **about: Any
    ) -> ImageReadiness:
        """Judge a start, given the places of all the images that its server pulls.

        ``about`` is what else there is to say of it.
        """
        seconds, is_least = self._pull_seconds(places.lacking or images[:1], flavors)
        is_certain = self.places.is_reported and not places.unsure
        return ImageReadiness(
            ready_nodes=places.holding,
            fitting_nodes=places.fitting,
            is_known=is_certain or self.places.managed.issuperset(images),
            pull_seconds=seconds,
            is_least=is_least,
            **about,
        )

    def _pull_seconds(
        self, lacking: Sequence[str], flavors: tuple[str, ...]
    ) -> tuple[float | None, bool]:
        """Return how long pulling takes, and whether it may be more."""
        key = (tuple(lacking), flavors)
        found = self._seconds.get(key)
        if found is None:
            expected = [self._expect(name, flavors).seconds for name in lacking]
            known = [seconds for seconds in expected if seconds is not None]
            is_least = 0 < len(known) < len(expected)
            found = self._seconds[key] = sum(known) if known else None, is_least
        return found

    def pulls(self, selection: Selection) -> dict[str, ExpectedPull]:
        """Return what to expect of every pull of a start, by reference."""
        if selection.own_image:
            return {}
        return {
            self._references[name]: self._expect(name, selection.flavors)
            for name in self.images_of(selection.profile, selection.image)
        }

    def _expect(self, name: str, flavors: tuple[str, ...]) -> ExpectedPull:
        image, reference = self._catalog.images.get(name), self._references[name]
        size_bytes = image.size_bytes if image is not None else None
        return ExpectedPull(
            size_bytes or self._times.size_of(reference),
            self._times.expect(reference, flavors, size_bytes),
        )
