"""Texts that know how they were made, so that they can be said in another language.

A ``Message`` is its English text, and everything that takes a text takes it: logs, JSON, tests. It
also keeps the entry of the message catalogue it was made from and the values that were filled in,
so that whoever shows it can say it anew in the language of its reader (``translate``). The
functions have the names and the arguments of ``gettext``, by which Babel finds the entries; what a
message is to say stands in braces. Values that are messages themselves are translated with it.

Putting texts together with ``+``, ``join`` or an f-string makes an ordinary text of them, which
stays English: ``joined`` and ``sentences`` keep the parts.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final, Protocol

__all__ = [
    "Figure",
    "Joined",
    "Message",
    "Reworded",
    "Text",
    "Translations",
    "figure",
    "gettext",
    "joined",
    "ngettext",
    "npgettext",
    "pgettext",
    "reworded",
    "sentences",
    "translate",
]


_MOST_KNOWN: Final = 8192
_PLAIN: Final = frozenset({str, int})


class Translations(Protocol):
    """What is needed of a language; ``gettext.NullTranslations`` of the standard library has it."""

    def gettext(self, message: str, /) -> str:
        """Return the translation of a message."""
        ...

    def ngettext(self, msgid1: str, msgid2: str, n: int, /) -> str:
        """Return the translation of a message for a number."""
        ...

    def pgettext(self, context: str, message: str, /) -> str:
        """Return the translation of a message that means something particular in a context."""
        ...

    def npgettext(self, context: str, msgid1: str, msgid2: str, n: int, /) -> str:
        """Return the same for a number."""
        ...


class Text(str):
    """English text that can be said in other languages."""

    __slots__ = ()

    def into(self, translations: Translations) -> str:
        """Return it in a language."""
        raise NotImplementedError  # each kind of text has a way of its own


def translate(text: str, translations: Translations) -> str:
    """Return a text in a language; what is no ``Text`` is nobody's to translate."""
    return text.into(translations) if isinstance(text, Text) else text


class Message(Text):
    """An entry of the message catalogue with its values.

    Attributes:
        msgid: the entry.
        plural: its plural; empty for a message that is not about a number.
        number: what decides between the two.
        context: tells apart entries with the same words; may be empty.
        values: what stands in its braces.
    """

    __slots__ = ("context", "msgid", "number", "plural", "values")

    msgid: str
    plural: str
    number: int
    context: str
    values: Mapping[str, str]

    def into(self, translations: Translations) -> str:
        """Return it in a language, with its values in the same."""
        words = self._look_up(translations)
        if not self.values:
            return words
        return words.format_map(
            {name: translate(value, translations) for name, value in self.values.items()}
        )

    def about(self, number: int) -> "Message":
        """Return the same message about another number."""
        values = {**self.values, "number": number}
        return _made(self.msgid, self.plural, number, self.context, values)

    def filled(self, **values: object) -> "Message":
        """Return the same message with other values."""
        return _made(self.msgid, self.plural, self.number, self.context, values)

    def _look_up(self, translations: Translations) -> str:
        if self.plural and self.context:
            return translations.npgettext(self.context, self.msgid, self.plural, self.number)
        if self.plural:
            return translations.ngettext(self.msgid, self.plural, self.number)
        if self.context:
            return translations.pgettext(self.context, self.msgid)
        return translations.gettext(self.msgid)


def gettext(message: str, /, **values: object) -> Message:
    """Make a message.

    >>> gettext("Room for {what}", what="two")
    'Room for two'

    Args:
        message: in English, with ``{name}`` where a value is filled in.
        values: texts, or numbers, which are written as a language writes them.
    """
    return _made(message, "", 0, "", values)


def ngettext(one: str, many: str, number: int, /, **values: object) -> Message:
    """Make a message about a number, which is filled in as ``{number}``.

    >>> ngettext("{number} node", "{number} nodes", 1200)
    '1,200 nodes'
    """
    return _made(one, many, number, "", {"number": number, **values})


def pgettext(context: str, message: str, /, **values: object) -> Message:
    """Make a message whose words alone do not tell what is meant."""
    return _made(message, "", 0, context, values)


def npgettext(context: str, one: str, many: str, number: int, /, **values: object) -> Message:
    """Make a message about a number whose words alone do not tell what is meant."""
    return _made(one, many, number, context, {"number": number, **values})


def _made(
    msgid: str, plural: str, number: int, context: str, values: Mapping[str, object]
) -> Message:
    # A page has some two thousand messages, and most of them are the same ones every time. Those
    # with other messages in them are left out: two that read alike in English may differ elsewhere.
    for value in values.values():
        if type(value) not in _PLAIN:
            return _make(msgid, plural, number, context, tuple(values.items()))
    return _known(msgid, plural, number, context, tuple(values.items()))


def _make(
    msgid: str, plural: str, number: int, context: str, values: tuple[tuple[str, object], ...]
) -> Message:
    written = {name: _written(value) for name, value in values}
    words = plural if plural and number != 1 else msgid
    made = Message(words.format_map(written) if written else words)
    made.msgid, made.plural, made.number, made.context = msgid, plural, number, context
    made.values = written
    return made


_known = lru_cache(maxsize=_MOST_KNOWN)(_make)


def _written(value: object) -> str:
    if isinstance(value, str):
        return value
    return figure(value) if isinstance(value, (int, float)) else str(value)


class Figure(Text):
    """A number, in the digits and with the separators of English."""

    __slots__ = ()

    def into(self, translations: Translations) -> str:
        """Return it with the separators of a language."""
        return "".join(_separator(sign, translations) for sign in self)


def _separator(sign: str, translations: Translations) -> str:
    if sign == ",":
        return translations.pgettext("between thousands", ",")
    if sign == ".":
        return translations.pgettext("before decimals", ".")
    return sign


def figure(number: float, form: str = ",") -> Figure:
    """Write a number.

    >>> figure(1200), figure(9.8125, ".3g")
    ('1,200', '9.81')

    Args:
        number: any.
        form: as in Python's ``format``.
    """
    return Figure(format(number, form))


class Joined(Text):
    """Texts beside each other.

    Attributes:
        separator: what stands between them.
        parts: the texts; none is empty.
    """

    __slots__ = ("parts", "separator")

    separator: str
    parts: tuple[str, ...]

    def into(self, translations: Translations) -> str:
        """Return them in a language."""
        return self.separator.join([translate(part, translations) for part in self.parts])


def joined(separator: str, parts: Iterable[str]) -> str:
    """Put those texts that are not empty beside each other.

    >>> joined("; ", ["one", "", "two"])
    'one; two'
    """
    kept = tuple([part for part in parts if part])
    if len(kept) < 2:
        return kept[0] if kept else ""
    made = Joined(separator.join(kept))
    made.separator, made.parts = separator, kept
    return made


def sentences(*parts: str) -> str:
    """Put sentences one after another; empty ones are left out."""
    return joined(" ", parts)


class Reworded(Text):
    """A text that English writes another way in its place, by rules that other languages have not.

    Attributes:
        original: the text itself.
        adapt: what is done to it in any language.
    """

    __slots__ = ("adapt", "original")

    original: str
    adapt: Callable[[str], str]

    def into(self, translations: Translations) -> str:
        """Return the original in a language."""
        return self.adapt(translate(self.original, translations))


def reworded(english: str, original: str, adapt: Callable[[str], str]) -> Reworded:
    """Return an English text that is, in other languages, its original as it is adapted there."""
    made = Reworded(english)
    made.original, made.adapt = original, adapt
    return made
