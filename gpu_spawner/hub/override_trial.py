"""Try settings of ``kubespawner_override`` on a pod that is never created.

That a trait takes a value says little: KubeSpawner fills in ``{username}`` and makes Kubernetes'
objects only when it builds the pod, and what fails there would fail at every start.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, Final

from jupyterhub.spawner import Spawner
from kubespawner import KubeSpawner

from gpu_spawner.core.catalog.documents import KeyPath
from gpu_spawner.core.wording import as_sentence, quoted

__all__ = ["OverrideTrial"]

_EXPANDED: Final = (
    "pod_name_template",
    "pvc_name_template",
    "secret_name_template",
    "user_namespace_annotations",
    "user_namespace_labels",
)
"""Texts that KubeSpawner fills in besides those of the pod and its volume."""
_IN_QUOTES: Final = "Put it in quotes."
_BRACES: Final = "Write braces that KubeSpawner is to leave alone twice: {{ and }}."
_LOOK_IT_UP: Final = "See the documentation of KubeSpawner."


class OverrideTrial:
    """Builds pods with one setting each, as a spawner of this class would for some user."""

    def __init__(self, spawner_class: Any) -> None:
        """Take the class that servers are spawned with: a site's may fill in more than KubeSpawner.

        Such a class may also need what only a hub has. Then nothing can be tried.
        """
        self._class = type("TriedSpawner", (spawner_class,), {"__init__": _without_cluster})
        self._is_possible = self._failure({}) is None

    def mistakes(self, name: str, value: Any) -> Iterator[tuple[KeyPath, str, str]]:
        """Yield where a setting's value is wrong, as a path in the override, with what and cure."""
        if not self._is_possible or self._failure({name: value}) is None:
            return
        inside = [
            ((name, key), inner, failure)
            for key, inner in _parts(value)
            if (failure := self._failure({name: _alone(value, key)})) is not None
        ]
        if inside:
            for path, inner, failure in inside:
                yield (path, *_words(name, inner, failure))
        elif (failure := self._failure({name: value})) is not None:
            yield ((name,), *_words(name, value, failure))

    def _failure(self, settings: Mapping[str, Any]) -> Exception | None:
        try:
            spawner = self._class()
            # KubeSpawner completes some of what it is given in place.
            for name, value in deepcopy(dict(settings)).items():
                setattr(spawner, name, value)
            _finish(KubeSpawner.get_pod_manifest(spawner))
            spawner.get_pvc_manifest()
            for name in _EXPANDED:
                spawner._expand_all(getattr(spawner, name))  # noqa: SLF001 - as KubeSpawner itself does
        except Exception as error:  # noqa: BLE001 - KubeSpawner raises whatever it runs into
            return error
        return None


def _without_cluster(spawner: Any) -> None:
    """Make a spawner, leaving out what KubeSpawner does last: look for a cluster."""
    Spawner.__init__(
        spawner,
        user=SimpleNamespace(name="user", id=1, url="/user/user/", settings={}, groups=[]),
        hub=SimpleNamespace(public_host="", url="/hub/", base_url="/hub/", api_url="http://hub"),
    )
    spawner.namespace = "default"
    spawner.pod_name = spawner._expand_user_properties(spawner.pod_name_template)  # noqa: SLF001 - as KubeSpawner itself does
    spawner.pvc_name = spawner._expand_user_properties(spawner.pvc_name_template)  # noqa: SLF001 - likewise


def _finish(building: Any) -> None:
    """Run a coroutine that has nothing to wait for: only hooks of a site could make it wait."""
    try:
        building.send(None)
    except StopIteration:
        return
    building.close()


def _parts(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def _alone(value: Any, key: Any) -> Any:
    """Return a value with nothing in it but one of its parts."""
    return {key: value[key]} if isinstance(value, Mapping) else [value[key]]


def _words(setting: str, value: Any, failure: Exception) -> tuple[str, str]:
    """Say what KubeSpawner cannot make of a value, and what to do.

    The value itself is not repeated: it may be a secret, and this goes to logs.
    """
    if setting == "environment" and isinstance(value, (bool, int, float)):
        found = "a truth value" if isinstance(value, bool) else "a number"
        return f"got {found}; a text is expected.", _IN_QUOTES
    if isinstance(failure, KeyError):
        field = quoted(f"{{{failure.args[0]}}}")
        return f"KubeSpawner has nothing to fill in for {field}.", _BRACES
    if isinstance(failure, IndexError) or "format string" in str(failure):
        return "KubeSpawner cannot fill in the braces.", _BRACES
    why = as_sentence(str(failure)[:200] or type(failure).__name__)
    return f"KubeSpawner cannot build a pod of it: {why}", _LOOK_IT_UP
