"""Label and field selectors as they arrive in a query string.

Grammar, matching and the sentences of refusal are Kubernetes'. Selectors inside objects (node
affinity, tolerations) are the scheduler's business and live in :mod:`gpu_spawner.core`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gpu_spawner.sim.apiserver.api_errors import bad_request
from gpu_spawner.sim.apiserver.kinds import Resource
from gpu_spawner.sim.apiserver.names import label_value_problems, qualified_name_problems
from gpu_spawner.sim.apiserver.store import Record

__all__ = ["Requirement", "Selector", "matches_labels", "parse_labels", "parse_selector"]

_TOKEN: Final = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)", re.ASCII)
_OPERATORS: Final = {
    "in": "in",
    "notin": "notin",
    "=": "=",
    "==": "=",
    "!=": "!=",
    ">": "gt",
    "<": "lt",
}
_COMMA, _OPEN, _CLOSE = ",", "(", ")"
_SYMBOLS: Final = frozenset({"==", "!=", "=", "!", "(", ")", ",", "<", ">"})


@dataclass(frozen=True, slots=True)
class Requirement:
    """One clause: a key, an operator, and the values it compares with."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def accepts(self, labels: Mapping[str, str]) -> bool:
        """Whether labels satisfy the clause; an absent key satisfies only the negative ones."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "in" | "=":
                return value in self.values
            case "notin" | "!=":
                return value not in self.values
        if value is None or not re.fullmatch(r"[+-]?\d+", value, re.ASCII):
            return False
        (bound,) = self.values
        return int(value) > int(bound) if self.operator == "gt" else int(value) < int(bound)


@dataclass(frozen=True, slots=True)
class Selector:
    """What a list or watch asks for; an empty one takes everything."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Callable[[Record], bool], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether every object matches."""
        return not self.labels and not self.fields

    def accepts(self, record: Record) -> bool:
        """Whether an object is asked for."""
        return all(clause.accepts(record.labels) for clause in self.labels) and all(
            clause(record) for clause in self.fields
        )


def parse_selector(resource: Resource, labels: str, fields: str) -> Selector:
    """Read ``labelSelector`` and ``fieldSelector`` for one kind.

    Raises:
        ApiError: 400 with Kubernetes' explanation.
    """
    try:
        return Selector(parse_labels(labels), tuple(_parse_fields(resource, fields)))
    except ValueError as error:
        raise bad_request(str(error)) from None


def matches_labels(selector: Mapping[str, object] | None, labels: Mapping[str, str]) -> bool:
    """Whether a ``LabelSelector`` inside an object accepts labels; an absent one takes none."""
    if selector is None:
        return False
    words = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    exact = selector.get("matchLabels") or {}
    clauses = selector.get("matchExpressions") or ()
    if not isinstance(exact, Mapping) or not isinstance(clauses, Sequence):
        return False
    return all(labels.get(key) == value for key, value in exact.items()) and all(
        Requirement(
            clause["key"], words[clause["operator"]], frozenset(clause.get("values") or ())
        ).accepts(labels)
        for clause in clauses
    )


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Parse ``a=b,c in (d,e),!f``.

    Raises:
        ValueError: with the sentence an API server answers.
    """
    return tuple(_LabelParser(text).parse())


class _LabelParser:
    """A recursive descent over tokens; the empty token is the end."""

    def __init__(self, text: str) -> None:
        tokens: list[str] = []
        position = 0
        text = text.rstrip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                break
            tokens.append(found[1])
            position = found.end()
        self._tokens = [*tokens, ""]
        self._next = 0

    def parse(self) -> list[Requirement]:
        """Read the whole selector."""
        found: list[Requirement] = []
        while True:
            token = self._peek()
            if not token:
                return found
            if token in _SYMBOLS - {"!"}:
                raise ValueError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            token = self._take()
            if not token:
                return found
            if token != _COMMA:
                raise ValueError(f"found '{token}', expected: ',' or 'end of string'")
            token = self._peek()
            if not token or token in _SYMBOLS - {"!"}:
                raise ValueError(f"found '{token}', expected: identifier after ','")

    def _peek(self) -> str:
        return self._tokens[self._next]

    def _take(self) -> str:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _requirement(self) -> Requirement:
        key = self._take()
        is_negated = key == "!"
        if is_negated:
            key = self._take()
        if not key or key in _SYMBOLS:
            raise ValueError(f"found '{key}', expected: identifier")
        problems = qualified_name_problems(key)
        if problems:
            raise ValueError(f'<nil>: Invalid value: "{key}": {"; ".join(problems)}')
        if is_negated:
            return Requirement(key, "!")
        if self._peek() in {"", ","}:
            return Requirement(key, "exists")
        token = self._take()
        if token not in _OPERATORS:
            raise ValueError(f"found '{token}', expected: in, notin, =, ==, !=, gt, lt")
        operator = _OPERATORS[token]
        values = self._value_set() if operator in {"in", "notin"} else self._value()
        for value in values:
            if operator in {"gt", "lt"} and not re.fullmatch(r"[+-]?\d+", value, re.ASCII):
                raise ValueError(
                    f"values[0]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the "
                    "value must be an integer"
                )
            problems = label_value_problems(value)
            if problems:
                raise ValueError(
                    f'values[0][{key}]: Invalid value: "{value}": {"; ".join(problems)}'
                )
        return Requirement(key, operator, values)

    def _value(self) -> frozenset[str]:
        if self._peek() in {"", ","}:
            return frozenset({""})
        token = self._take()
        if token in _SYMBOLS:
            raise ValueError(f"found '{token}', expected: identifier")
        return frozenset({token})

    def _value_set(self) -> frozenset[str]:
        token = self._take()
        if token != _OPEN:
            raise ValueError(f"found '{token}' expected: '('")
        if self._peek() in _SYMBOLS - {",", ")"} or not self._peek():
            raise ValueError(f"found '{self._peek()}', expected: ',', ')' or identifier")
        values: set[str] = set()
        is_value_due = True
        while True:
            token = self._take()
            if token in {",", ")"}:
                if is_value_due:
                    values.add("")
                if token == _CLOSE:
                    return frozenset(values)
                is_value_due = True
            elif not token or token in _SYMBOLS:
                raise ValueError(f"found '{token}', expected: ',', or identifier")
            elif not is_value_due:
                raise ValueError(f"found '{token}', expected: ',' or ')'")
            else:
                values.add(token)
                is_value_due = False


def _parse_fields(resource: Resource, text: str) -> list[Callable[[Record], bool]]:
    clauses = []
    for term in re.split(r"(?<!\\),", text):
        if not term:
            continue
        found = re.fullmatch(r"(.*?)(!=|==|=)(.*)", term, re.DOTALL)
        if found is None:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
        path, operator, value = found[1], found[2], _unescape(found[3])
        clauses.append(_field_clause(resource, path, value, is_equal=operator != "!="))
    return clauses


def _unescape(value: str) -> str:
    bad = re.search(r"\\(?![\\,=])|(?<!\\)[,=]", re.sub(r"\\\\", "", value))
    if bad is not None and bad[0] == "\\":
        raise ValueError(f"invalid field selector: invalid escape sequence: {bad[0]}")
    if bad is not None:
        raise ValueError(f"invalid field selector: unescaped character in value: {ord(bad[0])}")
    return re.sub(r"\\(.)", r"\1", value)


def _field_clause(
    resource: Resource, path: str, value: str, *, is_equal: bool
) -> Callable[[Record], bool]:
    if path == "metadata.name":
        return lambda record: (record.name == value) is is_equal
    if path == "metadata.namespace" and (resource.is_namespaced or not resource.fields):
        return lambda record: (record.namespace == value) is is_equal
    if path == "spec.host" and resource.kind == "Pod":
        path = "spec.nodeName"
    if path in resource.fields:
        index = resource.fields.index(path)
        return lambda record: (record.fields[index] == value) is is_equal
    if resource.fields or resource.kind in {"Namespace", "Service"}:
        raise ValueError(f"field label not supported: {path}")
    raise ValueError(
        f'"{path}" is not a known field label: only "metadata.name", "metadata.namespace"'
    )
