"""Which attributes and capacities an expression can look at.

Decides the names that can make a difference to a selector, so that devices which differ in others
only (a UUID, a serial number) are evaluated once.
"""

from collections.abc import Mapping

from gpu_spawner.core.devices.cel.tree import Call, Constant, Fold, Ident, ListOf, Node, Select
from gpu_spawner.core.devices.cel.walking import parts_of

__all__ = ["names_read"]

_MAPS = frozenset({"device.attributes", "device.capacity"})
_LOOK_UPS = frozenset({"_[_]", "_[?_]", "_?._"})
_WHOLE = ""  # the domain of an alias of the map of all domains

_Aliases = Mapping[str, str]


class _Unbounded(Exception):  # noqa: N818 - an answer, carried out of the recursion
    """The expression may look at any name."""


def names_read(root: Node) -> frozenset[str] | None:
    """Return the fully qualified names an expression can look at; None for any of them.

    >>> from gpu_spawner.core.devices.cel.checking import check
    >>> tree, _ = check('device.attributes["a.example"].x == 1 && has(device.capacity["b"].y)')
    >>> sorted(names_read(tree.root))
    ['a.example/x', 'b/y']
    """
    found: set[str] = set()
    try:
        _collect(root, dict.fromkeys(_MAPS, _WHOLE), found)
    except _Unbounded:
        return None
    return frozenset(found)


def _collect(node: Node, aliases: _Aliases, found: set[str]) -> None:
    domain, name = _looked_up(node, aliases)
    if domain:
        found.add(f"{domain}/{name}")
        return
    if isinstance(node, Ident) and node.name in aliases:
        raise _Unbounded
    if _domain_of(node, aliases) is not None:
        raise _Unbounded  # a whole domain goes somewhere else
    if isinstance(node, Fold):
        _collect_fold(node, aliases, found)
        return
    for part in parts_of(node):
        _collect(part, aliases, found)


def _collect_fold(node: Fold, aliases: _Aliases, found: set[str]) -> None:
    inside = {key: held for key, held in aliases.items() if key != node.variable}
    held = _domain_of(node.initial, aliases)
    if held == _WHOLE:
        raise _Unbounded  # in a variable, the map of all behaves otherwise where it is empty
    is_alias = held is not None and isinstance(node.over, ListOf) and not node.over.elements
    if is_alias and held is not None:
        inside[node.accumulator] = held
        _collect(node.result, inside, found)
        return
    inside.pop(node.accumulator, None)
    _collect(node.over, aliases, found)
    _collect(node.initial, aliases, found)
    for part in (node.condition, node.step, node.result):
        _collect(part, inside, found)


def _looked_up(node: Node, aliases: _Aliases) -> tuple[str, str]:
    """Return the domain and name a node looks up; empty where it is no such look-up."""
    if isinstance(node, Call) and node.function == "@in":
        key, holder = node.args
        if isinstance(key, Constant) and isinstance(key.value, str):
            return _domain_of(holder, aliases) or "", key.value
        return "", ""
    operand, name = _step(node)
    domain = _domain_of(operand, aliases) if operand is not None else None
    return domain or "", name


def _domain_of(node: Node, aliases: _Aliases) -> str | None:
    """Return the domain whose map a node is; ``_WHOLE`` for the map of all, None for neither."""
    if isinstance(node, Ident):
        return aliases.get(node.name)
    operand, name = _step(node)
    return name if operand is not None and _domain_of(operand, aliases) == _WHOLE else None


def _step(node: Node) -> tuple[Node | None, str]:
    """Split ``operand.name`` and ``operand["name"]``; None where a node is neither."""
    if isinstance(node, Select):
        return node.operand, node.field
    if isinstance(node, Call) and node.function in _LOOK_UPS:
        operand, key = node.args
        if isinstance(key, Constant) and isinstance(key.value, str):
            return operand, key.value
    return None, ""
