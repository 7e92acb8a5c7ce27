"""Whether a device selector's CEL expression is well formed.

An API server compiles selectors when it stores them. This is only the part of that which needs no
devices: the grammar, and the names an expression may begin with. What a selector matches is decided
where devices are allocated.
"""

import re
from typing import Final

__all__ = ["cel_problem"]

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<string>[bB]?[rR]?(?:\"\"\".*?\"\"\"|'''.*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<number>0x[0-9a-fA-F]+u?|\d+\.\d+(?:[eE][+-]?\d+)?|\.\d+|\d+(?:[eE][+-]?\d+)|\d+u?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<symbol>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])
    |(?P<other>\S))""",
    re.VERBOSE | re.DOTALL,
)
_OPERAND_WANTED: Final = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, "
    "STRING, BYTES, IDENTIFIER}"
)
_BINARY: Final = frozenset(
    {"&&", "||", "==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%"}
)
_LITERALS: Final = frozenset({"true", "false", "null"})
# What Kubernetes declares for device selectors, besides CEL's own functions and types.
_KNOWN_NAMES: Final = frozenset(
    {
        "bool",
        "bytes",
        "cel",
        "device",
        "double",
        "duration",
        "dyn",
        "has",
        "int",
        "isQuantity",
        "isSemver",
        "list",
        "map",
        "math",
        "optional",
        "quantity",
        "semver",
        "sets",
        "size",
        "string",
        "timestamp",
        "type",
        "uint",
        "url",
    }
)
_BINDING_MACROS: Final = frozenset({"all", "exists", "exists_one", "filter", "map", "bind"})


class _CelSyntaxError(Exception):
    def __init__(self, position: int, text: str) -> None:
        super().__init__(text)
        self.position = position


def cel_problem(expression: str) -> str:
    """Return the compiler's complaint about an expression, or an empty text."""
    try:
        parser = _Parser(expression)
        parser.parse()
    except _CelSyntaxError as problem:
        return _complaint(expression, problem.position, str(problem))
    return ""


def _complaint(expression: str, position: int, text: str) -> str:
    before = expression[:position]
    line_number = before.count("\n")
    line = expression.split("\n")[line_number]
    column = position - (before.rfind("\n") + 1)
    return (
        f"compilation failed: ERROR: <input>:{line_number + 1}:{column + 1}: {text}\n"
        f" | {line}\n | {'.' * column}^"
    )


class _Parser:
    """A recursive descent over CEL's grammar; it builds nothing."""

    def __init__(self, expression: str) -> None:
        self._tokens: list[tuple[str, str, int]] = []
        position = 0
        text = expression.rstrip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None or found.lastgroup is None:
                break
            kind = found.lastgroup
            self._tokens.append((kind, found[kind], found.start(kind)))
            position = found.end()
        self._tokens.append(("end", "<EOF>", len(expression)))
        self._next = 0
        self._bound: list[str] = []

    def parse(self) -> None:
        self._expression()
        kind, text, position = self._peek()
        if kind != "end":
            follows = self._tokens[min(self._next + 1, len(self._tokens) - 1)][0]
            # ANTLR calls a token extraneous when leaving it out would mend the rest.
            word = "extraneous" if follows == "end" else "mismatched"
            raise _CelSyntaxError(position, f"Syntax error: {word} input '{text}' expecting <EOF>")

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._next]

    def _take(self) -> tuple[str, str, int]:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _accept(self, text: str) -> bool:
        kind, found, _ = self._peek()
        if found == text and kind in {"symbol", "name"}:
            self._take()
            return True
        return False

    def _expect(self, text: str) -> None:
        _, found, position = self._peek()
        if not self._accept(text):
            raise _CelSyntaxError(
                position, f"Syntax error: mismatched input '{found}' expecting '{text}'"
            )

    def _expression(self) -> None:
        self._operand()
        while True:
            kind, text, _ = self._peek()
            if text in _BINARY and kind in {"symbol", "name"}:
                self._take()
                self._operand()
            elif kind == "symbol" and text == "?":
                self._take()
                self._expression()
                self._expect(":")
                self._expression()
                return
            else:
                return

    def _operand(self) -> None:
        while self._accept("!") or self._accept("-"):
            pass
        self._primary()
        self._selections()

    def _selections(self) -> None:
        while True:
            if self._accept("."):
                self._accept("?")
                kind, text, position = self._take()
                if kind != "name":
                    raise _CelSyntaxError(
                        position, f"Syntax error: no viable alternative at input '.{text}'"
                    )
                if self._accept("("):
                    self._arguments(text)
            elif self._accept("["):
                self._accept("?")
                self._expression()
                self._expect("]")
            else:
                return

    def _arguments(self, function: str) -> None:
        bound = 0
        kind, text, _ = self._peek()
        follows = self._tokens[min(self._next + 1, len(self._tokens) - 1)][1]
        if function in _BINDING_MACROS and kind == "name" and follows == ",":
            self._bound.append(text)
            bound = 1
        if not self._accept(")"):
            self._expression()
            while self._accept(","):
                self._expression()
            self._expect(")")
        del self._bound[len(self._bound) - bound :]

    def _primary(self) -> None:
        kind, text, position = self._take()
        if kind in {"string", "number"} or (kind == "name" and text in _LITERALS):
            return
        if kind == "symbol" and text == ".":
            kind, text, position = self._take()
        if kind == "name" and text not in _BINARY:
            if self._accept("("):
                self._arguments(text)
            if text not in _KNOWN_NAMES and text not in self._bound:
                raise _CelSyntaxError(
                    position, f"undeclared reference to '{text}' (in container '')"
                )
        elif kind == "symbol" and text == "(":
            self._expression()
            self._expect(")")
        elif kind == "symbol" and text == "[":
            self._items("]", is_map=False)
        elif kind == "symbol" and text == "{":
            self._items("}", is_map=True)
        else:
            raise _CelSyntaxError(
                position,
                f"Syntax error: mismatched input '{text}' expecting {_OPERAND_WANTED}",
            )

    def _items(self, end: str, *, is_map: bool) -> None:
        while not self._accept(end):
            self._expression()
            if is_map:
                self._expect(":")
                self._expression()
            if not self._accept(","):
                self._expect(end)
                return
