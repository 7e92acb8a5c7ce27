"""Why tiles of a row are closed, each reason once."""

from collections.abc import Sequence

from gpu_spawner.core.messages import Message, gettext, joined
from gpu_spawner.hub.page_model import Note, Tile

__all__ = ["closed_notes"]


def closed_notes(tiles: Sequence[Tile | None]) -> tuple[Note, ...]:
    """Say why tiles are closed, each reason once, with the tiles it is about."""
    present = [tile for tile in tiles if tile is not None]
    about: dict[str, list[str]] = {}
    for tile in present:
        if tile.because:
            about.setdefault(tile.because, []).append(tile.title)
    return tuple(
        Note(what="" if len(titles) == len(present) else _enumerate(titles), text=text)
        for text, titles in about.items()
    )


def _enumerate(titles: Sequence[str]) -> str:
    """Join titles: "4 GPUs", "4 and 8 GPUs", "1, 2 and 4 GPUs"."""
    *others, last = titles
    if not others:
        return last
    short = [_without_unit(title) if " " in last else title for title in others]
    return gettext("{most} and {last}", most=joined(", ", short), last=last)


def _without_unit(title: str) -> str:
    """Return the first word of a title, which is its number, as it is written there."""
    word = title.partition(" ")[0]
    values = title.values.values() if isinstance(title, Message) else ()
    return next((value for value in values if value == word), word)
