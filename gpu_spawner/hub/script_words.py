"""The words of our scripts, which come with each page in the language of its reader."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gpu_spawner.core.messages import gettext

__all__ = ["PENDING_WORDS", "SCRIPT_WORDS"]

SCRIPT_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ageUnknown": gettext("What is free is not known"),
        "ageNow": gettext("Numbers as of now"),
        "ageSeconds": gettext("Numbers as of {seconds} s ago"),
        "ageMinutes": gettext("Numbers as of {minutes} min ago"),
        "stale": gettext("The choices have changed: reload this page to see them"),
        "instead": gettext("Free now:"),
        "waitTime": gettext(", for up to {time}"),
        "start": gettext("Start: {what}"),
        "waitFor": gettext("Wait for: {what}"),
        "mayPull": gettext("image may have to be pulled"),
        "shown": gettext("{shown} of {all} profiles"),
        "link": gettext("Link to this choice"),
        "copyField": gettext("Copy the link from the field"),
        "copied": gettext("Link copied"),
        "renamed": gettext("{old} is now {new}."),
    }
)
"""By the name that ``page.js`` knows them by; what stands in braces is filled in there."""

PENDING_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cancel": gettext("Cancel this start"),
        "cancelling": gettext("The start is being cancelled."),
        "notCancelled": gettext("It could not be cancelled. Try again."),
        "noAnswer": gettext("The hub does not answer. Try again in a minute."),
    }
)
"""Those of ``pending.js``; the first is on its button."""
