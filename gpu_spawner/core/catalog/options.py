"""Turn what a user sent into a Selection, or refuse it with one sentence.

The only place where options are validated, for the form, links and REST alike. Whatever JSON can
carry goes in; a ``Selection`` comes out or an ``OptionError`` is raised, nothing else. What is not
said is filled in:

- nothing at all: the default profile's default choice;
- only a profile: its default choice and its default image;
- a part of a choice: the first choice of the profile, in page order, that agrees with that part.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from gpu_spawner.core.catalog.access import visible_to
from gpu_spawner.core.catalog.model import Catalog, Choice, Profile, Selection
from gpu_spawner.core.catalog.renames import current_names
from gpu_spawner.core.errors import OptionError
from gpu_spawner.core.messages import Message, gettext, sentences
from gpu_spawner.core.quantity import format_bytes, parse_bytes, parse_cpu_milli
from gpu_spawner.core.wording import did_you_mean, listed, quoted

__all__ = ["OPTION_KEYS", "parse_form_key", "parse_options", "parse_visible_options"]

OPTION_KEYS: Final = (
    "profile",
    "flavor",
    "share",
    "count",
    "image",
    "own_image",
    "cpu",
    "memory",
    "wait",
)
"""The keys of ``user_options``, each optional."""

_COUNT: Final = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_WAITS: Final = {
    **dict.fromkeys(("true", "1", "on", "yes"), True),
    **dict.fromkeys(("false", "0", "off", "no"), False),
}
_MAX_KEY_LENGTH: Final = 300
_MAX_AMOUNT_LENGTH: Final = 30


def parse_options(
    catalog: Catalog, raw: Any, *, groups: Collection[str], username: str = ""
) -> Selection:
    """Validate the options a user sent, as one who may see only what this user may see.

    Args:
        catalog: everything on offer.
        raw: any JSON value; an object with any of ``OPTION_KEYS``, or null. Values are strings;
            ``count`` and ``cpu`` may be numbers, ``wait`` true or false. A key with null counts as
            not given. Earlier names of profiles, flavors and images are understood.
        groups: the user's groups. An operator's own tools lift the rules with
            ``without_access_rules(catalog)`` first.
        username: the user's name; empty for nobody in particular.

    Raises:
        OptionError: with the field at fault and a sentence for the user.
    """
    return parse_visible_options(catalog, visible_to(catalog, groups, username), raw)


def parse_visible_options(catalog: Catalog, view: Catalog, raw: Any) -> Selection:
    """Validate options as ``parse_options`` does, given what this user may see.

    Args:
        catalog: everything on offer.
        view: what ``visible_to`` leaves of it for this user.
        raw: any JSON value.

    Raises:
        OptionError: with the field at fault and a sentence for the user.
    """
    given = current_names(catalog, _given(raw))
    profile = _profile(view, given)
    choice = _choice(view, profile, given)
    return Selection(
        profile=profile.slug,
        flavor=choice.flavor,
        flavors=choice.flavors,
        share=choice.share,
        count=choice.count,
        image=_image(profile, given),
        own_image=_own_image(profile, given),
        cpu_milli=_amount(profile, given, "cpu"),
        memory_bytes=_amount(profile, given, "memory"),
        wait=_wait(profile, given),
    )


def parse_form_key(key: Any) -> dict[str, str]:
    """Take a choice's key (the value of the form's radio button) apart into options.

    >>> parse_form_key("pytorch-gpus/h100-80gb/whole/2")
    {'profile': 'pytorch-gpus', 'flavor': 'h100-80gb', 'share': 'whole', 'count': '2'}
    >>> parse_form_key("data-science/cpu")
    {'profile': 'data-science'}

    Raises:
        OptionError: it has not the shape of a key. Whether the choice exists is checked by
            ``parse_options``.
    """
    if isinstance(key, str) and len(key) <= _MAX_KEY_LENGTH:
        parts = key.split("/")
        if len(parts) == 2 and parts[1] == "cpu":
            return {"profile": parts[0]}
        if len(parts) == 4:
            return dict(zip(OPTION_KEYS, parts, strict=False))
    raise OptionError(
        "profile",
        gettext("The form sent the choice {choice}, which cannot be read.", choice=quoted(key)),
    )


def _given(raw: Any) -> dict[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise OptionError(
            "options", gettext("The options must be an object, but {sent} came.", sent=quoted(raw))
        )
    for key in raw:
        if key not in OPTION_KEYS:
            said = gettext(
                "There is no option {option}; there are {known}.",
                option=quoted(key),
                known=listed(OPTION_KEYS),
            )
            raise OptionError("options", sentences(said, did_you_mean(key, OPTION_KEYS)))
    given = {key: raw[key] for key in OPTION_KEYS if raw.get(key) is not None}
    for key, value in given.items():
        if key not in ("count", "cpu", "wait") and not isinstance(value, str):
            raise OptionError(
                key,
                gettext(
                    "The {option} must be a name, but {sent} came.",
                    option=key,
                    sent=quoted(value),
                ),
            )
    return given


def _profile(view: Catalog, given: Mapping[str, Any]) -> Profile:
    for denied, message in view.denied:
        if denied.slug == given.get("profile"):
            raise OptionError("profile", message, is_denied=True)
    default = view.default_profile
    if default is None:
        raise OptionError(
            "profile",
            gettext("No profile is open to you. Ask the administrators of this hub for access."),
        )
    if "profile" not in given:
        return default
    slug = given["profile"]
    profile = view.profile(slug)
    if profile is None:
        slugs = [known.slug for known in view.profiles]
        said = gettext(
            "There is no profile {profile} for you; there are {known}.",
            profile=quoted(slug),
            known=listed(slugs),
        )
        raise OptionError("profile", sentences(said, did_you_mean(slug, slugs)))
    return profile


def _choice(view: Catalog, profile: Profile, given: Mapping[str, Any]) -> Choice:
    """Narrow the profile's choices by one key after the other; the first that is left wins."""
    candidates = profile.choices
    for field in ("flavor", "share", "count"):
        if field not in given:
            continue
        if not profile.gpu:
            _refuse_gpu_option(view, profile, field, is_chosen="profile" in given)
        wanted = _count(given[field]) if field == "count" else given[field]
        fitting = tuple(choice for choice in candidates if _value(choice, field) == wanted)
        if not fitting:
            _refuse_denied(profile, given)
            allowed = list(dict.fromkeys(_value(choice, field) for choice in candidates))
            narrowed = listed(
                f"{earlier} {quoted(given[earlier])}"
                for earlier in ("flavor", "share")
                if earlier in given and OPTION_KEYS.index(earlier) < OPTION_KEYS.index(field)
            )
            where = (
                gettext("{profile} with {options}", profile=profile.slug, options=narrowed)
                if narrowed
                else profile.slug
            )
            guess = did_you_mean(given[field], [str(value) for value in allowed])
            raise OptionError(
                field, sentences(_not_there(where, field, given[field], allowed), guess)
            )
        candidates = fitting
    return candidates[0]


def _not_there(where: str, field: str, wanted: Any, allowed: Iterable[object]) -> Message:
    """Say that a profile has something else to choose from."""
    return gettext(
        "{profile} has no {option} {wanted}; there is {allowed}.",
        profile=where,
        option=field,
        wanted=quoted(wanted),
        allowed=listed(allowed, word="or"),
    )


def _refuse_denied(profile: Profile, given: Mapping[str, Any]) -> None:
    """Refuse with the admin's message what is there, and is denied to this user."""
    wanted = {key: given[key] for key in ("flavor", "share", "count") if key in given}
    if "count" in wanted:
        wanted["count"] = _count(wanted["count"])
    for denied in profile.denied:
        choice = denied.choice
        if choice is not None and all(_value(choice, key) == wanted[key] for key in wanted):
            raise OptionError("choice", denied.message, is_denied=True)


def _value(choice: Choice, field: str) -> str | int:
    if field == "flavor":
        return choice.flavor
    if field == "count":
        return choice.count
    return choice.share.label if choice.share else ""


def _count(raw: Any) -> int:
    """Read a count: a whole number, or its digits from a link. True, 2.0, "02" are not counts."""
    if isinstance(raw, str) and _COUNT.fullmatch(raw):
        return int(raw)
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    raise OptionError(
        "count",
        gettext("The count {count} is not a whole number such as 1 or 2.", count=quoted(raw)),
    )


def _refuse_gpu_option(view: Catalog, profile: Profile, field: str, *, is_chosen: bool) -> None:
    with_gpu = [other.slug for other in view.profiles if other.gpu]
    instead = gettext("Profiles with GPUs: {profiles}.", profiles=listed(with_gpu))
    if is_chosen:
        message = gettext(
            "{profile} has no GPU, so there is no {option} to choose.",
            profile=profile.slug,
            option=field,
        )
    else:
        message = gettext("The option {option} needs a profile beside it.", option=field)
    raise OptionError(field, sentences(message, instead if with_gpu else ""))


def _image(profile: Profile, given: Mapping[str, Any]) -> str:
    if "image" not in given:
        return profile.images[0]
    image = given["image"]
    if image in profile.images:
        return str(image)
    for denied in profile.denied:
        if denied.image and denied.image == image:
            raise OptionError("image", denied.message, is_denied=True)
    said = _not_there(profile.slug, "image", image, profile.images)
    raise OptionError("image", sentences(said, did_you_mean(image, profile.images)))


def _own_image(profile: Profile, given: Mapping[str, Any]) -> str:
    if "own_image" not in given:
        return ""
    if profile.own_image is None:
        _refuse_option(profile, "own_image")
        raise OptionError(
            "own_image",
            gettext("{profile} takes no image of your own.", profile=profile.slug),
        )
    if "image" in given:
        raise OptionError("own_image", gettext("Give an image or an own_image, not both."))
    reference = given["own_image"].strip()
    refusal = profile.own_image.refusal(reference)
    if refusal:
        raise OptionError("own_image", refusal)
    return str(reference)


def _refuse_option(profile: Profile, field: str) -> None:
    """Refuse with the admin's message an option that is there, and is denied to this user."""
    for denied in profile.denied:
        if denied.option == field:
            raise OptionError(field, denied.message, is_denied=True)


def _amount(profile: Profile, given: Mapping[str, Any], field: str) -> int | None:
    """Return how much of cpu (milli-CPU) or memory (bytes) is chosen; None without a choice."""
    resources = profile.resources
    choices = resources.cpu_choices if field == "cpu" else resources.memory_choices
    if field not in given:
        return choices[0] if choices else None
    if not choices:
        raise OptionError(
            field,
            gettext("{profile} has no {option} to choose.", profile=profile.slug, option=field),
        )
    wanted = _read_amount(given[field], field)
    if wanted in choices:
        return wanted
    _refuse_option(profile, field)
    allowed = [f"{one / 1000:g}" if field == "cpu" else format_bytes(one) for one in choices]
    raise OptionError(field, _not_there(profile.slug, field, given[field], allowed))


def _wait(profile: Profile, given: Mapping[str, Any]) -> bool:
    """Tell whether to wait for a place; nobody waits where the profile does not allow it.

    That is no mistake: the wish comes from one box for the whole page, and a refusal says it.
    """
    wish = given.get("wait", False)
    known = _WAITS.get(wish.lower()) if isinstance(wish, str) else wish
    if not isinstance(known, bool):
        raise OptionError(
            "wait",
            gettext("The option wait is true or false, but {sent} came.", sent=quoted(wish)),
        )
    return known and profile.max_wait_seconds > 0


def _read_amount(raw: Any, field: str) -> int | None:
    """Read an amount as Kubernetes writes it; None for what is none."""
    is_short = len(raw) <= _MAX_AMOUNT_LENGTH if isinstance(raw, str) else True
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)) or not is_short:
        return None
    try:
        return parse_cpu_milli(raw) if field == "cpu" else parse_bytes(raw)
    except (ValueError, OverflowError):
        return None
