"""Check ``kubespawner_override`` against the spawner that it is for.

The core knows what a profile owns; which settings there are, and what they take, only the installed
KubeSpawner knows. A mistake is found when the catalog is read, not when a user clicks.
"""

from typing import Any

from traitlets import HasTraits, TraitError

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.errors import Problem
from gpu_spawner.core.messages import sentences
from gpu_spawner.core.wording import did_you_mean, quoted

__all__ = ["find_override_problems"]


def find_override_problems(catalog: Catalog, spawner_class: Any) -> list[Problem]:
    """Return every setting of an override that the spawner does not have, or does not take."""
    traits = spawner_class.class_traits(config=True)
    problems = []
    for profile in catalog.profiles:
        for name, value in profile.override.items():
            trait = traits.get(name)
            if trait is None:
                message = sentences(
                    f"KubeSpawner has no setting {quoted(name)}.", did_you_mean(name, traits)
                )
            elif not _takes(trait, value):
                message = f"got {quoted(value)}; KubeSpawner takes {trait.info()}."
            else:
                continue
            problems.append(
                Problem(
                    file=f"profile {profile.slug}",
                    key=f"kubespawner_override.{name}",
                    message=message,
                    cure="See the documentation of KubeSpawner.",
                )
            )
    return problems


def _takes(trait: Any, value: Any) -> bool:
    if value is None:
        return bool(trait.allow_none)
    try:
        trait.validate(HasTraits(), value)
    except TraitError:
        return False
    return True
