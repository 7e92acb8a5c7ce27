"""What can still be checked of a configuration that has mistakes already.

An operator wants every mistake at once. What must agree between files is checked on a whole model,
and one wrong amount would hide an unknown image. So the wrong places are taken out of a copy, the
rest is checked, and what is then found at or around those places is not told: it may be our doing.
"""

import copy
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from gpu_spawner.core.catalog.documents import Document, KeyPath, dotted, place_of
from gpu_spawner.core.errors import Problem

__all__ = ["salvage_model", "without_doubtful"]

_Model = TypeVar("_Model", bound=BaseModel)

_STAND_INS: Final[Mapping[str, Any]] = MappingProxyType(
    {"display_name": "-", "images": ["-"], "flavors": ["-"], "share": "whole"}
)
"""For keys a profile cannot be without; what they lead to is at a doubtful place."""
_MAX_ROUNDS: Final = 8
"""Taking one thing out can uncover another; what needs more rounds is beyond rescue."""


def salvage_model(document: Document, model: type[_Model]) -> tuple[_Model, list[KeyPath]] | None:
    """Return what a document says beside its mistakes, and where those are; None for a ruin."""
    data = copy.deepcopy(dict(document.data))
    doubtful: list[KeyPath] = []
    for _ in range(_MAX_ROUNDS):
        try:
            return model.model_validate(data), doubtful
        except ValidationError as error:
            mended = Document(file=document.file, data=data)
            for details in error.errors(include_url=False):
                place = place_of(mended, details)
                while place and isinstance(place[-1], int):
                    place = place[:-1]  # the whole list: the others in it keep their numbers
                if not place:
                    return None
                doubtful.append(place)
                _mend(data, place, is_unknown=details["type"] == "extra_forbidden")
    return None


def without_doubtful(
    document: Document, found: Iterable[Problem], doubtful: Iterable[KeyPath]
) -> list[Problem]:
    """Leave out the problems at, inside or around a doubtful place."""
    keys = [dotted((*document.prefix, *place)) for place in doubtful]
    return [
        problem
        for problem in found
        if not any(_contains(key, problem.key) or _contains(problem.key, key) for key in keys)
    ]


def _contains(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith((f"{outer}.", f"{outer}["))


def _mend(data: dict[str, Any], place: KeyPath, *, is_unknown: bool) -> None:
    here: Any = data
    for part in place[:-1]:
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):  # an earlier mistake took it out
            return
    key = place[-1]
    if not isinstance(here, dict) or not isinstance(key, str):
        return
    if key in _STAND_INS and not is_unknown:
        here[key] = copy.deepcopy(_STAND_INS[key])
    else:
        here.pop(key, None)
