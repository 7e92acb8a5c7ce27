"""How much one user, or the members of a group together, may hold at once.

Decides what a user's limit is and whether a further server would break one. What is held now comes
from the caller: the hub knows every server, whatever the cluster shows.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import Field, PlainValidator

from gpu_spawner.core.catalog.documents import Document, read_model
from gpu_spawner.core.catalog.fields import Bytes, GroupName, Name, complain
from gpu_spawner.core.catalog.holdings import WHOLE_GPU_MILLI, Holding
from gpu_spawner.core.catalog.strict_model import StrictModel
from gpu_spawner.core.errors import ConfigError
from gpu_spawner.core.messages import Message, figure, gettext, joined, npgettext
from gpu_spawner.core.units import counted_units_of
from gpu_spawner.core.wording import quoted

__all__ = ["NO_LIMITS", "Held", "Limit", "LimitRules", "find_excess", "read_limits", "say_held"]

_Fields = ("gpu_milli", "memory_bytes", "servers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The most that may be held at once; None means no limit. Units as in ``Holding``."""

    gpu_milli: int | None = None
    memory_bytes: int | None = None
    servers: int | None = None

    @property
    def is_unlimited(self) -> bool:
        """Whether nothing is limited."""
        return all(getattr(self, name) is None for name in _Fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A server that is running or starting: whose, of which profile, and what it holds."""

    username: str
    groups: frozenset[str]
    profile: str
    holding: Holding


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRules:
    """Everything an admin has limited.

    Each of the maps holds only what was said: a field that is not in a ``dict`` of it is not
    limited by that rule, and a field that is None there is unlimited on purpose.

    Attributes:
        default: for each user.
        groups: for each member; of several groups the most generous counts.
        users: for one user, instead of default and groups.
        together: for all members of a group together.
        profiles: for each user, of servers of one profile.
    """

    default: Mapping[str, int | None] = field(default_factory=lambda: MappingProxyType({}))
    groups: Mapping[str, Mapping[str, int | None]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    users: Mapping[str, Mapping[str, int | None]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    together: Mapping[str, Limit] = field(default_factory=lambda: MappingProxyType({}))
    profiles: Mapping[str, Limit] = field(default_factory=lambda: MappingProxyType({}))

    def for_user(self, username: str, groups: Collection[str]) -> Limit:
        """Return what one user may hold, field by field."""
        return Limit(**{name: self._field(name, username, groups) for name in _Fields})

    def _field(self, name: str, username: str, groups: Collection[str]) -> int | None:
        own = self.users.get(username, {})
        if name in own:
            return own[name]
        granted = [
            self.groups[group][name]
            for group in groups
            if group in self.groups and name in self.groups[group]
        ]
        if not granted:
            return self.default.get(name)
        known = [amount for amount in granted if amount is not None]
        return max(known) if len(known) == len(granted) else None


NO_LIMITS: Final = LimitRules()


def find_excess(rules: LimitRules, asked: Held, held: Iterable[Held]) -> str:
    """Return in a sentence why one more server would be too much; empty where it would not.

    Args:
        rules: what is limited.
        asked: the server that is about to start.
        held: every other server that runs or starts, of everybody.
    """
    others = list(held)
    mine = [one for one in others if one.username == asked.username]
    same = [one for one in mine if one.profile == asked.profile]
    limit = rules.for_user(asked.username, asked.groups)
    sentence = _excess(limit, mine, asked.holding, _OWN)
    own = rules.profiles.get(asked.profile)
    if not sentence and own is not None:
        sentence = _excess(own, same, asked.holding, _OF_PROFILE)
    for group in sorted(asked.groups & rules.together.keys()):
        if not sentence:
            members = [one for one in others if group in one.groups]
            sentence = _excess(
                rules.together[group], members, asked.holding, _TOGETHER, group=group
            )
    return sentence


_OWN: Final = (
    gettext("You hold {held} of the {limit} you may hold; this choice alone takes {more}."),
    gettext(
        "You hold {held} of the {limit} you may hold at once, and this would take {more} more."
    ),
)
_OF_PROFILE: Final = (
    gettext(
        "Of this profile you hold {held} of the {limit} you may hold; this choice alone takes "
        "{more}."
    ),
    gettext(
        "Of this profile you hold {held} of the {limit} you may hold at once, and this would take "
        "{more} more."
    ),
)
_TOGETHER: Final = (
    gettext(
        "The members of {group} together hold {held} of their {limit}; this choice alone takes "
        "{more}."
    ),
    gettext(
        "The members of {group} together hold {held} of their {limit} at once, and this would "
        "take {more} more."
    ),
)
"""What to say where a choice alone is too much, and where it is too much beside what is held."""


def _excess(
    limit: Limit,
    held: Iterable[Held],
    asked: Holding,
    words: tuple[Message, Message],
    *,
    group: str = "",
) -> str:
    now = Holding.sum(one.holding for one in held)
    alone, beside = words
    for name in _Fields:
        most, more = getattr(limit, name), getattr(asked, name)
        if most is not None and more and getattr(now, name) + more > most:
            return (alone if more > most else beside).filled(
                held=_number(name, getattr(now, name)),
                limit=_amount(name, most),
                more=_number(name, more),
                group=group,
            )
    return ""


def say_held(limit: Limit, held: Iterable[Held]) -> str:
    """Say how much of a limit is used: "You hold 2 of 4 GPUs"; empty where nothing is limited."""
    now = Holding.sum(one.holding for one in held)
    parts = [
        gettext(
            "{held} of {limit}", held=_number(name, getattr(now, name)), limit=_amount(name, most)
        )
        for name, most in ((name, getattr(limit, name)) for name in _Fields)
        if most is not None
    ]
    return gettext("You hold {amounts}.", amounts=joined(", ", parts)) if parts else ""


def _amount(name: str, value: int) -> str:
    """Write an amount with its unit, as it stands after "of"."""
    if name == "servers":
        return npgettext("after 'of' or 'with'", "{number} server", "{number} servers", value)
    number = _number(name, value)
    if name == "memory_bytes":
        return gettext("{memory} of GPU memory", memory=number)
    if value == WHOLE_GPU_MILLI:
        return counted_units_of(1, "GPU")
    return gettext("{number} GPUs", number=number)


def _number(name: str, value: int) -> str:
    """Write an amount so short that a unit may follow."""
    if name == "gpu_milli":
        return figure(float(f"{value / WHOLE_GPU_MILLI:.2f}"), ".10g")
    if name == "memory_bytes":
        return gettext("{number} GB", number=figure(value / 10**9, ".3g"))
    return figure(value, "d")


def _gpus(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100_000:
        raise complain(f"got {quoted(value)}; a number of GPUs such as 4 or 0.5 is expected")
    return round(value * WHOLE_GPU_MILLI)


class _LimitModel(StrictModel):
    """The most that may be held at once; null: no limit."""

    gpus: Annotated[int | None, PlainValidator(_gpus)] = None
    gpu_memory: Bytes | None = None
    servers: Annotated[int, Field(ge=0, le=10_000)] | None = None


class _LimitsModel(StrictModel):
    """The trait ``limits``."""

    default: _LimitModel = _LimitModel()
    groups: dict[GroupName, _LimitModel] = Field(default_factory=dict)
    users: dict[GroupName, _LimitModel] = Field(default_factory=dict)
    together: dict[GroupName, _LimitModel] = Field(default_factory=dict)
    profiles: dict[Name, _LimitModel] = Field(default_factory=dict)


def read_limits(raw: Mapping[str, Any], *, source: str) -> LimitRules:
    """Read the rules from configuration.

    Args:
        raw: the trait's value.
        source: what to call it in an error.

    Raises:
        ConfigError: with every mistake in it.
    """
    model, problems = read_model(Document(file=source, data=raw), _LimitsModel)
    if model is None:
        raise ConfigError(problems)
    return LimitRules(
        default=_said(model.default),
        groups=_map(model.groups, _said),
        users=_map(model.users, _said),
        together=_map(model.together, lambda one: Limit(**_said(one))),
        profiles=_map(model.profiles, lambda one: Limit(**_said(one))),
    )


def _map(
    models: Mapping[str, _LimitModel], make: Callable[[_LimitModel], Any]
) -> Mapping[str, Any]:
    return MappingProxyType({name: make(model) for name, model in models.items()})


def _said(model: _LimitModel) -> dict[str, int | None]:
    """Return the fields that were given, under the names of ``Limit``."""
    return dict(_given(model))


def _given(model: _LimitModel) -> Iterator[tuple[str, int | None]]:
    names = {"gpus": "gpu_milli", "gpu_memory": "memory_bytes", "servers": "servers"}
    for name in model.model_fields_set:
        yield names[name], getattr(model, name)
