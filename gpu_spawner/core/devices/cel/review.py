"""What the library lets pass and Kubernetes does not, or the other way round.

Decides whether a checked tree is a selector by the rules the library does not know: literals hold
one type, the outcome is a boolean or unknown, constant patterns are regular expressions. Names the
reason where a tree that did not check may still be fine for Kubernetes.
Source: k8s.io/apiserver ``pkg/cel/environment/base.go``; cel-go ``checker/checker.go``.
"""

import math

from gpu_spawner.core.devices.cel.checking import CheckError, OutcomeError, matches_pattern
from gpu_spawner.core.devices.cel.evaluation import Unserved
from gpu_spawner.core.devices.cel.tree import (
    Call,
    Constant,
    Ident,
    ListOf,
    MapOf,
    Node,
    Select,
    Tree,
)
from gpu_spawner.core.devices.cel.walking import nodes_of

__all__ = ["review", "tests_device", "unserved_name"]

_OUTCOMES = frozenset({"bool", "any"})
_OPEN = ("dyn", "any", "?", "null", "wrapper", "optional_type", "_var")
# What Kubernetes' environment has and the declarations of the checker lack, or have in part.
_NAMES = frozenset(
    {
        "ip",
        "isIP",
        "cidr",
        "isCIDR",
        "url",
        "isURL",
        "format",
        "strings",
        "find",
        "findAll",
        "sort",
        "sortBy",
        "slice",
        "flatten",
        "distinct",
        "range",
        "lists",
        "reverse",
        "first",
        "last",
        "existsOne",
        "transformList",
        "transformMap",
        "transformMapEntry",
        "optFlatMap",
        "optMap",
        "unwrap",
        "unwrapOpt",
        "type",
    }
)
_MACROS = frozenset({"all", "exists", "exists_one"})
_PLAIN_ESCAPES = frozenset("dDwWsSbB.\\-+*?()[]{}|^$/ntr")


def review(tree: Tree, outcome: str) -> None:
    """Refuse what the API server refuses.

    Raises:
        CheckError: the API server would refuse the expression.
        Unserved: whether it would cannot be told.
    """
    if outcome not in _OUTCOMES:
        raise OutcomeError(outcome)
    for node in nodes_of(tree.root):
        match node:
            case ListOf(elements=elements):
                _one_type(tree, elements)
            case MapOf(entries=entries):
                _one_type(tree, tuple(key for key, _, _ in entries))
                _one_type(tree, tuple(value for _, value, _ in entries))
            case Constant(value=float() as number) if not math.isfinite(number):
                raise CheckError("it has a number too large for a double")
            case Call(function="matches", args=(_, Constant(value=str() as pattern))):
                _pattern(pattern)
            case Call(function="matches"):
                raise Unserved("it computes a regular expression")
            case _:
                continue


def unserved_name(tree: Tree, error: str) -> str:
    """Say what in an expression that did not check Kubernetes may know and we do not.

    Empty where the expression is wrong for Kubernetes too.
    """
    if "undeclared reference to 'device'" in error:
        return "it uses device as a value"
    for node in nodes_of(tree.root):
        match node:
            case Call(function=function, args=args) if function in _MACROS and len(args) > 3:
                return "it uses a macro with two variables"
            case Call(function=name) | Ident(name=name) if name in _NAMES:
                return f"it uses {name}"
            case _:
                continue
    return "it tests for a field of device" if tests_device(tree) else ""


def tests_device(tree: Tree) -> bool:
    """Tell whether a parsed tree has ``has(device.field)``, of which the checker loses the test."""
    return any(
        isinstance(node, Select)
        and node.test_only
        and isinstance(node.operand, Ident)
        and node.operand.name.lstrip(".") == "device"
        for node in nodes_of(tree.root)
    )


def _one_type(tree: Tree, nodes: tuple[Node, ...]) -> None:
    """Literals hold elements of one type."""
    types = {tree.type_of(node) for node in nodes}
    if len(types) < 2:
        return
    if types == {"any", *(types - {"any"})} and not any(
        mark in kind for kind in types - {"any"} for mark in _OPEN
    ):
        raise CheckError("a list or map holds an attribute and a literal of a known type")
    if not any(mark in kind for kind in types for mark in _OPEN):
        raise CheckError(f"a list or map holds several types: {', '.join(sorted(types))}")
    raise Unserved("it puts values of several types into a list or map")


def _pattern(pattern: str) -> None:
    if matches_pattern("", pattern) is None:
        raise CheckError("it has an invalid regular expression")
    position = 0
    while position < len(pattern):
        if pattern[position] == "\\":
            position += 1
            if pattern[position : position + 1] not in _PLAIN_ESCAPES:
                raise Unserved("its regular expression has an unusual escape")
        elif pattern.startswith("(?", position) and not pattern.startswith(
            ("(?:", "(?i)"), position
        ):
            raise Unserved("its regular expression has an unusual group")
        position += 1
