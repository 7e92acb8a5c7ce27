"""Who may see and start what. One rule for the page, for links and for REST."""

from collections.abc import Collection
from dataclasses import replace

from gpu_spawner.core.catalog.model import Catalog, Profile

__all__ = ["visible_to", "without_access_rules"]


def visible_to(catalog: Catalog, groups: Collection[str]) -> Catalog:
    """Return the part of the catalog that a user in these groups may see and start.

    Fails closed: whatever is not a collection of group names counts as no groups at all, and a
    profile whose every GPU choice is denied disappears. "Whichever is free first" shrinks to the
    flavors the user may have. A catalog without access rules comes back as it is.
    """
    held = _held(groups)
    profiles: list[Profile] = []
    for profile in catalog.profiles:
        if not _admits(profile.allowed_groups, held):
            continue
        blocks = tuple(block for block in profile.gpu if _admits(block.allowed_groups, held))
        if len(blocks) == len(profile.gpu):
            profiles.append(profile)
        elif blocks:
            profiles.append(replace(profile, gpu=blocks))
    if len(profiles) == len(catalog.profiles) and all(
        seen is original for seen, original in zip(profiles, catalog.profiles, strict=True)
    ):
        return catalog
    return replace(catalog, profiles=tuple(profiles))


def _held(groups: object) -> frozenset[str]:
    # The argument comes from authenticators of every kind; None and a bare string are seen.
    if isinstance(groups, (str, bytes)) or not isinstance(groups, Collection):
        return frozenset()
    return frozenset(group for group in groups if isinstance(group, str))


def _admits(allowed: frozenset[str] | None, held: frozenset[str]) -> bool:
    return allowed is None or bool(allowed & held)


def without_access_rules(catalog: Catalog) -> Catalog:
    """Return the catalog with every rule lifted, for an operator's own tools."""
    return replace(
        catalog,
        profiles=tuple(
            replace(
                profile,
                allowed_groups=None,
                gpu=tuple(replace(block, allowed_groups=None) for block in profile.gpu),
            )
            for profile in catalog.profiles
        ),
    )
