"""One piece of configuration with the place of everything in it, and how its mistakes are told.

A document is a parsed file or an entry of an inline mapping. Reading files is for
``gpu_spawner.catalog_files``; this module turns what a pydantic model refuses into ``Problem``s
that name the line, the key, what was found, what is allowed and the cure.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gpu_spawner.core.errors import Problem
from gpu_spawner.core.wording import as_sentence, did_you_mean, quoted

__all__ = ["Document", "KeyPath", "dotted", "line_of", "place_of", "read_model"]

KeyPath = tuple[str | int, ...]
"""Where something is inside a document: keys of mappings and indexes of lists."""

_Model = TypeVar("_Model", bound=BaseModel)

_SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "string_type": "got {found}; a text is expected",
        "bool_type": "got {found}; true or false is expected",
        "int_type": "got {found}; a whole number is expected",
        "list_type": "got {found}; a list is expected",
        "dict_type": "got {found}; a mapping is expected",
        "model_type": "got {found}; a mapping is expected",
        "too_short": "is empty; at least one entry is expected",
        "too_long": "has more than {max_length} entries",
        "string_too_short": "is empty; a text is expected",
        "string_too_long": "is longer than {max_length} characters",
        "string_pattern_mismatch": "got {found}, which has not the form {pattern}",
        "greater_than_equal": "got {found}; at least {ge} is expected",
        "less_than_equal": "got {found}; at most {le} is expected",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A mapping from configuration, and where its parts stand.

    Attributes:
        file: the file as the operator knows it, or the trait.
        data: the mapping: plain dicts, lists and scalars.
        lines: the 1-based line of each key and item; empty where the source has no lines.
        prefix: what to put before every key, for entries of an inline mapping.
        told: where something was wrong already while reading; a model's complaint about it, or
            about what is inside, would be the same again.
    """

    file: str
    data: Mapping[str, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=lambda: MappingProxyType({}))
    prefix: KeyPath = ()
    told: frozenset[KeyPath] = frozenset()

    @property
    def origin(self) -> str:
        """The document as a whole: the file, or the trait and the key in it."""
        return ": ".join(filter(None, [self.file, dotted(self.prefix)]))

    def problem(self, path: KeyPath, message: str, cure: str = "") -> Problem:
        """Make a problem at a place; a path that does not exist falls back to what contains it."""
        return Problem(
            file=self.file,
            line=line_of(self.lines, path),
            key=dotted((*self.prefix, *path)),
            message=as_sentence(message),
            cure=cure,
        )

    def actual_path(self, location: Sequence[str | int]) -> KeyPath:
        """Leave out the index 0 where a single thing stands in for a list of one."""
        path: list[str | int] = []
        here: Any = self.data
        for part in location:
            if isinstance(part, int) and not isinstance(here, list):
                continue
            path.append(part)
            if isinstance(here, Mapping):
                here = here.get(part)
            elif isinstance(here, list) and isinstance(part, int) and part < len(here):
                here = here[part]
            else:
                here = None
        return tuple(path)


def read_model(
    document: Document, model: type[_Model], path: KeyPath = ()
) -> tuple[_Model | None, list[Problem]]:
    """Read the part of a document at ``path`` as a model; None with every problem otherwise."""
    data: Any = document.data
    for part in path:
        data = data[part]
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, list(_problems(document, model, path, error))


def _problems(
    document: Document, model: type[BaseModel], path: KeyPath, error: ValidationError
) -> Iterator[Problem]:
    for details in error.errors(include_url=False):
        message, cure = _say(model, details)
        place = place_of(document, details, path)
        if not any(place[: len(told)] == told for told in document.told):
            yield document.problem(place, message, cure)


def place_of(document: Document, details: ErrorDetails, path: KeyPath = ()) -> KeyPath:
    """Return where in a document pydantic found a mistake, in a model read at ``path``."""
    # A wrong key of a mapping is located by pydantic as (mapping, key, "[key]").
    location = [part for part in details["loc"] if part != "[key]"]
    return document.actual_path((*path, *location))


def _say(model: type[BaseModel], details: ErrorDetails) -> tuple[str, str]:
    """Return what was found and what is allowed, and the cure."""
    kind, context = details["type"], details.get("ctx", {})
    found = quoted(details["input"])
    if kind in _SENTENCES:
        # YAML makes a number or a truth value of what was meant as text.
        is_unquoted = kind == "string_type" and isinstance(details["input"], (int, float))
        sentence = _SENTENCES[kind].format_map({"found": found, **context})
        return sentence, "Put it in quotes." if is_unquoted else ""
    match kind:
        case "gpu_spawner":
            return context["message"], context["cure"]
        case "missing":
            return "is missing", f"Add {details['loc'][-1]}."
        case "extra_forbidden":
            name = details["loc"][-1]
            allowed = sorted(_keys_at(model, details["loc"][:-1]))
            message = f"unknown key {quoted(name)}; allowed: {', '.join(allowed)}"
            return message, did_you_mean(name, allowed) or "Remove it."
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", context["expected"])
            message = f"got {found}; allowed: {', '.join(allowed)}"
            return message, did_you_mean(details["input"], allowed)
        case _:
            return f"got {found}: {details['msg'][:200]}", ""


def _keys_at(model: type[BaseModel], location: Sequence[str | int]) -> set[str]:
    """Return the keys that are allowed at a place of a model."""
    for part in location:
        info = model.model_fields.get(part) if isinstance(part, str) else None
        inner = _model_inside(info.annotation) if info is not None else None
        model = inner or model
    return {info.alias or name for name, info in model.model_fields.items()}


def _model_inside(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        inner = _model_inside(argument)
        if inner is not None:
            return inner
    return None


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Return the line of a place, or else of what contains it; 0 where no line is known."""
    place = path
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 0)


def dotted(path: KeyPath) -> str:
    """Write a path as people do: ``gpu.share.mig``, ``images[1]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text[:200]
