"""Read the fields of the spawn form, and the query of a link, into options.

Nothing is validated here beyond what belongs to the transport (every field is a list of texts):
whether the options exist and are allowed is ``core.catalog.options``' part, the same for form, link
and REST.
"""

from collections.abc import Mapping
from typing import Any, Final

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.options import OPTION_KEYS, parse_form_key
from gpu_spawner.core.catalog.renames import current_names
from gpu_spawner.core.errors import OptionError
from gpu_spawner.core.messages import gettext
from gpu_spawner.core.wording import quoted

__all__ = ["check_tile", "options_from_fields", "options_from_link"]

OFFER_FIELD: Final = "offer"
WAIT_FIELD: Final = "wait"
LINK_PREFIX: Final = "opt-"


def options_from_fields(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the options in a posted form.

    Our form sends ``offer`` (the key of a choice) and ``profile-option-SLUG--image``, in which SLUG
    is the profile's; so are ``--cpu``, ``--memory`` and ``--own_image``, which stands instead of
    the image where it is filled in; and ``wait``, where its box is ticked. A form in
    KubeSpawner's shape, ``profile`` and ``profile-option-SLUG--OPTION``, is read as well, for
    scripts and for templates of a site.

    Raises:
        OptionError: nothing was chosen, or a field came twice or is a file.
    """
    offer = _single(fields, OFFER_FIELD)
    if offer is not None:
        options = parse_form_key(offer)
    else:
        profile = _single(fields, "profile")
        if profile is None:
            raise OptionError(
                "profile", gettext("Nothing was chosen: pick what you want to start.")
            )
        options = {"profile": profile}
    for name in OPTION_KEYS[1:]:
        value = _single(fields, f"profile-option-{options['profile']}--{name}")
        if value is not None and name not in options:
            options[name] = value
    if "own_image" in options:
        options.pop("image", None)
    wait = _single(fields, WAIT_FIELD)
    return options if wait is None else {"wait": wait, **options}


def options_from_link(query: Mapping[str, Any]) -> dict[str, str]:
    """Return the options in the query of a link: those that begin with ``opt-``, or else all.

    JupyterHub 6 has taken the prefix off by now, JupyterHub 5 has not.

    Raises:
        OptionError: an option came twice.
    """
    prefixed = {
        name.removeprefix(LINK_PREFIX): values
        for name, values in query.items()
        if name.startswith(LINK_PREFIX)
    }
    named = prefixed or query
    values = {name: _single(named, name) for name in named}
    return {name: value for name, value in values.items() if value is not None}


def check_tile(fields: Mapping[str, Any], catalog: Catalog, key: str) -> None:
    """Refuse a form whose tile is not the choice it was read as; only a forged one has that.

    A page may have been open since before something was renamed.

    Raises:
        OptionError: there is no such tile.
    """
    tile = fields.get(OFFER_FIELD)
    if tile is None:
        return
    now = current_names(catalog, parse_form_key(tile[0]))
    if parse_form_key(key) != now:
        raise OptionError(
            "profile", gettext("There is no choice {choice}.", choice=quoted(tile[0]))
        )


def _single(fields: Mapping[str, Any], name: str) -> str | None:
    """Return the one value of a field; None where it was not sent or is empty."""
    values = fields.get(name)
    if values is None:
        return None
    if isinstance(values, list) and len(values) == 1 and isinstance(values[0], str):
        return values[0] or None
    raise OptionError(
        name,
        gettext("The option {option} came more than once, or not as text.", option=quoted(name)),
    )
