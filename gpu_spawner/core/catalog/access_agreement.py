"""What must agree in a profile's rules: whom they name, what they are about, earlier names.

Each function yields the problems of one kind; ``building`` gathers them.
"""

from collections.abc import Collection, Iterator, Sequence

from gpu_spawner.core.catalog.access_schema import AccessModel, RestrictionModel
from gpu_spawner.core.catalog.documents import Document, KeyPath
from gpu_spawner.core.catalog.schema import ProfileModel
from gpu_spawner.core.errors import Problem
from gpu_spawner.core.wording import did_you_mean, listed, say_bytes

__all__ = ["EarlierNames", "access_mistakes", "amount_mistakes"]


def access_mistakes(document: Document, model: ProfileModel) -> Iterator[Problem]:
    """Yield rules that let nobody or everybody in by mistake, and those that are about nothing."""
    yield from _pointless(document, (), model)
    for index, block in enumerate(model.gpu):
        yield from _pointless(document, document.actual_path(("gpu", index)), block)
    for index, rule in enumerate(model.restrict):
        path: KeyPath = ("restrict", index)
        yield from _pointless(document, path, rule)
        if rule.allowed_groups is None and rule.allowed_users is None:
            yield document.problem(
                path, "says not who may have it", "Add allowed_groups or allowed_users."
            )
        yield from _about(document, path, rule, model)


def _pointless(document: Document, path: KeyPath, model: AccessModel) -> Iterator[Problem]:
    is_open = model.allowed_groups is None and model.allowed_users is None
    if is_open and "when_denied" in model.model_fields_set:
        yield document.problem(
            (*path, "when_denied"),
            "is set, but nobody is denied",
            "Add allowed_groups or allowed_users.",
        )


def _about(
    document: Document, path: KeyPath, rule: RestrictionModel, model: ProfileModel
) -> Iterator[Problem]:
    """Yield what a rule names that the profile does not offer."""
    named: dict[str, tuple[Sequence[str | int], Collection[str | int]]] = {
        "flavors": (rule.flavors, {name for block in model.gpu for name in block.flavors}),
        "share": (
            [share.label for share in rule.share],
            {share.label for block in model.gpu for share in block.share},
        ),
        "count": (rule.count, {count for block in model.gpu for count in block.count}),
        "images": (rule.images, set(model.images)),
        "options": (rule.options, set(_options(model))),
    }
    kinds = [rule.flavors or rule.share or rule.count, rule.images, rule.options]
    if not any(values for values, _ in named.values()):
        yield document.problem(
            path, "is about nothing", "Name flavors, share, count, or images or options instead."
        )
    elif sum(map(bool, kinds)) > 1:
        yield document.problem(
            path, "is about several of choices, images and options", "Make a rule of each."
        )
    for key, (values, offered) in named.items():
        for value in values:
            if value not in offered:
                have = listed(sorted(map(str, offered)))
                yield document.problem(
                    (*path, key),
                    f"got '{value}'; the profile has {have or 'none'}",
                    did_you_mean(value, [str(one) for one in offered]) or "Remove it.",
                )


def _options(model: ProfileModel) -> Iterator[str]:
    """Yield the options that the profile has, of those that rules can be about."""
    if model.own_image is not None:
        yield "own_image"
    for name in ("cpu", "memory"):
        if getattr(model.resources, name).choices:
            yield name


def amount_mistakes(document: Document, model: ProfileModel) -> Iterator[Problem]:
    """Yield amounts to choose from that are fixed as well, or that cannot hold /dev/shm."""
    for name in ("cpu", "memory"):
        amounts = getattr(model.resources, name)
        path = ("resources", name, "choices")
        if amounts.choices and (amounts.request is not None or amounts.limit is not None):
            yield document.problem(
                path, "stands beside request or limit", "Keep either the choices or the others."
            )
        for index, choice in enumerate(amounts.choices):
            if choice in amounts.choices[:index]:
                yield document.problem((*path, index), "is listed twice", "Remove one.")
    shm_bytes, least = model.resources.shm, min(model.resources.memory.choices, default=None)
    if shm_bytes and least is not None and shm_bytes > least:
        yield document.problem(
            ("resources", "shm"),
            f"{say_bytes(shm_bytes)} is more than the least memory to choose, {say_bytes(least)}",
            "Lower shm or remove that choice.",
        )


class EarlierNames:
    """Which names are taken by earlier names, of one kind of thing."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._claimed: dict[str, tuple[str, Document, KeyPath]] = {}
        self._problems: list[Problem] = []

    def add(self, document: Document, path: KeyPath, name: str, earlier: Sequence[str]) -> None:
        """Write down that something was called otherwise."""
        for index, old in enumerate(earlier):
            place = (*path, "renamed_from", index)
            holder = self._claimed.get(old)
            if holder is not None:
                self._problems.append(
                    document.problem(
                        place,
                        f"'{old}' is an earlier name of the {self._kind} '{holder[0]}' already",
                        "Keep it in one place.",
                    )
                )
            else:
                self._claimed[old] = (name, document, place)

    def mistakes(self, present: Collection[str]) -> Iterator[Problem]:
        """Yield clashes; ``present`` are the names that things have now.

        Rings of names are among them: whatever is part of one is called so still.
        """
        yield from self._problems
        for old, (name, document, place) in self._claimed.items():
            if old in present:
                whose = "its present name" if old == name else f"a {self._kind} of this catalog"
                yield document.problem(place, f"'{old}' is {whose}", "Remove it.")

    def present_names(self) -> dict[str, str]:
        """Return the present name of every earlier one."""
        return {old: name for old, (name, _, _) in self._claimed.items()}
