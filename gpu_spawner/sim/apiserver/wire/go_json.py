"""Reading JSON as Go's decoder does: its complaints, and duplicate keys remembered.

Python's parser reads; only when it fails is the text read again to find the words that Go would
have used, because clients show them.
"""

import json
import re
from typing import Any, Final, NoReturn

__all__ = ["DuplicateKeys", "GoJsonError", "parse_json"]

_SPACE: Final = " \t\r\n"
_END: Final = "unexpected end of JSON input"
_ESCAPES: Final = frozenset('"\\/bfnrt')


class GoJsonError(ValueError):
    """The text is no JSON; the message is Go's."""


class DuplicateKeys(dict[str, Any]):
    """An object that had the same key twice; the later one won.

    Attributes:
        repeated: those keys.
    """

    repeated: tuple[str, ...] = ()


def parse_json(raw: bytes) -> Any:
    """Parse a request's body.

    Raises:
        GoJsonError: with Go's words.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise GoJsonError("invalid character '\\ufffd' looking for beginning of value") from None
    try:
        return json.loads(text, object_pairs_hook=_pairs, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        _Scanner(text).explain()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    decoded = dict(pairs)
    if len(decoded) == len(pairs):
        return decoded
    marked = DuplicateKeys(decoded)
    keys = [key for key, _ in pairs]
    marked.repeated = tuple(dict.fromkeys(key for key in keys if keys.count(key) > 1))
    return marked


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


class _Scanner:
    """Walks over a text that is not JSON until it finds why."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def explain(self) -> NoReturn:
        try:
            self._value()
        except RecursionError:
            raise GoJsonError("exceeded max depth") from None
        self._skip()
        if self._at < len(self._text):
            self._fail("after top-level value")
        raise GoJsonError("invalid JSON")

    def _skip(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in _SPACE:
            self._at += 1

    def _peek(self) -> str:
        if self._at >= len(self._text):
            raise GoJsonError(_END)
        return self._text[self._at]

    def _fail(self, where: str) -> NoReturn:
        char = self._peek()
        quoted = {"'": r"'\''", '"': "'\"'"}.get(char, f"'{char}'")
        if not char.isprintable():
            quoted = f"'\\u{ord(char):04x}'" if ord(char) > 0x1F else f"'\\x{ord(char):02x}'"
            quoted = {"\n": "'\\n'", "\t": "'\\t'", "\r": "'\\r'"}.get(char, quoted)
        raise GoJsonError(f"invalid character {quoted} {where}")

    def _value(self) -> None:
        self._skip()
        char = self._peek()
        if char == "{":
            self._object()
        elif char == "[":
            self._array()
        elif char == '"':
            self._string()
        elif char in "-0123456789":
            self._number()
        elif char in "tfn":
            self._literal({"t": "true", "f": "false", "n": "null"}[char])
        else:
            self._fail("looking for beginning of value")

    def _object(self) -> None:
        self._at += 1
        self._skip()
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            self._skip()
            if self._peek() != '"':
                self._fail("looking for beginning of object key string")
            self._string()
            self._skip()
            if self._peek() != ":":
                self._fail("after object key")
            self._at += 1
            self._value()
            self._skip()
            char = self._peek()
            if char not in ",}":
                self._fail("after object key:value pair")
            self._at += 1
            if char == "}":
                return

    def _array(self) -> None:
        self._at += 1
        self._skip()
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            self._value()
            self._skip()
            char = self._peek()
            if char not in ",]":
                self._fail("after array element")
            self._at += 1
            if char == "]":
                return

    def _string(self) -> None:
        self._at += 1
        while (char := self._peek()) != '"':
            if char < " ":
                self._fail("in string literal")
            self._at += 1
            if char == "\\":
                escape = self._peek()
                if escape == "u":
                    self._at += 1
                    for _ in range(4):
                        if not re.match("[0-9a-fA-F]", self._peek()):
                            self._fail("in \\u hexadecimal character escape")
                        self._at += 1
                    continue
                if escape not in _ESCAPES:
                    self._fail("in string escape code")
                self._at += 1
        self._at += 1

    def _number(self) -> None:
        found = re.compile(r"-?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d*)?").match(self._text, self._at)
        written = found[0] if found else ""
        self._at += len(written)
        if not re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", written):
            tail = (
                "in numeric literal" if written == "-" else "after decimal point in numeric literal"
            )
            if "e" in written.lower():
                tail = "in exponent of numeric literal"
            self._fail(tail)

    def _literal(self, word: str) -> None:
        for char in word:
            if self._peek() != char:
                self._fail(f"in literal {word} (expecting '{char}')")
            self._at += 1
