"""The shape of rules of access, as an operator writes them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from gpu_spawner.core.catalog.fields import Count, GroupName, Name, Shares, complain
from gpu_spawner.core.catalog.strict_model import OneOrMany, StrictModel
from gpu_spawner.core.wording import quoted

__all__ = ["AccessModel", "RestrictionModel"]

_MAX_MESSAGE = 300


def _when_denied(value: Any) -> str:
    """Read ``hide`` or ``{message: ...}`` as the message; empty for hide."""
    if value == "hide":
        return ""
    message = value.get("message") if isinstance(value, Mapping) and len(value) == 1 else None
    if not isinstance(message, str):
        raise complain(f"got {quoted(value)}; allowed: hide, {{message: a sentence}}")
    if not 0 < len(message.strip()) <= _MAX_MESSAGE or not message.isprintable():
        raise complain(
            f"got {quoted(message)}; one line of at most {_MAX_MESSAGE} characters is expected"
        )
    return message.strip()


WhenDenied = Annotated[
    str,
    PlainValidator(_when_denied),
    WithJsonSchema(
        {
            "oneOf": [
                {"const": "hide", "description": "Nobody else sees it."},
                {
                    "type": "object",
                    "description": "Everybody else sees it, closed, with this sentence.",
                    "properties": {
                        "message": {"type": "string", "minLength": 1, "maxLength": _MAX_MESSAGE}
                    },
                    "required": ["message"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class AccessModel(StrictModel):
    """Who may have something; everyone if neither groups nor users are named."""

    allowed_groups: list[GroupName] | None = Field(
        default=None, description="Members of any of these groups may have it."
    )
    allowed_users: list[GroupName] | None = Field(
        default=None, description="These users may have it, whatever their groups."
    )
    when_denied: WhenDenied = Field(
        default="", description="What everybody else sees: hide (the default) or a message."
    )


class RestrictionModel(AccessModel):
    """Who may pick some of the choices, of the images, or of the options of a profile.

    A choice is meant when it agrees with all that is named.
    """

    flavors: list[Name] = Field(default_factory=list)
    share: Shares = Field(default=())
    count: Annotated[list[Count], OneOrMany()] = Field(default_factory=list)
    images: list[Name] = Field(
        default_factory=list, description="Instead of flavors, share and count."
    )
    options: list[Literal["own_image", "cpu", "memory"]] = Field(
        default_factory=list,
        description="Instead of all of these: who may bring an image, or choose an amount; "
        "everybody else gets the first amount.",
    )
