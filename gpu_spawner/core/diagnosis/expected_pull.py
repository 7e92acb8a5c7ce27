"""What is known of a pull before it ends: the words for it."""

from typing import NamedTuple

from gpu_spawner.core.messages import gettext
from gpu_spawner.core.wording import say_bytes, say_duration

__all__ = ["ExpectedPull"]


class ExpectedPull(NamedTuple):
    """How much is pulled, and how long that should take; None where nobody knows.

    >>> ExpectedPull(10_000_000_000, 100.0).sentence
    'Pulling a 10 GB image (about 2 min).'
    >>> ExpectedPull().sentence
    'Pulling the image.'
    """

    size_bytes: int | None = None
    seconds: float | None = None

    @property
    def sentence(self) -> str:
        """What to say while it goes on."""
        if self.size_bytes and self.seconds:
            return gettext(
                "Pulling a {size} image (about {time}).",
                size=say_bytes(self.size_bytes),
                time=say_duration(self.seconds),
            )
        if self.size_bytes:
            return gettext("Pulling a {size} image.", size=say_bytes(self.size_bytes))
        if self.seconds:
            return gettext("Pulling the image (about {time}).", time=say_duration(self.seconds))
        return gettext("Pulling the image.")
