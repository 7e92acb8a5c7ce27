"""The site's part of every pod, as KubeSpawner is configured for one spawner."""

from collections.abc import Callable, Collection
from typing import Any, Final

from gpu_spawner.core.catalog.site_pod import SITE_SETTINGS, SitePod

__all__ = ["placement_site", "site_pod"]

_NOT_PLACED_BY: Final = frozenset({"environment", "extra_annotations", "volume_mounts", "volumes"})
"""Settings that differ from user to user on many sites, and never change where a pod fits."""
_PLACED_BY: Final = tuple(name for name in SITE_SETTINGS if name not in _NOT_PLACED_BY)
_OF_ONE_USER: Final = "hub.jupyter.org/"
"""The labels that name a user or a server; no pod's anti-affinity looks for one user."""


def site_pod(spawner: Any, value: Callable[[str], Any], more: Collection[str] = ()) -> SitePod:
    """Return the site's part of a spawner's pod, with everything profiles may merge into.

    Args:
        spawner: the spawner, for its labels and its namespace.
        value: from the name of a setting to its value without any choice applied.
        more: names of further settings, those that ``kubespawner_override`` of a profile names.
    """
    names = dict.fromkeys([*SITE_SETTINGS, *more])
    return _site(spawner, {name: value(name) for name in names if spawner.has_trait(name)})


def placement_site(spawner: Any, value: Callable[[str], Any]) -> SitePod:
    """Return as much of it as decides where a pod fits: the same for most or all users."""
    return _site(spawner, {name: value(name) for name in _PLACED_BY if spawner.has_trait(name)})


def _site(spawner: Any, settings: dict[str, Any]) -> SitePod:
    labels = spawner._build_pod_labels(spawner._expand_all(settings["extra_labels"]))  # noqa: SLF001 - KubeSpawner has no public way to its pods' labels
    return SitePod(
        settings=settings,
        namespace="" if spawner.enable_user_namespaces else spawner.namespace,
        labels={key: text for key, text in labels.items() if not key.startswith(_OF_ONE_USER)},
    )
