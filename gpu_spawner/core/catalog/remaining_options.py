"""What is left of options that cannot be granted as they are: the part that could be."""

from collections.abc import Collection, Mapping
from typing import Any

from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.options import OPTION_KEYS, parse_options
from gpu_spawner.core.errors import OptionError

__all__ = ["remaining_options"]


def remaining_options(
    catalog: Catalog, raw: Mapping[str, Any], *, groups: Collection[str], username: str = ""
) -> Selection | None:
    """Return a selection of all that is granted, and the profile's defaults for the rest.

    It is for showing a refused choice again, never for starting it: nobody has chosen this.

    Args:
        catalog: everything on offer.
        raw: the options a user sent.
        groups: the user's groups.
        username: the user's name.

    Returns:
        None where no profile was asked for, or none that the user may pick.
    """
    left = {key: raw[key] for key in OPTION_KEYS if key in raw}
    while left.get("profile") is not None:
        try:
            return parse_options(catalog, left, groups=groups, username=username)
        except OptionError as error:
            # A choice that is denied as a whole has no single option at fault.
            at_fault = ("count", "share", "flavor") if error.field == "choice" else (error.field,)
            field = next((name for name in at_fault if name in left), "profile")
            del left[field]
    return None
