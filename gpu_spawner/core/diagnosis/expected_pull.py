"""What is known of a pull before it ends: the words for it."""

from typing import NamedTuple

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
        what = f"a {say_bytes(self.size_bytes)} image" if self.size_bytes else "the image"
        how_long = f" (about {say_duration(self.seconds)})" if self.seconds else ""
        return f"Pulling {what}{how_long}."
