"""What can start now: the values an offer is made of. ``board`` computes them.

Unknown is not a fifth rank of ``Availability``: it is ``None`` with a reason, and every number that
depends on it is ``None`` too, never zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from gpu_spawner.core.offers.expectation import Expected
from gpu_spawner.core.offers.scale_up import ScaleUp

__all__ = ["Availability", "ChoiceOffer", "FlavorCount", "ImageReadiness", "ProfileOffer"]


class Availability(IntEnum):
    """How soon a choice can start, worst to best; a profile's state is its best choice's."""

    IMPOSSIBLE = 0
    """No node could run it, even if every node were idle."""
    BUSY = 1
    """It would fit if something else finished."""
    SCALE_UP = 2
    """It fits on a node that is not there yet, and that an autoscaler starts for it."""
    COLD = 3
    """It fits now; its image must be pulled first."""
    READY = 4
    """It fits now, and its image is on a node that has room (or nobody knows that it is not)."""

    @property
    def word(self) -> str:
        """The state as one lower-case word for classes, JSON and metrics."""
        return self.name.lower()

    @property
    def starts_now(self) -> bool:
        """Whether a server with this state would be scheduled at once."""
        return self >= Availability.COLD


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReadiness:
    """Where an image already is, among the nodes that have room for the choice.

    The images of a profile's sidecars belong to it: a node that lacks one of them has to pull, too,
    and a node pulls the images of one pod one after another.

    Attributes:
        ready_nodes: nodes with room that have the image, and those of the sidecars.
        fitting_nodes: nodes with room.
        is_known: whether the nodes' image lists can be trusted to be complete.
        pull_seconds: expected time to pull all that any node with room lacks; None without facts.
        is_least: whether more than ``pull_seconds`` may be needed, as for one of these images
            nobody knows.
        free, total: seats with this image, as an image may need a newer driver or another
            processor than the next; None where they are unknown.
        because: why it stands so with this image, where its seats differ from the first image's;
            else empty.
        scale_up: the node that is started for a server with it; None where none would be.
    """

    ready_nodes: int
    fitting_nodes: int
    is_known: bool
    pull_seconds: float | None = None
    is_least: bool = False
    free: int | None = None
    total: int | None = None
    because: str = ""
    scale_up: ScaleUp | None = None

    @property
    def state(self) -> Availability | None:
        """How soon a server with this image would start; None where that is unknown."""
        if self.scale_up is not None:
            return Availability.SCALE_UP
        if self.total == 0:
            return Availability.IMPOSSIBLE
        if self.free is None:
            return None
        if self.free == 0:
            return Availability.BUSY
        return Availability.COLD if self.is_cold else Availability.READY

    @property
    def is_cold(self) -> bool:
        """Whether every node with room must pull the image first."""
        return self.is_known and self.ready_nodes == 0 and self.fitting_nodes > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceOffer:
    """What is known about one choice of a profile.

    Attributes:
        key: the choice's key (``Choice.key``), the value of the form's radio button.
        state: with the profile's default image; None means unknown.
        free: seats, that is how many such servers would start now; None means unknown.
        total: seats if every usable node were empty; None means unknown.
        because: one sentence, never empty: "8 of 16 free", "All 16 are in use", ...
        images: readiness of each image of the profile, by name; empty when unknown.
        gpu_bytes: memory on the GPUs of one server, at least; None without GPUs, or where nobody
            said.
        expected: where it is busy, when a seat is expected to come free; None where no rule says.
        scale_up: the node that is started for it; None where it needs none, or none would be.
    """

    key: str
    profile: str
    flavor: str
    share: str
    count: int
    state: Availability | None
    free: int | None
    total: int | None
    because: str
    images: Mapping[str, ImageReadiness]
    gpu_bytes: int | None = None
    expected: Expected | None = None
    scale_up: ScaleUp | None = None

    def with_image(self, name: str) -> "ChoiceOffer":
        """Return the same offer as it is with another image of the profile."""
        found = self.images.get(name)
        if found is None or not found.because:
            return self
        return replace(
            self,
            state=found.state,
            free=found.free,
            total=found.total,
            because=found.because,
            expected=None,
            scale_up=found.scale_up,
        )

    @property
    def images_ready(self) -> tuple[int, int] | None:
        """(ready, fitting) nodes for the default image; None when unknown."""
        default = next(iter(self.images.values()), None)
        if default is None or not default.is_known:
            return None
        return (default.ready_nodes, default.fitting_nodes)

    @property
    def starts_now(self) -> bool:
        """Whether a server would be scheduled at once; False also when unknown."""
        return self.state is not None and self.state.starts_now


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavorCount:
    """How many shares of a flavor are free, for the line under its name.

    ``free`` and ``total`` count GPUs (or slices, or replicas, as ``unit`` says) on nodes that a
    server could use, whatever cpu and memory are left there; None means unknown.
    """

    flavor: str
    share: str
    unit: str
    free: int | None
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOffer:
    """What is known about one profile.

    Attributes:
        state: the best of its choices; None where nothing is known of any.
        because: one sentence, never empty.
        choices: in page order; the first is the default.
        flavors: free and total per flavor and share, in page order; empty without GPUs.
    """

    slug: str
    state: Availability | None
    because: str
    choices: tuple[ChoiceOffer, ...]
    flavors: tuple[FlavorCount, ...]

    def choice(self, key: str) -> ChoiceOffer | None:
        """Return the offer of the choice with this key."""
        for offer in self.choices:
            if offer.key == key:
                return offer
        return None
