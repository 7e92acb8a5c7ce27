"""Take an inline mapping apart into the documents a directory would hold."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gpu_spawner.catalog_files.directory import NAME_CURE, SLUG_PATTERN
from gpu_spawner.catalog_files.plain_yaml import MAX_DEPTH, MAX_VALUES
from gpu_spawner.core.catalog.building import ProfileDocument, Sources
from gpu_spawner.core.catalog.documents import Document
from gpu_spawner.core.wording import quoted

__all__ = ["read_entries"]

_KEY: Final = re.compile(rf"(?:([0-9]{{1,6}})-)?({SLUG_PATTERN})", re.ASCII)
_LAST: Final = 10**6  # without a number a profile comes after those that have one


class _TooLargeError(Exception):
    """The mapping is larger or deeper than any catalog, or contains itself."""


def read_entries(mapping: Mapping[Any, Any], source: str, sources: Sources) -> None:
    """Add the entries of a mapping to the sources, and what is wrong with them."""
    limit = iter(range(MAX_VALUES))
    for key, raw in sorted(mapping.items(), key=lambda item: str(item[0])):
        place = Document(file=source, data={}, prefix=(str(key),))
        name = _KEY.fullmatch(key) if isinstance(key, str) else None
        if name is None:
            sources.problems.append(place.problem((), "names no part of a catalog", NAME_CURE))
            continue
        try:
            data = _plain(raw, limit)
        except _TooLargeError:
            size = f"{MAX_VALUES:,} values or {MAX_DEPTH} levels"
            sources.problems.append(place.problem((), f"is larger than {size}", "Shorten it."))
            continue
        if not isinstance(data, dict):
            sources.problems.append(
                place.problem((), f"got {quoted(raw)}; a mapping of plain values is expected")
            )
            continue
        document = Document(file=source, data=data, prefix=(key,))
        if key == "flavors":
            sources.flavors.append(document)
        elif key == "images":
            sources.images.append(document)
        else:
            order = int(name.group(1)) if name.group(1) else _LAST
            sources.profiles.append(
                ProfileDocument(slug=name.group(2), order=order, document=document)
            )


def _plain(value: Any, limit: Iterator[int], depth: int = 0) -> Any:
    """Copy data from Python configuration as plain dicts and lists."""
    if next(limit, None) is None or depth > MAX_DEPTH:
        raise _TooLargeError
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, limit, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, limit, depth + 1) for inner in value]
    return value
