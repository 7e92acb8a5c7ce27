"""Names that are gone, and what they are called now.

What a user saved, a link says or a script sends may be older than the catalog. A profile, a flavor
or an image that lists its earlier names under ``renamed_from`` is found by them still.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.messages import gettext
from gpu_spawner.core.wording import quoted

__all__ = ["RENAMED_OPTIONS", "current_names", "find_renamed", "visible_renames"]

RENAMED_OPTIONS: Final = ("profile", "flavor", "image")
"""The options whose values can have earlier names."""


def current_names(catalog: Catalog, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with every earlier name replaced; the rest, however odd, stays as it is."""
    return {key: _current(catalog, key, value) for key, value in options.items()}


def _current(catalog: Catalog, key: str, value: Any) -> Any:
    if key not in RENAMED_OPTIONS or not isinstance(value, str):
        return value
    return catalog.renamed.get(key, {}).get(value, value)


def find_renamed(view: Catalog, options: Any) -> Iterator[str]:
    """Yield "X is now Y" for every earlier name in options whose successor a user may see.

    Args:
        view: what the user may see.
        options: any JSON value.
    """
    if not isinstance(options, Mapping):
        return
    for key in RENAMED_OPTIONS:
        old = options.get(key)
        new = _current(view, key, old)
        if new == old:
            continue
        title = _titles(view, key).get(new)
        if title is not None:
            yield gettext("{old} is now {new}.", old=quoted(old), new=title)


def visible_renames(view: Catalog) -> dict[str, dict[str, list[str]]]:
    """Return, for the page's script, earlier name to present name and title, by option."""
    found: dict[str, dict[str, list[str]]] = {}
    for key in RENAMED_OPTIONS:
        titles = _titles(view, key)
        shown = {
            old: [new, titles[new]]
            for old, new in view.renamed.get(key, {}).items()
            if new in titles
        }
        if shown:
            found[key] = shown
    return found


def _titles(view: Catalog, key: str) -> dict[str, str]:
    if key == "profile":
        return {profile.slug: profile.display_name for profile in view.profiles}
    if key == "flavor":
        names = {
            name
            for profile in view.profiles
            for choice in profile.choices
            for name in choice.flavors
        }
        return {name: view.flavors[name].display_name for name in names if name in view.flavors}
    images = {name for profile in view.profiles for name in profile.images}
    return {name: view.images[name].display_name for name in images if name in view.images}
