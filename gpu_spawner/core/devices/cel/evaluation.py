"""A checked tree, made into something that can be called with a device's values.

Decides the order of evaluation and which errors are swallowed: ``false && error`` is false in
either order, a loop goes on past an error another turn may make irrelevant, a ternary evaluates
one branch only. Every node becomes a closure once, so that a device costs a few calls.
Source: github.com/google/cel-go ``interpreter/interpretable.go`` and ``interpreter/decorators.go``.
"""

from collections.abc import Callable, Mapping
from typing import Any

from gpu_spawner.core.devices.cel.functions import FUNCTIONS
from gpu_spawner.core.devices.cel.operators import has_field, is_member
from gpu_spawner.core.devices.cel.tree import (
    Call,
    Constant,
    Fold,
    Ident,
    ListOf,
    MapOf,
    Message,
    Node,
    Select,
    Tree,
)
from gpu_spawner.core.devices.cel.values import (
    BeyondUs,
    DomainMap,
    EvaluationError,
    EvaluationPanicError,
    Optional,
    key_of,
    keys_of,
    no_overload,
)
from gpu_spawner.core.devices.cel.versions import Version

__all__ = ["Evaluate", "Unserved", "evaluator"]

Scope = dict[str, Any]
Evaluate = Callable[[Scope], Any]

_TURNS = "#turns"  # no variable of CEL is called so
_MOST_TURNS = 20_000  # Kubernetes stops at a cost of a million; a turn of a loop costs several
_CONVERSIONS = frozenset({"bool", "bytes", "double", "dyn", "int", "string", "uint"})


class Unserved(Exception):  # noqa: N818 - the expression may be fine: it is not for us
    """The tree has something we do not evaluate; the message names it."""


class _Failed:
    """An error kept in a variable, raised where the variable is read."""

    __slots__ = ("error",)

    def __init__(self, error: EvaluationError) -> None:
        self.error = error


def evaluator(tree: Tree, variables: frozenset[str]) -> Evaluate:
    """Compile a tree; ``variables`` are the names its caller will bind.

    The result raises EvaluationError where the expression fails on the values it is given and
    :class:`~.operators.BeyondUs` where its outcome cannot be told.

    Raises:
        Unserved: the tree has a function or name we do not evaluate.
        EvaluationError: a constant in it cannot be converted as written.
    """
    run = _Compiler(tree, variables).compile(tree.root, frozenset())

    def evaluate(scope: Scope) -> Any:
        return run({**scope, _TURNS: [0]})

    return evaluate


class _Compiler:
    def __init__(self, tree: Tree, variables: frozenset[str]) -> None:
        self._tree = tree
        self._variables = variables
        self._builders: dict[type, Callable[[Any, frozenset[str]], Evaluate]] = {
            Constant: self._constant,
            Ident: self._variable,
            Select: self._select,
            Call: self._call,
            ListOf: self._list,
            MapOf: self._map,
            Fold: self._fold,
            Message: self._message,
        }

    def compile(self, node: Node, bound: frozenset[str]) -> Evaluate:
        build: Callable[[Any, frozenset[str]], Evaluate] = self._builders[type(node)]
        return build(node, bound)

    @staticmethod
    def _constant(node: Constant, _: frozenset[str]) -> Evaluate:
        value = node.value
        return lambda _: value

    @staticmethod
    def _message(node: Message, _: frozenset[str]) -> Evaluate:
        raise Unserved(f"it makes a message of type {node.name[:64]}")

    def _variable(self, node: Ident, bound: frozenset[str]) -> Evaluate:
        name = node.name
        if name not in bound and name not in self._variables:
            raise Unserved(f"it uses {name[:64]} as a value")

        def read(scope: Scope) -> Any:
            value = scope[name]
            if type(value) is _Failed:
                raise value.error
            return value

        return read

    def _select(self, node: Select, bound: frozenset[str]) -> Evaluate:
        operand, field = self.compile(node.operand, bound), node.field
        if node.test_only:
            return lambda scope: has_field(operand(scope), field)
        look_up = FUNCTIONS["_[_]"]
        return lambda scope: look_up(operand(scope), field)

    def _call(self, node: Call, bound: frozenset[str]) -> Evaluate:
        match node.function:
            case "_&&_" | "_||_":
                terms = [self.compile(each, bound) for each in _terms(node)]
                return _logical(terms, decisive=node.function == "_||_")
            case "@not_strictly_false":
                return self.compile(node.args[0], bound)  # the loop swallows its errors
            case "@in" if (constants := _plain_constants(node.args[1])) is not None:
                return _in_constants(self.compile(node.args[0], bound), constants)
        arguments = [self.compile(each, bound) for each in node.args]
        lazy = _LAZY.get(node.function)
        return lazy(*arguments) if lazy else self._strict(node, arguments)

    def _strict(self, node: Call, arguments: list[Evaluate]) -> Evaluate:
        function = FUNCTIONS.get(node.function)
        if function is None:
            raise Unserved(f"it uses the function {node.function[:64]}()")
        if node.function in _CONVERSIONS:
            constant = _constant_of(node)
            if constant:
                return self._constant(constant, frozenset())
        if len(arguments) == 1:
            (only,) = arguments
            return lambda scope: function(only(scope))
        if len(arguments) == 2:
            first, second = arguments
            return lambda scope: function(first(scope), second(scope))
        return lambda scope: function(*(each(scope) for each in arguments))

    def _list(self, node: ListOf, bound: frozenset[str]) -> Evaluate:
        parts = [
            (self.compile(each, bound), position in node.optional)
            for position, each in enumerate(node.elements)
        ]

        def build(scope: Scope) -> list[Any]:
            built = []
            for part, is_optional in parts:
                value = part(scope)
                if not is_optional:
                    built.append(value)
                elif not isinstance(value, Optional):
                    raise no_overload("optional list element", value)
                elif value.has_value:
                    built.append(value.value)
            return built

        return build

    def _map(self, node: MapOf, bound: frozenset[str]) -> Evaluate:
        parts = [
            (self.compile(key, bound), self.compile(value, bound), is_optional)
            for key, value, is_optional in node.entries
        ]

        def build(scope: Scope) -> dict[Any, Any]:
            built: dict[Any, Any] = {}
            for key_part, value_part, is_optional in parts:
                key, value = key_of(key_part(scope)), value_part(scope)
                if is_optional:
                    if not isinstance(value, Optional):
                        raise no_overload("optional map entry", value)
                    if not value.has_value:
                        continue
                    value = value.value
                built[key] = value
            return built

        return build

    def _fold(self, node: Fold, bound: frozenset[str]) -> Evaluate:
        if node.second_variable:
            raise Unserved("it uses a macro with two variables")
        names = {node.variable, node.accumulator}
        if "device" in names:
            raise Unserved("it calls a variable of its own device")
        inside = bound | names
        over, initial = self.compile(node.over, bound), self.compile(node.initial, bound)
        condition, step = self.compile(node.condition, inside), self.compile(node.step, inside)
        result = self.compile(node.result, inside)

        def run(scope: Scope) -> Any:
            values = _range(over(scope))
            inner = dict(scope)
            inner[node.accumulator] = _plain(_attempt(initial, scope))
            for value in values:
                _count_turn(scope)
                inner[node.variable] = value
                if _attempt(condition, inner) is False:
                    break
                inner[node.accumulator] = _attempt(step, inner)
            return result(inner)

        return run


def _terms(node: Call) -> list[Node]:
    """Flatten a chain of one operator, so that a long one is not a deep one."""
    terms: list[Node] = []
    waiting: list[Node] = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Call) and each.function == node.function:
            waiting.extend(reversed(each.args))
        else:
            terms.append(each)
    return terms


def _logical(terms: list[Evaluate], *, decisive: bool) -> Evaluate:
    """One decisive term settles the whole; otherwise an error of any term is the outcome."""

    def evaluate(scope: Scope) -> Any:
        failure: EvaluationError | None = None
        unsure: BeyondUs | None = None
        for term in terms:
            try:
                value = term(scope)
            except EvaluationError as error:
                failure = failure or error
                continue
            except BeyondUs as reason:
                unsure = unsure or reason
                continue
            if value is decisive:
                return value
            if not isinstance(value, bool):
                failure = failure or no_overload("_&&_", value)
        if unsure:
            raise unsure
        if failure:
            raise failure
        return not decisive

    return evaluate


def _conditional(condition: Evaluate, yes: Evaluate, no: Evaluate) -> Evaluate:
    def evaluate(scope: Scope) -> Any:
        value = condition(scope)
        if not isinstance(value, bool):
            raise no_overload("_?_:_", value)
        return yes(scope) if value else no(scope)

    return evaluate


def _or(optional: Evaluate, other: Evaluate) -> Evaluate:
    return _alternative(optional, other, keep=True)


def _or_value(optional: Evaluate, other: Evaluate) -> Evaluate:
    return _alternative(optional, other, keep=False)


def _alternative(optional: Evaluate, other: Evaluate, *, keep: bool) -> Evaluate:
    def evaluate(scope: Scope) -> Any:
        value = optional(scope)
        if not isinstance(value, Optional):
            raise BeyondUs("it asks for the alternative of a value that is not optional")
        if value.has_value:
            return value if keep else value.value
        return other(scope)

    return evaluate


def _plain_constants(node: Node) -> list[Any] | None:
    """Return the elements of a list of plain literals, which Kubernetes looks up as a set."""
    if not isinstance(node, ListOf):
        return None
    values = [constant.value for each in node.elements if (constant := _constant_of(each))]
    plain = len(values) == len(node.elements) and not any(
        value is None or isinstance(value, bytes) for value in values
    )
    return values if plain else None


def _constant_of(node: Node) -> Constant | None:
    """Return the constant a node is, also by conversions, which Kubernetes does as it compiles.

    Raises:
        EvaluationError: a conversion fails, and with it the compilation.
    """
    if isinstance(node, Constant):
        return node
    if not isinstance(node, Call) or node.function not in _CONVERSIONS or len(node.args) != 1:
        return None
    argument = _constant_of(node.args[0])
    if argument is None:
        return None
    try:
        return Constant(node.id, FUNCTIONS[node.function](argument.value))
    except BeyondUs as error:
        raise Unserved(str(error)) from None


def _in_constants(element: Evaluate, constants: list[Any]) -> Evaluate:
    if not constants:
        return lambda _: False  # the element is not even evaluated

    def evaluate(scope: Scope) -> bool:
        value = element(scope)
        if isinstance(value, bool | int | float | str) or value is None:
            return is_member(value, constants)
        if isinstance(value, Version):
            raise EvaluationPanicError("a version cannot be looked up among constants")
        raise BeyondUs("it looks for a value that is not plain among constants")

    return evaluate


def _plain(value: Any) -> Any:
    """Kubernetes replaces an empty map in a variable, which loses its default."""
    return value or {} if isinstance(value, DomainMap) else value


def _attempt(evaluate: Evaluate, scope: Scope) -> Any:
    try:
        return evaluate(scope)
    except EvaluationError as error:
        return _Failed(error)


def _count_turn(scope: Mapping[str, Any]) -> None:
    scope[_TURNS][0] += 1
    if scope[_TURNS][0] > _MOST_TURNS:
        raise BeyondUs("its loops take too many turns")


def _range(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(keys_of(value))
    if isinstance(value, list):
        return value
    raise no_overload("a loop", value)


_LAZY: dict[str, Callable[..., Evaluate]] = {
    "_?_:_": _conditional,
    "or": _or,
    "orValue": _or_value,
}
