"""Who may see and start what. One rule for the page, for links and for REST."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from gpu_spawner.core.catalog.access_rules import EVERYONE, Access, Person
from gpu_spawner.core.catalog.amounts import Resources
from gpu_spawner.core.catalog.model import Catalog, Choice, Denied, Profile, Share

__all__ = ["standing_in", "visible_to", "without_access_rules"]

_Combination = tuple[str, Share, int]


def visible_to(catalog: Catalog, groups: Collection[str], username: str = "") -> Catalog:
    """Return the part of the catalog that a user may start, with what else the user may see.

    What is denied with a message is in ``denied`` of the catalog (profiles) and of each profile
    (choices, images and options), and nowhere else; what is hidden is nowhere. Of amounts that may
    not be chosen the first is left. A profile of which no choice or no image is left is denied or
    hidden as a whole. "Whichever is free first" shrinks to the
    flavors the user may have. A catalog without access rules comes back as it is.

    Fails closed: whatever is not a collection of group names counts as no groups at all.
    """
    person = Person.of(username, groups)
    profiles: list[Profile] = []
    denied: list[tuple[Profile, str]] = []
    for profile in catalog.profiles:
        seen = _seen(profile, person)
        if isinstance(seen, Profile):
            profiles.append(seen)
        elif seen:
            denied.append((profile, seen))
    if len(profiles) == len(catalog.profiles) and all(
        seen is original for seen, original in zip(profiles, catalog.profiles, strict=True)
    ):
        return catalog
    return replace(catalog, profiles=tuple(profiles), denied=tuple(denied))


def _seen(profile: Profile, person: Person) -> Profile | str:
    """Return what is left of a profile; where nothing is, what to tell, empty for nothing."""
    refusal = profile.access.refusal(person)
    if refusal is not None:
        return refusal
    images = dict(_withheld_images(profile, person))
    choices = dict(_withheld_choices(profile, person))
    options = dict(_withheld_options(profile, person))
    if not (images or choices or options):
        return profile
    combinations = sum(
        len(block.flavors) * len(block.shares) * len(block.counts) for block in profile.gpu
    )
    for withheld, every in ((images, len(profile.images)), (choices, combinations)):
        if withheld and len(withheld) >= every:
            return next((message for message in withheld.values() if message), "")
    return replace(
        profile,
        images=tuple(name for name in profile.images if name not in images),
        withheld=frozenset(choices),
        own_image=None if "own_image" in options else profile.own_image,
        resources=_without_choice(profile.resources, options),
        denied=(
            *_denied(profile, images, choices),
            *(Denied(message=why, option=name) for name, why in options.items() if why),
        ),
    )


def _without_choice(resources: Resources, options: Mapping[str, str]) -> Resources:
    return replace(
        resources,
        cpu_choices=resources.cpu_choices[: 1 if "cpu" in options else None],
        memory_choices=resources.memory_choices[: 1 if "memory" in options else None],
    )


def _withheld_options(profile: Profile, person: Person) -> Iterator[tuple[str, str]]:
    """Yield each option that is not for a person, once, with what to say of it."""
    for name in ("own_image", "cpu", "memory"):
        for rule in profile.restrictions:
            if name in rule.options and (refusal := rule.access.refusal(person)) is not None:
                yield name, refusal
                break


def _withheld_images(profile: Profile, person: Person) -> Iterator[tuple[str, str]]:
    for name in profile.images:
        for rule in profile.restrictions:
            if name in rule.images and (refusal := rule.access.refusal(person)) is not None:
                yield name, refusal
                break


def _withheld_choices(profile: Profile, person: Person) -> Iterator[tuple[_Combination, str]]:
    for block in profile.gpu:
        of_block = block.access.refusal(person)
        for flavor in block.flavors:
            for share in block.shares:
                for count in block.counts:
                    refusals = [of_block] + [
                        rule.access.refusal(person)
                        for rule in profile.restrictions
                        if rule.covers_choice(flavor, share.label, count)
                    ]
                    found = next((text for text in refusals if text is not None), None)
                    if found is not None:
                        yield (flavor, share, count), found


def _denied(
    profile: Profile, images: Mapping[str, str], choices: Mapping[_Combination, str]
) -> Iterator[Denied]:
    for (flavor, share, count), message in choices.items():
        if message:
            choice = Choice(
                profile=profile.slug, flavor=flavor, flavors=(flavor,), share=share, count=count
            )
            yield Denied(message=message, choice=choice)
    for image, message in images.items():
        if message:
            yield Denied(message=message, image=image)


def standing_in(catalog: Catalog, person: Person) -> Person:
    """Return as much of a person as the catalog's rules look at.

    People of the same standing see the same.
    """
    groups: set[str] = set()
    is_named = False
    for access in _rules(catalog):
        groups |= person.groups & (access.groups or frozenset())
        is_named = is_named or person.username in (access.users or frozenset())
    return Person(person.username if is_named else "", frozenset(groups))


def _rules(catalog: Catalog) -> Iterator[Access]:
    for profile in catalog.profiles:
        yield profile.access
        yield from (block.access for block in profile.gpu)
        yield from (rule.access for rule in profile.restrictions)


def without_access_rules(catalog: Catalog) -> Catalog:
    """Return the catalog with every rule lifted, for an operator's own tools."""
    return replace(
        catalog,
        profiles=tuple(
            replace(
                profile,
                access=EVERYONE,
                restrictions=(),
                gpu=tuple(replace(block, access=EVERYONE) for block in profile.gpu),
            )
            for profile in catalog.profiles
        ),
    )
