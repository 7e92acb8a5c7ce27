"""Build the catalog from documents, or tell every mistake in all of them at once.

Decides what must agree between files: names that refer to each other, and what there may be only
one of. Whether some cluster can serve it is for ``check``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from gpu_spawner.core.catalog.access_agreement import (
    EarlierNames,
    access_mistakes,
    amount_mistakes,
)
from gpu_spawner.core.catalog.agreement import (
    doubled_choices,
    repeated_counts,
    share_mistakes,
    wrong_amounts,
    wrong_names,
    wrong_tolerations,
)
from gpu_spawner.core.catalog.documents import Document, KeyPath, read_model
from gpu_spawner.core.catalog.fields import check_name
from gpu_spawner.core.catalog.flavor_agreement import contested_labels, flavor_mistakes
from gpu_spawner.core.catalog.flavor_reading import flavor_from
from gpu_spawner.core.catalog.flavor_schema import FlavorModel
from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.model import ANY, Catalog, Image, Profile
from gpu_spawner.core.catalog.override import find_owned
from gpu_spawner.core.catalog.reading import image_from, profile_from
from gpu_spawner.core.catalog.salvage import salvage_model, without_doubtful
from gpu_spawner.core.catalog.schema import ImageModel, ProfileModel
from gpu_spawner.core.catalog.sidecar_agreement import sidecar_mistakes
from gpu_spawner.core.errors import ConfigError, Problem

__all__ = ["ProfileDocument", "Sources", "build_catalog"]

_KINDS: Final = ("profile", "flavor", "image")
_RESERVED_FLAVORS: Final = frozenset({ANY, "cpu"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileDocument:
    """A profile's document with what its file name says."""

    slug: str
    order: int
    document: Document


@dataclass(slots=True, kw_only=True)
class Sources:
    """Everything a catalog is built from.

    Attributes:
        place: the directory or trait, for problems that concern none of its parts.
        problems: what already went wrong while reading; it is told together with the rest.
        unreadable: parts (``flavors``, ``images``) of which nothing could be read, so that
            names in them are not called unknown.
    """

    place: str
    profiles: list[ProfileDocument] = field(default_factory=list)
    flavors: list[Document] = field(default_factory=list)
    images: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)


def build_catalog(sources: Sources) -> Catalog:
    """Build the catalog.

    Raises:
        ConfigError: with every problem of every document.
    """
    building = _Building(problems=list(sources.problems), unreadable=sources.unreadable)
    for document in sources.flavors:
        building.add_flavors(document)
    for document in sources.images:
        building.add_images(document)
    for source in sorted(sources.profiles, key=lambda source: (source.order, source.slug)):
        building.add_profile(source)
    building.check_renames()
    if not sources.profiles and not building.problems:
        building.problems.append(
            Problem(
                file=sources.place,
                message="there is no profile.",
                cure="Add one, for example 10-data-science.yaml.",
            )
        )
    if building.problems:
        raise ConfigError(building.problems)
    renamed = building.earlier
    return Catalog(
        profiles=tuple(building.profiles),
        flavors=MappingProxyType(building.flavors),
        images=MappingProxyType(building.images),
        renamed=MappingProxyType(
            {kind: MappingProxyType(earlier.present_names()) for kind, earlier in renamed.items()}
        ),
    )


@dataclass(slots=True, kw_only=True)
class _Building:
    """The catalog so far, and what is wrong with it.

    A broken flavor or image is known by name, so that profiles that use it are not blamed too.
    """

    problems: list[Problem]
    unreadable: set[str]
    flavors: dict[str, Flavor] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    profiles: list[Profile] = field(default_factory=list)
    flavor_names: set[str] = field(default_factory=set)
    image_names: set[str] = field(default_factory=set)
    places: dict[str, str] = field(default_factory=dict)
    default_place: str = ""
    earlier: dict[str, EarlierNames] = field(
        default_factory=lambda: {kind: EarlierNames(kind) for kind in _KINDS}
    )

    def add_flavors(self, document: Document) -> None:
        for name in self._new_names(document, "flavor", self.flavor_names):
            if name in _RESERVED_FLAVORS:
                self._tell(document, (name,), f"'{name}' is a reserved word", "Rename the flavor.")
            model, found = read_model(document, FlavorModel, (name,))
            self.problems.extend(found)
            if model is not None:
                self.earlier["flavor"].add(document, (name,), name, model.renamed_from)
                mistakes = list(flavor_mistakes(document, name, model))
                self.problems.extend(mistakes)
                if not mistakes:
                    flavor = flavor_from(name, model, document)
                    self.problems.extend(contested_labels(document, flavor, self.flavors.values()))
                    self.flavors[name] = flavor

    def add_images(self, document: Document) -> None:
        for name in self._new_names(document, "image", self.image_names):
            model, found = read_model(document, ImageModel, (name,))
            self.problems.extend(found)
            if model is not None:
                self.earlier["image"].add(document, (name,), name, model.renamed_from)
                self.images[name] = image_from(name, model)

    def _new_names(self, document: Document, kind: str, known: set[str]) -> Iterator[str]:
        for name in document.data:
            complaint = check_name(name)
            if complaint is not None:
                self._tell(document, (name,), complaint)
            elif name in known:
                self._tell(
                    document, (name,), f"the {kind} '{name}' is already defined", "Remove one."
                )
            else:
                known.add(name)
                yield name

    def add_profile(self, source: ProfileDocument) -> None:
        document = source.document
        self._check_uniqueness(source)
        model, found = read_model(document, ProfileModel)
        self.problems.extend(found)
        doubtful: list[KeyPath] = []
        if model is None:
            salvaged = salvage_model(document, ProfileModel)
            if salvaged is None:
                return
            model, doubtful = salvaged
        profile = profile_from(source.slug, source.order, model, document)
        found = [
            *self._wrong_names(document, ("images",), model.images, self.image_names),
            *doubled_choices(document, profile.gpu),
            *wrong_amounts(document, profile.resources, has_gpu=bool(profile.gpu)),
            *wrong_tolerations(document, ("tolerations",), model.tolerations),
        ]
        for index, block in enumerate(profile.gpu):
            path = (*document.actual_path(("gpu", index)), "flavors")
            found += self._wrong_names(document, path, block.flavors, self.flavor_names)
            found += repeated_counts(document, index, block.counts)
            found += share_mistakes(document, profile, index, self.flavors)
        found += sidecar_mistakes(document, profile, self._known_images(profile))
        found += access_mistakes(document, model)
        found += amount_mistakes(document, model)
        self.earlier["profile"].add(document, (), source.slug, model.renamed_from)
        for override, cure in find_owned(profile.override):
            key = ("kubespawner_override", *override)
            found.append(document.problem(key, "may not be set: the profile owns it", cure))
        self.problems.extend(without_doubtful(document, found, doubtful))
        if not found and not doubtful:
            self.profiles.append(profile)

    def check_renames(self) -> None:
        """Tell the earlier names that are somebody's present name."""
        present = {
            "profile": set(self.places),
            "flavor": self.flavor_names,
            "image": self.image_names,
        }
        for kind, earlier in self.earlier.items():
            self.problems.extend(earlier.mistakes(present[kind]))

    def _known_images(self, profile: Profile) -> set[str]:
        """Return the names of images; all that are named where the images could not be read."""
        if "images" in self.unreadable:
            return self.image_names.union(sidecar.image for sidecar in profile.sidecars)
        return self.image_names

    def _wrong_names(
        self, document: Document, path: KeyPath, names: Sequence[str], known: set[str]
    ) -> Iterable[Problem]:
        if path[-1] in self.unreadable:
            known = known.union(names)
        return wrong_names(document, path, names, known)

    def _check_uniqueness(self, source: ProfileDocument) -> None:
        document = source.document
        here = document.origin
        earlier = self.places.setdefault(source.slug, here)
        if earlier != here:
            self._tell(
                document,
                (),
                f"the profile '{source.slug}' is already defined in {earlier}",
                "Rename one of them.",
            )
        if document.data.get("default") is True:
            if self.default_place:
                self._tell(
                    document,
                    ("default",),
                    f"got true, but {self.default_place} is the default already",
                    "Keep default: true in one profile.",
                )
            else:
                self.default_place = here

    def _tell(self, document: Document, path: KeyPath, message: str, cure: str = "") -> None:
        self.problems.append(document.problem(path, message, cure))
