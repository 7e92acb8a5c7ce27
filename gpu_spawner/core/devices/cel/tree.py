"""A checked expression as a tree: the library's protocol buffer, read into nodes.

Decides nothing. The checker hands its result over as a serialized ``cel.expr.CheckedExpr``; what
is read of it is the tree with macros expanded, the type of each node and the names identifiers
stand for. A reader of a few dozen lines spares the hub the whole protobuf package.
Source: the field numbers of ``cel/expr/syntax.proto`` and ``cel/expr/checked.proto``.
"""

import struct
from collections.abc import Callable, Iterator, Mapping

import msgspec

__all__ = [
    "Call",
    "Constant",
    "Fold",
    "Ident",
    "ListOf",
    "MapOf",
    "Message",
    "Node",
    "Select",
    "Tree",
    "Uint",
    "read_tree",
]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_PRIMITIVES = ("?", "bool", "int", "uint", "double", "string", "bytes")
_WELL_KNOWN = ("?", "any", "timestamp", "duration")
_UNREAD = "?"  # a type no decision depends on
_DYN = 1  # the number of the field that says so

_Fields = list[tuple[int, int | bytes]]


class Uint(int):
    """An unsigned integer of CEL: equal to the int of its size, but of another type."""

    __slots__ = ()


class Constant(msgspec.Struct, frozen=True):
    """A literal: None, a bool, an int, an :class:`Uint`, a float, a str or bytes."""

    id: int
    value: bool | int | float | str | bytes | None


class Ident(msgspec.Struct, frozen=True):
    """A variable, under the name the checker resolved it to (``device.attributes``)."""

    id: int
    name: str


class Select(msgspec.Struct, frozen=True):
    """``operand.field``, or ``has(operand.field)`` where ``test_only``."""

    id: int
    operand: "Node"
    field: str
    test_only: bool


class Call(msgspec.Struct, frozen=True):
    """A function or operator (``_==_``); the target of a method is the first of ``args``."""

    id: int
    function: str
    args: tuple["Node", ...]
    is_method: bool


class ListOf(msgspec.Struct, frozen=True):
    """``[a, ?b]``; ``optional`` has the positions written with a question mark."""

    id: int
    elements: tuple["Node", ...]
    optional: frozenset[int]


class MapOf(msgspec.Struct, frozen=True):
    """``{key: value, ?key: value}``; each entry is key, value and whether it is optional."""

    id: int
    entries: tuple[tuple["Node", "Node", bool], ...]


class Message(msgspec.Struct, frozen=True):
    """``some.Type{...}``: nothing a selector needs, kept to be refused by name."""

    id: int
    name: str


class Fold(msgspec.Struct, frozen=True):
    """What the macros (``exists``, ``map``, ``cel.bind``...) become."""

    id: int
    variable: str
    second_variable: str
    over: "Node"
    accumulator: str
    initial: "Node"
    condition: "Node"
    step: "Node"
    result: "Node"


Node = Constant | Ident | Select | Call | ListOf | MapOf | Message | Fold


class Tree(msgspec.Struct, frozen=True):
    """A checked expression.

    Attributes:
        root: the outermost node.
        types: the static type by node id, written ``int``, ``any``, ``list(string)``,
            ``map(string, any)``, ``kubernetes.Quantity``; ``dyn`` where the checker left it open.
    """

    root: Node
    types: Mapping[int, str]

    def type_of(self, node: Node) -> str:
        """Return the static type of a node."""
        return self.types.get(node.id, "dyn")


def read_tree(serialized: bytes) -> Tree:
    """Read what the library serialized: a CheckedExpr (or ParsedExpr) inside an ``Any``.

    Raises:
        ValueError: the bytes are not such a message.
    """
    outer = _only(_fields(serialized))
    name, body = _text(outer.get(1, b"")), _fields(_raw(outer.get(2, b"")))
    if name.endswith("ParsedExpr"):
        return Tree(root=_Reader({}).node(_raw(_only(body)[2])), types={})
    names: dict[int, str] = {}
    types: dict[int, str] = {}
    root = b""
    for number, value in body:
        if number == 2:
            entry = _only(_fields(_raw(value)))
            names[_whole(entry.get(1, 0))] = _text(
                _only(_fields(_raw(entry.get(2, b"")))).get(1, b"")
            )
        elif number == 3:
            entry = _only(_fields(_raw(value)))
            types[_whole(entry.get(1, 0))] = _type(_raw(entry.get(2, b"")))
        elif number == 4:
            root = _raw(value)
    return Tree(root=_Reader(names).node(root), types=types)


class _Reader:
    """Builds nodes; ``names`` are the identifiers the checker resolved, by node id."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names
        self._kinds: dict[int, Callable[[int, bytes], Node]] = {
            3: self._constant,
            4: self._ident,
            5: self._select,
            6: self._call,
            7: self._list,
            8: self._struct,
            9: self._fold,
        }

    def node(self, data: bytes) -> Node:
        identity = 0
        build, body = self._kinds[3], b""
        for number, value in _fields(data):
            if number == 2:
                identity = _whole(value)
            else:
                build, body = self._kinds[number], _raw(value)
        return build(identity, body)

    def _constant(self, identity: int, body: bytes) -> Node:
        (number, value), *_ = _fields(body)
        return Constant(identity, _CONSTANTS[number](value))

    def _ident(self, identity: int, body: bytes) -> Node:
        written = _text(_only(_fields(body)).get(1, b""))
        return Ident(identity, self._names.get(identity) or written)

    def _select(self, identity: int, body: bytes) -> Node:
        fields = _only(_fields(body))
        resolved = self._names.get(identity)
        if resolved and not fields.get(3):  # a.b.c that is the name of one variable
            return Ident(identity, resolved)
        operand = self.node(_raw(fields[1]))
        return Select(identity, operand, _text(fields.get(2, b"")), bool(fields.get(3, 0)))

    def _call(self, identity: int, body: bytes) -> Call:
        function, target, args = "", None, []
        for number, value in _fields(body):
            if number == 1:
                target = self.node(_raw(value))
            elif number == 2:
                function = _text(value)
            elif number == 3:
                args.append(self.node(_raw(value)))
        resolved = self._names.get(identity) or function
        if target is None:
            return Call(identity, resolved, tuple(args), is_method=False)
        if resolved != function:  # sets.contains(...): the target is part of the name
            return Call(identity, resolved, tuple(args), is_method=False)
        return Call(identity, function, (target, *args), is_method=True)

    def _list(self, identity: int, body: bytes) -> ListOf:
        elements: list[Node] = []
        optional: set[int] = set()
        for number, value in _fields(body):
            if number == 1:
                elements.append(self.node(_raw(value)))
            elif isinstance(value, bytes):
                optional.update(_varints(value))
            else:
                optional.add(value)
        return ListOf(identity, tuple(elements), frozenset(optional))

    def _struct(self, identity: int, body: bytes) -> MapOf | Message:
        entries = []
        for number, value in _fields(body):
            if number == 1:
                return Message(identity, _text(value))
            fields = _only(_fields(_raw(value)))
            if 3 not in fields:
                return Message(identity, "")
            entries.append(
                (
                    self.node(_raw(fields[3])),
                    self.node(_raw(fields[4])),
                    bool(fields.get(5, 0)),
                )
            )
        return MapOf(identity, tuple(entries))

    def _fold(self, identity: int, body: bytes) -> Fold:
        fields = _only(_fields(body))
        over, initial, condition, step, result = (
            self.node(_raw(fields[number])) for number in (2, 4, 5, 6, 7)
        )
        return Fold(
            id=identity,
            variable=_text(fields.get(1, b"")),
            second_variable=_text(fields.get(8, b"")),
            over=over,
            accumulator=_text(fields.get(3, b"")),
            initial=initial,
            condition=condition,
            step=step,
            result=result,
        )


def _double(value: int | bytes) -> float:
    (number,) = struct.unpack("<d", _raw(value))
    return float(number)


def _type(body: bytes) -> str:
    fields = _fields(body)
    number, value = fields[0] if fields else (_DYN, b"")
    return _TYPES[number](value) if number in _TYPES else _UNREAD


def _list_type(value: int | bytes) -> str:
    return f"list({_type(_raw(_only(_fields(_raw(value))).get(1, b'')))})"


def _map_type(value: int | bytes) -> str:
    entry = _only(_fields(_raw(value)))
    return f"map({_type(_raw(entry.get(1, b'')))}, {_type(_raw(entry.get(2, b'')))})"


def _abstract(value: int | bytes) -> str:
    name, parameters = "", []
    for number, part in _fields(_raw(value)):
        if number == 1:
            name = _text(part)
        else:
            parameters.append(_type(_raw(part)))
    return f"{name}({', '.join(parameters)})" if parameters else name


def _fields(data: bytes) -> _Fields:
    """Split a message into its fields, in order, each with its number."""
    return list(_split(data))


def _split(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}[wire]
        yield number, data[at : at + length]
        at += length


def _only(fields: _Fields) -> dict[int, int | bytes]:
    """Index fields that occur once."""
    return dict(fields)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if not byte & 0x80:
            return value, at
        shift += 7


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _whole(value: int | bytes) -> int:
    if isinstance(value, int):
        return value
    raise ValueError("a number was expected")


def _raw(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError("bytes were expected")


def _text(value: int | bytes) -> str:
    return _raw(value).decode()


_CONSTANTS: dict[int, Callable[[int | bytes], bool | int | float | str | bytes | None]] = {
    1: lambda _: None,
    2: bool,
    3: lambda value: _signed(_whole(value)),
    4: lambda value: Uint(_whole(value)),
    5: _double,
    6: _text,
    7: _raw,
}
_TYPES: dict[int, Callable[[int | bytes], str]] = {
    _DYN: lambda _: "dyn",
    2: lambda _: "null",
    3: lambda value: _PRIMITIVES[_whole(value)],
    4: lambda value: f"wrapper({_PRIMITIVES[_whole(value)]})",
    5: lambda value: _WELL_KNOWN[_whole(value)],
    6: _list_type,
    7: _map_type,
    9: _text,
    10: _text,
    14: _abstract,
}
