"""Check ``kubespawner_override`` against the spawner that it is for.

The core knows what a profile owns; which settings there are, and what they take, only the installed
KubeSpawner knows. A mistake is found when the catalog is read, not when a user clicks.
"""

from collections.abc import Iterator
from typing import Any, Final

from traitlets import HasTraits, TraitError

from gpu_spawner.core.catalog.documents import KeyPath, dotted, line_of
from gpu_spawner.core.catalog.model import Catalog, Profile
from gpu_spawner.core.errors import Problem
from gpu_spawner.core.wording import did_you_mean, quoted
from gpu_spawner.hub.override_trial import OverrideTrial

__all__ = ["find_override_problems"]

_KEY: Final = "kubespawner_override"
_CURE: Final = "See the documentation of KubeSpawner."


def find_override_problems(catalog: Catalog, spawner_class: Any) -> list[Problem]:
    """Return every setting of an override that the spawner does not have, or cannot use.

    Args:
        catalog: what is offered.
        spawner_class: ``GPUSpawner``, or what a site made of it.
    """
    traits = spawner_class.class_traits(config=True)
    trial = OverrideTrial(spawner_class)
    return [
        Problem(
            file=profile.origin,
            line=line_of(profile.lines, (_KEY, *path)),
            key=dotted((_KEY, *path)),
            message=message,
            cure=cure,
        )
        for profile in catalog.profiles
        for path, message, cure in _mistakes(profile, traits, trial)
    ]


def _mistakes(
    profile: Profile, traits: dict[str, Any], trial: OverrideTrial
) -> Iterator[tuple[KeyPath, str, str]]:
    for name, value in profile.override.items():
        trait = traits.get(name)
        if trait is None:
            meant = did_you_mean(name, traits).strip()
            yield (name,), f"KubeSpawner has no setting {quoted(name)}.", meant or _CURE
        elif not _takes(trait, value):
            yield (name,), f"got {quoted(value)}; KubeSpawner takes {trait.info()}.", _CURE
        else:
            yield from trial.mistakes(name, value)


def _takes(trait: Any, value: Any) -> bool:
    if value is None:
        return bool(trait.allow_none)
    try:
        trait.validate(HasTraits(), value)
    except TraitError:
        return False
    return True
